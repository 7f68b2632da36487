"""Numeric arrays out of MATLAB's format 5 (files saved with -v6 or -v7).

scipy.io.loadmat reads more kinds of files, but on damaged ones it ends the whole process (scipy
1.17, segmentation fault), where we owe a line that says what is wrong.
"""

from __future__ import annotations

import math
import struct
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

import numpy as np

from hodsim.errors import InputError

_HEADER: Final = 128
_MATRIX: Final = 14
_COMPRESSED: Final = 15
_MOST_BYTES: Final = 2**31  # that an array may take when it is unpacked
_COMPLEX: Final = 0x0800
# Types as stored, and as they were in MATLAB: whole numbers in doubles are stored as bytes.
_STORED: Final[dict[int, str]] = {1: "i1", 2: "u1", 3: "i2", 4: "u2", 5: "i4"} | {
    6: "u4",
    7: "f4",
    9: "f8",
    12: "i8",
    13: "u8",
}
_CLASSES: Final[dict[int, str]] = {6: "f8", 7: "f4", 8: "i1", 9: "u1", 10: "i2"} | {
    11: "u2",
    12: "i4",
    13: "u4",
    14: "i8",
    15: "u8",
}


class _DamagedError(Exception):
    """What is wrong with the file, in a few words."""


def read_arrays(path: Path, names: Iterable[str]) -> dict[str, np.ndarray]:
    """The real numeric arrays of these names, each of its own type and shape.

    Source: MathWorks, "MAT-File Format", chapter 1 (level 5).

    Raises
    ------
    InputError : the file is damaged, of another format, or lacks some of them, all named.
    """
    wanted, found = tuple(names), {}
    try:
        data = memoryview(path.read_bytes())
        order = _byte_order(data)
        for kind, body in _elements(data[_HEADER:], order):
            if kind == _COMPRESSED:
                kind, body = next(_elements(_unpacked(body), order), (0, body))
            if kind != _MATRIX:
                continue
            parts = list(_elements(body, order))
            name = bytes(parts[2][1]).decode("latin-1") if len(parts) > 2 else ""
            if name in wanted:
                found[name] = _array(name, parts, order)
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror})") from error
    except (_DamagedError, zlib.error, ValueError) as error:
        raise InputError(
            f"{path}: cannot be read as a MATLAB file of {path.stat().st_size} bytes ({error}); "
            "get it again"
        ) from error
    missing = [name for name in wanted if name not in found]
    if missing:
        raise InputError(
            f"{path}: expected the arrays {' and '.join(wanted)}, {' and '.join(missing)} missing"
        )
    return found


def _byte_order(data: memoryview) -> str:
    """The header's byte order, as struct writes it."""
    mark = bytes(data[_HEADER - 2 : _HEADER])
    if mark not in (b"IM", b"MI"):
        raise _DamagedError("no header of format 5")
    order = "<" if mark == b"IM" else ">"
    (version,) = struct.unpack(f"{order}H", data[_HEADER - 4 : _HEADER - 2])
    if version != 0x0100:
        raise _DamagedError(f"format 0x{version:04x}, expected 0x0100: save it with -v7")
    return order


def _elements(data: memoryview, order: str) -> Iterator[tuple[int, memoryview]]:
    """Type and content of each element: a tag of 8 bytes before it, or of 4 where it is short."""
    at = 0
    while at < len(data):
        if len(data) - at < 8:
            raise _DamagedError("truncated inside a tag")
        kind, size = struct.unpack(f"{order}II", data[at : at + 8])
        start = at + 8
        if kind >> 16:
            kind, size, start = kind & 0xFFFF, kind >> 16, at + 4
            if size > 4:
                raise _DamagedError(f"a short element of {size} bytes")
        if size > len(data) - start:
            raise _DamagedError(f"truncated: {size} bytes announced, {len(data) - start} there")
        yield kind, data[start : start + size]
        at = start + size
        if kind != _COMPRESSED:
            at += -at % 8


def _unpacked(body: memoryview) -> memoryview:
    stream = zlib.decompressobj()
    out = stream.decompress(body, _MOST_BYTES)
    if not stream.eof:  # with it the checksum has been compared
        raise _DamagedError("compressed data truncated, or too much")
    return memoryview(out)


def _array(name: str, parts: list[tuple[int, memoryview]], order: str) -> np.ndarray:
    """The array of a matrix element, whose parts are flags, extents, name, numbers."""
    if len(parts) < 4 or len(parts[0][1]) != 8:
        raise _DamagedError(f"{name} is no numeric array")
    (_, head), (_, extents), _, (stored, numbers) = parts[:4]
    (flags,) = struct.unpack(f"{order}I", head[:4])
    kind = _CLASSES.get(flags & 0xFF)
    if kind is None or flags & _COMPLEX or stored not in _STORED:
        raise _DamagedError(f"{name} is no real numeric array")
    # frombuffer raises ValueError where bytes are no whole count of numbers.
    shape = [int(n) for n in np.frombuffer(extents, f"{order}i4")]
    values = np.frombuffer(numbers, f"{order}{_STORED[stored]}")
    if min(shape, default=-1) < 0 or math.prod(shape) != len(values):
        raise _DamagedError(f"{name}: {len(values)} numbers for {' x '.join(map(str, shape))}")
    return values.astype(kind).reshape(shape, order="F")
