"""What the command lines of the benchmarks share."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NoReturn


class Parser(argparse.ArgumentParser):
    """Refuses in one line, exit code 2."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: {message}\n")


def listed(choices: Sequence[str]) -> Callable[[str], tuple[str, ...]]:
    """A comma-separated list of names, or of their beginnings up to a slash."""

    def parse(text: str) -> tuple[str, ...]:
        found: list[str] = []
        for word in text.split(","):
            matching = [name for name in choices if name == word or name.startswith(f"{word}/")]
            if not matching:
                raise argparse.ArgumentTypeError(
                    f"expected some of {', '.join(choices)}; given {word!r}"
                )
            found += matching
        return tuple(dict.fromkeys(found))

    return parse


def count(text: str) -> int:
    """A whole number of at least 1."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"expected a whole number of at least 1; given {text!r}")
    return int(text)


def file(text: str) -> Path:
    """A file to write, in a folder that exists."""
    path = Path(text)
    if path.is_dir() or not path.absolute().parent.is_dir():
        raise argparse.ArgumentTypeError(
            f"expected the name of a file in a folder that exists; given {text!r}"
        )
    return path
