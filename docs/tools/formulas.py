"""Formulas as MathML, made when the site is built: a page needs no script and no network for them.

A hook of mkdocs. Pages write `$...$` in a line and `$$...$$` apart; arithmatex marks them.
"""

from __future__ import annotations

import html
import re
from typing import Any

from latex2mathml.converter import convert

_MARKED = re.compile(
    r'<(?P<tag>span|div) class="arithmatex">\\[(\[](?P<tex>.*?)\\[)\]]</(?P=tag)>', re.DOTALL
)


def mathml(tex: str, apart: bool) -> str:
    """The formula as MathML, its source kept as the text that is copied and read out."""
    made = convert(tex.strip(), display="block" if apart else "inline")
    told = html.escape(" ".join(tex.split()), quote=True)
    return made.replace("<math ", f'<math alttext="{told}" ', 1)


def on_page_content(content: str, **_: Any) -> str:
    """Replace all that arithmatex marked."""

    def made(found: re.Match[str]) -> str:
        return mathml(html.unescape(found["tex"]), found["tag"] == "div")

    return _MARKED.sub(made, content)
