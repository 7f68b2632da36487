"""Lanes through a chain of layers on the CPU: products and mixing as one stream of commands.

Python writes a list of numbers, one compiled function walks it: the only cost per layer left is
the arithmetic. Why not a library's matrix product: the compiler knows the machine's widest vectors
where a library may not (MKL takes AVX2 on AMD), and weights as torch stores them, (out, in), are
packed on the way in, so no copy of them is kept.

Commands act on float32 or float64 memory given by address; rows of lanes are padded to 64 bytes
(`padded`), so that no loop over a row has a remainder.
"""

from __future__ import annotations

import threading
from functools import cache
from pathlib import Path
from struct import pack, unpack
from typing import Any

import numpy as np
import warp as wp

import hodsim.kernels  # noqa: F401  (starts Warp with the project's compiler flags)

MULTIPLY_TRANSPOSED, MULTIPLY, SIGMA, MIX, SCALE, TRANSPOSE, MIRROR = range(1, 8)
ELU, SILU, TANH, SIGMOID, SOFTPLUS = range(1, 6)  # the codes of `Stream.sigma`
EVERY = 2**31 - 1


def padded(width: int, size: int) -> int:
    """The length of a padded row of `width` entries of `size` bytes."""
    per = 64 // size
    return (width + per - 1) // per * per


def _body(real: str, size: int) -> str:
    text = Path(__file__).with_name("lanes.h").read_text(encoding="utf-8")
    return f"#undef REAL\n#undef SIZE\n#define REAL {real}\n#define SIZE {size}\n{text}"


@cache
def _kernel(size: int) -> Any:
    if size == 8:

        @wp.func_native(_body("double", 8))
        def walk_float64(commands: wp.uint64): ...

        @wp.kernel(enable_backward=False, module="unique")
        def lanes_float64(commands: wp.uint64):
            walk_float64(commands)

        return lanes_float64

    @wp.func_native(_body("float", 4))
    def walk_float32(commands: wp.uint64): ...

    @wp.kernel(enable_backward=False, module="unique")
    def lanes_float32(commands: wp.uint64):
        walk_float32(commands)

    return lanes_float32


class _Launches(threading.local):
    """One recorded launch for each scalar type and thread: two threads must not share its slot."""

    def __init__(self) -> None:
        self.of: dict[int, Any] = {}


_launches = _Launches()


def _launch(size: int) -> Any:
    command = _launches.of.get(size)
    if command is None:
        end = np.zeros(1, dtype=np.int64)
        command = wp.launch(
            _kernel(size),
            dim=1,
            inputs=[wp.uint64(end.ctypes.data)],
            device="cpu",
            record_cmd=True,
        )
        _launches.of[size] = command
    return command


def launch(words: np.ndarray, size: int) -> None:
    """Run a stream of commands, int64 and ended by 0, on scalars of ``size`` bytes."""
    command = _launch(size)
    command.set_param_at_index_from_ctype(0, words.__array_interface__["data"][0])
    command.launch()


class Stream:
    """Writes commands, in the order they will run."""

    def __init__(self, size: int) -> None:
        self.size = size
        self.words: list[int] = []
        self.programs: list[np.ndarray] = []  # commands hold their addresses

    def multiply(
        self,
        a: int,
        lda: int,
        w: int,
        ldw: int,
        c: int,
        ldc: int,
        shape: tuple[int, int, int],
        plain: bool = False,
        count: int = 1,
        step_a: int = 0,
        step_c: int = 0,
        whole: bool = False,
        triangle: int = 0,
    ) -> None:
        """``C = A W^T``, or ``A W`` if plain; shape (M, N, K); ``count`` blocks of M rows.

        whole : rows of C are padded, and may be written to their padded end.
        triangle : column n is wanted in the first ``triangle * (n + 1)`` rows alone; 0: everywhere.
        """
        op = MULTIPLY if plain else MULTIPLY_TRANSPOSED
        where = (a, lda, step_a, w, ldw, c, ldc, step_c)
        self.words += (op, 16, count, *shape, *where, whole, triangle)

    def sigma(
        self,
        code: int,
        parameters: tuple[float, float],
        order: int,
        points: int,
        width: int,
        bias: int,
        z: int,
        step_z: int,
        t: int,
        step_t: int,
        ld: int,
    ) -> None:
        """``z += bias``, then rows 0..order (<= 3) of T become sigma^(k)(z); code 0: bias alone."""
        p0, p1 = unpack("2q", pack("2d", *parameters))
        self.words += (
            SIGMA,
            14,
            code,
            p0,
            p1,
            order,
            points,
            width,
            bias,
            z,
            step_z,
            t,
            step_t,
            ld,
        )

    def mix(
        self,
        program: np.ndarray,
        points: int,
        ld: int,
        x: tuple[int, int],
        own: tuple[int, int],
        to: tuple[int, int],
        t: tuple[int, int],
        within: tuple[int, int] = (0, EVERY),
    ) -> None:
        """Run a mixing program (see `hodsim.derivatives.schemes.programs`) at every point.

        x, own, to, t : address and step from point to point of the factors, of the lanes before,
            of the lanes after (own may be to), and of the table of sigma's derivatives.
        within : the destination rows that are wanted.
        """
        self.programs.append(program)
        where = (program.ctypes.data, int(program[-1]), points, ld)
        self.words += (MIX, 16, *where, *x, *own, *to, *t, *within)

    def scale(
        self,
        points: int,
        rows: int,
        width: int,
        w: tuple[int, int, int],
        t: tuple[int, int],
        to: tuple[int, int, int],
    ) -> None:
        """``D[b, q] = T[b] * W[b, q]``; a copy if T's address is 0.

        w, to : address, step from point to point, and from row to row. t : address and step.
        """
        self.words += (SCALE, 13, points, rows, width, *w, *t, *to)

    def transpose(self, rows: int, cols: int, w: int, ldw: int, to: int, ld: int) -> None:
        """``to = W^T``, W of shape (rows, cols)."""
        self.words += (TRANSPOSE, 8, rows, cols, w, ldw, to, ld)

    def mirror(self, count: int, n: int, h: int, step: int, ld: int) -> None:
        """The lower triangles of ``count`` symmetric n x n matrices from their upper ones."""
        self.words += (MIRROR, 7, count, n, h, step, ld)
