"""Pieces of Markdown made of values that may be missing or hostile: cards are strangers' files."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable, Sequence
from typing import Any, TypeGuard


def table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """A Markdown table without the rows of which nothing is known."""
    lines = [" | ".join(head), " | ".join("---" for _ in head)]
    lines += [" | ".join("-" if x is None else word(x) for x in row) for row in rows if _told(row)]
    return "\n".join(f"| {line} |" for line in lines)


def _told(row: Sequence[object]) -> bool:
    """Whether a row says more than its name."""
    return any(x is not None for x in row[1:])


def word(value: object, code: bool = False) -> str:
    """A value as one line of plain text, in which Markdown and HTML find nothing to act on."""
    text = " ".join(str(value).split())
    if code:
        return text.replace("```", "")
    return re.sub(r"([\\`*_\[\]<>|#])", r"\\\1", text)


def table_of(value: object) -> dict[str, Any]:
    """The value if it is a table, else an empty one."""
    return value if isinstance(value, dict) else {}


def number_in(text: str) -> float:
    """The whole number that a text is, or -1."""
    return float(text) if text.isdecimal() else -1.0


def is_number(value: object) -> TypeGuard[int | float]:
    """Whether it is a number that a float holds: JSON's whole numbers may be longer."""
    known = isinstance(value, (int, float)) and not isinstance(value, bool)
    return known and bool(abs(value) <= sys.float_info.max)  # type: ignore[arg-type]


def with_unit(value: object, unit: str) -> str | None:
    """A number with its unit; None for anything else."""
    return f"{value:g} {unit}" if is_number(value) else None


def listed(*values: object) -> str | None:
    """All of them with commas between; None where one is not known."""
    return ", ".join(map(str, values)) if values and None not in values else None


def range_of(pair: object, unit: str) -> str | None:
    """Such as "1 to 2 s" of two numbers; None for anything else."""
    if not isinstance(pair, list) or [is_number(x) for x in pair] != [True, True]:
        return None
    return f"{pair[0]:g} to {pair[1]:g} {unit}"


def percent(value: object) -> str | None:
    """A ratio as a percentage; None for anything else."""
    return f"{100.0 * value:.3g} %" if is_number(value) else None
