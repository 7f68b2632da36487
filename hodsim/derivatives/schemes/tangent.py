"""One open index: tangent rows forward, or adjoint rows backward, with the lanes of a plan.

``D^(k+1) f(x)[a, b, ..., .]``. The lanes of a, b, ... are few and go forward once. What the open
index adds is linear in each of them: at an activation lane S of it becomes
``sum over T subset of S of g_(S minus T) y_T`` with g = sigma'(x), forward (y the tangents, n rows
a lane) and backward (y the adjoints, one row a lane for each output: CSFD-BP) alike.
"""

from __future__ import annotations

from torch import Tensor

from hodsim.derivatives.chain import Chain
from hodsim.derivatives.lanes import LanePlan
from hodsim.derivatives.schemes.forward import enter
from hodsim.derivatives.schemes.programs import TangentProgram, tangent_program
from hodsim.derivatives.schemes.run import TILE, empty, walk_through
from hodsim.derivatives.schemes.walk import Block, Walk


def tangents(chain: Chain, inputs: Tensor, plan: LanePlan, inner: bool = False) -> Tensor:
    """The open index from the inputs forward; shape (batch, n, m).

    inputs : the real lane and the plan's first-order lanes, shape (batch, 1 + count, n).
    inner : differentiate with respect to what enters the first activation, then multiply by L_0.
    """
    n = inputs.shape[2]
    widths = chain.shape.widths(n)
    out = empty(len(inputs), n, widths[-1], dtype=inputs.dtype)
    tile = max(1, TILE // (plan.n_lanes * (1 + (widths[0] if inner else n))))
    walk_through(_forward, chain, inputs, out, None, tile, (plan, inner))
    return out


def adjoints(chain: Chain, inputs: Tensor, plan: LanePlan, left: Tensor | None) -> Tensor:
    """The open index from the outputs backward; shape (batch, m, n), or (batch, 1, n) with left.

    left : weights over the outputs, contiguous, shape (m,) or (batch, m).
    """
    n = inputs.shape[2]
    outputs = chain.shape.widths(n)[-1] if left is None else 1
    out = empty(len(inputs), outputs, n, dtype=inputs.dtype)
    tile = max(1, TILE // (plan.n_lanes * (1 + outputs)))
    kind = "" if left is None else "own" if left.dim() == 2 else "shared"
    walk_through(_backward, chain, inputs, out, left, tile, (plan, kind))
    return out


def _forward(walk: Walk, plan: LanePlan, inner: bool) -> None:
    n = walk.widths[0] if inner else walk.n
    program, lanes, size, points = tangent_program(plan, n), plan.n_lanes, walk.size, walk.points
    rows = lanes * (1 + n)
    pair = [walk.block(points, rows, walk.width).at for _ in range(2)]
    table = walk.block(points, program.n_rows, walk.width).at
    seed = walk.identity(n) if inner else walk.columns()
    before = walk.inputs(1 + (plan.counts[1] if plan.order else 0))
    for act in range(walk.n_act):
        ld, last = walk.pads[act], act == walk.n_act - 1
        z = Block(pair[act % 2], rows, ld, rows * ld)
        t = Block(table, program.n_rows, ld, program.n_rows * ld)
        values, y = z.part(0, lanes, size), z.part(lanes, lanes * n, size)
        if act:
            walk.forward(act, before, z, points, real=True)
        else:
            enter(walk, before.rows, False, values)
        _values(walk, program, plan, act, values, t, last)
        before = z
        if last:
            before = Block(pair[1 - act % 2], n, ld, n * ld)
        if act == 0:
            _seeds(walk, program, seed, act, t, before if last else y, last)
        elif last:
            _top(walk, program, plan, n, y, before, t)
        else:
            _all(walk, program, y, t)
    out = walk.output(walk.n, walk.m)
    if not inner:
        walk.forward(walk.n_act, before, out, points)
        return
    middle = walk.block(points, n, walk.m)
    middle.alone = False
    walk.forward(walk.n_act, before, middle, points)
    columns = walk.columns()  # (n, width) times (width, m) at every point
    for b in range(points):
        a, to = (block.at + b * block.step * size for block in (middle, out))
        shape = (walk.n, walk.m, n)
        walk.stream.multiply(columns.at, columns.ld, a, walk.m, to, walk.m, shape, plain=True)


def _backward(walk: Walk, plan: LanePlan, left: str) -> None:
    outputs = 1 if left else walk.m
    program, lanes, points = tangent_program(plan, outputs), plan.n_lanes, walk.points
    rows = lanes * outputs
    pair = [walk.block(points, max(rows, lanes), walk.width).at for _ in range(2)]
    tables = [walk.block(points, program.n_rows, pad) for pad in walk.pads[:-1]]
    before = walk.inputs(1 + (plan.counts[1] if plan.order else 0))
    for act in range(walk.n_act):
        ld, last = walk.pads[act], act == walk.n_act - 1
        z = Block(pair[act % 2], lanes, ld, lanes * ld)
        if act:
            walk.forward(act, before, z, points, real=True)
        else:
            enter(walk, before.rows, False, z)
        _values(walk, program, plan, act, z, tables[act], last)
        before = z
    seed = walk.heads(left)
    for act in reversed(range(walk.n_act)):
        ld, last = walk.pads[act], act == 0
        y = Block(pair[act % 2], rows, ld, rows * ld)
        top = Block(pair[1 - act % 2], outputs, ld, outputs * ld)
        if act == walk.n_act - 1:
            y = top if last else y
            _seeds(walk, program, seed, act, tables[act], y, last)
        else:
            walk.backward(act + 1, before, y, points)
            if last:
                _top(walk, program, plan, outputs, y, top, tables[act])
                y = top
            else:
                _all(walk, program, y, tables[act])
        before = y
    walk.backward(0, before, walk.output(outputs, walk.n), points)


def _values(
    walk: Walk,
    program: TangentProgram,
    plan: LanePlan,
    act: int,
    z: Block,
    t: Block,
    last: bool,
) -> None:
    """Tables of the activation at the plan's lanes, and these after it (not after the last)."""
    points = walk.points
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
    walk: Walk, program: TangentProgram, seed: Block, act: int, t: Block, y: Block, top: bool
) -> None:
    """``y_S = g_S * seed``: only the real lane of what enters here is not zero."""
    rows, size, width = seed.rows, walk.size, walk.widths[act]
    for lane, g in enumerate(program.g_rows[-1:] if top else program.g_rows):
        to = y.part(lane * rows, rows, size)
        walk.scale(width, seed, t.part(g, 1, size), to)


def _all(walk: Walk, program: TangentProgram, y: Block, t: Block) -> None:
    walk.stream.mix(program.all_lanes, walk.points, y.ld, y.place, y.place, y.place, t.place)


def _top(
    walk: Walk, program: TangentProgram, plan: LanePlan, rows: int, y: Block, to: Block, t: Block
) -> None:
    """The last lane alone, its rows side by side for the next product."""
    shift = (plan.n_lanes - 1) * rows * y.ld * walk.size
    place = (to.at - shift, to.step)
    walk.stream.mix(program.top_lane, walk.points, y.ld, y.place, y.place, place, t.place)
