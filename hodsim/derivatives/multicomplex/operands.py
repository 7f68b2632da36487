"""Operands of any kind brought to one order and one number of axes."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from hodsim.derivatives.multicomplex.algebra import aligned, lifted, product
from hodsim.derivatives.multicomplex.number import Multicomplex, Operand
from hodsim.errors import InputError


def _real(x: Operand, like: Multicomplex) -> Tensor:
    if isinstance(x, complex) or (isinstance(x, Tensor) and x.is_complex()):
        raise InputError(
            "operand: expected real numbers or a Multicomplex, given complex ones; "
            "say which imaginary unit is meant by giving their parts"
        )
    if isinstance(x, Tensor | np.ndarray):
        x = torch.as_tensor(x)
        return x if x.is_floating_point() else x.to(like.dtype)
    if not isinstance(x, int | float | np.number):
        raise InputError(f"operand: expected a number or a tensor, given {type(x).__name__}")
    return torch.as_tensor(x, dtype=like.dtype, device=like.device)


def numbers(*xs: Operand) -> tuple[list[Multicomplex | Tensor], int, bool]:
    """The operands, how many axes their common shape has, and whether one is on the reals."""
    first = next(x for x in xs if isinstance(x, Multicomplex))
    given = [x if isinstance(x, Multicomplex) else _real(x, first) for x in xs]
    on_reals = any(isinstance(x, Multicomplex) and x.on_reals for x in xs)
    return given, max(x.ndim for x in given), on_reals


def reals(*xs: Operand) -> list[Tensor]:
    """Their real parts."""
    return [x.real if isinstance(x, Multicomplex) else x for x in numbers(*xs)[0]]


def common(*xs: Operand) -> tuple[list[Tensor], bool]:
    """Parts of all operands, lifted to the largest order and aligned to broadcast."""
    given, ndim, on_reals = numbers(*xs)
    parts = [x.parts if isinstance(x, Multicomplex) else x.unsqueeze(0) for x in given]
    size = max(map(len, parts))
    return [lifted(aligned(p, ndim), size) for p in parts], on_reals


def bilinear(op: Callable[[Tensor, Tensor], Tensor], x: Operand, y: Operand) -> Multicomplex:
    """A product, `op` being that of real parts; a real factor costs no more than 2^n products."""
    (x, y), ndim, on_reals = numbers(x, y)
    if isinstance(y, Tensor):
        return Multicomplex(op(aligned(x.parts, ndim), y), on_reals)
    if isinstance(x, Tensor):
        return Multicomplex(op(x, aligned(y.parts, ndim)), on_reals)
    (p, q), _ = common(x, y)
    return Multicomplex(product(p, q, op), on_reals)
