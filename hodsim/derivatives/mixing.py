"""Faa di Bruno over all lanes of one order at once.

An elementwise function mixes lanes over the set partitions P of a lane S,

    y_S = sum_P sigma^(|P|)(x) prod_(B in P) x_B,

and the pattern is the same for every lane of one order. So each order has a short table of row
choices, and mixing is a few gathers and multiply-adds on blocks of rows, never a loop over lanes.
Two savings: partitions that coincide for every lane of the order (D^3 f[v, v, e_i]: {v e}{v}
twice) become one with an integer coefficient, and products of first-order lanes are made once,
each from the one an order below.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor

from hodsim.derivatives.lanes import LanePlan, Lanes
from hodsim.derivatives.partitions import set_partitions


@dataclass(frozen=True, slots=True)
class Rows:
    """A choice of rows of a block: a slice where that will do (one row broadcasts) or an index."""

    start: int
    stop: int
    index: Tensor | None

    @staticmethod
    def of(column: Tensor, device: torch.device) -> Rows:
        """The rows that a column of row numbers names."""
        first, count = int(column[0]), len(column)
        if bool((column == first).all()):
            return Rows(first, first + 1, None)
        if torch.equal(column, torch.arange(first, first + count, device="cpu")):
            return Rows(first, first + count, None)
        return Rows(0, 0, column.contiguous().to(device))

    def take(self, block: Tensor) -> Tensor:
        """These rows of a block."""
        if self.index is not None:
            return block.index_select(0, self.index)
        return block[self.start : self.stop]


@dataclass(frozen=True, slots=True)
class Term:
    """``coefficient * prod x_B``: lanes of order >= 2 times a product of first-order lanes."""

    coefficient: int
    factors: tuple[tuple[int, Rows], ...]
    powers: tuple[int, Rows] | None
    reach: int

    def parts(self, x: Sequence[Tensor], powers: Sequence[Tensor]) -> list[Tensor]:
        """The factors, from the lanes by order and the first-order products by order."""
        parts = [rows.take(x[size]) for size, rows in self.factors]
        if self.powers is not None:
            parts.append(self.powers[1].take(powers[self.powers[0]]))
        return parts


@dataclass(frozen=True, slots=True)
class OrderTable:
    """How the lanes of one order k >= 2 are mixed.

    head, tail : the product of a lane's k first-order lanes is ``head`` of the products of order
        k-1 times ``tail`` of the first-order lanes.
    terms : for 1 < p < k the terms of the partitions into p blocks, which sigma^(p) multiplies.
    """

    head: Rows
    tail: Rows
    terms: tuple[tuple[int, tuple[Term, ...]], ...]


def mixing_tables(plan: LanePlan, device: torch.device) -> tuple[OrderTable, ...]:
    """The tables of orders 2..plan.order, their index tensors on ``device``."""
    return _tables(plan.whole or plan, device)  # sums are taken behind them


@lru_cache(maxsize=256)
def _tables(plan: LanePlan, device: torch.device) -> tuple[OrderTable, ...]:
    # Built outside inference mode: autograd must be able to save the index tensors later.
    with torch.inference_mode(False), torch.no_grad():
        return tuple(_table(plan, k, device) for k in range(2, plan.order + 1))


def _table(plan: LanePlan, k: int, device: torch.device) -> OrderTable:
    lanes = plan.blocks[k]
    # Most repeated direction first: (e, v, v) and (v, v, f) then coincide in the same partitions.
    repeats = (lanes[:, :, None] == lanes[:, None, :]).sum(-1)
    lanes = lanes.gather(1, ((k - repeats) * plan.n + lanes).argsort(dim=1))

    merged: dict[tuple[tuple[int, ...], bytes], int] = {}
    columns: dict[tuple[tuple[int, ...], bytes], Tensor] = {}
    for partition in set_partitions(k):
        if not 1 < len(partition) < k:
            continue
        ones = [block[0] for block in partition if len(block) == 1]
        large = sorted((block for block in partition if len(block) > 1), key=len)
        shape = (len(ones), *(len(block) for block in large))
        chosen = [plan.rows_within(lanes[:, list(block)]) for block in large]
        for size in set(shape[1:]):
            # Blocks of equal size commute: put them in a fixed order, lane by lane.
            same = [i for i, block in enumerate(large) if len(block) == size]
            ordered = torch.stack([chosen[i] for i in same]).sort(dim=0).values
            for i, column in zip(same, ordered, strict=True):
                chosen[i] = column
        if ones:
            chosen.append(plan.rows_within(lanes[:, ones]))
        stacked = torch.stack(chosen)
        key = (shape, stacked.numpy().tobytes())
        merged[key] = merged.get(key, 0) + 1
        columns[key] = stacked

    by_blocks: dict[int, list[Term]] = {}
    for key, coefficient in sorted(merged.items(), key=lambda item: item[1]):
        n_ones, *sizes = key[0]
        rows = [Rows.of(column, device) for column in columns[key]]
        powers = (n_ones, rows[-1]) if n_ones else None
        factors = tuple(zip(sizes, rows, strict=False))
        by_blocks.setdefault(n_ones + len(sizes), []).append(
            Term(coefficient, factors, powers, max(sizes))
        )
    return OrderTable(
        head=Rows.of(plan.rows_within(lanes[:, :-1]), device),
        tail=Rows.of(plan.rows_within(lanes[:, -1:]), device),
        terms=tuple((p, tuple(terms)) for p, terms in sorted(by_blocks.items())),
    )


def compose(lanes: Lanes, sigma: Sequence[Tensor]) -> Lanes:
    """Lanes of ``sigma(x)`` from the lanes of x.

    sigma : sigma(x), sigma'(x), ..., sigma^(K)(x) at the real lane, K the plan's order, each of
        its shape.
    """
    plan, filled = lanes.plan, lanes.filled
    if not filled:
        return Lanes(sigma[0].unsqueeze(0), plan, 0)
    # sigma' x_S for every lane at once; then row by row what else there is.
    values = plan.padded(lanes.values * sigma[1])
    values[0] = sigma[0]
    x = lanes.blocks()
    powers = [values[:1], x[1]]  # powers[0] is never read: it keeps the index equal to the order
    for k, table in enumerate(mixing_tables(plan, lanes.values.device), start=2):
        power = table.head.take(powers[k - 1]) * table.tail.take(x[1])
        powers.append(power)
        summed = k == plan.order and plan.weights is not None
        y = values[plan.starts[k] : plan.starts[k + 1]]
        mixed = power * sigma[k] if summed else y.addcmul_(power, sigma[k])
        for p, terms in table.terms:
            total = _total(terms, x, powers, filled)
            if total is not None:
                mixed = mixed.addcmul_(total, sigma[p])
        if summed:
            y += plan.gather(mixed)
    return Lanes(values, plan, plan.order)


def _total(
    terms: Sequence[Term], x: Sequence[Tensor], powers: Sequence[Tensor], filled: int
) -> Tensor | None:
    total: Tensor | None = None
    for term in terms:
        if term.reach > filled:  # a factor of a higher order than any stored lane is zero
            continue
        *rest, last = term.parts(x, powers)
        product = rest[0]
        for factor in rest[1:]:
            product = product * factor
        if total is not None:
            total = torch.addcmul(total, product, last, value=term.coefficient)
        else:
            total = product * last
            if term.coefficient != 1:
                total = total * term.coefficient
    return total
