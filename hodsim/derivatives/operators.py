"""Differential operators that are sums of pure powers: one lane of the highest order for all.

``sum_k w_k D^p f[v_k, ..., v_k]`` needs, beside the sum, p - 1 lanes for each direction. A
homogeneous operator of order p is such a sum: its symbol as a sum of p-th powers of linear forms.
"""

from __future__ import annotations

from math import cos, pi, sin
from typing import Final

import torch
from torch import Tensor, nn

from hodsim.derivatives import whole
from hodsim.derivatives.contract import chain_at
from hodsim.derivatives.gradients.passes import chain_lanes
from hodsim.derivatives.passes import refuse_autocast, run_lanes
from hodsim.derivatives.point import Function, Point, plan_of
from hodsim.errors import InputError

_TOGETHER: Final = 64  # inputs whose first-order lanes travel together for a Laplacian


def laplacian(f: Function, x: Tensor, rows: int | None = None) -> Tensor:
    """``sum_i D^2 f(x)[e_i, e_i]``, the trace of the Hessian, shape ([batch,] m).

    The sum travels as one lane of second order beside the n of first order. Through a plain chain
    its gradients are written out as well, and take few passes over few numbers.

    rows : how many lanes to carry at once at most; by default as many as memory allows.
    """
    if rows is None and isinstance(x, Tensor) and x.dim() and x.shape[-1] <= _TOGETHER:
        n = x.shape[-1]
        if chain_at(f, x) is not None:
            return _powers(f, x, torch.eye(n, dtype=x.dtype, device=x.device), [1.0] * n, 2)
    return whole.diagonal(f, Point.of(f, x), summed=True, rows=rows)


def biharmonic(f: Function, x: Tensor) -> Tensor:
    """The Laplacian's Laplacian, ``sum_ij D^4 f(x)[e_i, e_i, e_j, e_j]``, shape ([batch,] m).

    x : shape (n,) or (batch, n); f keeps the batch.

    ``|y|^4`` as a sum of fourth powers takes, for n = 2, three directions at 60 degrees (the
    fewest: there are n (n + 1) / 2 products of two coordinates), for n > 2 the n axes and the
    n (n - 1) diagonals e_i +- e_j.
    """
    if not isinstance(x, Tensor) or x.dim() not in (1, 2):
        got = tuple(x.shape) if isinstance(x, Tensor) else type(x).__name__
        raise InputError(f"x: expected a tensor of shape (n,) or (batch, n), got {got}")
    directions, weights = fourth_powers(x.shape[-1])
    return _powers(f, x, directions.to(x), weights, 4)


def fourth_powers(n: int) -> tuple[Tensor, list[float]]:
    """Directions v_k, shape (count, n), and weights with ``|y|^4 = sum_k w_k (v_k . y)^4``."""
    if n == 2:
        angles = [k * pi / 3.0 for k in range(3)]
        rows = [[cos(a), sin(a)] for a in angles]
        return torch.tensor(rows, dtype=torch.float64, device="cpu"), [8.0 / 9.0] * 3
    axes = torch.eye(n, dtype=torch.float64, device="cpu")
    pairs = [(i, j) for i in range(n) for j in range(i)]
    diagonals = [axes[i] + sign * axes[j] for i, j in pairs for sign in (1.0, -1.0)]
    weights = [1.0] if n == 1 else [(4.0 - n) / 3.0] * n
    kept = [k for k, w in enumerate(weights) if w]
    rows_kept = [axes[k] for k in kept] + diagonals
    return torch.stack(rows_kept), [weights[k] for k in kept] + [1.0 / 6.0] * len(diagonals)


def _powers(f: Function, x: Tensor, directions: Tensor, weights: list[float], order: int) -> Tensor:
    """``sum_k w_k D^order f(x)[v_k, ..., v_k]``."""
    group = tuple(((k,) * order, w) for k, w in enumerate(weights))
    plan, (top,) = plan_of([group], len(weights))
    if chain_at(f, x) is not None:
        assert isinstance(f, nn.Module)
        Point.of(f, x, parameters=False)
        refuse_autocast(x.device.type)
        points = x if x.dim() == 2 else x.unsqueeze(0)
        values = chain_lanes(f, points, directions, plan, top)[0]
        return values if x.dim() == 2 else values[0]
    seeds = directions if x.dim() == 1 else directions.unsqueeze(1).expand(-1, *x.shape)
    lanes = run_lanes(f, Point.of(f, x), [seeds], plan).out.lanes
    return lanes.fill().values[top]
