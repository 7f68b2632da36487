"""Which reader a folder wants."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Final

from hodsim.errors import InputError
from hodsim.learning.images.cifar10 import read_cifar10
from hodsim.learning.images.dataset import Images
from hodsim.learning.images.digits import read_digits
from hodsim.learning.images.mnist import read_mnist
from hodsim.learning.images.svhn import read_svhn

# Name: its usual folder, files that only it has, its reader.
_SETS: Final[dict[str, tuple[str, str, Callable[..., Images]]]] = {
    "mnist": ("mnist", "train-images-idx3-ubyte*", read_mnist),
    "cifar10": ("cifar-10-batches-bin", "data_batch_*", read_cifar10),
    "svhn": ("svhn", "*_32x32.mat", read_svhn),
}


def read_images(what: str, root: str | Path = "data", note: str = "") -> Images:
    """Images by the name of their set, or out of a folder, whose files tell which set it is.

    what : "digits" (of an installed package), or "mnist", "cifar10", "svhn", which lie in folders
        of their usual names (mnist, cifar-10-batches-bin, svhn) in `root`; or a folder.
    note : what must be said beside every figure.

    Raises
    ------
    InputError : no such name and no such folder; a folder of no known set; what the readers refuse.
    """
    if what == "digits":
        return read_digits()
    if what in _SETS:
        folder, _, read = _SETS[what]
        return read(Path(root) / folder, note=note)
    place = Path(what)
    if not place.is_dir():
        raise InputError(
            f"data: expected digits, {', '.join(_SETS)} or a folder, got {what!r}, which is none"
        )
    for _, pattern, read in _SETS.values():
        if any(place.glob(pattern)):
            return read(place, note=note)
    raise InputError(
        f"{place}: expected files of MNIST (idx), CIFAR-10 (binary) or SVHN (.mat), found none"
    )
