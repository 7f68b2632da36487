"""A small problem to finetune, whose costs are given, not measured: runs repeat to the last bit."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional

from hodsim.learning import Images
from hodsim.learning.finetune import Costs, Problem, Start

COSTS = Costs(batch=16, value=0.25, gradient=1.0, flat_gradient=1.25, hessian=4.0, gauss_newton=3.0)
START = Start(epochs=3, rate=1e-2, batch=16)


def images(train: int = 64, test: int = 24, seed: int = 3) -> Images:
    """Bright spots, one of four corners each; classes by corner."""
    g = torch.Generator().manual_seed(seed)
    n = train + test
    y = torch.arange(n) % 4
    x = 0.5 * torch.rand(n, 1, 4, 4, generator=g)
    for k in range(n):
        row, column = divmod(int(y[k]), 2)
        x[k, 0, 2 * row : 2 * row + 2, 2 * column : 2 * column + 2] += 0.3
    return Images(x[:train], y[:train], x[train:], y[train:], "corners")


def net() -> nn.Sequential:
    return nn.Sequential(nn.Flatten(), nn.Linear(16, 8), nn.Tanh(), nn.Linear(8, 4))


def normalised() -> nn.Sequential:
    return nn.Sequential(
        *(nn.Conv2d(1, 3, 3, padding=1), nn.BatchNorm2d(3), nn.ReLU()),
        *(nn.Flatten(), nn.Linear(48, 4)),
    )


def problem(make=net, loss=functional.cross_entropy, name: str = "small") -> Problem:
    return Problem(
        name,
        images(),
        make,
        loss,
        lambda _, y: y,
        lambda z, y: (z.argmax(1) != y).float(),
        "error rate",
    )


def still() -> float:
    """A clock that stands: an optimiser's own work costs nothing."""
    return 0.0
