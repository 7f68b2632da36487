"""CIFAR-10 (Krizhevsky 2009) in its binary version."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import numpy as np

from hodsim.errors import InputError
from hodsim.learning.images.dataset import Images, check_classes, classes, pixels, require

_SHAPE: Final = (3, 32, 32)
_RECORD: Final = 1 + 3 * 32 * 32  # a label, then the red, green and blue planes
_FULL: Final = (50_000, 10_000)


def read_cifar10(folder: str | Path, note: str = "") -> Images:
    """Read data_batch_*.bin, as many as there are, and test_batch.bin: images (n, 3, 32, 32).

    A file may hold any number of whole records. Where images are fewer than in the published set,
    the note says how many there are, after what is given.

    Raises
    ------
    InputError : files missing, of a size that is no multiple of 3073 bytes, or with wrong labels.
    """
    place = Path(folder)
    parts = sorted(place.glob("data_batch_*.bin"))
    names = [path.name for path in parts] or ["data_batch_1.bin"]
    if not parts and (place / "data_batch_1").is_file():
        raise InputError(
            f"{place}: expected CIFAR-10's binary version (data_batch_*.bin), got its Python "
            "version, which is pickled and not read; get cifar-10-binary.tar.gz"
        )
    *parts, test = require(place, [*names, "test_batch.bin"], "CIFAR-10")
    train_x, train_y = (np.concatenate(part) for part in zip(*map(_records, parts), strict=True))
    test_x, test_y = _records(test)
    notes = [note] if note else []
    if (len(train_x), len(test_x)) != _FULL:
        notes.append(f"{len(train_x)} training and {len(test_x)} test images")
    return Images(
        pixels(train_x),
        classes(train_y),
        pixels(test_x),
        classes(test_y),
        "CIFAR-10",
        ", ".join(notes),
    )


def _records(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Bytes of the images, (n, 3, 32, 32), and labels, (n,)."""
    try:
        size = path.stat().st_size
        if not size or size % _RECORD:
            raise InputError(
                f"{path}: expected whole records of {_RECORD} bytes, got {size} bytes "
                f"({size // _RECORD} records and {size % _RECORD} bytes); get the file again"
            )
        rows = np.fromfile(path, np.uint8).reshape(-1, _RECORD)
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror})") from error
    check_classes(str(path), rows[:, 0])
    return rows[:, 1:].reshape(-1, *_SHAPE), rows[:, 0]
