"""``sum_ij (d^2 f_j / dx_i^2)^2`` of a chain, and its gradients, by lanes on small tiles.

Lanes e_i and e_i e_i start from W_0's columns and need no product there; each later map takes both
as rows of one product. After the last activation only the second order goes on, and where the
output is not narrow, by the Gram matrix ``G = W_K^T W_K``: ``|W_K y|^2 = y . G y`` and its
cotangent 2 G y is there already.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from hodsim.derivatives.gradients.squared import Squares

_TILE = 2**17  # entries of one order of lanes: what a core's cache holds of several


def diagonal_squares(
    weights: Sequence[Tensor], sigmas: Sequence[Tensor], scale: Tensor | None, wanted: bool
) -> Squares:
    """The norms at every point, and gradients; see `squared`.

    weights : W_0 ... W_K. sigmas : sigma' of each activation, then sigma'' of each, (batch, width).
    """
    count = len(sigmas) // 2
    sums = _Sums(weights, sigmas[:count], sigmas[count:], wanted)
    batch, n = len(sigmas[0]), weights[0].shape[1]
    widest = max(s.shape[1] for s in sigmas)
    rows = max(1, min(n, _TILE // widest))
    points = max(1, _TILE // (widest * n))
    for start in range(0, batch, points):
        where = slice(start, start + points)
        of_each = None if scale is None else scale[where].reshape(-1, 1, 1)
        for first in range(0, n, rows):
            sums.add(where, slice(first, first + rows), of_each)
    return sums.result()


class _Sums:
    """Norms and gradients, tile by tile of points and lanes."""

    def __init__(
        self,
        weights: Sequence[Tensor],
        slopes: Sequence[Tensor],
        bends: Sequence[Tensor],
        wanted: bool,
    ) -> None:
        last = weights[-1]
        self.columns = weights[0].mT.contiguous()
        self.weights = [self.columns, *(w.contiguous() for w in weights[1:])]
        self.slopes, self.bends, self.wanted = slopes, bends, wanted
        self.gram = 3 * last.shape[0] > 2 * last.shape[1]
        self.last = last.mT @ last if self.gram else last
        self.values = slopes[0].new_zeros(len(slopes[0]))
        self.d_weights = [torch.zeros_like(w) for w in self.weights[:-1]] if wanted else []
        self.d_last = torch.zeros_like(self.last)
        self.d_slopes = [torch.zeros_like(s) for s in slopes] if wanted else []
        self.d_bends = [torch.zeros_like(s) for s in slopes] if wanted else []

    def add(self, where: slice, lanes: slice, scale: Tensor | None) -> None:
        """Some lanes at some points; lanes are (points, 2, rows, width), first order first."""
        slopes = [s[where, None, None] for s in self.slopes]
        bends = [s[where, None] for s in self.bends]
        first = self.columns[lanes]
        before = [first.expand(len(slopes[0]), 1, *first.shape)]
        after: list[Tensor] = []
        for level, (slope, bend) in enumerate(zip(slopes, bends, strict=True)):
            p = before[-1]
            if level == len(slopes) - 1:
                break
            mixed = p.new_empty(len(p), 2, *p.shape[2:])
            torch.mul(p, slope, out=mixed[:, : p.shape[1]])
            _bend(mixed, p, bend, fresh=p.shape[1] == 1)
            after.append(mixed)
            before.append(mixed @ self.weights[level + 1].mT)
        p = before[-1]
        top = p[:, 0].square().mul_(bends[-1])
        if p.shape[1] == 2:
            top.addcmul_(p[:, 1], slopes[-1][:, 0])
        d_top = self._end(where, top, scale)
        if d_top is not None:
            self._back(where, lanes, slopes, bends, before, after, d_top)

    def _end(self, where: slice, top: Tensor, scale: Tensor | None) -> Tensor | None:
        """The norms, and the cotangent of what leaves the last activation."""
        u = top @ self.last.mT
        other = top if self.gram else u
        self.values[where] += torch.linalg.vecdot(u.flatten(1), other.flatten(1))
        if not self.wanted:
            return None
        if scale is not None:
            u *= scale
        if self.gram:
            weighted = top if scale is None else top * scale
            self.d_last.addmm_(weighted.flatten(0, 1).mT, top.flatten(0, 1))
            return u.mul_(2.0)
        u.mul_(2.0)
        self.d_last.addmm_(u.flatten(0, 1).mT, top.flatten(0, 1))
        return u @ self.last

    def _back(
        self,
        where: slice,
        lanes: slice,
        slopes: Sequence[Tensor],
        bends: Sequence[Tensor],
        before: Sequence[Tensor],
        after: Sequence[Tensor],
        d_top: Tensor,
    ) -> None:
        d: Tensor = d_top.unsqueeze(1)  # only the second order leaves the last activation
        for level in reversed(range(len(slopes))):
            p = before[level]
            u = p[:, 0]
            curved = d[:, -1] * u
            self.d_bends[level][where] += torch.linalg.vecdot(curved, u, dim=1)
            d_before = p.new_empty(p.shape)
            if p.shape[1] == 2 and d.shape[1] == 2:
                self.d_slopes[level][where] += torch.linalg.vecdot(
                    d.flatten(1, 2), p.flatten(1, 2), dim=1
                )
                torch.mul(d, slopes[level], out=d_before)
            elif p.shape[1] == 2:
                self.d_slopes[level][where] += torch.linalg.vecdot(d[:, 0], p[:, 1], dim=1)
                torch.mul(d[:, 0], slopes[level][:, 0], out=d_before[:, 1])
                d_before[:, 0] = 0.0
            elif d.shape[1] == 2:
                self.d_slopes[level][where] += torch.linalg.vecdot(d[:, 0], u, dim=1)
                torch.mul(d[:, 0], slopes[level][:, 0], out=d_before[:, 0])
            else:
                d_before.zero_()
            d_before[:, 0].addcmul_(curved, bends[level], value=2.0)
            if level == 0:
                self.d_weights[0][lanes] += d_before[:, 0].sum(0)
                return
            flat = d_before.flatten(0, 2)
            self.d_weights[level].addmm_(flat.mT, after[level - 1].flatten(0, 2))
            d = d_before @ self.weights[level]

    def result(self) -> Squares:
        """Everything, in the order of what was given."""
        if not self.wanted:
            return Squares(self.values, [], [])
        d_last = self.d_last
        if self.gram:
            d_last = self.weights[-1] @ (d_last + d_last.mT)
        first, *others = self.d_weights
        return Squares(self.values, [first.mT, *others, d_last], [*self.d_slopes, *self.d_bends])


def _bend(mixed: Tensor, p: Tensor, bend: Tensor, fresh: bool) -> None:
    """The second order after an activation gains ``sigma'' p^2``."""
    if fresh:
        torch.mul(p[:, 0], p[:, 0], out=mixed[:, 1])
        mixed[:, 1] *= bend
    else:
        mixed[:, 1].addcmul_(p[:, 0].square(), bend)
