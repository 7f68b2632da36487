"""Hessians from pairs of tangents: one long product instead of second-order lanes.

    D^2 f_k = sum over activations l and units p of  A^l_kp sigma''(z_lp) J^l_p (x) J^l_p,

J^l the Jacobian of what enters activation l, A^l that of the outputs by what leaves it. All units
of all activations side by side make it one matrix product of their total width. In the
bottleneck basis J^l is taken with respect to what enters the first activation, and L_0 is
multiplied from both sides at the end.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from hodsim.derivatives.lanes import LanePlan
from hodsim.derivatives.schemes.forward import enter, inputs_of
from hodsim.derivatives.schemes.walk import TILE, Block, Walk

ROWS = 384  # of the long product at a time: they have the length of all layers together


def pairs(walk: Walk, x: Tensor, left: Tensor | None, packed: bool, inner: bool) -> Tensor:
    """``D^2 f``, shape (batch, m, n, n), or (batch, n, n) with left; packed (..., n (n+1)/2).

    inner : differentiate with respect to what enters the first activation, then go to x.
    """
    n, size = walk.n, walk.size
    outputs = walk.m if left is None else 1
    basis = walk.widths[0] if inner else n
    total = sum(walk.widths[:-1])
    # Few outputs: rows (i, output) against columns j. Many: rows (i, j) against the outputs.
    many = not inner and outputs > (n + 1) // 2
    shape = (n * (n + 1) // 2, outputs) if many else (n, outputs, n)
    out = torch.empty(len(x), *shape, dtype=x.dtype)
    tile = min(len(x), max(1, TILE // (basis + outputs)))
    slopes = _Slopes(walk, tile, basis, outputs, total)
    seed = walk.identity(basis) if inner else walk.columns()
    heads = walk.rows() if left is None else walk.weighted(left, len(x))
    columns = walk.columns() if inner else None
    square = walk.block(1, basis * outputs, basis) if inner else None
    scratch = walk.block(1, max(outputs, ROWS), total)
    for start in range(0, len(x), tile):
        points = min(tile, len(x) - start)
        here = Block(heads.at + start * heads.step * size, outputs, heads.ld, heads.step)
        slopes.write(x[start : start + points], seed, here)
        for b in range(points):
            J = slopes.J.at + b * slopes.J.step * size
            A = slopes.A.at + b * slopes.A.step * size
            to = out[start + b].data_ptr()
            if many:
                _by_pair(walk, J, A, n, outputs, total, scratch, to)
            elif columns is None or square is None:
                _by_output(walk, J, A, n, outputs, total, scratch, to)
                walk.stream.mirror(outputs, n, to, n, outputs * n)
            else:
                _by_output(walk, J, A, basis, outputs, total, scratch, square.at)
                walk.stream.mirror(outputs, basis, square.at, basis, outputs * basis)
                _outwards(walk, columns, square, basis, outputs, to)
                walk.stream.mirror(outputs, n, to, n, outputs * n)
        walk.run()
    plan = LanePlan.symmetric(n, 2)
    if many:
        full = out if packed else out.index_select(1, _mirrored(plan)).unflatten(1, (n, n))
        full = full.movedim(-1, 1)
    else:
        full = out.transpose(1, 2)
        if packed:
            i, j = plan.blocks[2].unbind(1)
            full = full[:, :, i, j]
    return full if left is None else full[:, 0]


def _mirrored(plan: LanePlan) -> Tensor:
    i = torch.arange(plan.n)
    return plan.rows_within(torch.cartesian_prod(i, i).reshape(-1, 2))


@dataclass
class _Slopes:
    """J and A sigma'' of all activations side by side, for a few points."""

    walk: Walk
    points: int
    basis: int
    outputs: int
    total: int

    def __post_init__(self) -> None:
        walk, points = self.walk, self.points
        width = max(walk.pads[:-1])
        self.J = walk.block(points, self.basis, self.total)
        self.A = walk.block(points, self.outputs, self.total)
        self.value = [walk.block(points, 1, width).at for _ in range(2)]
        self.t = [walk.block(points, 3, pad) for pad in walk.pads[:-1]]
        rows = max(self.basis, self.outputs)
        self.pair = [walk.block(points, rows, width).at for _ in range(2)]

    def write(self, x: Tensor, seed: Block, heads: Block) -> None:
        walk, size, points = self.walk, self.walk.size, len(x)
        starts = [sum(walk.widths[:act]) for act in range(walk.n_act)]
        for act in range(walk.n_act):
            ld, width, t = walk.pads[act], walk.widths[act], self.t[act]
            J = Block(self.J.at + starts[act] * size, self.basis, self.total, self.J.step, False)
            z = Block(self.value[act % 2], 1, ld, ld)
            if act:
                walk.forward(act, value, z, points, real=True)
                walk.forward(act, after, J, points)
            else:
                enter(walk, inputs_of(walk, x, None), None, z, points)
                walk.copy(seed, J, points, width)
            walk.sigma(act, 2, z, t, points)
            if act < walk.n_act - 1:
                value = t.part(0, 1, size)
                after = Block(self.pair[act % 2], self.basis, ld, self.basis * ld)
                _scale(walk, points, width, J, t.part(1, 1, size), after)
        for act in reversed(range(walk.n_act)):
            ld, width, t = walk.pads[act], walk.widths[act], self.t[act]
            A = Block(self.A.at + starts[act] * size, self.outputs, self.total, self.A.step)
            if act < walk.n_act - 1:
                heads = Block(self.pair[0], self.outputs, ld, self.outputs * ld)
                walk.backward(act + 1, before, heads, points)
            _scale(walk, points, width, heads, t.part(2, 1, size), A)
            if act:
                before = Block(self.pair[1], self.outputs, ld, self.outputs * ld)
                _scale(walk, points, width, heads, t.part(1, 1, size), before)


def _scale(walk: Walk, points: int, width: int, a: Block, t: Block, to: Block) -> None:
    walk.stream.scale(
        points, a.rows, width, (a.at, a.step, a.ld), t.place, (to.at, to.step, to.ld)
    )


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
            outputs * n,
            (count, n - i0, total),
            triangle=1,
        ) if outputs == 1 else stream.multiply(
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
            stream.scale(
                1, count, total, row, by, (scratch.at + filled * total * size, 0, total)
            )
            filled += count
            j += count
            if filled == ROWS:
                flush()
                done += filled
                filled = 0
    if filled:
        flush()


def _outwards(
    walk: Walk, columns: Block, square: Block, basis: int, outputs: int, to: int
) -> None:
    """L_0^T H L_0 for every output, upper triangles."""
    n, size, stream = walk.n, walk.size, walk.stream
    half = walk.block(1, basis, n)
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
