"""The house's docstrings as griffe reads them, an extension of it.

``name : text`` in a section says what a thing is, where griffe expects its type (types are in the
signature); and methods that say all by their name are shown without a docstring.
"""

from __future__ import annotations

import re
from typing import Any

from griffe import Docstring, Extension, Object

_TITLES = ("Parameters", "Attributes", "Raises")
_HEAD = re.compile(r"^(?P<name>\*{0,2}[A-Za-z_]\w*(?:, [A-Za-z_]\w*)*) ?: (?P<told>\S.*)$")


def rewritten(text: str) -> str:
    """The docstring with what follows the colon on a line of its own.

    Lines of a section that start at its margin begin an entry; deeper ones go on with it.
    """
    lines, out, inside = text.splitlines(), [], False
    for k, line in enumerate(lines):
        ruled = k + 1 < len(lines) and re.fullmatch(r"-{3,}", lines[k + 1].strip())
        if ruled and line and not line.startswith(" "):
            inside = line.strip() in _TITLES
        found = _HEAD.match(line) if inside else None
        if found:
            out += [found["name"], f"    {found['told']}"]
        else:
            out.append(line)
    return "\n".join(out)


class HouseStyle(Extension):
    """Rewrites docstrings before they are parsed, and gives one to what is shown without."""

    def on_object(self, *, obj: Object, **_: Any) -> None:
        if isinstance(obj.docstring, Docstring):
            obj.docstring.value = rewritten(obj.docstring.value)
        elif (told := _instead(obj)) is not None:
            obj.docstring = Docstring(told, parent=obj)


def _instead(obj: Object) -> str | None:
    """What is said of an object without a docstring; None hides it, as attributes that their class
    does not describe one by one."""
    parent = obj.parent
    if parent is None or obj.name.startswith("_"):
        return None
    if obj.is_function and parent.is_class:
        return "See the base class." if parent.bases else "As its name says."
    return "A constant." if obj.is_attribute and parent.is_module else None
