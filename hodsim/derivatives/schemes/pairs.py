"""Hessians from pairs of tangents: one long product instead of second-order lanes.

    D^2 f_k = sum over activations l and units p of  A^l_kp sigma''(z_lp) J^l_p (x) J^l_p,

J^l the Jacobian of what enters activation l, A^l that of the outputs by what leaves it. All units
of all activations side by side make it one matrix product of their total width. In the
bottleneck basis J^l is taken with respect to what enters the first activation, and L_0 is
multiplied from both sides at the end.
"""

from __future__ import annotations

from math import comb

from torch import Tensor

from hodsim.derivatives.chain import Chain
from hodsim.derivatives.lanes import LanePlan, mirrored
from hodsim.derivatives.schemes.forward import enter
from hodsim.derivatives.schemes.run import TILE, empty, walk_through
from hodsim.derivatives.schemes.walk import Block, Walk

ROWS = 384  # of the long product at a time: they have the length of all layers together
LENGTH = 1 << 20  # entries of such rows at a time, over all points of a tile


def pairs(chain: Chain, inputs: Tensor, left: Tensor | None, packed: bool, inner: bool) -> Tensor:
    """``D^2 f``, shape (batch, m, n, n), or (batch, n, n) with left; packed (..., n (n+1)/2).

    inputs : x, shape (batch, 1, n). left : contiguous, shape (m,) or (batch, m).
    inner : differentiate with respect to what enters the first activation, then go to x.
    """
    n = inputs.shape[2]
    widths = chain.shape.widths(n)
    outputs = widths[-1] if left is None else 1
    # Few outputs: rows (i, output) against columns j. Many: rows (i, j) against the outputs.
    many = not inner and outputs > (n + 1) // 2
    shape = (comb(n + 1, 2), outputs) if many else (n, outputs, n)
    out = empty(len(inputs), *shape, dtype=inputs.dtype)
    basis = widths[0] if inner else n
    tile = max(1, min(TILE // (basis + outputs), LENGTH // ((basis + outputs) * sum(widths[:-1]))))
    kind = "" if left is None else "own" if left.dim() == 2 else "shared"
    walk_through(_write, chain, inputs, out, left, tile, (kind, inner, many))
    plan = LanePlan.symmetric(n, 2)
    if many:
        full = out if packed else out.index_select(1, mirrored(n, 2)).unflatten(1, (n, n))
        full = full.movedim(-1, 1)
    else:
        full = out.transpose(1, 2)
        if packed:
            i, j = plan.blocks[2].unbind(1)
            full = full[:, :, i, j]
    return full if left is None else full[:, 0]


def _write(walk: Walk, left: str, inner: bool, many: bool) -> None:
    n, size, points = walk.n, walk.size, walk.points
    outputs = 1 if left else walk.m
    basis, total = walk.widths[0] if inner else n, sum(walk.widths[:-1])
    J, A = walk.block(points, basis, total), walk.block(points, outputs, total)
    seed = walk.identity(basis) if inner else walk.columns()
    _slopes(walk, J, A, seed, walk.heads(left))
    columns = walk.columns()
    square = walk.block(1, basis * outputs, basis if inner else 0)
    half = walk.block(1, basis, n if inner else 0)
    scratch = walk.block(1, max(outputs, ROWS), total)
    out = walk.output(comb(n + 1, 2) if many else n * outputs, outputs if many else n)
    for b in range(points):
        J_b, A_b, to = (block.at + b * block.step * size for block in (J, A, out))
        if many:
            _by_pair(walk, J_b, A_b, n, outputs, total, scratch, to)
            continue
        _by_output(walk, J_b, A_b, basis, outputs, total, scratch, square.at if inner else to)
        if inner:
            walk.stream.mirror(outputs, basis, square.at, basis, outputs * basis)
            _outwards(walk, columns, square, basis, outputs, half, to)
        walk.stream.mirror(outputs, n, to, n, outputs * n)


def _slopes(walk: Walk, J: Block, A: Block, seed: Block, heads: Block) -> None:
    """J and A sigma'' of all activations side by side."""
    size, points, total = walk.size, walk.points, J.ld
    value = [walk.block(points, 1, walk.width).at for _ in range(2)]
    pair = [walk.block(points, max(J.rows, A.rows), walk.width).at for _ in range(2)]
    tables = [walk.block(points, 3, pad) for pad in walk.pads[:-1]]
    starts = [sum(walk.widths[:act]) * size for act in range(walk.n_act)]
    real = after = walk.inputs(1)
    for act in range(walk.n_act):
        ld, width, t = walk.pads[act], walk.widths[act], tables[act]
        part = Block(J.at + starts[act], J.rows, total, J.step, alone=False)
        z = Block(value[act % 2], 1, ld, ld)
        if act:
            walk.forward(act, real, z, points, real=True)
            walk.forward(act, after, part, points)
        else:
            enter(walk, 1, False, z)
            walk.copy(seed, part, points, width)
        walk.sigma(act, 2, z, t, points)
        real = t.part(0, 1, size)
        after = Block(pair[act % 2], J.rows, ld, J.rows * ld)
        if act < walk.n_act - 1:
            walk.scale(width, part, t.part(1, 1, size), after)
    for act in reversed(range(walk.n_act)):
        ld, width, t = walk.pads[act], walk.widths[act], tables[act]
        part = Block(A.at + starts[act], A.rows, total, A.step, alone=False)
        if act < walk.n_act - 1:
            heads = Block(pair[0], A.rows, ld, A.rows * ld)
            walk.backward(act + 1, after, heads, points)
        walk.scale(width, heads, t.part(2, 1, size), part)
        after = Block(pair[1], A.rows, ld, A.rows * ld)
        if act:
            walk.scale(width, heads, t.part(1, 1, size), after)


def _by_output(
    walk: Walk, J: int, A: int, n: int, outputs: int, total: int, scratch: Block, to: int
) -> None:
    """H[i, k, j] for j >= i: rows J_i A_k, as many i at a time as there is scratch."""
    size, stream = walk.size, walk.stream
    block = max(1, scratch.rows // outputs)
    for i0 in range(0, n, block):
        count = min(block, n - i0)
        if outputs == 1:  # rows J_i times the one A
            row = (J + i0 * total * size, 0, total)
            stream.scale(1, count, total, row, (A, 0), (scratch.at, 0, total))
        else:
            for i in range(count):
                row = (A, 0, total)
                by = (J + (i0 + i) * total * size, 0)
                place = (scratch.at + i * outputs * total * size, 0, total)
                stream.scale(1, outputs, total, row, by, place)
        stream.multiply(
            scratch.at,
            total,
            J + i0 * total * size,
            total,
            to + (i0 * outputs * n + i0) * size,
            n,
            (count * outputs, n - i0, total),
            triangle=outputs,
        )


def _by_pair(
    walk: Walk, J: int, A: int, n: int, outputs: int, total: int, scratch: Block, to: int
) -> None:
    """H[(i, j), k] for i <= j in lexicographic order: rows J_i J_j."""
    size, stream = walk.size, walk.stream
    filled = done = 0

    def flush() -> None:
        stream.multiply(
            scratch.at,
            total,
            A,
            total,
            to + done * outputs * size,
            outputs,
            (filled, outputs, total),
        )

    for i in range(n):
        j = i
        while j < n:
            count = min(n - j, ROWS - filled)
            row = (J + j * total * size, 0, total)
            by = (J + i * total * size, 0)
            stream.scale(1, count, total, row, by, (scratch.at + filled * total * size, 0, total))
            filled += count
            j += count
            if filled == ROWS:
                flush()
                done += filled
                filled = 0
    if filled:
        flush()


def _outwards(
    walk: Walk, columns: Block, square: Block, basis: int, outputs: int, half: Block, to: int
) -> None:
    """L_0^T H L_0 for every output, upper triangles."""
    n, size, stream = walk.n, walk.size, walk.stream
    for k in range(outputs):
        stream.multiply(
            square.at + k * basis * size,
            outputs * basis,
            columns.at,
            columns.ld,
            half.at,
            n,
            (basis, n, basis),
        )
        stream.multiply(
            columns.at,
            columns.ld,
            half.at,
            n,
            to + k * n * size,
            outputs * n,
            (n, n, basis),
            plain=True,
            triangle=1,
        )
