"""Squared norms of derivatives, as losses have them (Eqs. 10-11).

Their gradients flow to parameters and points, as those of all derivatives here do.
"""

from __future__ import annotations

from torch import Tensor, nn

from hodsim.derivatives.contract import chain_at, hessian_diagonal, jacobian
from hodsim.derivatives.gradients.diagonal_norm import diagonal_squares
from hodsim.derivatives.gradients.jacobian_norm import jacobian_squares
from hodsim.derivatives.gradients.layers import Real, real_lane
from hodsim.derivatives.gradients.squared import squared
from hodsim.derivatives.passes import refuse_autocast
from hodsim.derivatives.point import Function, Point


def jacobian_norm2(f: Function, x: Tensor) -> Tensor:
    """``|D f(x)|_F^2`` at every point (Eq. 11), shape (batch,); of one point x, shape ().

    Of a plain chain it is made without the Jacobian, and its gradients with it; they cannot be
    differentiated again (which is refused).

    Parameters
    ----------
    f : a `torch.nn.Module` or any function of torch operations that keeps x's batch.
    x : shape (n,) or (batch, ...).

    Raises
    ------
    InputError : an argument of the wrong shape, type or place, by name.
    UnknownRuleError : f does what no rule knows, by name.
    """
    real = _real_lane(f, x, 1)
    return _of_points(jacobian(f, x), x) if real is None else _of_batch(_first(real), x)


def hessian_diagonal_norm2(f: Function, x: Tensor) -> Tensor:
    """``sum_ij (d^2 f_j / d x_i^2)^2`` at every point (Eq. 10 as printed), shape (batch,) or ().

    f, x and what is raised are those of `jacobian_norm2`.
    """
    real = _real_lane(f, x, 2)
    return _of_points(hessian_diagonal(f, x), x) if real is None else _of_batch(_second(real), x)


def derivative_norms2(f: Function, x: Tensor) -> tuple[Tensor, Tensor]:
    """`jacobian_norm2` and `hessian_diagonal_norm2`; a plain chain is evaluated once for both."""
    real = _real_lane(f, x, 2)
    if real is None:
        return jacobian_norm2(f, x), hessian_diagonal_norm2(f, x)
    return _of_batch(_first(real), x), _of_batch(_second(real), x)


def _real_lane(f: Function, x: Tensor, order: int) -> Real | None:
    rows = x.flatten(1) if _flattens(f, x) else x
    if chain_at(f, rows) is None:
        return None
    assert isinstance(f, nn.Module)
    Point.of(f, rows, parameters=False)
    refuse_autocast(x.device.type)
    return real_lane(f, rows if rows.dim() == 2 else rows.unsqueeze(0), order)


def _flattens(f: Function, x: Tensor) -> bool:
    """Whether f begins by making rows of images, which may as well come as rows: a norm is the
    same."""
    if not isinstance(x, Tensor) or x.dim() < 3:
        return False
    while type(f) is nn.Sequential and len(f):
        f = f[0]
    return type(f) is nn.Flatten and f.start_dim == 1 and f.end_dim in (-1, x.dim() - 1)


def _first(real: Real) -> Tensor:
    if not real.sigmas:
        return real.weights[0].square().sum().expand(len(real.out))
    return squared(jacobian_squares, real.weights, [s[1] for s in real.sigmas])


def _second(real: Real) -> Tensor:
    if not real.sigmas:
        return 0.0 * real.out.sum(1)
    slopes, bends = ([s[k] for s in real.sigmas] for k in (1, 2))
    return squared(diagonal_squares, real.weights, [*slopes, *bends])


def _of_batch(values: Tensor, x: Tensor) -> Tensor:
    return values if x.dim() > 1 else values[0]


def _of_points(entries: Tensor, x: Tensor) -> Tensor:
    squares = entries.square()
    return squares.flatten(1).sum(1) if x.dim() > 1 else squares.sum()
