"""Differential operators of a field at positions, as a partial differential equation names them.

Positions are of shape (n, d), results of shape (n, m) for a field of m components.
"""

from __future__ import annotations

from collections import Counter

import torch
from torch import Tensor

from hodsim.errors import InputError
from hodsim.learning.pinn.field import Field, Operator


def partial(u: Field, x: Tensor, *axes: int) -> Tensor:
    """The derivative along axes, of any order, mixed or not: ``partial(u, x, 0, 0, 1)``.

    Raises
    ------
    InputError : an axis outside 0..d-1.
    """
    d = _dimension(x)
    if any(not 0 <= i < d for i in axes):
        raise InputError(f"axes: expected numbers 0..{d - 1}, got {axes}")
    return u.apply(((tuple(sorted(axes)), 1.0),), x)


def gradient(u: Field, x: Tensor) -> Tensor:
    """All first derivatives, shape (n, m, d)."""
    return torch.stack([partial(u, x, i) for i in range(_dimension(x))], -1)


def laplacian(u: Field, x: Tensor) -> Tensor:
    """The sum of second derivatives along every axis."""
    return u.apply(tuple(((i, i), 1.0) for i in range(_dimension(x))), x)


def biharmonic(u: Field, x: Tensor) -> Tensor:
    """The Laplacian's Laplacian: the sum over all i, j of the derivative along i, i, j, j."""
    return u.apply(_squared(_dimension(x)), x)


def _squared(d: int) -> Operator:
    lanes = Counter(tuple(sorted((i, i, j, j))) for i in range(d) for j in range(d))
    return tuple((lane, float(count)) for lane, count in sorted(lanes.items()))


def _dimension(x: Tensor) -> int:
    if not isinstance(x, Tensor) or x.dim() != 2:
        got = tuple(x.shape) if isinstance(x, Tensor) else type(x).__name__
        raise InputError(f"x: expected positions of shape (n, d), got {got}")
    return x.shape[1]
