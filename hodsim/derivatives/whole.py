"""Derivatives with open input indices, of an arbitrary function: forward lanes or adjoint lanes.

Forward, one lane for each entry i <= j <= ... of the symmetric tensor; adjoint, one backward pass
on lanes for each output (one in all where `left` is given), which opens the last index for nothing
(paper, 'Adjoint Perturbation').
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import combinations_with_replacement, islice
from math import comb, prod
from typing import Any, Final

import torch
from torch import Size, Tensor

from hodsim.derivatives.chain import chain_of
from hodsim.derivatives.lanes import LanePlan, Lanes, ascending, mirrored
from hodsim.derivatives.passes import Pass, run_lanes
from hodsim.derivatives.planner import Choice
from hodsim.derivatives.point import Directions, Function, Group, Point, plan_of
from hodsim.errors import InputError

# The most memory that the lanes of one layer may take, unless the caller says how many lanes.
_LAYER_BYTES = 2**28
# In place of weights: f gives one number, whose weight is 1.
ONE: Final = object()


def has_batch(point: Point, out: Tensor) -> bool:
    """Whether f kept the batch of x: its result has x's first axis."""
    x = point.leaves[0]
    return point.names is None and x.dim() > 1 and out.dim() > 0 and out.shape[0] == x.shape[0]


def check_rows(rows: Any) -> None:
    """Refuse a number of lanes to carry at once that is none."""
    if rows is not None and (not isinstance(rows, int) or isinstance(rows, bool) or rows < 1):
        raise InputError(f"rows: expected a whole number of at least 1, got {rows!r}")


def stack(tensors: Sequence[Tensor], like: Tensor) -> Tensor:
    """Directions as one tensor, of which there may be none."""
    return torch.stack(list(tensors)) if tensors else like.new_empty(0, *like.shape)


def weights_of(point: Point, out: Tensor, left: Any) -> Tensor | None:
    """The weights over the outputs in the shape of f's result, checked."""
    if left is None:
        return None
    if left is ONE:
        m = out.numel() // (len(out) if has_batch(point, out) else 1)
        if m != 1:
            raise InputError(f"left: expected weights over f's {m} outputs, got none")
        return torch.ones_like(out)
    if not isinstance(left, Tensor):
        raise InputError(f"left: expected a tensor, got {type(left).__name__}")
    shape = tuple(out.shape)
    allowed = [shape[1:], shape] if has_batch(point, out) else [shape]
    if tuple(left.shape) not in allowed:
        wanted = " or ".join(map(str, allowed))
        raise InputError(
            f"left: expected shape {wanted} (m = {prod(allowed[0])}), got {tuple(left.shape)}"
        )
    point.check_like("left", left)
    return left.expand(shape)


def prefixes(directions: Directions) -> list[tuple[int, ...]]:
    """The lanes of the first 0, 1, ..., k directions."""
    numbers = [n for n in directions.numbers if n is not None]
    return [tuple(sorted(numbers[:k])) for k in range(len(numbers) + 1)]


def _is_chain(f: Function) -> bool:
    return isinstance(f, torch.nn.Module) and chain_of(f) is not None


class _Open:
    """One call with open indices: the problem's sizes, and its two ways of being solved.

    What f gives back is known only once it has been evaluated. With one open index that first pass
    is the adjoint scheme's own; with more it carries one lane among many.
    """

    def __init__(
        self,
        f: Function,
        point: Point,
        directions: Directions,
        left: Any,
        free: int,
        rows: int | None = None,
        *,
        adjoint: bool = True,
    ) -> None:
        self.f, self.point, self.directions, self.free = f, point, directions, free
        self.plan, self.top = plan_of([directions.group], len(directions.seeds))
        pulled = free == 1 and adjoint
        if pulled:
            probe = run_lanes(f, point, self._own(), self.plan, reverse=True)
        else:
            probe = self._probe()
        self.first = probe
        self.out_shape = probe.out.lanes.values.shape[1:]
        self.weights = weights_of(point, probe.out.lanes.values[0], left)
        self.batched = has_batch(point, probe.out.lanes.values[0])
        x = point.leaves[0]
        self.outputs = self.out_shape[1:] if self.batched else self.out_shape
        self.inputs = x.shape[1:] if self.batched else x.shape
        self.n, self.m = Size(self.inputs).numel(), Size(self.outputs).numel()
        if self.batched and (left is None or free > 1) and not _is_chain(f):
            self._refuse_mixing(self._probe() if pulled else probe)
        self.rows = rows or max(16, _LAYER_BYTES // (probe.run.widest * x.element_size()))

    def _probe(self) -> Pass:
        """f along random directions that move only half of the points: each half in turn."""
        point, x = self.point, self.point.leaves[0]
        plan, seeds = LanePlan.closure([()], 0), [t.new_empty(0, *t.shape) for t in point.leaves]
        if point.names is None and x.dim() > 1:
            plan = LanePlan.closure([(0, 1)] if self.free > 1 else [(0,), (1,)], 2)
            draw = torch.Generator("cpu").manual_seed(len(x))
            # Alternating neighbours, then at random: whatever pairs points up meets both halves.
            half = torch.rand(len(x), generator=draw, device="cpu") < 0.5
            half[:2] = torch.tensor([True, False], device="cpu")[: len(x)]
            step = torch.randn(x.shape, generator=draw, dtype=x.dtype, device="cpu").to(x.device)
            halves = torch.stack((half, ~half)).to(x.device)
            seeds = [step * halves.reshape(2, -1, *(1,) * (x.dim() - 1))]
            self._halves = halves
        with torch.no_grad():
            return run_lanes(self.f, point, seeds, plan)

    def _refuse_mixing(self, probe: Pass) -> None:
        def moved(order: int) -> Tensor:
            # nan, which 0 times infinity is, is no sign of mixing.
            lanes = probe.out.lanes.order(order).abs() > 0
            return lanes.reshape(*lanes.shape[:2], self.m).any(-1)

        both = self.free > 1 and bool(moved(2).any())
        if both or bool((moved(1) & ~self._halves).any()):
            raise InputError(
                "f: mixes the points of the batch, whose derivatives were asked for one by one "
                "(batch normalisation in training mode does that); use eval mode, a batch of one, "
                "or directions and weights of the whole batch"
            )

    # ---------------------------------------------------------------- counted cost

    def choice(self, forced: str | None) -> Choice:
        """The scheme with the fewer lanes, each pass backward counted like one forward."""
        own = prod(c + 1 for c in self._multiplicities())
        lanes = [own * comb(self.n + i, i) for i in (self.free, self.free - 1)]
        passes = 1 if self.weights is not None else self.m
        costs = {"adjoint": float(lanes[1] * (1 + passes))}
        if self.point.names is None:
            costs = {"forward": float(lanes[0]), **costs}
        if forced is not None and forced not in costs:
            raise InputError(
                f"scheme: expected one of {', '.join(costs)}, which apply here, got {forced!r}"
            )
        scheme = forced or min(costs, key=lambda name: costs[name])
        told = ", ".join(f"{name} {cost:.4g}" for name, cost in costs.items())
        why = "forced" if forced else "fewest"
        reason = f"{scheme}: {why} of lanes carried through f, forward and back ({told})"
        return Choice(scheme, costs, reason)

    def _multiplicities(self) -> list[int]:
        lane = self.directions.group[0][0]
        return [lane.count(n) for n in sorted(set(lane))]

    # ---------------------------------------------------------------- lanes over the open indices

    def _chunks(self, free: int) -> Iterator[tuple[list[Tensor], LanePlan, list[int]]]:
        """The entries i <= j <= ... of `free` indices in pieces: seeds, plan and rows of each."""
        entries = combinations_with_replacement(range(self.n), free)
        while piece := list(islice(entries, self.rows)):
            # Only the unit directions that this piece needs are made.
            used = sorted({i for entry in piece for i in entry})
            number = {i: k for k, i in enumerate(used)}
            groups = [self._group(tuple(number[i] for i in entry), len(used)) for entry in piece]
            yield self._basis(used), *plan_of(groups, len(used) + len(self.directions.seeds))

    def _group(self, entry: tuple[int, ...], count: int) -> Group:
        """An entry's lanes: unit directions, numbered below `count`, and the call's own."""
        return tuple(
            (entry + tuple(k + count for k in lane), w) for lane, w in self.directions.group
        )

    def _own(self) -> list[Tensor]:
        """The call's directions, for each leaf."""
        return [stack(self.directions.stacked(i), x) for i, x in enumerate(self.point.leaves)]

    def _basis(self, used: Sequence[int]) -> list[Tensor]:
        """Unit directions, and the call's own behind them."""
        x = self.point.leaves[0]
        basis = x.new_zeros(len(used), self.n)
        basis[range(len(used)), list(used)] = 1.0
        basis = basis.reshape(len(used), *self.inputs)
        if self.batched:
            basis = basis.unsqueeze(1).expand(len(used), *x.shape)
        (own,) = self._own()
        return [torch.cat((basis, own)) if len(own) else basis]

    # ---------------------------------------------------------------- the two schemes

    def forward(self) -> Tensor:
        """Lanes for all entries; ([batch,] *outputs, entries)."""
        parts = []
        for seeds, plan, rows in self._chunks(self.free):
            lanes = run_lanes(self.f, self.point, seeds, plan).out.lanes
            parts.append(_rows(lanes, rows))
        entries = torch.cat(parts)
        if self.weights is not None:
            weighted = entries * self.weights
            kept = 2 if self.batched else 1
            entries = weighted.flatten(kept).sum(-1) if weighted.dim() > kept else weighted
        return entries.movedim(0, -1)

    def _cotangents(self) -> Iterator[Tensor]:
        """The weights over the outputs of each backward pass."""
        if self.weights is not None:
            yield self.weights
            return
        x = self.point.leaves[0]
        for number in range(self.m):
            one = x.new_zeros(self.m)
            one[number] = 1.0
            one = one.reshape(self.outputs)
            yield one.expand(self.out_shape)

    def _pulled(self, done: Pass, rows: Sequence[int]) -> list[Tensor]:
        """Rows of the gradient lanes of every leaf: (outputs, rows, *leaf.shape) each."""
        each = [[_rows(lanes, rows) for lanes in done.pull(w)] for w in self._cotangents()]
        return [torch.stack(of_leaf) for of_leaf in zip(*each, strict=True)]

    def adjoint_one(self, lower: bool) -> list[Any]:
        """One open index, by a pass back for each output: the entries, one order after another."""
        rows = [self.plan.row(lane) for lane in prefixes(self.directions)] if lower else self.top
        leaves = self._pulled(self.first, rows)
        outputs = () if self.weights is not None else tuple(self.outputs)
        orders = []
        for k in range(len(rows)):
            shaped = []
            for leaf in leaves:
                entry = leaf[:, k]
                if self.batched:
                    entry = entry.movedim(0, 1)
                    shaped.append(entry.reshape(entry.shape[0], *outputs, *self.inputs))
                else:
                    shaped.append(entry.reshape((*outputs, *entry.shape[1:])))
            orders.append(self.point.pack(shaped))
        return orders

    def adjoint(self) -> Tensor:
        """Lanes for all but the last open index; ([batch,] *outputs, entries, n)."""
        parts = []
        for seeds, plan, rows in self._chunks(self.free - 1):
            done = run_lanes(self.f, self.point, seeds, plan, reverse=True)
            parts += self._pulled(done, rows)
        entries = torch.cat(parts, 1)  # (outputs, entries, [batch,] *inputs)
        outputs = () if self.weights is not None else tuple(self.outputs)
        if self.batched:
            entries = entries.movedim(2, 0)
            lead: tuple[int, ...] = (entries.shape[0],)
        else:
            lead = ()
        count = entries.shape[len(lead) + 1]
        return entries.reshape(*lead, *outputs, count, self.n)

    def tensor(self, scheme: str, packed: bool) -> Tensor:
        """The whole tensor, or its entries i <= j <= ...."""
        n, free = self.n, self.free
        if scheme == "forward":
            entries = self.forward()
            if packed and free > 1:
                return entries
            if free > 1:
                entries = entries.index_select(-1, mirrored(n, free).to(entries.device))
        else:
            entries = self.adjoint()
            if free > 2:
                entries = entries.index_select(-2, mirrored(n, free - 1).to(entries.device))
            entries = entries.flatten(-2)
            if packed and free > 1:
                return entries.index_select(-1, ascending(n, free).to(entries.device))
        return entries.reshape((*entries.shape[:-1], *tuple(self.inputs) * free))


def contract_open(
    f: Function,
    point: Point,
    directions: Directions,
    left: Any,
    free: int,
    scheme: str | None,
    lower: bool,
    packed: bool,
    rows: int | None,
) -> Any:
    """`contract` for ``free >= 1``."""
    problem = _Open(f, point, directions, left, free, rows, adjoint=scheme != "forward")
    chosen = problem.choice("adjoint" if lower and free == 1 else scheme).scheme
    if lower and (free != 1 or scheme == "forward"):
        raise InputError("lower: expected free = 0 or 1 and the adjoint scheme")
    if chosen == "adjoint" and free == 1:
        orders = problem.adjoint_one(lower)
        return tuple(orders) if lower else orders[0]
    return problem.tensor(chosen, packed)


def choice_of(f: Function, point: Point, directions: Directions, left: Any, free: int) -> Choice:
    """What `contract_open` chooses, without doing it."""
    if free == 0:
        lanes = plan_of([directions.group], len(directions.seeds))[0].n_lanes
        return Choice("forward", {"forward": float(lanes)}, f"forward: one pass of {lanes} lanes")
    return _Open(f, point, directions, left, free, adjoint=False).choice(None)


def diagonal(f: Function, point: Point, summed: bool, rows: int | None) -> Tensor:
    """``D^2 f[e_i, e_i]`` for every i along a last axis, or their sum as one lane."""
    if point.names is not None:
        raise InputError("x: expected a tensor, got a mapping")
    check_rows(rows)
    problem = _Open(f, point, Directions.of(point, ()), None, 2, rows)
    parts = []
    for start in range(0, problem.n, problem.rows):
        used = range(start, min(start + problem.rows, problem.n))
        lanes: list[Group] = [(((i, i), 1.0),) for i in range(len(used))]
        groups = [tuple(term for lane in lanes for term in lane)] if summed else lanes
        plan, chosen = plan_of(groups, len(used))
        parts.append(_rows(run_lanes(f, point, problem._basis(used), plan).out.lanes, chosen))
    if summed:
        return torch.cat(parts).sum(0)
    entries = torch.cat(parts).movedim(0, -1)
    return entries.reshape((*entries.shape[:-1], *problem.inputs))


def _rows(lanes: Lanes, rows: Sequence[int]) -> Tensor:
    values = lanes.fill().values
    first = rows[0]
    if list(rows) == list(range(first, first + len(rows))):
        return values[first : first + len(rows)]
    return values[list(rows)]
