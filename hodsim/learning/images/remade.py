"""Sets made of other ones: digits at any angle, colours as greys."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Final

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from hodsim.errors import InputError
from hodsim.learning.images.dataset import Images

_LUMA: Final = (0.299, 0.587, 0.114)  # of red, green and blue (ITU-R BT.601)


def rotated(images: Images, seed: int) -> Images:
    """Each image turned about its centre by an angle of its own, uniform in 0..2 pi, bilinear.

    As MNIST-rot is made of MNIST (Larochelle et al. 2007); it is not the published file. What
    turns in from outside is black.

    Raises
    ------
    InputError : a seed below 0.
    """
    if seed < 0:
        raise InputError(f"seed: expected a whole number of at least 0, got {seed}")
    draws = np.random.default_rng(seed)
    angles = [draws.uniform(0.0, 2.0 * math.pi, len(x)) for x in (images.train_x, images.test_x)]
    note = f"regenerated from {images.name}, seed {seed}"
    return replace(
        images,
        train_x=turned(images.train_x, torch.from_numpy(angles[0])),
        test_x=turned(images.test_x, torch.from_numpy(angles[1])),
        name=f"{images.name}-rot",
        note=", ".join(filter(None, (note, images.note))),
    )


def grey(images: Images) -> Images:
    """The luma of colour images, (n, 1, height, width): CIFAR-bw out of CIFAR-10.

    Raises
    ------
    InputError : images without three channels.
    """
    if images.train_x.shape[1] != 3:
        raise InputError(
            f"{images.name}: expected images of 3 channels to make grey, got "
            f"{images.train_x.shape[1]}"
        )
    name = images.name.removesuffix("-10")
    return replace(
        images,
        train_x=_luma(images.train_x),
        test_x=_luma(images.test_x),
        name=f"{name}-bw",
        note=", ".join(filter(None, (f"regenerated from {images.name}", images.note))),
    )


def turned(x: Tensor, angles: Tensor) -> Tensor:
    """Images (n, channels, height, width) turned counter-clockwise by angles [rad], (n,)."""
    height, width = x.shape[2:]
    c, s = angles.cos(), angles.sin()
    none = torch.zeros_like(c)
    # Where a pixel comes from, in coordinates that go from -1 to 1 over each side.
    rows = (
        torch.stack([c, -s * height / width, none], 1),
        torch.stack([s * width / height, c, none], 1),
    )
    places = functional.affine_grid(torch.stack(rows, 1).to(x), list(x.shape), align_corners=False)
    out = functional.grid_sample(x, places, padding_mode="zeros", align_corners=False)
    return out.clamp_(0.0, 1.0)


def _luma(x: Tensor) -> Tensor:
    weights = torch.tensor(_LUMA, dtype=x.dtype).reshape(1, 3, 1, 1)
    return (x * weights).sum(1, keepdim=True).clamp_(0.0, 1.0)
