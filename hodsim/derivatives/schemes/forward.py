"""Forward lanes: all lanes of a plan as rows of one product a layer (Eq. 7)."""

from __future__ import annotations

import torch
from torch import Tensor

from hodsim.derivatives.chain import Chain
from hodsim.derivatives.lanes import LanePlan
from hodsim.derivatives.schemes.programs import lane_program
from hodsim.derivatives.schemes.run import TILE, empty, walk_through
from hodsim.derivatives.schemes.walk import Block, Walk


def all_lanes(chain: Chain, x: Tensor, directions: Tensor, plan: LanePlan) -> Tensor:
    """Every lane of a plan at f(x), shape (n_lanes, batch, m); see `push_chain`."""
    dense = plan.seeds(directions) if plan.order else None
    return forward(chain, inputs_of(x, dense), False, plan, top=False).transpose(0, 1)


def inputs_of(x: Tensor, dense: Tensor | None) -> Tensor:
    """The real lane and the directions as rows, (batch, 1 + count, n).

    dense : shape (count, n) or (count, batch, n).
    """
    x = x.resolve_neg()
    if dense is None or not len(dense):
        return x.contiguous().unsqueeze(1)
    rows = torch.empty(len(x), 1 + len(dense), x.shape[1], dtype=x.dtype)
    rows[:, 0] = x
    rows[:, 1:] = dense.transpose(0, 1) if dense.dim() == 3 else dense
    return rows


def forward(chain: Chain, inputs: Tensor, units: bool, plan: LanePlan, top: bool) -> Tensor:
    """Lanes of a plan at f(x), shape (batch, rows, m): all, or those of the highest order alone.

    inputs : from `inputs_of`: the dense directions in the plan's order.
    units : the first n directions of the plan are the unit vectors, all in use, and not in inputs.
    top : a last linear layer is applied to the lanes of highest order alone.
    """
    k, batch = plan.order, len(inputs)
    m = chain.shape.widths(inputs.shape[2])[-1]
    rows = plan.counts[k] if top else plan.n_lanes
    out = empty(batch, rows, m, dtype=inputs.dtype)
    split = top and k >= 2 and plan.n_lanes > 3 * TILE // 2
    tile = max(1, TILE // (plan.starts[k] if split else plan.n_lanes))
    if not chain.activations:
        if k <= 1 or not top:
            filled = plan.starts[min(k, 1) + 1]
            walk_through(_affine, chain, inputs, out, None, tile, (units, plan, top))
            out[:, filled:] = 0.0
        else:
            out.zero_()
        return out
    write = _split if split else _together
    walk_through(write, chain, inputs, out, None, tile, (units, plan, top))
    return out


def enter(walk: Walk, rows: int, units: bool, z: Block) -> None:
    """The lanes of order <= 1 before the first activation into the first rows of z.

    rows : of the inputs: the real lane and the dense directions.
    """
    inputs, points, size, n = walk.inputs(rows), walk.points, walk.size, walk.n
    if not units:
        walk.forward(0, inputs, z.part(0, rows, size), points, real=True)
        return
    walk.forward(0, inputs.part(0, 1, size), z.part(0, 1, size), points, real=True)
    walk.copy(walk.columns(), z.part(1, n, size), points, walk.widths[0])
    if rows > 1:
        walk.forward(0, inputs.part(1, rows - 1, size), z.part(1 + n, rows - 1, size), points)


def _dense(walk: Walk, units: bool, plan: LanePlan) -> int:
    """Rows of the inputs."""
    if not plan.order:
        return 1
    return 1 + plan.counts[1] - (walk.n if units else 0)


def _together(walk: Walk, units: bool, plan: LanePlan, top: bool) -> None:
    """All lanes of a few points at once, mixed in place."""
    k, mixing, points = plan.order, lane_program(plan), walk.points
    pair = [walk.block(points, plan.n_lanes, walk.width).at for _ in range(2)]
    table = walk.block(points, k + 1, walk.width).at
    before = walk.inputs(_dense(walk, units, plan))
    for act in range(walk.n_act):
        ld = walk.pads[act]
        z = Block(pair[act % 2], plan.n_lanes, ld, plan.n_lanes * ld)
        t = Block(table, k + 1, ld, (k + 1) * ld)
        if act:
            walk.forward(act, before, z, points, real=True)
        else:
            enter(walk, before.rows, units, z)
        walk.sigma(act, k, z, t, points)
        programs = mixing.later if act else mixing.first
        before = z
        if top and act == walk.n_act - 1:  # the highest order alone, its lanes side by side
            start, rows = plan.starts[k], plan.counts[k]
            before = Block(pair[1 - act % 2], rows, ld, rows * ld)
            to = (before.at - start * ld * walk.size, before.step)
            walk.stream.mix(programs[k], points, ld, z.place, z.place, to, t.place)
        else:
            for program in reversed(programs):
                walk.stream.mix(program, points, ld, z.place, z.place, z.place, t.place)
    out = walk.output(before.rows, walk.m)
    real = not top or k == 0
    walk.forward(walk.n_act, before, out, points, real)
    if real:
        walk.last_bias(out, points)


def _split(walk: Walk, units: bool, plan: LanePlan, top: bool) -> None:
    """Lower orders first, kept before every activation; then the highest, some lanes at a time."""
    assert top
    k, mixing, points = plan.order, lane_program(plan), walk.points
    base, count = plan.starts[k], plan.counts[k]
    z, t = [], []
    after = walk.block(points, base, walk.width).at
    before = walk.inputs(_dense(walk, units, plan))
    for act in range(walk.n_act):
        ld = walk.pads[act]
        z.append(walk.block(points, base, ld))
        t.append(walk.block(points, k + 1, ld))
        if act:
            walk.forward(act, before, z[act], points, real=True)
        else:
            enter(walk, before.rows, units, z[0])
        walk.sigma(act, k, z[act], t[act], points)
        if act < walk.n_act - 1:
            before = Block(after, base, ld, base * ld)
            for program in reversed((mixing.later if act else mixing.first)[:k]):
                walk.stream.mix(
                    program, points, ld, z[act].place, z[act].place, before.place, t[act].place
                )
    out = walk.output(count, walk.m)
    rows = -(-count // -(-count * points // TILE))
    pair = [walk.block(points, rows, walk.width).at for _ in range(2)]
    for lo in range(0, count, rows):
        some = min(rows, count - lo)
        for act in range(walk.n_act):
            ld = walk.pads[act]
            a = Block(pair[act % 2], some, ld, some * ld)
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


def _affine(walk: Walk, units: bool, plan: LanePlan, top: bool) -> None:
    """A chain without activations: everything from the second order on is zero."""
    rows = _dense(walk, units, plan)
    if not top or plan.order == 0:
        out = walk.output(plan.n_lanes, walk.m)
        enter(walk, rows, units, out)
        walk.last_bias(out, walk.points)
        return
    out = walk.output(plan.counts[1], walk.m)
    n = walk.n if units else 0
    if units:
        walk.copy(walk.columns(), out.part(0, n, walk.size), walk.points, walk.m)
    if rows > 1:
        inputs = walk.inputs(rows).part(1, rows - 1, walk.size)
        walk.forward(0, inputs, out.part(n, rows - 1, walk.size), walk.points)
