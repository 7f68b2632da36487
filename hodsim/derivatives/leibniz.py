"""Leibniz's rule over all lanes: products of two quantities that both carry lanes.

    (a b)_S = sum over T subset of S of a_T b_(S minus T)

For a network's perturbed weights this is Eq. 7 at any order, W_T in place of b (the paper prints
its first order only). As in Faa di Bruno's mixing, the pattern is the same for every lane of one
order, and subsets that coincide for all of them (a repeated direction) become one with an integer
coefficient.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from itertools import combinations

import torch
from torch import Tensor

from hodsim.derivatives.lanes import LanePlan, Lanes
from hodsim.derivatives.mixing import Rows


@dataclass(frozen=True, slots=True)
class Split:
    """``coefficient * a_T b_(S minus T)`` for all lanes S of one order: which rows T and the rest.

    sizes : |T| and |S minus T|.
    columns : the row within its order's block of T, and of the rest, for every lane.
    """

    coefficient: int
    sizes: tuple[int, int]
    columns: tuple[Tensor, Tensor]
    rows: tuple[Rows, Rows]


@lru_cache(maxsize=256)
def splits(plan: LanePlan, device: torch.device) -> tuple[tuple[Split, ...], ...]:
    """For every order k >= 1 the splits that are proper: neither T nor the rest is empty."""
    with torch.inference_mode(False), torch.no_grad():
        return tuple(_splits(plan, k, device) for k in range(1, plan.order + 1))


def _splits(plan: LanePlan, k: int, device: torch.device) -> tuple[Split, ...]:
    lanes = plan.blocks[k]
    merged: dict[tuple[int, bytes], list[Tensor]] = {}
    count: dict[tuple[int, bytes], int] = {}
    for size in range(1, k):
        for chosen in combinations(range(k), size):
            rest = [i for i in range(k) if i not in chosen]
            columns = [plan.rows_within(lanes[:, list(part)]) for part in (chosen, rest)]
            key = (size, torch.stack(columns).numpy().tobytes())
            merged[key] = columns
            count[key] = count.get(key, 0) + 1
    return tuple(
        Split(
            count[key],
            (key[0], k - key[0]),
            (left, right),
            (Rows.of(left, device), Rows.of(right, device)),
        )
        for key, (left, right) in merged.items()
    )


def product(a: Lanes, b: Lanes) -> Lanes:
    """Lanes of the elementwise product, the shapes of the real lanes broadcast."""
    plan = a.plan
    rank = max(a.values.dim(), b.values.dim())
    whole, other = (_aligned(part, rank) for part in (a, b))
    x, y = whole.split(plan.counts[: a.filled + 1]), other.split(plan.counts[: b.filled + 1])
    filled = min(plan.order, a.filled + b.filled)
    # a_S b_{} for every lane at once; then order by order what else there is.
    values = plan.padded(whole * y[0], filled)
    table = splits(plan, a.values.device) if filled >= 1 else ()
    for k in range(1, filled + 1):
        out = values[plan.starts[k] : plan.starts[k + 1]]
        if k <= b.filled:
            out.addcmul_(y[k], x[0])
        summed = k == plan.order and plan.weights is not None
        mixed: Tensor | None = None
        for split in table[k - 1]:
            p, q = split.sizes
            if p > a.filled or q > b.filled:
                continue
            left, right = (r.take(f[s]) for r, f, s in zip(split.rows, (x, y), (p, q), strict=True))
            if not summed:
                out.addcmul_(left, right, value=split.coefficient)
            elif mixed is None:
                mixed = left * right * split.coefficient
            else:
                mixed.addcmul_(left, right, value=split.coefficient)
        if mixed is not None:
            out += plan.gather(mixed)
    return Lanes(values, plan, filled)


def _aligned(lanes: Lanes, rank: int) -> Tensor:
    """The values with axes of length 1 behind the rows, so that the trailing axes line up."""
    values = lanes.values
    return values.reshape(values.shape[0], *(1,) * (rank - values.dim()), *values.shape[1:])


Bilinear = Callable[[Tensor, Tensor], Tensor]


def bilinear(a: Lanes, b: Lanes, times: Bilinear) -> Lanes:
    """Lanes of ``times(a, b)``, linear in each.

    times : takes a block of rows of a and ONE lane of b, gives as many rows. It is called once for
        every lane that b carries, so b should be the one with few of them (weights perturbed along
        a few directions).
    """
    plan = a.plan
    filled = min(plan.order, a.filled + b.filled)
    total = plan.padded(times(a.values, b.values[0]), filled)
    for row, (rows_a, rows_y, coefficient) in enumerate(_pairings(plan, total.device)):
        if row == 0 or row >= b.values.shape[0]:
            continue
        stored = a.values.shape[0]
        if int(rows_a.max()) >= stored:
            kept = rows_a < stored
            rows_a, rows_y, coefficient = rows_a[kept], rows_y[kept], coefficient[kept]
        part = times(a.values.index_select(0, rows_a), b.values[row])
        scale = coefficient.to(part.dtype).reshape(-1, *(1,) * (part.dim() - 1))
        total = total.index_add(0, rows_y, part * scale)
    return Lanes(total, plan, filled)


@lru_cache(maxsize=256)
def _pairings(plan: LanePlan, device: torch.device) -> tuple[tuple[Tensor, Tensor, Tensor], ...]:
    """For every row of b: the rows of a that it meets, the rows of the product, coefficients."""
    found: list[list[tuple[int, int, float]]] = [[] for _ in range(plan.n_lanes)]
    for row in range(plan.n_lanes):
        found[row].append((0, row, 1.0))
        if row:
            found[0].append((row, row, 1.0))
    for k, of_order in enumerate(splits(plan, torch.device("cpu")), start=1):
        for split in of_order:
            (p, q), (left, right) = split.sizes, split.columns
            for lane, (i, j) in enumerate(zip(left.tolist(), right.tolist(), strict=True)):
                for target, weight in _targets(plan, k, lane):
                    entry = (plan.starts[p] + i, target, split.coefficient * weight)
                    found[plan.starts[q] + j].append(entry)
    with torch.inference_mode(False), torch.no_grad():
        return tuple(
            (
                torch.tensor([e[0] for e in entries], device=device),
                torch.tensor([e[1] for e in entries], device=device),
                torch.tensor([e[2] for e in entries], dtype=torch.float64, device=device),
            )
            for entries in found
        )


def _targets(plan: LanePlan, k: int, lane: int) -> list[tuple[int, float]]:
    """The rows that a lane of order k adds to: its own, or the sums it belongs to."""
    if k < plan.order or plan.weights is None:
        return [(plan.starts[k] + lane, 1.0)]
    column = plan.weights[:, lane].tolist()
    return [(plan.starts[k] + i, w) for i, w in enumerate(column) if w]
