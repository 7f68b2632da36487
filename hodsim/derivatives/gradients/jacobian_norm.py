"""``|D f|_F^2`` of a chain, and its gradients, by products no wider than the hidden layers.

With ``D f = W_K D_K ... W_1 D_1 W_0``, D_l the slopes of an activation, the ends are the same at
every point:

    |D f|_F^2 = tr(G C Omega C^T),  C = D_K W_(K-1) ... W_1 D_1,  G = W_K^T W_K,  Omega = W_0 W_0^T

and C starts from a diagonal. Neither the input's nor the output's width is left in what is done at
every point. Either end may be taken as it stands instead (an output of few numbers is cheaper so),
and the chain from either end; counted multiply-adds decide. In float32 the Gram matrices cost
digits where the norm is far below that of its factors, half of what squaring costs anyway.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from itertools import pairwise, product
from typing import NamedTuple

import torch
from torch import Tensor

from hodsim.derivatives.gradients.squared import Squares

_TILE = 2**16  # entries of one matrix of all points of a tile: what a core's cache holds of several


class Way(NamedTuple):
    """How it is done.

    turned : from the outputs to the inputs, on transposes.
    gram_in, gram_out : the first and last matrix (after turning) enter by their Gram matrices.
    """

    turned: bool
    gram_in: bool
    gram_out: bool


@lru_cache(maxsize=256)
def costs(widths: tuple[int, ...], batch: int) -> dict[Way, float]:
    """Multiply-adds a point of each way, gradients included.

    widths : of input, hidden layers and output.
    """
    return {
        way: _cost(widths[::-1] if way.turned else widths, way, batch)
        for way in (Way(*flags) for flags in product((False, True), repeat=3))
    }


def _cost(widths: tuple[int, ...], way: Way, batch: int) -> float:
    n, first, *_, last, m = widths if len(widths) > 3 else (*widths[:2], *widths[1:])
    r = first if way.gram_in else n
    hidden = widths[1:-1]
    total = sum(3.0 * a * b * r for a, b in pairwise(hidden))
    if way.gram_in and len(hidden) > 1:
        total -= 3.0 * hidden[0] * hidden[1] * r  # a diagonal times a matrix
    if way.gram_out:
        total += 2.0 * last * last * r + (3.0 * last * r * r if way.gram_in else 0.0)
    else:
        total += 3.0 * m * last * r + (2.0 * m * r * r if way.gram_in else 0.0)
    once = (n * first * first if way.gram_in else 0) + (m * last * last if way.gram_out else 0)
    return total + 3.0 * once / max(1, batch)


def jacobian_squares(
    weights: Sequence[Tensor], slopes: Sequence[Tensor], scale: Tensor | None, wanted: bool
) -> Squares:
    """The norms at every point, and gradients by matrices and slopes; see `squared`.

    weights : W_0 ... W_K. slopes : sigma' of each activation, (batch, width) each; at least one.
    """
    widths = (weights[0].shape[1], *(w.shape[0] for w in weights))
    counted = costs(widths, len(slopes[0]))
    way = min(counted, key=lambda name: counted[name])
    if way.turned:
        weights, slopes = [w.mT for w in reversed(weights)], slopes[::-1]
    sums = _Sums(weights, slopes, way, wanted)
    entries = max(s.shape[1] for s in slopes) * sums.columns
    step = max(1, _TILE // entries)
    for start in range(0, len(slopes[0]), step):
        where = slice(start, start + step)
        sums.add(where, None if scale is None else scale[where].reshape(-1, 1, 1))
    shared, own = sums.gradients()
    if way.turned:
        shared, own = [g.mT for g in reversed(shared)], own[::-1]
    return Squares(sums.values, shared, own)


class _Sums:
    """Norms and gradients, tile by tile of points."""

    def __init__(
        self, weights: Sequence[Tensor], slopes: Sequence[Tensor], way: Way, wanted: bool
    ) -> None:
        self.weights = [w.contiguous() for w in weights]
        self.slopes, self.wanted = slopes, wanted
        first, last = self.weights[0], self.weights[-1]
        self.omega = first @ first.mT if way.gram_in else None
        self.left = last.mT @ last if way.gram_out else last
        self.gram_out = way.gram_out
        self.columns = first.shape[0] if way.gram_in else first.shape[1]
        self.values = slopes[0].new_empty(len(slopes[0]))
        self.d_weights = [torch.zeros_like(w) for w in self.weights] if wanted else []
        self.d_slopes = [torch.empty_like(s) for s in slopes] if wanted else []
        self.d_omega = None if self.omega is None else torch.zeros_like(self.omega)
        self.d_left = torch.zeros_like(self.left)

    def add(self, where: slice, scale: Tensor | None) -> None:
        """The points of one tile. scale : of each point, (points, 1, 1)."""
        slopes = [s[where].unsqueeze(2) for s in self.slopes]
        # before[l] enters activation l, after[l] leaves it: (points, width, columns).
        if self.omega is None:
            before = [self.weights[0].expand(len(slopes[0]), -1, -1)]
            after = [before[0] * slopes[0]]
        else:
            before = [slopes[0].mT.expand(-1, self.columns, -1)]  # W_0 by its columns: unit vectors
            after = [torch.diag_embed(slopes[0].squeeze(2))] if len(slopes) == 1 else [before[0]]
        for level in range(1, len(slopes)):
            w = self.weights[level]
            diagonal = level == 1 and self.omega is not None
            before.append(w * slopes[0].mT if diagonal else times(w, after[-1]))
            after.append(before[-1] * slopes[level])
        d_after = self._end(where, after[-1], scale)
        if d_after is not None:
            self._back(where, slopes, before, after, d_after)

    def _end(self, where: slice, y: Tensor, scale: Tensor | None) -> Tensor | None:
        """The norm of what leaves the last activation, and its cotangent; the ends' gradients."""
        u = times(self.left, y)
        # <left y Omega, left y>, or with a Gram matrix at the end <left y Omega, y>.
        over = y if self.gram_out else u
        v = over if self.omega is None else over @ self.omega
        self.values[where] = torch.linalg.vecdot(u.flatten(1), v.flatten(1))
        if not self.wanted:
            return None
        if scale is not None:
            v = v * scale
            u = u * scale
        if self.omega is not None:
            gathered(self.d_omega, over.mT, u.mT)
        if self.gram_out:
            gathered(self.d_left, v, y)
            return (u if self.omega is None else u @ self.omega).mul_(2.0)
        v.mul_(2.0)
        gathered(self.d_left, v, y)
        return times(self.left.mT, v)

    def _back(
        self,
        where: slice,
        slopes: Sequence[Tensor],
        before: Sequence[Tensor],
        after: Sequence[Tensor],
        d_after: Tensor,
    ) -> None:
        for level in reversed(range(len(slopes))):
            if level == 0 and self.omega is not None:
                self.d_slopes[0][where] = d_after.diagonal(dim1=1, dim2=2)
                return
            self.d_slopes[level][where] = torch.linalg.vecdot(d_after, before[level])
            d_before = d_after.mul_(slopes[level])
            if level == 0:
                self.d_weights[0] += d_before.sum(0)
            elif level == 1 and self.omega is not None:
                self.d_slopes[0][where] = torch.linalg.vecdot(d_before, self.weights[1], dim=-2)
                self.d_weights[1] += d_before.mul_(slopes[0].mT).sum(0)
                return
            else:
                gathered(self.d_weights[level], d_before, after[level - 1])
                d_after = times(self.weights[level].mT, d_before)

    def gradients(self) -> tuple[list[Tensor], list[Tensor]]:
        """By the matrices and by the slopes."""
        if not self.wanted:
            return [], []
        d_left = self.d_left
        if self.gram_out:
            d_left = self.weights[-1] @ (d_left + d_left.mT)
        self.d_weights[-1] += d_left
        if self.d_omega is not None:
            self.d_weights[0] += (self.d_omega + self.d_omega.mT) @ self.weights[0]
        return self.d_weights, self.d_slopes


def times(w: Tensor, y: Tensor) -> Tensor:
    """w (a, b) times y (points, b, c) at every point."""
    return torch.mm(w, y[0]).unsqueeze(0) if len(y) == 1 else torch.matmul(w, y)


def gathered(total: Tensor | None, a: Tensor, b: Tensor) -> None:
    """Add ``a b^T``, summed over the points, to a matrix."""
    assert total is not None
    if len(a) == 1:
        total.addmm_(a[0], b[0].mT)
    else:
        total += torch.bmm(a, b.mT).sum(0)
