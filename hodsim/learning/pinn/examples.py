"""Problems with known solutions: the paper's Eq. 13, ten dimensions, and a plate."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Final

import torch
from torch import Tensor

from hodsim.errors import InputError
from hodsim.learning.pinn.domain import Box
from hodsim.learning.pinn.field import Field
from hodsim.learning.pinn.operators import biharmonic, laplacian, partial
from hodsim.learning.pinn.problem import Problem

KS: Final = tuple(range(1, 9))


def eq13() -> Problem:
    """Eq. 13: eight Poisson equations, ``phi_k = sin(k x1) sin(k x2) + cos(k x1 x2)``, by one
    network on the unit square.

    Residuals of component k are divided by k^2, as its Laplacian is k^2 times as large.
    """
    k = torch.tensor(KS, dtype=torch.float64)

    def truth(x: Tensor) -> Tensor:
        a, b = x[:, :1], x[:, 1:]
        return torch.sin(k * a) * torch.sin(k * b) + torch.cos(k * a * b)

    def source(x: Tensor) -> Tensor:
        a, b = x[:, :1], x[:, 1:]
        bent = (a * a + b * b) * torch.cos(k * a * b)
        return -(k**2) * (2.0 * torch.sin(k * a) * torch.sin(k * b) + bent)

    return Problem(
        residual=lambda u, x: laplacian(u, x) - source(x),
        boundary=lambda u, x: u(x) - truth(x),
        domain=Box.cube(2),
        components=len(KS),
        weights=tuple(1.0 / n**2 for n in KS),
        boundary_weights=(10.0,),
        truth=truth,
        names=tuple(f"k = {n}" for n in KS),
        name="eq13",
    )


def poisson10() -> Problem:
    """Poisson's equation in ten dimensions, ``u = |x|^2 / 10 + sin(x1 + ... + x10)``, on the unit
    cube, by its boundary values."""
    d = 10

    def truth(x: Tensor) -> Tensor:
        return (x.square().sum(1) / d + torch.sin(x.sum(1))).unsqueeze(1)

    def source(x: Tensor) -> Tensor:
        return 2.0 - d * torch.sin(x.sum(1, keepdim=True))

    return Problem(
        residual=lambda u, x: laplacian(u, x) - source(x),
        boundary=lambda u, x: u(x) - truth(x),
        domain=Box.cube(d),
        weights=(0.1,),
        boundary_weights=(10.0,),
        truth=truth,
        names=("u",),
        name="poisson10",
    )


def plate() -> Problem:
    """A clamped square plate, ``biharmonic(u) = q``: ``u = sin^2(pi x1) sin^2(pi x2)``, with
    deflection and slope zero on all edges."""

    def truth(x: Tensor) -> Tensor:
        return torch.sin(math.pi * x).square().prod(1, keepdim=True)

    def load(x: Tensor) -> Tensor:
        # With s = sin^2(pi x) = (1 - cos 2 pi x) / 2: s'' = 2 pi^2 c, s'''' = -8 pi^4 c.
        s, c = torch.sin(math.pi * x).square(), torch.cos(2.0 * math.pi * x)
        fourth = -8.0 * math.pi**4 * (c[:, :1] * s[:, 1:] + s[:, :1] * c[:, 1:])
        return fourth + 8.0 * math.pi**4 * c[:, :1] * c[:, 1:]

    def clamped(u: Field, x: Tensor) -> Tensor:
        on_first = ((x[:, :1] == 0.0) | (x[:, :1] == 1.0)).to(x)
        slope = on_first * partial(u, x, 0) + (1.0 - on_first) * partial(u, x, 1)
        return torch.cat((u(x), slope), 1)

    return Problem(
        residual=lambda u, x: biharmonic(u, x) - load(x),
        boundary=clamped,
        domain=Box.cube(2),
        weights=(1.0 / (8.0 * math.pi**4),),
        boundary_weights=(30.0, 3.0),
        truth=truth,
        names=("deflection",),
        name="plate",
    )


EXAMPLES: Final[Mapping[str, Callable[[], Problem]]] = MappingProxyType(
    {"eq13": eq13, "poisson10": poisson10, "plate": plate}
)


def example(name: str) -> Problem:
    """A problem by its name.

    Raises
    ------
    InputError : an unknown one.
    """
    if name not in EXAMPLES:
        raise InputError(f"problem: expected one of {', '.join(EXAMPLES)}, got {name!r}")
    return EXAMPLES[name]()
