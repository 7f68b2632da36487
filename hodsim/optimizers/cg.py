"""Conjugate gradients for curvature that may be indefinite or flat, by products alone.

Algorithm 1 of the paper, lines 8-27, with its slips mended: the step along p is r.r / kappa
(printed: |r| / kappa); one product serves both kappa and the residual (printed: two); the residual
starts at the gradient of the same batch as the curvature (printed: the global one); where the first
direction has negative curvature the answer is steepest descent (printed: nothing).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor

Product = Callable[[Tensor], Tensor]

# Curvature per unit of length below which a direction counts as flat (paper, line 17).
FLAT: Final = 1e-8
# Martens' stop looks back over a tenth of the iterations done, but over ten at least.
_LOOK_BACK, _SHARE = 10, 0.1
# Stored iterates, for going back over them, are this factor apart.
_SPACING: Final = 1.3

TOLERANCE = "tolerance"
PROGRESS = "progress"
ITERATIONS = "iterations"
NEGATIVE = "negative curvature"
STEEPEST = "steepest descent"
NOT_FINITE = "not finite"


@dataclass(frozen=True)
class Stop:
    """When to end.

    iterations : at most so many.
    tolerance : |b - A x| <= tolerance * |b|.
    progress : Martens (2010): the quadratic fell by less than a share `progress` an iteration,
        on the average of the last ten or of the last tenth if that is more; 0 never.
    """

    iterations: int = 50
    tolerance: float = 1e-4
    progress: float = 0.0


@dataclass(frozen=True, eq=False)
class Solution:
    """x with A x near b, A = H + damping.

    Attributes
    ----------
    x : the answer.
    Hx : H x, without damping, which came along with it.
    ended : "tolerance", "progress", "iterations", "negative curvature" (x is what was reached
        before it was met), "steepest descent" (it was met at once: x is b), "not finite".
    iterations : steps made.
    residual : |b - A x| / |b|; of "steepest descent" 1, as nothing was solved.
    smallest : the least p.Ap / p.p met, None where no product was made.
    flat : directions along which curvature was raised.
    iterates : (x, Hx) on the way, ever further apart, the last one last; empty unless kept.
    """

    x: Tensor
    Hx: Tensor
    ended: str
    iterations: int
    residual: float
    smallest: float | None
    flat: int
    iterates: tuple[tuple[Tensor, Tensor], ...] = ()


def conjugate_gradients(
    product: Product,
    b: Tensor,
    damping: float | Tensor = 0.0,
    stop: Stop | None = None,
    flatness: float = 0.0,
    start: Tensor | None = None,
    keep: bool = False,
    scale: Tensor | None = None,
) -> Solution:
    """Solve (H + damping) x = b until `stop` says so, or negative curvature is met.

    Parameters
    ----------
    product : v -> H v.
    b : shape (n,).
    damping : a number or one for each entry, at least 0.
    flatness : added to p.Ap / p.p where that lies in (0, 1e-8). It bends A along p alone, so that
        later directions are no longer conjugate to p: they go on from an honest residual of the
        bent A, not of A.
    start : a direction to begin on, at the multiple of it that is best (0 if none is better): so
        the quadratic never ends above its value at 0, and x descends. Costs one product.
    keep : keep iterates for going back over them.
    scale : diagonal of a preconditioner, above 0: an estimate of A's diagonal up to a factor. The
        first direction is then b / scale.
    """
    stop = stop or Stop()
    size = _norm(b)
    x, Hx = torch.zeros_like(b), torch.zeros_like(b)
    r, begun = b.clone(), False
    if start is not None:
        Hs = product(start)
        along, bends = _dot(b, start), _dot(start, Hs + damping * start)
        if begun := along > 0.0 and bends > 0.0:
            x, Hx = start * (along / bends), Hs * (along / bends)
            r -= Hx + damping * x
    if size == 0.0 or not math.isfinite(_norm(r)):
        ended = TOLERANCE if size == 0.0 else NOT_FINITE
        return Solution(x, Hx, ended, 0, _norm(r) / size if size else 0.0, None, 0)
    p = r.clone() if scale is None else r / scale
    rz, rest = _dot(r, p), _norm(r)
    smallest, flat, ended, made, next_kept = math.inf, 0, ITERATIONS, 0, 1.0
    fell: list[float] = []  # the quadratic after each step
    iterates: list[tuple[Tensor, Tensor]] = []
    while made < stop.iterations:
        if rest <= stop.tolerance * size:
            ended = TOLERANCE
            break
        Hp = product(p)
        Ap = Hp + damping * p
        kappa, pp = _dot(p, Ap), _dot(p, p)
        if not math.isfinite(kappa):
            ended = NOT_FINITE
            break
        smallest = min(smallest, kappa / pp)
        if kappa <= 0.0:
            ended = NEGATIVE
            if not made and not begun:
                x, Hx, ended = p, Hp, STEEPEST
            break
        if kappa < FLAT * pp and flatness:
            flat += 1
            Ap += flatness * p
            kappa += flatness * pp
        alpha = rz / kappa
        x += alpha * p
        Hx += alpha * Hp
        r -= alpha * Ap
        z = r if scale is None else r / scale
        before, rz, rest = rz, _dot(r, z), _norm(r)
        p = z + (rz / before) * p
        made += 1
        if keep and made >= next_kept:
            iterates.append((x.clone(), Hx.clone()))
            next_kept = max(made + 1.0, next_kept * _SPACING)
        fell.append(-0.5 * (_dot(x, r) + _dot(x, b)))
        if _is_slow(fell, stop.progress):
            ended = PROGRESS
            break
    if ended == ITERATIONS and rest <= stop.tolerance * size:
        ended = TOLERANCE
    if keep and (not iterates or not torch.equal(iterates[-1][0], x)):
        iterates.append((x, Hx))
    residual = 1.0 if ended == STEEPEST else rest / size
    least = smallest if math.isfinite(smallest) else None
    return Solution(x, Hx, ended, made, residual, least, flat, tuple(iterates))


def _is_slow(fell: list[float], progress: float) -> bool:
    """Martens 2010, section 4.4, for the quadratic 1/2 x.Ax - b.x, which is 0 at x = 0."""
    i = len(fell)
    k = max(_LOOK_BACK, math.ceil(_SHARE * i))
    if not progress or i <= k:
        return False
    now = fell[-1]
    return now < 0.0 and (now - fell[-1 - k]) / now < k * progress


def _dot(a: Tensor, b: Tensor) -> float:
    return float(torch.dot(a, b))


def _norm(a: Tensor) -> float:
    return float(torch.linalg.vector_norm(a))
