"""Writing the commands of one walk through a chain; `run` runs them again and again.

Commands are written once for each shape of a problem, with addresses relative to a few slots: the
scratch memory, the inputs, the output, the weights. A run fills in where those are now.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from hodsim.derivatives.chain import Signature
from hodsim.kernels.lanes import Stream, padded

SCRATCH, INPUTS, OUTPUT, LEFT, WEIGHTS = range(5)

# Slots are numbers no address and no size reaches; half a range is room for negative offsets.
_RANGE = 48
_HALF = 1 << (_RANGE - 1)
_SLOTS = 4096


def _slot(number: int) -> int:
    return (number + 1 << _RANGE) + _HALF


@dataclass(slots=True)
class Block:
    """Rows of lanes in memory: ``rows`` a point, ``step`` entries from point to point."""

    at: int
    rows: int
    ld: int
    step: int
    alone: bool = True  # False: what stands between its width and ld belongs to others

    def part(self, first: int, rows: int, size: int) -> Block:
        """Some of the rows of every point."""
        return Block(self.at + first * self.ld * size, rows, self.ld, self.step)

    @property
    def place(self) -> tuple[int, int]:
        """Address and step, as the mixing takes them."""
        return self.at, self.step


@dataclass(slots=True)
class Linear:
    """A weight W (out, in) where torch keeps it: row-major, or transposed (``plain``)."""

    at: int
    ld: int
    plain: bool
    bias: int
    n_in: int
    n_out: int


@dataclass(frozen=True, slots=True)
class Words:
    """Commands, and which of their words are relative to which slot."""

    words: np.ndarray
    where: np.ndarray
    slot: np.ndarray

    @staticmethod
    def of(written: Sequence[int]) -> Words:
        words = np.array([*written, 0], dtype=np.int64)
        slot = (words >> _RANGE) - 1
        where = np.flatnonzero((slot >= 0) & (slot < _SLOTS))
        slot = slot[where]
        words[where] -= (slot + 1 << _RANGE) + _HALF
        return Words(words, where, slot)


@dataclass(frozen=True, slots=True)
class ByTorch:
    """An activation that the compiled walk does not know: (offset, step) of z and of its table."""

    act: int
    order: int
    points: int
    width: int
    z: tuple[int, int]
    t: tuple[int, int]
    ld: int


class Walk:
    """Records commands for one shape of chain, number of points and scalar type."""

    def __init__(self, shape: Signature, n: int, size: int, points: int) -> None:
        self.size = size
        self.points = points
        self.stream = Stream(size)
        self.steps: list[Words | ByTorch] = []
        self.kept: list[object] = []
        self.used = 0
        self.activations = shape.activations
        number = WEIGHTS
        self.maps: list[list[Linear]] = []
        for step in shape.maps:
            linears = []
            for out, into, ld, plain, bias in step:
                at = _slot(number + 1) if bias else 0
                linears.append(Linear(_slot(number), ld, plain, at, into, out))
                number += 2
            self.maps.append(linears)
        if number > _SLOTS:
            raise ValueError(f"chain: expected fewer than {_SLOTS // 2} linear layers")
        self.widths = shape.widths(n)
        self.n, self.m = n, self.widths[-1]
        self.pads = [padded(width, size) for width in self.widths]
        self.width = max(self.pads[:-1], default=0)
        self.n_act = len(self.activations)

    def keep(self, a: np.ndarray) -> int:
        """The address of constants that stay alive with the commands."""
        self.kept.append(a)
        return int(a.ctypes.data)

    def block(self, points: int, rows: int, ld: int) -> Block:
        """Scratch rows for so many points."""
        at = _slot(SCRATCH) + self.used
        self.used += -(-points * rows * ld * self.size // 64) * 64
        return Block(at, rows, ld, rows * ld)

    def inputs(self, rows: int) -> Block:
        """The real lane and the directions of every point, (points, rows, n)."""
        return Block(_slot(INPUTS), rows, self.n, rows * self.n)

    def output(self, rows: int, width: int) -> Block:
        """The result, (points, rows, width)."""
        return Block(_slot(OUTPUT), rows, width, rows * width)

    def forward(self, step: int, a: Block, to: Block, points: int, real: bool = False) -> None:
        """All rows through the linear map before activation ``step``.

        real : row 0 is the real lane, which takes the biases between linear layers (that of the
            last one `sigma` adds).
        """
        linears = self.maps[step]
        for linear in linears[:-1]:
            between = self.block(points, a.rows, padded(linear.n_out, self.size))
            self.product(a, linear, between, points)
            if real and linear.bias:
                self.bias(linear, between, points)
            a = between
        if linears:
            self.product(a, linears[-1], to, points)
        else:  # two activations in a row, or one at an end
            self.copy(a, to, points, self.widths[step])

    def backward(self, step: int, a: Block, to: Block, points: int) -> None:
        """All rows through the transpose of that map."""
        linears = self.maps[step]
        for linear in linears[:0:-1]:
            between = self.block(points, a.rows, padded(linear.n_in, self.size))
            self.product(a, linear, between, points, backwards=True)
            a = between
        if linears:
            self.product(a, linears[0], to, points, backwards=True)
        else:
            self.copy(a, to, points, self.widths[step])

    def product(
        self, a: Block, linear: Linear, to: Block, points: int, backwards: bool = False
    ) -> None:
        """a's rows times W^T, or times W backwards."""
        into, out = linear.n_in, linear.n_out
        if backwards:
            into, out = out, into
        rows, count = a.rows * points, 1
        if points > 1 and not (a.step == a.rows * a.ld and to.step == a.rows * to.ld):
            rows, count = a.rows, points
        self.stream.multiply(
            a.at,
            a.ld,
            linear.at,
            linear.ld,
            to.at,
            to.ld,
            (rows, out, into),
            plain=linear.plain is not backwards,
            count=count,
            step_a=a.step,
            step_c=to.step,
            whole=to.alone and to.ld == padded(out, self.size),
        )

    def bias(self, linear: Linear, z: Block, points: int) -> None:
        """Add a linear layer's bias to row 0."""
        at, width = linear.bias, linear.n_out
        self.stream.sigma(0, (0.0, 0.0), 0, points, width, at, z.at, z.step, 0, 0, 0)

    def copy(self, a: Block, to: Block, points: int, width: int) -> None:
        """Rows as they are."""
        self.stream.scale(
            points, a.rows, width, (a.at, a.step, a.ld), (0, 0), (to.at, to.step, to.ld)
        )

    def scale(self, width: int, a: Block, t: Block, to: Block) -> None:
        """a's rows times the one row of t, at every point."""
        self.stream.scale(
            self.points, a.rows, width, (a.at, a.step, a.ld), t.place, (to.at, to.step, to.ld)
        )

    def columns(self) -> Block:
        """``L_0^T``: the lanes of the unit directions before the first activation, (n, width)."""
        return self._matrix(self.maps[0], self.n, backwards=False)

    def identity(self, width: int) -> Block:
        """The unit matrix of a width."""
        eye = np.eye(width, padded(width, self.size), dtype=f"f{self.size}")
        return Block(self.keep(eye), width, eye.shape[1], 0)

    def heads(self, left: str) -> Block:
        """``L_K``, or ``left L_K``: one row for all points, or ("own") one for each."""
        if not left:
            return self._matrix(self.maps[-1][::-1], self.m, backwards=True)
        count = self.points if left == "own" else 1
        block = Block(_slot(LEFT), 1, self.m, self.m)
        for linear in reversed(self.maps[-1]):
            to = self.block(count, 1, padded(linear.n_in, self.size))
            self.product(block, linear, to, count, backwards=True)
            block = to
        return Block(block.at, 1, block.ld, block.ld if left == "own" else 0)

    def clear(self, a: Block, points: int) -> None:
        """Zero rows (padding too)."""
        zero = self.keep(np.zeros(a.ld, dtype=f"f{self.size}"))
        self.stream.scale(points, a.rows, a.ld, (zero, 0, 0), (0, 0), (a.at, a.step, a.ld))

    def _matrix(self, linears: Sequence[Linear], rows: int, backwards: bool) -> Block:
        if not linears:
            return self.identity(rows)
        start, *rest = linears
        out = start.n_in if backwards else start.n_out
        if start.plain is not backwards:  # in memory as wanted
            block = Block(start.at, rows, start.ld, 0)
        else:
            block = self.block(1, rows, padded(out, self.size))
            self.stream.transpose(out, rows, start.at, start.ld, block.at, block.ld)
        for linear in rest:
            out = linear.n_in if backwards else linear.n_out
            to = self.block(1, rows, padded(out, self.size))
            self.product(block, linear, to, 1, backwards)
            block = to
        return Block(block.at, rows, block.ld, 0)

    def last_bias(self, z: Block, points: int) -> None:
        """Add the bias of the last linear layer to row 0, if the chain ends with one."""
        if self.maps[-1] and self.maps[-1][-1].bias:
            self.bias(self.maps[-1][-1], z, points)

    def sigma(self, act: int, order: int, z: Block, t: Block, points: int) -> None:
        """Bias, then sigma and its derivatives, of row 0 of z: rows 0..order of t."""
        linears = self.maps[act]
        bias = linears[-1].bias if linears else 0
        width = self.widths[act]
        code, p0, p1 = self.activations[act] if order <= 3 else (0, 0.0, 0.0)
        if code or bias:
            self.stream.sigma(
                code, (p0, p1), order, points, width, bias, z.at, z.step, t.at, t.step, t.ld
            )
        if not code:
            self.pause()
            z_at, t_at = ((a.at - _slot(SCRATCH)) // self.size for a in (z, t))
            place = (z_at, z.step), (t_at, t.step)
            self.steps.append(ByTorch(act, order, points, width, *place, t.ld))

    def pause(self) -> None:
        """Close the commands written so far."""
        if self.stream.words:
            self.steps.append(Words.of(self.stream.words))
            self.stream.words = []
