"""Markdown as its readers use it: code to run, commands to type."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import click
import typer

from hodsim.cli import app

ROOT = Path(__file__).parents[1]
_FENCE = re.compile(r"^```(?P<word>\w+)[^\n]*\n(?P<code>.*?)^```", re.MULTILINE | re.DOTALL)
_HODSIM = ("hodsim", ".venv/bin/hodsim")


def blocks(text: str, language: str) -> list[str]:
    """The fenced blocks of a language, in their order."""
    return [found["code"] for found in _FENCE.finditer(text) if found["word"] == language]


def run(code: str, name: str) -> None:
    """Run a block as if it were a file of its own."""
    exec(compile(code, name, "exec"), {"__name__": "__main__"})


def commands(text: str) -> Iterator[list[str]]:
    """Every command of the shell blocks, in words; those joined by && apart."""
    for block in blocks(text, "sh"):
        for line in block.replace("\\\n", " ").splitlines():
            words = shlex.split(line, comments=True)
            while words:
                end = words.index("&&") if "&&" in words else len(words)
                yield words[:end]
                words = words[end + 1 :]


def inline_commands(text: str) -> Iterator[list[str]]:
    """Commands within lines, such as `hodsim train --quick`; not all are whole."""
    for told in re.findall(r"`((?:hodsim|python) [^`]+)`", _FENCE.sub("", text)):
        yield shlex.split(told)


def check(words: list[str], whole: bool = True) -> bool:
    """Raise unless a command, its options and the file it runs exist; False for other programs.

    Not `whole`: arguments may be missing.
    """
    if words[0] == "torchrun":
        words = ["hodsim", *words[words.index("hodsim.cli") + 1 :]]
    if words[0] in _HODSIM:
        _check_hodsim(words[1:], whole)
        return True
    if words[0] in ("python", ".venv/bin/python") and words[1].endswith(".py"):
        source = (ROOT / words[1]).read_text(encoding="utf-8")
        for option in (word for word in words[2:] if word.startswith("--")):
            if f'"{option}"' not in source and option not in _folder_of(words[1]):
                raise AssertionError(f"{words[1]} has no option {option}")
        return True
    return False


def _folder_of(script: str) -> str:
    """All Python beside a script: parsers may stand in a module of their own."""
    return "\n".join(p.read_text() for p in sorted((ROOT / script).parent.glob("*.py")))


@cache
def _group() -> Any:
    return typer.main.get_command(app)


def _check_hodsim(words: list[str], whole: bool) -> None:
    if not words or words[0].startswith("-"):
        return
    command = _group().commands[words[0]]
    if whole:
        command.make_context(words[0], words[1:])
        return
    context = click.Context(command, resilient_parsing=True)
    known = {option for parameter in command.get_params(context) for option in parameter.opts}
    unknown = {word for word in words[1:] if word.startswith("--")} - known
    if unknown:
        raise click.UsageError(f"hodsim {words[0]} has no {', '.join(sorted(unknown))}")
