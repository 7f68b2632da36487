"""Labelled images, and readers of the files in which they are commonly published."""

from __future__ import annotations

from hodsim.learning.images.cifar10 import read_cifar10
from hodsim.learning.images.dataset import Images, batches, digest_of, shortened, spread
from hodsim.learning.images.digits import read_digits
from hodsim.learning.images.find import read_images
from hodsim.learning.images.mnist import read_mnist
from hodsim.learning.images.parts import Parts, parted
from hodsim.learning.images.remade import grey, rotated
from hodsim.learning.images.svhn import read_svhn

__all__ = [
    "Images",
    "Parts",
    "batches",
    "digest_of",
    "grey",
    "parted",
    "read_cifar10",
    "read_digits",
    "read_images",
    "read_mnist",
    "read_svhn",
    "rotated",
    "shortened",
    "spread",
]
