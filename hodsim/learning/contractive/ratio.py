"""Fig. 6: how far features move where an image moves by a radius.

The paper's ratio, |f(x) - f(x')| / |x - x'|, has the unit of the features: an encoder half as
large, with a decoder that doubles its inputs, has half the ratio and is the same autoencoder, and
any penalty on derivatives shrinks features first. Tied weights (Rifai et al. 2011b) take that
freedom away from one layer, not from four, and the paper does not tie. So each ratio stands here
twice: as it is printed, and relative to what the encoder does to two different images, that is
divided by RMS |f(a) - f(b)| / RMS |a - b| over pairs of test images. The relative ratio is the same
for c f as for f. It is 1 where noise moves features as much as a difference between images of the
same length does, and small where the encoder keeps such differences and lets noise go. Neither
sees what is lost with them: the error of reconstruction belongs beside both.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor, nn
from torch.nn.functional import normalize

from hodsim.errors import InputError
from hodsim.learning.contractive.runs import features

# Radii, as parts of the RMS distance of two images.
RADII: Final = (0.01, 0.02, 0.05, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.7, 0.85, 1.0)


@dataclass(frozen=True)
class Ratio:
    """Contractive ratios of one encoder; tuples have one entry for each radius.

    Attributes
    ----------
    radii : |x - x'|, in units of a pixel's range.
    ratio : mean over images and directions of |f(x) - f(x')| / |x - x'|.
    relative : the same by the scale of the features.
    scale : RMS distance of two images' features by that of the images.
    """

    radii: tuple[float, ...]
    ratio: tuple[float, ...]
    relative: tuple[float, ...]
    scale: float


def contractive_ratio(
    encoder: nn.Module,
    x: Tensor,
    radii: tuple[float, ...] = RADII,
    directions: int = 16,
    seed: int = 0,
) -> Ratio:
    """Ratios around images x (n, ...), over points drawn evenly on spheres around each.

    radii : as parts of the RMS distance of two of the images. Directions are the same for every
        radius, and for every encoder that is given the same seed.

    Raises
    ------
    InputError : fewer than two images, a radius not above 0, fewer than one direction.
    """
    if len(x) < 2 or directions < 1 or not radii or not min(radii) > 0.0:
        raise InputError(
            "ratio: expected at least two images, one direction and radii above 0, got "
            f"{len(x)}, {directions}, {radii}"
        )
    generator = torch.Generator().manual_seed(seed)
    away = normalize(torch.randn((directions, *x.flatten(1).shape), generator=generator), dim=-1)
    away = away.to(x.dtype).reshape(directions, *x.shape)
    here = features(encoder, x)
    apart = distance(x.flatten(1))
    scale = distance(here) / apart
    found = []
    for radius in radii:
        moved = (features(encoder, x + radius * apart * u) - here for u in away)
        total = sum(float(change.norm(dim=1).double().mean()) for change in moved)
        found.append(total / directions / (radius * apart))
    return Ratio(
        tuple(radius * apart for radius in radii),
        tuple(found),
        tuple(ratio / scale if scale else float("nan") for ratio in found),
        scale,
    )


def distance(points: Tensor) -> float:
    """RMS distance of two different rows of (n, m)."""
    spread = points.double() - points.double().mean(0)
    return float((2.0 * spread.square().sum() / (len(points) - 1)).sqrt())
