"""One call's walk through a chain: its weights by address, its scratch memory, its commands."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from hodsim.derivatives.chain import Chain
from hodsim.kernels.lanes import Stream, padded

TILE = 1024  # lane rows at a time: they stay in the cache, and memory does not grow with the batch


@dataclass(slots=True)
class Block:
    """Rows of lanes in scratch memory: ``rows`` a point, ``step`` entries from point to point."""

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


class Walk:
    """Commands for one chain and one scalar type; scratch lives as long as the walk does."""

    def __init__(self, chain: Chain, x: Tensor) -> None:
        self.chain = chain
        self.dtype = x.dtype
        self.size = x.element_size()
        self.kept: list[object] = []
        self.stream = Stream(self.size)
        self.maps = [[self._linear(module) for module in step] for step in chain.maps]
        self.widths = chain.widths(x.shape[-1])
        self.n, self.m = x.shape[-1], self.widths[-1]
        self.pads = [padded(width, self.size) for width in self.widths]
        self.n_act = len(chain.activations)

    def _linear(self, module: nn.Linear) -> Linear:
        parameters = module._parameters  # past nn.Module's attribute search, which is not free
        weight, bias = parameters["weight"], parameters["bias"]
        assert weight is not None
        (out, into), (ld, inner) = weight.shape, weight.stride()
        if inner != 1 and ld != 1:
            with torch.no_grad():
                weight = weight.contiguous()
            self.kept.append(weight)
            ld, inner = weight.stride()
        if bias is not None and bias.stride(0) != 1:
            with torch.no_grad():
                bias = bias.contiguous()
            self.kept.append(bias)
        plain = inner != 1
        at = 0 if bias is None else bias.data_ptr()
        return Linear(weight.data_ptr(), inner if plain else ld, plain, at, into, out)

    def keep(self, a: Tensor) -> int:
        """The address of a tensor that stays alive with the walk."""
        self.kept.append(a)
        return a.data_ptr()

    def new(self, *shape: int) -> Tensor:
        """Memory that stays alive with the walk."""
        out = torch.empty(shape, dtype=self.dtype)
        self.kept.append(out)
        return out

    def block(self, points: int, rows: int, ld: int) -> Block:
        """Scratch rows for so many points."""
        return Block(self.new(points, rows, ld).data_ptr(), rows, ld, rows * ld)

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
        first, *rest = self.maps[step] or [None]
        for linear in reversed(rest):
            assert linear is not None
            between = self.block(points, a.rows, padded(linear.n_in, self.size))
            self.product(a, linear, between, points, backwards=True)
            a = between
        if first is None:
            self.copy(a, to, points, self.widths[step])
        else:
            self.product(a, first, to, points, backwards=True)

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

    def columns(self) -> Block:
        """``L_0^T``: the lanes of the unit directions before the first activation, (n, width)."""
        return self._matrix(self.maps[0], self.n, backwards=False)

    def rows(self) -> Block:
        """``L_K``: what the outputs are of the last activation, shape (m, width)."""
        return self._matrix(self.maps[-1][::-1], self.m, backwards=True)

    def identity(self, width: int) -> Block:
        """The unit matrix of a width."""
        eye = torch.zeros(width, padded(width, self.size), dtype=self.dtype)
        eye.diagonal().fill_(1)
        return Block(self.keep(eye), width, eye.shape[1], 0)

    def weighted(self, left: Tensor, points: int) -> Block:
        """``left L_K``: one row a point, or one for all if left is (m,)."""
        own = left.dim() == 2
        row = left.contiguous()
        linears = self.maps[-1]
        count = points if own else 1
        block = Block(self.keep(row), 1, self.m, self.m)
        for linear in reversed(linears):
            to = self.block(count, 1, padded(linear.n_in, self.size))
            self.product(block, linear, to, count, backwards=True)
            block = to
        return Block(block.at, 1, block.ld, block.ld if own else 0)

    def clear(self, a: Block, points: int) -> None:
        """Zero rows (padding too)."""
        zero = self.keep(torch.zeros(a.ld, dtype=self.dtype))
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
        module, sigma, native = self.chain.activations[act]
        width = self.widths[act]
        code, p0, p1 = native(module) if native is not None and order <= 3 else (0, 0.0, 0.0)
        if code or bias:
            self.stream.sigma(
                code, (p0, p1), order, points, width, bias, z.at, z.step, t.at, t.step, t.ld
            )
        if not code:
            # Not known to the compiled walk: torch's functions, on the same memory.
            self.stream.run()
            real = self._view(z, points, 0, width)
            for k, values in enumerate(sigma(module, real, order)):
                self._view(t, points, k, width).copy_(values)

    def _view(self, block: Block, points: int, row: int, width: int) -> Tensor:
        """One row of every point as a tensor (points, width), in memory that this walk made."""
        at = block.at + row * block.ld * self.size
        for owner in self.kept:
            if isinstance(owner, Tensor):
                offset = (at - owner.data_ptr()) // self.size
                if 0 <= offset < owner.numel():
                    return owner.as_strided((points, width), (block.step, 1), offset)
        raise AssertionError("a view of memory that the walk does not own")

    def run(self) -> None:
        """Do what was written."""
        self.stream.run()
