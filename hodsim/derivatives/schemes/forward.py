"""Forward lanes: all lanes of a plan as rows of one product a layer (Eq. 7)."""

from __future__ import annotations

import torch
from torch import Tensor

from hodsim.derivatives.chain import Chain
from hodsim.derivatives.lanes import LanePlan
from hodsim.derivatives.schemes.programs import lane_program
from hodsim.derivatives.schemes.walk import TILE, Block, Walk


def all_lanes(chain: Chain, x: Tensor, directions: Tensor, plan: LanePlan) -> Tensor:
    """Every lane of a plan at f(x), shape (n_lanes, batch, m); see `push_chain`."""
    seeds = directions
    if seeds.dim() == 2:
        seeds = seeds.unsqueeze(1).expand(-1, *x.shape)
    dense = plan.seeds(seeds) if plan.order else None
    return forward(Walk(chain, x), x, 0, dense, plan, top=False).transpose(0, 1)


def forward(
    walk: Walk, x: Tensor, units: int, dense: Tensor | None, plan: LanePlan, top: bool
) -> Tensor:
    """Lanes of a plan at f(x), shape (batch, rows, m): all, or those of the highest order alone.

    units : so many first directions of the plan are the unit vectors (0 or n, all in use).
    dense : the other first-order lanes, in the plan's order, shape (count, batch, n).
    top : a last linear layer is applied to the lanes of highest order alone.
    """
    k = plan.order
    rows = plan.counts[k] if top else plan.n_lanes
    out = torch.empty(len(x), rows, walk.m, dtype=x.dtype)
    if not walk.n_act:
        return _affine(walk, x, units, dense, plan, out, top)
    split = top and k >= 2 and plan.n_lanes > 3 * TILE // 2
    carried = plan.starts[k] if split else plan.n_lanes
    points = max(1, TILE // carried)
    seed = walk.columns() if units else None
    tile = _Tile(walk, min(points, len(x)), carried)
    for start in range(0, len(x), points):
        part = slice(start, min(start + points, len(x)))
        count = part.stop - start
        inputs = inputs_of(walk, x[part], None if dense is None else dense[:, part])
        to = Block(out[start].data_ptr(), rows, walk.m, rows * walk.m)
        if split:
            _split(walk, inputs, seed, plan, to, count)
        else:
            tile.push(inputs, seed, plan, to, count, top)
        walk.run()
    return out


def inputs_of(walk: Walk, x: Tensor, dense: Tensor | None) -> Block:
    """The real lane and the dense directions as rows, (points, 1 + count, n)."""
    if dense is None or not len(dense):
        rows = x.contiguous().unsqueeze(1)
    else:
        rows = torch.cat((x.unsqueeze(1), dense.transpose(0, 1)), 1)
    return Block(walk.keep(rows), rows.shape[1], walk.n, rows.shape[1] * walk.n)


def enter(walk: Walk, inputs: Block, seed: Block | None, z: Block, points: int) -> None:
    """The lanes of order <= 1 before the first activation into the first rows of z."""
    if seed is None:
        walk.forward(0, inputs, z.part(0, inputs.rows, walk.size), points, real=True)
        return
    size, n = walk.size, walk.n
    walk.forward(0, inputs.part(0, 1, size), z.part(0, 1, size), points, real=True)
    walk.copy(seed, z.part(1, n, size), points, walk.widths[0])
    if inputs.rows > 1:
        rest = inputs.rows - 1
        walk.forward(0, inputs.part(1, rest, size), z.part(1 + n, rest, size), points)


class _Tile:
    """All lanes of a few points at once, mixed in place."""

    def __init__(self, walk: Walk, points: int, rows: int) -> None:
        width = max(walk.pads[:-1])
        self.walk = walk
        self.z = [walk.block(points, rows, width) for _ in range(2)]
        self.t = walk.new(points, 12, width).data_ptr()

    def _block(self, which: int, act: int) -> Block:
        z, ld = self.z[which], self.walk.pads[act]
        return Block(z.at, z.rows, ld, z.rows * ld)

    def push(
        self, inputs: Block, seed: Block | None, plan: LanePlan, out: Block, points: int, top: bool
    ) -> None:
        walk, k, mixing = self.walk, plan.order, lane_program(plan)
        for act in range(walk.n_act):
            ld = walk.pads[act]
            z, t = self._block(act % 2, act), Block(self.t, k + 1, ld, (k + 1) * ld)
            if act:
                walk.forward(act, self._block((act - 1) % 2, act - 1), z, points, real=True)
            else:
                enter(walk, inputs, seed, z, points)
            walk.sigma(act, k, z, t, points)
            programs = mixing.later if act else mixing.first
            last = top and act == walk.n_act - 1
            if last:  # only the lanes of highest order, next to each other
                start, rows = plan.starts[k], plan.counts[k]
                other = self._block((act + 1) % 2, act)
                a = Block(other.at, rows, ld, rows * ld)
                shifted = (a.at - start * ld * walk.size, a.step)
                walk.stream.mix(programs[k], points, ld, z.place, z.place, shifted, t.place)
            else:
                for program in reversed(programs):
                    walk.stream.mix(program, points, ld, z.place, z.place, z.place, t.place)
                a = z
        walk.forward(walk.n_act, a, out, points, real=not top or k == 0)
        if not top or k == 0:
            walk.last_bias(out, points)


def _split(
    walk: Walk, inputs: Block, seed: Block | None, plan: LanePlan, out: Block, points: int
) -> None:
    """Lower orders first, kept before every activation; then the highest, some lanes at a time."""
    k, mixing = plan.order, lane_program(plan)
    base, count = plan.starts[k], plan.counts[k]
    z, t = [], []
    for act in range(walk.n_act):
        ld = walk.pads[act]
        z.append(walk.block(points, base, ld))
        t.append(walk.block(points, k + 1, ld))
        if act:
            walk.forward(act, after, z[act], points, real=True)
        else:
            enter(walk, inputs, seed, z[0], points)
        walk.sigma(act, k, z[act], t[act], points)
        programs = mixing.later if act else mixing.first
        after = walk.block(points, base, ld)
        if act < walk.n_act - 1:
            for program in reversed(programs[:k]):
                walk.stream.mix(
                    program, points, ld, z[act].place, z[act].place, after.place, t[act].place
                )
    tiles = -(-count * points // TILE)
    rows = -(-count // tiles)
    width = max(walk.pads[:-1])
    pair = [walk.block(points, rows, width) for _ in range(2)]
    for lo in range(0, count, rows):
        some = min(rows, count - lo)
        for act in range(walk.n_act):
            ld = walk.pads[act]
            a = Block(pair[act % 2].at, some, ld, some * ld)
            if act:
                walk.forward(act, before, a, points)
            shifted = (a.at - (base + lo) * ld * walk.size, a.step)
            program = (mixing.later if act else mixing.first)[k]
            within = (base + lo, base + lo + some)
            walk.stream.mix(
                program, points, ld, z[act].place, shifted, shifted, t[act].place, within
            )
            before = a
        walk.forward(walk.n_act, before, out.part(lo, some, walk.size), points)


def _affine(
    walk: Walk,
    x: Tensor,
    units: int,
    dense: Tensor | None,
    plan: LanePlan,
    out: Tensor,
    top: bool,
) -> Tensor:
    """A chain without activations: everything from the second order on is zero."""
    seed = walk.columns() if units else None
    filled = plan.starts[min(plan.order, 1) + 1]
    lanes = torch.empty(len(x), filled, walk.m, dtype=x.dtype)
    to = Block(lanes.data_ptr(), filled, walk.m, filled * walk.m)
    enter(walk, inputs_of(walk, x, dense), seed, to, len(x))
    walk.last_bias(to, len(x))
    walk.run()
    if top and plan.order <= 1:
        return out.copy_(lanes[:, plan.starts[plan.order] :])
    out.zero_()
    if not top:
        out[:, :filled] = lanes
    return out
