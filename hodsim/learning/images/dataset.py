"""A set of labelled images in two parts, and going through one in random batches."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import numpy as np
import torch
from torch import Tensor

from hodsim.errors import InputError

CLASSES: Final = 10  # of every set that this room reads


@dataclass(frozen=True, eq=False)
class Images:
    """Images with their classes, some to train on and some to test on.

    Attributes
    ----------
    train_x, test_x : float32 in 0..1, shape (n, channels, height, width).
    train_y, test_y : classes 0..9, int64, shape (n,).
    name : of the set, such as "MNIST".
    note : what must be said beside every figure, such as "JPEG CIFAR-10 subset"; or "".

    Raises
    ------
    InputError : a part is empty, or its shapes, types or classes are not those.
    """

    train_x: Tensor
    train_y: Tensor
    test_x: Tensor
    test_y: Tensor
    name: str
    note: str = ""

    def __post_init__(self) -> None:
        for part, x, y in (
            ("training", self.train_x, self.train_y),
            ("test", self.test_x, self.test_y),
        ):
            what = f"{self.name}, {part} part"
            if x.dtype is not torch.float32 or x.dim() != 4 or not x.numel():
                raise InputError(
                    f"{what}: expected float32 images of shape (n, channels, height, width), "
                    f"got {x.dtype} of shape {tuple(x.shape)}"
                )
            if not 0.0 <= float(x.min()) <= float(x.max()) <= 1.0:  # NaN fails as well
                raise InputError(
                    f"{what}: expected pixels in 0..1, got {float(x.min())} to {float(x.max())}"
                )
            if y.dtype is not torch.int64 or y.shape != x.shape[:1]:
                raise InputError(
                    f"{what}: expected {len(x)} int64 classes, one for each image, "
                    f"got {y.dtype} of shape {tuple(y.shape)}"
                )
            check_classes(what, y.numpy())
        if self.train_x.shape[1:] != self.test_x.shape[1:]:
            raise InputError(
                f"{self.name}: expected training and test images of one size, got "
                f"{tuple(self.train_x.shape[1:])} and {tuple(self.test_x.shape[1:])}"
            )


def batches(
    x: Tensor, y: Tensor, size: int, seed: int, epoch: int
) -> Iterator[tuple[Tensor, Tensor]]:
    """All images once, in an order that `seed` and `epoch` alone decide, `size` at a time.

    The last batch holds what is left over.

    Raises
    ------
    InputError : sizes that do not fit, or a seed or an epoch below 0.
    """
    if len(x) != len(y):
        raise InputError(f"y: expected {len(x)} classes, one for each image, got {len(y)}")
    for name, value, least in (("size", size, 1), ("seed", seed, 0), ("epoch", epoch, 0)):
        if value < least:
            raise InputError(f"{name}: expected a whole number of at least {least}, got {value}")
    order = torch.from_numpy(np.random.default_rng([seed, epoch]).permutation(len(x)))
    return ((x[chosen], y[chosen]) for chosen in order.split(size))


def shortened(images: Images, train: int, test: int) -> Images:
    """So many images of each part at even distances, fewer where there are not as many.

    Raises
    ------
    InputError : a number below 1.
    """
    for name, n in (("training images", train), ("test images", test)):
        if n < 1:
            raise InputError(f"{name}: expected at least 1, got {n}")
    return replace(
        images,
        train_x=spread(images.train_x, train),
        train_y=spread(images.train_y, train),
        test_x=spread(images.test_x, test),
        test_y=spread(images.test_y, test),
    )


def spread(part: Tensor, n: int) -> Tensor:
    """n entries at even distances, all where there are fewer: files may be sorted by class."""
    if n >= len(part):
        return part
    return part[torch.arange(n) * len(part) // n]


def digest_of(*parts: Tensor) -> str:
    """SHA-256 of shapes and numbers."""
    told = hashlib.sha256()
    for part in parts:
        told.update(repr(tuple(part.shape)).encode())
        told.update(part.contiguous().numpy().tobytes())
    return told.hexdigest()


# ------------------------------------------------------------------ what the readers share


def pixels(bytes_: np.ndarray) -> Tensor:
    """Bytes 0..255 as float32 in 0..1, of the same shape."""
    return torch.from_numpy(np.array(bytes_, np.float32, order="C")).div_(255)


def classes(labels: np.ndarray) -> Tensor:
    """Labels of any whole type as int64."""
    return torch.from_numpy(labels.astype(np.int64))


def check_classes(what: str, labels: np.ndarray) -> None:
    """Refuse labels outside 0..9, naming the first by its place."""
    wrong = np.flatnonzero((labels < 0) | (labels >= CLASSES))
    if len(wrong):
        raise InputError(
            f"{what}: expected classes 0 to {CLASSES - 1}, got {int(labels[wrong[0]])} at image "
            f"{wrong[0]}; the file is damaged, get it again"
        )


def require(
    folder: str | Path, names: Iterable[str], what: str, packed: bool = False
) -> list[Path]:
    """The files of these names in a folder; where `packed`, each perhaps compressed as NAME.gz.

    Raises
    ------
    InputError : no such folder; or files are missing, all of which it names.
    """
    place = Path(folder)
    if not place.is_dir():
        raise InputError(f"{place}: expected the folder of {what}, but there is none")
    found, missing = [], []
    for name in names:
        allowed = [place / name, *([place / f"{name}.gz"] if packed else [])]
        here = [path for path in allowed if path.is_file()]
        found += here[:1]
        missing += [] if here else [name]
    if missing:
        raise InputError(
            f"{place}: expected the files of {what}, {', '.join(missing)} missing; put them there"
        )
    return found
