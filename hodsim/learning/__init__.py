"""Learning from images: the data and the networks of the paper's Application I."""

from __future__ import annotations

from hodsim.learning.images import (
    Images,
    Parts,
    batches,
    grey,
    parted,
    read_cifar10,
    read_digits,
    read_images,
    read_mnist,
    read_svhn,
    rotated,
    shortened,
    spread,
)
from hodsim.learning.networks import ACTIVATIONS, autoencoder, lenet5, resnet20, vgg11

__all__ = [
    "ACTIVATIONS",
    "Images",
    "Parts",
    "autoencoder",
    "batches",
    "grey",
    "lenet5",
    "parted",
    "read_cifar10",
    "read_digits",
    "read_images",
    "read_mnist",
    "read_svhn",
    "resnet20",
    "rotated",
    "shortened",
    "spread",
    "vgg11",
]
