"""Lanes: which mixed directional derivatives travel through a network together, and their values.

A lane is a sorted tuple of direction numbers: ``()`` is the value, ``(0,)`` is ``D f[a_0]``,
``(0, 0, 1)`` is ``D^3 f[a_0, a_0, a_1]``. It is the imaginary part of a Cauchy-Riemann layer
(Fig. 2, Eqs. 6-7) with h divided out and ``i_j^2 = 0``; a repeated direction stands for several
imaginary units with the same seed.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache

import torch
from torch import Tensor

from hodsim.errors import InputError

Lane = tuple[int, ...]


@dataclass(frozen=True, eq=False)
class LanePlan:
    """A set of lanes over ``n`` directions, closed under taking parts of a lane.

    Lanes are ordered by order, then lexicographically. Make one with `closure` or `symmetric`,
    which return the same object for the same arguments, so that its tables are built once.

    Attributes
    ----------
    n : number of directions.
    blocks : for each order k the lanes of that order, int64, shape (count, k).
    weights : None, or float64 (sums, count): in place of the lanes of the highest order only these
        weighted sums of them are carried. The highest lanes enter all that follows linearly, so
        that a sum of them travels as one lane (a Laplacian needs one, not n).
    whole : the plan without sums, where there are sums.
    """

    n: int
    blocks: tuple[Tensor, ...]
    weights: Tensor | None = None
    whole: LanePlan | None = None

    def collapsed(self, weights: Tensor) -> LanePlan:
        """The same plan with sums of its highest lanes in their place.

        weights : (sums, count), count the number of lanes of the highest order, in their order.
        """
        count = self.blocks[-1].shape[0]
        if self.order < 1 or weights.dim() != 2 or weights.shape[1] != count:
            raise InputError(
                f"weights: expected shape (sums, {count}) for a plan of order >= 1, "
                f"got {tuple(weights.shape)} at order {self.order}"
            )
        with torch.inference_mode(False):
            sums = weights.detach().to("cpu", torch.float64).clone()
            return LanePlan(self.n, self.blocks, sums, self.whole or self)

    @staticmethod
    def closure(lanes: Iterable[Sequence[int]], n: int) -> LanePlan:
        """The smallest plan that holds these lanes and, with each, every part of it.

        Raises `InputError` for a direction number outside 0..n-1.
        """
        wanted = tuple(sorted({tuple(sorted(int(i) for i in lane)) for lane in lanes}))
        for lane in wanted:
            if lane and (lane[0] < 0 or lane[-1] >= n):
                raise InputError(f"lanes: expected direction numbers 0..{n - 1}, got lane {lane}")
        return _closure(wanted, n)

    @staticmethod
    @lru_cache(maxsize=64)
    def symmetric(n: int, order: int) -> LanePlan:
        """All lanes i <= j <= ... of n directions up to ``order``: the symmetric tensors."""
        if n < 1 or order < 0:
            raise InputError(
                f"symmetric plan: expected n >= 1 and order >= 0, got n={n}, order={order}"
            )
        with torch.inference_mode(False):
            blocks = [torch.zeros(1, 0, dtype=torch.int64, device="cpu")]
            for k in range(1, order + 1):
                numbers = torch.arange(n, device="cpu")
                every = torch.combinations(numbers, k, with_replacement=True)
                blocks.append(every.reshape(-1, k))
            return LanePlan(n, tuple(blocks))

    @property
    def order(self) -> int:
        """The highest order of any lane."""
        return len(self.blocks) - 1

    @cached_property
    def counts(self) -> tuple[int, ...]:
        """How many lanes of each order are carried (of the highest, sums where there are any)."""
        counts = [block.shape[0] for block in self.blocks]
        if self.weights is not None:
            counts[-1] = self.weights.shape[0]
        return tuple(counts)

    @cached_property
    def starts(self) -> tuple[int, ...]:
        """The row at which each order starts, and after the last the number of all lanes."""
        starts = [0]
        for count in self.counts:
            starts.append(starts[-1] + count)
        return tuple(starts)

    @property
    def n_lanes(self) -> int:
        """How many lanes there are, of all orders."""
        return self.starts[-1]

    @cached_property
    def lanes(self) -> tuple[Lane, ...]:
        """Every lane, in the order of the rows; of the highest order none where it is summed."""
        blocks = self.blocks if self.weights is None else self.blocks[:-1]
        return tuple(tuple(lane) for block in blocks for lane in block.tolist())

    def padded(self, values: Tensor, filled: int | None = None) -> Tensor:
        """Rows of lanes with zeros behind them, up to order ``filled`` (default: all)."""
        missing = self.starts[(self.order if filled is None else filled) + 1] - values.shape[0]
        if missing <= 0:
            return values
        return torch.cat((values, values.new_zeros(missing, *values.shape[1:])))

    def gather(self, block: Tensor) -> Tensor:
        """The sums of a block of highest lanes (count, ...) that the plan carries; else itself."""
        if self.weights is None:
            return block
        weights = self.weights.to(block)
        return (weights @ block.flatten(1)).reshape(-1, *block.shape[1:])

    @cached_property
    def _row_of(self) -> dict[Lane, int]:
        return {lane: row for row, lane in enumerate(self.lanes)}

    def row(self, lane: Sequence[int]) -> int:
        """The row of a lane, its directions given in any order.

        Raises `InputError` if the plan lacks it.
        """
        key = tuple(sorted(lane))
        if key not in self._row_of:
            raise InputError(f"lane: expected one of the plan's {self.n_lanes} lanes, got {key}")
        return self._row_of[key]

    def rows_within(self, lanes: Tensor) -> Tensor:
        """Rows of many lanes of one order k, counted from that order's start.

        lanes : int64, shape (count, k), the directions of each in any order.
        """
        k = lanes.shape[1]
        keys, wanted = self._keys(self.blocks[k]), self._keys(lanes.sort(dim=1).values)
        rows = torch.searchsorted(keys, wanted).clamp_(max=len(keys) - 1)
        if not torch.equal(keys[rows], wanted):
            raise KeyError(f"the plan lacks one of these lanes of order {k}")
        return rows

    def _keys(self, lanes: Tensor) -> Tensor:
        if self.n ** lanes.shape[1] >= 2**62:
            raise InputError(f"lanes: {self.n} directions at order {lanes.shape[1]} are too many")
        keys = torch.zeros(lanes.shape[0], dtype=torch.int64, device="cpu")
        for j in range(lanes.shape[1]):
            keys = keys * self.n + lanes[:, j]
        return keys

    @cached_property
    def _first_order(self) -> Tensor | None:
        """Direction numbers of the lanes of order 1; None when they are all, in order."""
        return None if self.blocks[1].shape[0] == self.n else self.blocks[1][:, 0]

    def seeds(self, directions: Tensor) -> Tensor:
        """The directions that some lane uses: rows of ``directions``, shape (n, ...)."""
        chosen = self._first_order
        if chosen is None:
            return directions
        return directions.index_select(0, chosen.to(directions.device))


@lru_cache(maxsize=256)
def _closure(wanted: tuple[Lane, ...], n: int) -> LanePlan:
    order = max((len(lane) for lane in wanted), default=0)
    with torch.inference_mode(False):
        blocks = [torch.zeros(1, 0, dtype=torch.int64, device="cpu")]
        upper: Tensor | None = None
        for k in range(order, 0, -1):
            given = [lane for lane in wanted if len(lane) == k]
            block = torch.tensor(given, dtype=torch.int64, device="cpu").reshape(-1, k)
            if upper is not None:
                parts = [upper[:, [i for i in range(k + 1) if i != drop]] for drop in range(k + 1)]
                block = torch.cat([block, *parts])
            upper = block.unique(dim=0)
            blocks.insert(1, upper)
        return LanePlan(n, tuple(blocks))


@dataclass(frozen=True, slots=True)
class Lanes:
    """The values of a plan's lanes somewhere inside a network.

    Attributes
    ----------
    values : shape (rows, batch, width) or (rows, width), or with any other axes after the first.
        Rows are the plan's lanes of order 0..filled.
    plan : the `LanePlan`.
    filled : lanes of a higher order than this are zero everywhere and not stored. A network's
        input has ``filled = 1`` (an affine function of the directions), and so has all that linear
        layers make of it.
    """

    values: Tensor
    plan: LanePlan
    filled: int

    @property
    def value(self) -> Tensor:
        """The real lane: what the network itself computes, shape (batch, width)."""
        return self.values[0]

    def __getitem__(self, lane: Sequence[int]) -> Tensor:
        """One lane, its directions named in any order, shape (batch, width)."""
        row = self.plan.row(lane)
        return self.values[row] if len(lane) <= self.filled else torch.zeros_like(self.values[0])

    def order(self, k: int) -> Tensor:
        """All lanes of order k, shape (count, batch, width)."""
        plan = self.plan
        if not 0 <= k <= plan.order:
            raise InputError(f"order: expected 0..{plan.order}, the orders of this plan, got {k}")
        if k > self.filled:
            return self.values.new_zeros(plan.counts[k], *self.values.shape[1:])
        return self.values[plan.starts[k] : plan.starts[k + 1]]

    def blocks(self) -> tuple[Tensor, ...]:
        """The stored lanes, one tensor for each order 0..filled."""
        return self.values.split(self.plan.counts[: self.filled + 1])

    def fill(self, filled: int | None = None) -> Lanes:
        """The same lanes with the zeros up to order ``filled`` (default: all) stored."""
        filled = self.plan.order if filled is None else filled
        if filled <= self.filled:
            return self
        return Lanes(self.plan.padded(self.values, filled), self.plan, filled)

    def __add__(self, other: Lanes) -> Lanes:
        """The lanes of a sum, as in a residual network."""
        a, b = _alike((self, other))
        return Lanes(a.values + b.values, a.plan, a.filled)


def _alike(parts: Sequence[Lanes]) -> Sequence[Lanes]:
    if any(part.plan is not parts[0].plan for part in parts):
        raise InputError("lanes: expected parts that share one LanePlan, got different plans")
    filled = max(part.filled for part in parts)
    return [part.fill(filled) for part in parts]


@lru_cache(maxsize=16)
def mirrored(n: int, order: int) -> Tensor:
    """For every entry of a full symmetric tensor the place of i <= j <= ... that holds it."""
    with torch.inference_mode(False):
        axes = torch.meshgrid([torch.arange(n, device="cpu")] * order, indexing="ij")
        plan = LanePlan.symmetric(n, order)
        return plan.rows_within(torch.stack([axis.flatten() for axis in axes], dim=1))


@lru_cache(maxsize=16)
def ascending(n: int, order: int) -> Tensor:
    """The places of the entries i <= j <= ... in a full tensor, flattened."""
    with torch.inference_mode(False):
        lanes = LanePlan.symmetric(n, order).blocks[order]
        return (lanes * n ** torch.arange(order - 1, -1, -1, device="cpu")).sum(1)
