"""Lanes of order one and two through a chain, and their way back, written out.

With z the real lane before an activation, u_k lanes of first and s_j of second order, and
q_j = sum_p M_jp u_a(p) u_b(p) the plan's pairs (summed, where the plan sums them),

    h = sigma(z),    a_k = sigma' u_k,    c_j = sigma' s_j + sigma'' q_j.

Back from cotangents g of h, a_k and c_j, with v_p = sum_j M_jp g_j and sigma''' for q's sake:

    of s_j:  sigma' g_j
    of u_k:  sigma' g_k + sigma'' sum_p v_p (u_b(p) [a(p) = k] + u_a(p) [b(p) = k])
    of z:    sigma' g + sigma'' (sum_k g_k u_k + sum_j g_j s_j) + sigma''' sum_j g_j q_j

Kept between are the derivatives of sigma, u and s; h, a, c and q are made again.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from hodsim.derivatives.gradients.layers import Maps
from hodsim.derivatives.lanes import LanePlan

Sums = tuple[list[Tensor], list[Tensor]]


class Kept(NamedTuple):
    """Of one activation at a tile of points: [sigma, sigma', ...], (points, width) each, and what
    enters it, (lanes, points or 1, width)."""

    sigma: list[Tensor]
    first: Tensor
    second: Tensor | None


class Pairs(NamedTuple):
    """The products of first-order lanes that second-order ones gain.

    a, b : which lanes, or None for all of them, each with itself.
    sums : M, or None if it is the identity.
    """

    a: Tensor | None
    b: Tensor | None
    sums: Tensor | None

    def of(self, u: Tensor) -> Tensor:
        """q, shape (count, points, width)."""
        if self.a is None or self.b is None:
            products = u.square()
        else:
            products = u[self.a] * u[self.b]
        if self.sums is None:
            return products
        return (self.sums @ products.flatten(1)).reshape(-1, *u.shape[1:])

    def back(self, g: Tensor, u: Tensor, to: Tensor) -> None:
        """Add to ``to``, the cotangent of u, what q's cotangent g makes."""
        if self.sums is not None:
            if self.sums.shape[0] == 1 and bool((self.sums == 1.0).all()):
                g = g.expand(self.sums.shape[1], *g.shape[1:])
            else:
                g = (self.sums.mT @ g.flatten(1)).reshape(-1, *g.shape[1:])
        if self.a is None or self.b is None:
            to.addcmul_(g, u, value=2.0)
        else:
            to.index_add_(0, self.a, g * u[self.b])
            to.index_add_(0, self.b, g * u[self.a])


class Second:
    """One chain and plan.

    Made by `of`; `forward` on every tile, then `backward` on every tile into the sums of
    `start_backward`.
    """

    def __init__(
        self,
        maps: Maps,
        directions: Tensor,
        order: int,
        count: int,
        pairs: Pairs | None,
        start: int,
    ) -> None:
        self.maps, self.directions, self.order = maps, directions, order
        self.count, self.pairs, self.start = count, pairs, start
        self.first = (directions @ maps.weights[0].mT).unsqueeze(1)

    @staticmethod
    def of(maps: Maps, directions: Tensor, plan: LanePlan, start: int) -> Second | None:
        """None where the plan's order is above two, or there is no activation."""
        if plan.order > 2 or not maps.activations:
            return None
        dense = plan.seeds(directions)
        if plan.order == 1:
            return Second(maps, plan.gather(dense), 1, 0, None, start)
        lanes = plan.blocks[2]
        sums = None if plan.weights is None else plan.weights.to(directions)
        alike = len(lanes) == len(dense) and bool((lanes[:, 0] == lanes[:, 1]).all())
        a, b = (plan.rows_within(lanes[:, i : i + 1]) for i in (0, 1))
        pairs = Pairs(None, None, sums) if alike else Pairs(a, b, sums)
        return Second(maps, dense, 2, plan.counts[2], pairs, start)

    def forward(self, x: Tensor, out: Tensor, kept: list[Kept]) -> None:
        """The wanted rows at a tile of points, (rows, points, m), into ``out``."""
        weights, biases = self.maps.weights, self.maps.biases
        z = torch.nn.functional.linear(x, weights[0], biases[0])
        first, second = self.first, None
        for (module, sigma), weight, bias in zip(
            self.maps.activations, weights[1:], biases[1:], strict=True
        ):
            kept.append(Kept(sigma(module, z, self.order + 1), first, second))
            mixed = self._mixed(kept[-1])
            last = len(kept) == len(self.maps.activations)
            if last:
                mixed = mixed[self.start :]
            values = (mixed.flatten(0, 1) @ weight.mT).reshape(*mixed.shape[:2], -1)
            if bias is not None and not (last and self.start):
                values[0] += bias
            if last:
                out.copy_(values)
                return
            z, first = values[0], values[1 : 1 + len(self.first)]
            second = values[1 + len(self.first) :] if self.pairs else None

    def _mixed(self, kept: Kept) -> Tensor:
        """What leaves an activation, all lanes."""
        (h, d, *more), first, second = kept
        r = len(first)
        out = h.new_empty(1 + r + self.count, *h.shape)
        out[0] = h
        torch.mul(first, d, out=out[1 : 1 + r])
        if self.pairs is not None:
            q = self.pairs.of(first)
            torch.mul(q, more[0], out=out[1 + r :])
            if second is not None:
                out[1 + r :].addcmul_(second, d)
        return out

    def start_backward(self) -> Sums:
        """Zeros to add gradients of weights and biases to."""
        weights = [torch.zeros_like(w) for w in self.maps.weights]
        return weights, [w.new_zeros(w.shape[0]) for w in self.maps.weights]

    def backward(self, x: Tensor, cotangent: Tensor, kept: list[Kept], sums: Sums) -> Tensor:
        """Add a tile's gradients to the sums; give that by its points."""
        d_weights, d_biases = sums
        g = cotangent
        for level in reversed(range(len(kept))):
            weight, last = self.maps.weights[level + 1], level == len(kept) - 1
            mixed = self._mixed(kept[level])
            rows = mixed[self.start :] if last else mixed
            d_weights[level + 1].addmm_(g.flatten(0, 1).mT, rows.flatten(0, 1))
            if not last or self.start == 0:
                d_biases[level + 1] += g[0].sum(0)
            # What leaves is not needed any more: its cotangent takes its memory.
            if last and self.start:
                mixed[: self.start] = 0.0
            torch.mm(g.flatten(0, 1), weight, out=rows.flatten(0, 1))
            g = self._pulled(kept[level], mixed)
        d_z, d_first = g[0], g[1 : 1 + len(self.first)].sum(1)
        d_weights[0].addmm_(d_z.mT, x)
        d_weights[0].addmm_(d_first.mT, self.directions)
        d_biases[0] += d_z.sum(0)
        return d_z @ self.maps.weights[0]

    def _pulled(self, kept: Kept, g: Tensor) -> Tensor:
        """The cotangents of what enters an activation from those of what leaves it, in place."""
        (_, d, e, *more), first, second = kept
        r = len(first)
        g_first, g_second = g[1 : 1 + r], g[1 + r :]
        bent = (g_first * first).sum(0) if r > 1 else g_first[0] * first[0]
        if self.pairs is not None:
            if second is not None:
                bent += (g_second * second).sum(0) if self.count > 1 else g_second[0] * second[0]
            q = self.pairs.of(first)
            curved = (g_second * q).sum(0) if self.count > 1 else g_second[0] * q[0]
        g[: 1 + r] *= d
        g[0].addcmul_(bent, e)
        if self.pairs is not None:
            g[0].addcmul_(curved, more[0])
            self.pairs.back(g_second * e, first, g_first)
            g_second *= d
        return g
