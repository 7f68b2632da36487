"""The reader of MATLAB's format 5 against scipy's writer, and against bytes laid out by hand."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest
from scipy import io

from hodsim.errors import InputError
from hodsim.learning.images.matlab import read_arrays

TYPES = ("i1", "u1", "i2", "u2", "i4", "u4", "i8", "u8", "f4", "f8")


@pytest.mark.parametrize("compressed", [True, False])
def test_arrays_of_every_type_come_back(tmp_path: Path, compressed: bool) -> None:
    rng = np.random.default_rng(2)
    path = tmp_path / "a.mat"
    # Names of up to 4 letters are stored inside the tag, longer ones behind it.
    wrote = {f"name_{t}": rng.integers(0, 100, (2, 3, 4)).astype(t) for t in TYPES}
    wrote |= {"s": np.array([[7]], np.uint8), "empty": np.zeros((0, 3))}
    io.savemat(path, wrote | {"text": "left alone"}, do_compression=compressed)
    got = read_arrays(path, wrote)
    assert got.keys() == wrote.keys()
    for name, values in wrote.items():
        assert got[name].dtype == values.dtype, name
        assert np.array_equal(got[name], values), name


def by_hand(flags: int, order: str = ">", shape: tuple[int, ...] = (2, 2)) -> bytes:
    """A file with x = [1 3; 2 4], stored as bytes in a short element as MATLAB does."""

    def tag(kind: int, size: int) -> bytes:
        return struct.pack(f"{order}II", kind, size)

    parts = (
        tag(6, 8) + struct.pack(f"{order}II", flags, 0),
        tag(5, 8) + struct.pack(f"{order}2i", *shape),
        struct.pack(f"{order}I", 1 << 16 | 1) + b"x\0\0\0",
        struct.pack(f"{order}I", 4 << 16 | 2) + b"\1\2\3\4",
    )
    body = b"".join(parts)
    mark = b"MI" if order == ">" else b"IM"
    header = b"by hand".ljust(124) + struct.pack(f"{order}H", 0x0100) + mark
    return header + tag(14, len(body)) + body


@pytest.mark.parametrize("order", [">", "<"])
def test_doubles_stored_as_bytes_in_either_byte_order(tmp_path: Path, order: str) -> None:
    path = tmp_path / "a.mat"
    path.write_bytes(by_hand(6, order))
    x = read_arrays(path, ["x"])["x"]
    assert x.dtype == np.float64
    assert x.tolist() == [[1, 3], [2, 4]]
    assert io.loadmat(path)["x"].tolist() == x.tolist()  # the bytes are what we take them for


@pytest.mark.parametrize(
    ("data", "told"),
    [
        (by_hand(6, shape=(2, 3)), "x: 4 numbers for 2 x 3"),
        (by_hand(6, shape=(-2, -2)), "x: 4 numbers for -2 x -2"),
        (by_hand(6 | 0x0800), "x is no real numeric array"),
        (by_hand(1), "x is no real numeric array"),
        (by_hand(6)[:-9], "truncated: 48 bytes announced, 39 there"),
        (by_hand(6)[:132], "truncated inside a tag"),
        (by_hand(6)[:128], "expected the arrays x, x missing"),
        (b"", "no header of format 5"),
    ],
)
def test_damage_is_named(tmp_path: Path, data: bytes, told: str) -> None:
    path = tmp_path / "a.mat"
    path.write_bytes(data)
    with pytest.raises(InputError, match=told):
        read_arrays(path, ["x"])


def test_a_flipped_bit_in_compressed_numbers_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / "a.mat"
    io.savemat(path, {"x": np.random.default_rng(3).random((50, 50))}, do_compression=True)
    data = bytearray(path.read_bytes())
    data[-1] ^= 1  # of the checksum
    path.write_bytes(data)
    with pytest.raises(InputError, match="incorrect data check"):
        read_arrays(path, ["x"])
