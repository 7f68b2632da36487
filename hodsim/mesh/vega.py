"""VegaFEM's volumetric meshes, .veg: vertices, tets, and sets of tets as tags.

The format (Sin, Schroeder and Barbic 2013, "Vega: nonlinear FEM deformable object simulator"):
sections begin with *VERTICES, *ELEMENTS, *MATERIAL, *REGION or *SET; # begins a comment. Numbers
of vertices and elements count from 0 or from 1, as the first vertex says.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from hodsim.errors import InputError
from hodsim.mesh.clean import Raw

_IGNORED = ("MATERIAL", "REGION")


class _Section(NamedTuple):
    """A section's words after its keyword, and its rows with the lines they stand in."""

    words: list[str]
    rows: list[list[str]]
    lines: list[int]


def read_vega(path: Path) -> Raw:
    """Read a .veg file.

    Raises
    ------
    InputError
        It cannot be read, a section is missing or not as long as it says, its elements are not
        TET, or it includes other files; the message names the line.
    """
    try:
        text = path.read_text(encoding="utf-8", errors="replace")
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror})") from error
    sections = _sections(path, text)
    for name in ("VERTICES", "ELEMENTS"):
        if len(sections.get(name, [])) != 1:
            raise InputError(
                f"{path}: expected one section *{name}, found {len(sections.get(name, []))}; "
                "check that it is a .veg file of VegaFEM"
            )
    numbers, points = _table(path, "VERTICES", sections["VERTICES"][0], 3, np.float64)
    first = numbers[0]
    if first not in (0, 1) or not _runs(numbers):
        raise InputError(
            f"{path}: expected vertices numbered one by one from 0 or 1, given {first} first; "
            "write them in order"
        )
    elements = sections["ELEMENTS"][0]
    kind = elements.rows[0][0].upper() if elements.rows else "none"
    if kind not in ("TET", "TETS"):
        raise InputError(f"{path}: expected elements of type TET, given {kind!r}; remesh the body")
    inner = _Section([], elements.rows[1:], elements.lines[1:])
    order, given = _table(path, "ELEMENTS", inner, 4, np.int64)
    tets = np.asarray(given, np.int64) - int(first)
    tags: dict[str, NDArray[np.int64]] = {}
    for section in sections.get("SET", []):
        name = " ".join(section.words) or f"set {len(tags) + 1}"
        chosen = np.array(
            [_number(path, line, word, int) for row, line in _words(section) for word in row],
            dtype=np.int64,
        )
        known = np.isin(chosen, order)
        if not known.all():
            raise InputError(
                f"{path}: set {name}: expected numbers of elements, given {chosen[~known][0]}"
            )
        tags[name] = np.unique(tets[np.isin(order, chosen)])
    tags = {name: v[(v >= 0) & (v < len(points))] for name, v in tags.items()}
    ignored = [name for name in _IGNORED if name in sections]
    notes = (
        (f"ignored {' and '.join(ignored)}: a body has the one material of its scene",)
        if ignored
        else ()
    )
    return Raw(np.asarray(points, float), tets, tags, {"tetra": len(tets)}, notes)


def _sections(path: Path, text: str) -> dict[str, list[_Section]]:
    found: dict[str, list[_Section]] = {}
    current: _Section | None = None
    for number, line in enumerate(text.splitlines(), 1):
        words = line.split("#", 1)[0].replace(",", " ").split()
        if not words:
            continue
        if words[0].startswith("*"):
            name = words[0][1:].upper()
            if name == "INCLUDE":
                raise InputError(
                    f"{path}: line {number}: expected all in one file, given *INCLUDE; join the "
                    "files"
                )
            current = _Section(words[1:], [], [])
            found.setdefault(name, []).append(current)
        elif current is None:
            raise InputError(
                f"{path}: line {number}: expected a section such as *VERTICES, given "
                f"{words[0][:40]!r}; check that it is a .veg file of VegaFEM"
            )
        else:
            current.rows.append(words)
            current.lines.append(number)
    return found


def _words(section: _Section) -> list[tuple[list[str], int]]:
    return list(zip(section.rows, section.lines, strict=True))


def _table(
    path: Path, name: str, section: _Section, width: int, kind: type
) -> tuple[NDArray[np.int64], NDArray[np.float64 | np.int64]]:
    """Numbers (n,) and values (n, width) of a section that begins with its counts."""
    if not section.rows:
        raise InputError(f"{path}: *{name}: expected how many there are, found nothing")
    head, line = section.rows[0], section.lines[0]
    count = _number(path, line, head[0], int)
    if len(head) > 1 and _number(path, line, head[1], int) != width:
        raise InputError(f"{path}: line {line}: expected {width} values each, given {head[1]}")
    rows, lines = section.rows[1:], section.lines[1:]
    if count != len(rows) or count < 1:
        raise InputError(
            f"{path}: *{name}: expected as many lines as it says, {count} and at least one, found "
            f"{len(rows)}; check that the file is whole"
        )
    for row, at in zip(rows, lines, strict=True):
        if len(row) != width + 1:
            raise InputError(
                f"{path}: line {at}: expected a number and {width} values, found {len(row)} words"
            )
    parse = float if kind is np.float64 else int
    order = [_number(path, at, row[0], int) for row, at in zip(rows, lines, strict=True)]
    values = [
        [_number(path, at, word, parse) for word in row[1:]]
        for row, at in zip(rows, lines, strict=True)
    ]
    return np.array(order, dtype=np.int64), np.array(values, dtype=kind)


def _number(path: Path, line: int, word: str, kind: type) -> int | float:
    try:
        value: int | float = kind(word)
        if kind is int and abs(value) > np.iinfo(np.int32).max:
            raise ValueError
    except ValueError as error:
        wanted = "a whole number" if kind is int else "a number"
        raise InputError(f"{path}: line {line}: expected {wanted}, given {word[:40]!r}") from error
    return value


def _runs(numbers: NDArray[np.int64]) -> bool:
    return bool((np.diff(numbers) == 1).all())
