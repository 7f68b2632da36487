"""Squared norms of derivatives, as losses have them (Eqs. 10-11).

Their gradients flow to parameters and points, as those of all derivatives here do.
"""

from __future__ import annotations

from torch import Tensor

from hodsim.derivatives.contract import hessian_diagonal, jacobian
from hodsim.derivatives.point import Function


def jacobian_norm2(f: Function, x: Tensor) -> Tensor:
    """``|D f(x)|_F^2`` at every point (Eq. 11), shape (batch,); of one point x, shape ().

    Parameters
    ----------
    f : a `torch.nn.Module` or any function of torch operations that keeps x's batch.
    x : shape (n,) or (batch, ...).

    Raises
    ------
    InputError : an argument of the wrong shape, type or place, by name.
    UnknownRuleError : f does what no rule knows, by name.
    """
    return _of_points(jacobian(f, x), x)


def hessian_diagonal_norm2(f: Function, x: Tensor) -> Tensor:
    """``sum_ij (d^2 f_j / d x_i^2)^2`` at every point (Eq. 10 as printed), shape (batch,) or ().

    f, x and what is raised are those of `jacobian_norm2`.
    """
    return _of_points(hessian_diagonal(f, x), x)


def derivative_norms2(f: Function, x: Tensor) -> tuple[Tensor, Tensor]:
    """`jacobian_norm2` and `hessian_diagonal_norm2`, from one pass where f is a plain chain."""
    return jacobian_norm2(f, x), hessian_diagonal_norm2(f, x)


def _of_points(entries: Tensor, x: Tensor) -> Tensor:
    squares = entries.square()
    return squares.flatten(1).sum(1) if x.dim() > 1 else squares.sum()
