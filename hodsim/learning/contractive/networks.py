"""The paper's autoencoder: an MLP to a wide feature, and its mirror back to pixels."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Final

import torch
from torch import Tensor, nn

from hodsim.derivatives.planner import choose
from hodsim.errors import InputError
from hodsim.learning.networks import ACTIVATIONS, autoencoder


@dataclass(frozen=True)
class Shape:
    """The sizes of an encoder; the decoder mirrors it.

    The paper says four layers, ELU and a feature of 400, not how wide the hidden layers are: the
    penalties' cost goes as their square, `counted`. The feature is linear in the last hidden
    layer: so its scale is free, and no activation hides what the penalties see.

    Attributes
    ----------
    hidden : widths between image and feature, one for each layer but the last.
    feature : numbers of a feature.
    activation : between layers, one of `hodsim.learning.ACTIVATIONS`.
    """

    hidden: tuple[int, ...] = (128, 128, 128)
    feature: int = 400
    activation: str = "elu"

    def __post_init__(self) -> None:
        object.__setattr__(self, "hidden", tuple(self.hidden))
        sizes = (*self.hidden, self.feature)
        if not self.hidden or any(not isinstance(n, int) or n < 1 for n in sizes):
            raise InputError(f"sizes: expected whole numbers of at least 1, got {sizes}")
        if self.activation not in ACTIVATIONS:
            raise InputError(
                f"activation: expected one of {', '.join(ACTIVATIONS)}, got {self.activation!r}"
            )


class Autoencoder(nn.Module):
    """Images of any shape (n, ...) to features (n, feature) to pixels (n, pixels) in 0..1."""

    def __init__(self, encoder: nn.Module, decoder: nn.Module) -> None:
        super().__init__()
        self.encoder, self.decoder = encoder, decoder

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.decoder(self.encoder(x))
        return out


def drawn(shape: Shape, pixels: int, seed: int) -> Autoencoder:
    """An autoencoder with weights that `seed` decides, of plain chains of layers."""
    sizes = (pixels, *shape.hidden, shape.feature)
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        layers = list(autoencoder(sizes, shape.activation))
    half = 2 * (len(sizes) - 1)  # flattening, then linear layers and activations in turn
    return Autoencoder(nn.Sequential(*layers[:half]), nn.Sequential(*layers[half:], nn.Sigmoid()))


# Of a step's multiply-adds, one part goes forward and two come back.
STEP: Final = 3


def counted(shape: Shape, pixels: int) -> dict[str, float]:
    """Multiply-adds of one image, forward only, of the autoencoder and of the encoder's penalties.

    A step costs three times as much. "jacobian" is by the cheapest scheme that
    `hodsim.derivatives` counts, "curvature" by a lane of first and one of second order for each
    pixel, "stochastic" by two Jacobians, past the first layer
    where it makes images smaller.
    """
    sizes = (pixels, *shape.hidden, shape.feature)
    maps = list(pairwise(sizes))
    plain = sum(a * b for a, b in maps)
    beyond = plain - sizes[0] * sizes[1]
    whole = choose(maps, 0, 1)
    rest = choose(maps[1:], 0, 1)
    two = 2.0 * whole.costs[whole.scheme]
    if sizes[1] < pixels:  # past the first layer, and its Gram matrix
        two = 2.0 * rest.costs[rest.scheme] + shape.feature * sizes[1] ** 2
    return {
        "autoencoder": 2.0 * plain,
        "jacobian": whole.costs[whole.scheme],
        "curvature": 2.0 * pixels * beyond,
        "stochastic": two,
    }
