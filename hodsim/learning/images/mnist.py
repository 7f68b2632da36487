"""MNIST (LeCun et al. 1998) and sets in its idx format, such as Fashion-MNIST."""

from __future__ import annotations

import gzip
import math
import zlib
from pathlib import Path
from typing import Final

import numpy as np

from hodsim.errors import InputError
from hodsim.learning.images.dataset import Images, check_classes, classes, pixels, require

_FILES: Final = (
    "train-images-idx3-ubyte",
    "train-labels-idx1-ubyte",
    "t10k-images-idx3-ubyte",
    "t10k-labels-idx1-ubyte",
)
_UBYTE: Final = 8  # idx's code of unsigned bytes
# No header makes us ask for more memory than this.
_MOST_BYTES: Final = 2**30


def read_mnist(folder: str | Path, name: str = "MNIST", note: str = "") -> Images:
    """Read the four idx files of a folder, plain or .gz; images of shape (n, 1, height, width).

    Raises
    ------
    InputError : files missing, truncated, too long, not idx, or that do not belong together.
    """
    paths = require(folder, _FILES, name, packed=True)
    train_x, train_y, test_x, test_y = (
        _read_idx(path, axes) for path, axes in zip(paths, (3, 1, 3, 1), strict=True)
    )
    for x, y, i in ((train_x, train_y, 0), (test_x, test_y, 2)):
        if len(x) != len(y):
            raise InputError(
                f"{paths[i + 1]}: expected {len(x)} labels, one for each image of "
                f"{paths[i].name}, got {len(y)}; the two are not of one set"
            )
        check_classes(str(paths[i + 1]), y)
    return Images(
        pixels(train_x[:, None]),
        classes(train_y),
        pixels(test_x[:, None]),
        classes(test_y),
        name,
        note,
    )


def _read_idx(path: Path, axes: int) -> np.ndarray:
    """The unsigned bytes of an idx file with so many axes.

    The format: two zero bytes, the type's code, the number of axes; each extent as a big-endian
    32-bit number; the numbers.
    """
    try:
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
            head = file.read(4 + 4 * axes)
            magic = bytes((0, 0, _UBYTE, axes))
            if head[:4] != magic:
                raise InputError(
                    f"{path}: expected an idx file of bytes with {axes} axes, which begins with "
                    f"0x{magic.hex()}, got 0x{head[:4].hex()}; is it another file?"
                )
            if len(head) < 4 + 4 * axes:
                raise InputError(
                    f"{path}: expected a header of {4 + 4 * axes} bytes, got {len(head)}; "
                    "the file is truncated, get it again"
                )
            shape = tuple(int(n) for n in np.frombuffer(head, ">u4", offset=4))
            size = math.prod(shape)
            if not 0 < size <= _MOST_BYTES:
                raise InputError(
                    f"{path}: expected extents of 1 to {_MOST_BYTES} bytes in all, its header "
                    f"says {' x '.join(map(str, shape))}; the file is damaged, get it again"
                )
            body = file.read(size + 1)
    except EOFError as error:
        raise InputError(
            f"{path}: the compressed file is truncated at {path.stat().st_size} bytes; get it again"
        ) from error
    except (OSError, zlib.error) as error:
        raise InputError(f"{path}: cannot be read ({error}); get it again") from error
    if len(body) != size:
        got = f"only {len(body)}; it is truncated" if len(body) < size else "more; it is damaged"
        raise InputError(
            f"{path}: expected {size} bytes for {' x '.join(map(str, shape))}, got {got}, "
            "get it again"
        )
    return np.frombuffer(body, np.uint8).reshape(shape)
