"""A set of images in three parts: to train on, to choose by, to judge by."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor

from hodsim.errors import InputError
from hodsim.learning.images.dataset import Images, digest_of, shortened


@dataclass(frozen=True, eq=False)
class Parts:
    """Training, validation and test images.

    Attributes
    ----------
    images : the training and the test part.
    validation_x, validation_y : taken from what was the training part, as the others are.
    digest : of all three.
    """

    images: Images
    validation_x: Tensor
    validation_y: Tensor
    digest: str = field(init=False)

    def __post_init__(self) -> None:
        i = self.images
        told = digest_of(
            *(i.train_x, i.train_y, self.validation_x, self.validation_y, i.test_x, i.test_y)
        )
        object.__setattr__(self, "digest", told)

    @property
    def pixels(self) -> int:
        """Numbers of one image."""
        return self.images.train_x[0].numel()


def parted(images: Images, train: int, validation: int, test: int) -> Parts:
    """Three parts of so many images, none in two; of the test images all where there are fewer.

    Raises
    ------
    InputError : a number below 1, or fewer training images than the first two parts want.
    """
    if validation < 1:
        raise InputError(f"validation images: expected at least 1, got {validation}")
    some = shortened(images, train + validation, test)
    n = len(some.train_x)
    if train < 1 or n < train + validation:
        raise InputError(
            f"{images.name}: expected {train} images to train on and {validation} to validate on, "
            f"at least 1 of each, of the {len(images.train_x)} there are; take fewer"
        )
    aside = torch.zeros(n, dtype=torch.bool)
    aside[torch.arange(validation) * n // validation] = True
    kept = Images(
        *(some.train_x[~aside], some.train_y[~aside], some.test_x, some.test_y),
        images.name,
        images.note,
    )
    return Parts(kept, some.train_x[aside], some.train_y[aside])
