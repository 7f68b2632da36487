"""Mixing programs: Faa di Bruno and Leibniz as tables of integers for the compiled walk.

An operation writes ``count`` rows at once,

    y[dest + q] = T[own] y_before[dest + q] + sum over terms of c T[row] prod_f X[f + q step_f],

where T's rows 0..K are sigma, sigma', ... at the real lane. As int32 it is (space, dest, count,
own or -1, number of terms, then per term: row, c, number of factors, then per factor: f, step);
space 1 writes into T itself. A program is its operations and last their number.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import product
from math import comb, prod

import numpy as np

from hodsim.derivatives.lanes import Lane, LanePlan
from hodsim.derivatives.partitions import set_partitions

Term = tuple[int, int, tuple[tuple[int, int], ...]]  # row of T, coefficient, (row, step) of factors
Operation = tuple[int, int, int, int, tuple[Term, ...]]


def encode(operations: Sequence[Operation]) -> np.ndarray:
    """The int32 array that the compiled walk reads."""
    words: list[int] = []
    for space, dest, count, own, terms in operations:
        words += (space, dest, count, own, len(terms))
        for row, c, factors in terms:
            words += (row, c, len(factors))
            for factor in factors:
                words += factor
    return np.array([*words, len(operations)], dtype=np.int32)


@dataclass(frozen=True, eq=False)
class LaneProgram:
    """Mixing of a plan's lanes: for each order the program while only orders <= 1 are non-zero
    (at the first activation) and after it."""

    first: tuple[np.ndarray, ...]
    later: tuple[np.ndarray, ...]


@lru_cache(maxsize=64)
def lane_program(plan: LanePlan) -> LaneProgram:
    """The programs of a plan, order by order. Run them from the highest: they work in place."""
    first, later = [encode(_VALUE)], [encode(_VALUE)]
    for k in range(1, plan.order + 1):
        terms = _composed(plan, k)
        early = [tuple(t for t in row if all(f < plan.starts[2] for f in t[2])) for row in terms]
        first.append(encode(_runs(plan.starts[k], early, own=1 if k == 1 else -1)))
        later.append(encode(_runs(plan.starts[k], terms, own=1)))
    return LaneProgram(tuple(first), tuple(later))


_VALUE: tuple[Operation, ...] = ((0, 0, 1, -1, ((0, 1, ()),)),)

Loose = tuple[int, int, tuple[int, ...]]  # a term whose factors are rows, without steps


def _composed(plan: LanePlan, k: int) -> list[tuple[Loose, ...]]:
    """For every lane of order k the terms of its partitions into two blocks and more."""
    if k == 1:
        return [()] * plan.counts[1]
    if k == 2:  # one partition, and lanes by the ten thousand
        pairs = plan.blocks[2]
        rows = [(plan.rows_within(pairs[:, i : i + 1]) + 1).tolist() for i in (0, 1)]
        return [((2, 1, pair),) for pair in zip(*rows, strict=True)]
    return [
        tuple(_partitions(plan, lane, shift=0))
        for lane in plan.lanes[plan.starts[k] : plan.starts[k + 1]]
    ]


def _partitions(plan: LanePlan, lane: Lane, shift: int) -> Iterator[Loose]:
    """Terms ``c sigma^(p + shift) prod x_B``; partitions that coincide are one term.

    With shift 0 the partition into one block is left out: it is the lane itself.
    """
    counted: Counter[tuple[int, ...]] = Counter()
    for partition in set_partitions(len(lane)):
        if len(partition) > 1 or shift:
            counted[tuple(sorted(plan.row([lane[i] for i in block]) for block in partition))] += 1
    for rows, c in sorted(counted.items()):
        yield len(rows) + shift, c, rows


def _runs(start: int, lanes: Sequence[tuple[Loose, ...]], own: int) -> list[Operation]:
    """Operations on consecutive lanes whose factors all stay or all move on by one row."""
    out: list[Operation] = []
    i = 0
    while i < len(lanes):
        head = lanes[i]
        j, steps = i + 1, None
        while j < len(lanes):
            moved = _steps(head, lanes[j], j - i)
            if moved is None or (steps is not None and moved != steps):
                break
            steps = moved
            j += 1
        flat = iter(steps if steps is not None else [0] * sum(len(t[2]) for t in head))
        terms = tuple((row, c, tuple((f, next(flat)) for f in factors)) for row, c, factors in head)
        out.append((0, start + i, j - i, own, terms))
        i = j
    return out


def _steps(a: tuple[Loose, ...], b: tuple[Loose, ...], distance: int) -> list[int] | None:
    """By how many rows, 0 or 1 a lane, each factor moves from a to b; None if otherwise."""
    if len(a) != len(b):
        return None
    steps: list[int] = []
    for (row, c, factors), (row_b, c_b, factors_b) in zip(a, b, strict=True):
        if row != row_b or c != c_b or len(factors) != len(factors_b):
            return None
        for f, g in zip(factors, factors_b, strict=True):
            if g - f not in (0, distance):
                return None
            steps.append((g - f) // distance)
    return steps


@dataclass(frozen=True, eq=False)
class TangentProgram:
    """One more, open, derivative on top of a plan's lanes (k = plan.order).

    T holds sigma, ..., sigma^(k+1), then the lanes of g = sigma'(x) but its real one, which is
    row 1. Both the tangent of a layer and its transpose multiply by g lane by lane (Leibniz):
    ``(g y)_S = sum over T subset of S of g_(S minus T) y_T``.
    """

    n_rows: int
    slopes: np.ndarray
    values: tuple[np.ndarray, ...]
    g_rows: tuple[int, ...]
    all_lanes: np.ndarray
    top_lane: np.ndarray


@lru_cache(maxsize=256)
def tangent_program(plan: LanePlan, rows: int) -> TangentProgram:
    """The program for ``rows`` rows a lane: row ``lane * rows + q``."""
    base = plan.order + 1
    g_rows = tuple(1 if row == 0 else base + row for row in range(plan.n_lanes))
    slopes = [
        (
            1,
            g_rows[plan.row(lane)],
            1,
            -1,
            tuple(
                (p, c, tuple((f, 0) for f in factors))
                for p, c, factors in _partitions(plan, lane, shift=1)
            ),
        )
        for lane in plan.lanes[1:]
    ]
    leibniz = [
        (0, row * rows, rows, 1, tuple(_subsets(plan, lane, g_rows, rows)))
        for row, lane in reversed(list(enumerate(plan.lanes)))
    ]
    return TangentProgram(
        n_rows=base + plan.n_lanes,
        slopes=encode(slopes),
        values=lane_program(plan).later,
        g_rows=g_rows,
        all_lanes=encode(leibniz),
        top_lane=encode(leibniz[:1]),
    )


def _subsets(plan: LanePlan, lane: Lane, g_rows: Sequence[int], rows: int) -> Iterator[Term]:
    """``c g_(S minus T) y_T`` over the proper parts T of a lane S with repeated directions."""
    times = Counter(lane)
    for kept in product(*(range(n + 1) for n in times.values())):
        part = [i for i, n in zip(times, kept, strict=True) for _ in range(n)]
        if len(part) == len(lane):
            continue
        rest = [i for (i, n), m in zip(times.items(), kept, strict=True) for _ in range(n - m)]
        c = prod(comb(n, m) for n, m in zip(times.values(), kept, strict=True))
        yield g_rows[plan.row(rest)], c, ((plan.row(part) * rows, 1),)
