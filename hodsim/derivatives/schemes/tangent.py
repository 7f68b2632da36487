"""One open index: tangent rows forward, or adjoint rows backward, with the lanes of a plan.

``D^(k+1) f(x)[a, b, ..., .]``. The lanes of a, b, ... are few and go forward once. What the open
index adds is linear in each of them: at an activation lane S of it becomes
``sum over T subset of S of g_(S minus T) y_T`` with g = sigma'(x), forward (y the tangents, n rows
a lane) and backward (y the adjoints, one row a lane for each output: CSFD-BP) alike.
"""

from __future__ import annotations

import torch
from torch import Tensor

from hodsim.derivatives.lanes import LanePlan
from hodsim.derivatives.schemes.forward import enter, inputs_of
from hodsim.derivatives.schemes.programs import TangentProgram, tangent_program
from hodsim.derivatives.schemes.walk import TILE, Block, Walk


def tangents(walk: Walk, x: Tensor, dense: Tensor | None, plan: LanePlan) -> Tensor:
    """The open index from the inputs forward; shape (batch, n, m).

    dense : first-order lanes of the plan, shape (count, batch, n).
    """
    return _tangents(walk, x, dense, plan, walk.columns(), walk.n)


def bottleneck(walk: Walk, x: Tensor, dense: Tensor | None, plan: LanePlan) -> Tensor:
    """The same with respect to what enters the first activation, then times ``L_0``."""
    width = walk.widths[0]
    inner = _tangents(walk, x, dense, plan, walk.identity(width), width)
    columns = walk.columns()  # (n, width) times (width, m) at every point
    out = torch.empty(len(x), walk.n, walk.m, dtype=x.dtype)
    for b in range(len(x)):
        walk.stream.multiply(
            columns.at,
            columns.ld,
            inner[b].data_ptr(),
            walk.m,
            out[b].data_ptr(),
            walk.m,
            (walk.n, walk.m, width),
            plain=True,
        )
    walk.run()
    return out


def _tangents(
    walk: Walk, x: Tensor, dense: Tensor | None, plan: LanePlan, seed: Block, n: int
) -> Tensor:
    program, lanes, size = tangent_program(plan, n), plan.n_lanes, walk.size
    rows = lanes * (1 + n)
    out = torch.empty(len(x), n, walk.m, dtype=x.dtype)
    tile = min(len(x), max(1, TILE // rows))
    pair = [walk.block(tile, rows, max(walk.pads[:-1])).at for _ in range(2)]
    table = walk.block(tile, program.n_rows, max(walk.pads[:-1])).at
    for start in range(0, len(x), tile):
        part = slice(start, min(start + tile, len(x)))
        points = part.stop - start
        inputs = inputs_of(walk, x[part], None if dense is None else dense[:, part])
        for act in range(walk.n_act):
            ld, last = walk.pads[act], act == walk.n_act - 1
            z = Block(pair[act % 2], rows, ld, rows * ld)
            if act:
                walk.forward(act, before, z, points, real=True)
            else:
                enter(walk, inputs, None, z, points)
            t = Block(table, program.n_rows, ld, program.n_rows * ld)
            values, y = z.part(0, lanes, size), z.part(lanes, lanes * n, size)
            _values(walk, program, plan, act, values, t, points, last)
            if last:
                y = Block(pair[1 - act % 2], n, ld, n * ld)
            if act == 0:
                _seeds(walk, program, seed, act, t, y, points, last)
            elif last:
                _top(walk, program, plan, n, z.part(lanes, lanes * n, size), y, t, points)
            else:
                _all(walk, program, y, t, points)
            before = y if last else z
        to = Block(out[start].data_ptr(), n, walk.m, n * walk.m)
        walk.forward(walk.n_act, before, to, points)
        walk.run()
    return out


def adjoints(
    walk: Walk, x: Tensor, dense: Tensor | None, plan: LanePlan, left: Tensor | None
) -> Tensor:
    """The open index from the outputs backward; shape (batch, m, n), or (batch, 1, n) with left.

    left : weights over the outputs, shape (m,) or (batch, m).
    """
    outputs = walk.m if left is None else 1
    program, lanes = tangent_program(plan, outputs), plan.n_lanes
    rows = lanes * outputs
    out = torch.empty(len(x), outputs, walk.n, dtype=x.dtype)
    tile = min(len(x), max(1, TILE // (rows + lanes)))
    seed = walk.rows() if left is None else walk.weighted(left, len(x))
    width = max(walk.pads[:-1])
    pair = [walk.block(tile, max(rows, lanes), width).at for _ in range(2)]
    tables = [walk.block(tile, program.n_rows, pad) for pad in walk.pads[:-1]]
    for start in range(0, len(x), tile):
        part = slice(start, min(start + tile, len(x)))
        points = part.stop - start
        inputs = inputs_of(walk, x[part], None if dense is None else dense[:, part])
        for act in range(walk.n_act):
            ld = walk.pads[act]
            z = Block(pair[act % 2], lanes, ld, lanes * ld)
            if act:
                walk.forward(act, before, z, points, real=True)
            else:
                enter(walk, inputs, None, z, points)
            last = act == walk.n_act - 1
            _values(walk, program, plan, act, z, tables[act], points, last)
            before = z
        here = Block(seed.at + start * seed.step * walk.size, outputs, seed.ld, seed.step)
        for act in reversed(range(walk.n_act)):
            ld, last = walk.pads[act], act == 0
            y = Block(pair[act % 2], rows, ld, rows * ld)
            if act < walk.n_act - 1:
                walk.backward(act + 1, before, y, points)
            top = Block(pair[1 - act % 2], outputs, ld, outputs * ld)
            if act == walk.n_act - 1:
                y = top if last else y
                _seeds(walk, program, here, act, tables[act], y, points, last)
            elif last:
                _top(walk, program, plan, outputs, y, top, tables[act], points)
                y = top
            else:
                _all(walk, program, y, tables[act], points)
            before = y
        to = Block(out[start].data_ptr(), outputs, walk.n, outputs * walk.n)
        walk.backward(0, before, to, points)
        walk.run()
    return out


def _values(
    walk: Walk,
    program: TangentProgram,
    plan: LanePlan,
    act: int,
    z: Block,
    t: Block,
    points: int,
    last: bool,
) -> None:
    """Tables of the activation at the plan's lanes, and these after it (not after the last)."""
    walk.sigma(act, plan.order + 1, z, t, points)
    if plan.order and not act:
        # Lanes of order >= 2 are zero before the first activation, but its table reads them.
        start = plan.starts[2]
        if plan.n_lanes > start:
            walk.clear(z.part(start, plan.n_lanes - start, walk.size), points)
    if plan.order:
        walk.stream.mix(program.slopes, points, z.ld, z.place, z.place, z.place, t.place)
    if not last:
        for one in reversed(program.values):
            walk.stream.mix(one, points, z.ld, z.place, z.place, z.place, t.place)


def _seeds(
    walk: Walk,
    program: TangentProgram,
    seed: Block,
    act: int,
    t: Block,
    y: Block,
    points: int,
    top: bool,
) -> None:
    """``y_S = g_S * seed``: only the real lane of what enters here is not zero."""
    rows, size, width = seed.rows, walk.size, walk.widths[act]
    for lane, g in enumerate(program.g_rows[-1:] if top else program.g_rows):
        to = y.part(lane * rows, rows, size)
        walk.stream.scale(
            points,
            rows,
            width,
            (seed.at, seed.step, seed.ld),
            t.part(g, 1, size).place,
            (to.at, to.step, to.ld),
        )


def _all(walk: Walk, program: TangentProgram, y: Block, t: Block, points: int) -> None:
    walk.stream.mix(program.all_lanes, points, y.ld, y.place, y.place, y.place, t.place)


def _top(
    walk: Walk,
    program: TangentProgram,
    plan: LanePlan,
    rows: int,
    y: Block,
    to: Block,
    t: Block,
    points: int,
) -> None:
    """The last lane alone, next to each other for the next product."""
    shift = (plan.n_lanes - 1) * rows * y.ld * walk.size
    walk.stream.mix(
        program.top_lane, points, y.ld, y.place, y.place, (to.at - shift, to.step), t.place
    )
