"""Street View House Numbers, cropped digits (Netzer et al. 2011)."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import numpy as np

from hodsim.errors import InputError
from hodsim.learning.images.dataset import Images, check_classes, classes, pixels, require
from hodsim.learning.images.matlab import read_arrays

_FILES: Final = ("train_32x32.mat", "test_32x32.mat")


def read_svhn(folder: str | Path, note: str = "") -> Images:
    """Read train_32x32.mat and test_32x32.mat: images (n, 3, 32, 32). Label 10 is the digit 0.

    Raises
    ------
    InputError : files missing or damaged, or whose X and y are not of the published shapes.
    """
    train, test = require(folder, _FILES, "SVHN")
    (train_x, train_y), (test_x, test_y) = _read(train), _read(test)
    return Images(pixels(train_x), classes(train_y), pixels(test_x), classes(test_y), "SVHN", note)


def _read(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Bytes of the images, (n, 3, 32, 32), and digits, (n,)."""
    found = read_arrays(path, ("X", "y"))
    X, y = found["X"], found["y"].reshape(-1)
    if X.dtype != np.uint8 or X.ndim != 4 or X.shape[:3] != (32, 32, 3) or not X.shape[3]:
        raise InputError(
            f"{path}: X: expected bytes of shape (32, 32, 3, n), got {X.dtype} of shape {X.shape}"
        )
    if y.dtype.kind not in "ui" or len(y) != X.shape[3]:
        raise InputError(
            f"{path}: y: expected {X.shape[3]} whole numbers, one for each image, "
            f"got {y.dtype} of shape {found['y'].shape}"
        )
    if (y == 0).any():
        raise InputError(
            f"{path}: y: expected labels 1 to 10, 10 being the digit 0, got 0 at image "
            f"{int(np.flatnonzero(y == 0)[0])}; it is not the published file"
        )
    digits = np.where(y == 10, 0, y)
    check_classes(str(path), digits)
    return X.transpose(3, 2, 0, 1), digits
