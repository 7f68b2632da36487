"""What a block of threads does together: small products, activations, a barrier (CPU and CUDA).

One source, two branches. Where a block has one CPU thread, products run on whole vectors kept in
registers. On CUDA, and on the CPU wherever a block has several threads, the threads share the
entries of each result; CPU tests run that branch too. Every function but `solve` ends in a barrier.
All take whole arrays with offsets [entries], and expect rows padded to `padded` entries.
"""

# No `from __future__ import annotations` here: Warp reads a kernel's annotations as objects.
# mypy: disable-error-code="empty-body,valid-type"
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import warp as wp

import hodsim.kernels  # noqa: F401  (starts Warp with the project's compiler flags)
from hodsim.kernels.lanes import ELU, SILU, SOFTPLUS, TANH, padded

__all__ = ["ELU", "SILU", "SOFTPLUS", "TANH", "Block", "aligned", "block", "native", "padded"]


@dataclass(frozen=True)
class Block:
    """The functions of one scalar type and branch.

    `multiply(m, n, k, A, at_a, lda, P, at_p, ldp, C, at_c, ldc, add)`: C = A P, or C += A P.
    `gram(m, n, k, A, at_a, lda, B, at_b, ldb, C, at_c, ldc, add)`: C = A B^T, or C += A B^T.
    `activate(code, n, B, at_b, S, at_y, at_h, at_s1, at_s2)`: an activation and two derivatives.
    `scale(rows, n, T, at_t, S, at_s, lds, D, at_d, ldd)`: D = S diag(t).
    `solve(r, S, at_A, at_b)`: b = A^-1 b by LU, by the calling thread alone and with no barrier;
    whether A was regular and b is finite.
    `thread()` and `threads()`: this thread's index in its block, and their number.
    `sync()`: the barrier.
    """

    real: Any
    strided: bool
    multiply: Any
    gram: Any
    activate: Any
    scale: Any
    solve: Any
    thread: Any
    threads: Any
    sync: Any


def native(real: Any, strided: bool, text: str) -> str:
    """The body of a native function: `text` after what all of them start with."""
    size = 8 if real is wp.float64 else 4
    known = {
        "REAL": "double" if size == 8 else "float",
        "SIZE": size,
        "STRIDED": int(strided),
        "ELU": ELU,
        "SILU": SILU,
        "TANH": TANH,
    }
    defined = "".join(f"#undef {k}\n#define {k} {v}\n" for k, v in known.items())
    return f"{defined}{_text('common')}{text}"


def _text(name: str) -> str:
    return Path(__file__).with_name(f"{name}.h").read_text(encoding="utf-8")


@cache
def block(real: Any, strided: bool) -> Block:
    """The functions of wp.float32 or wp.float64 in one branch (on CUDA: always the strided one)."""
    array = wp.array(dtype=real)

    @wp.func_native(native(real, strided, _text("multiply")))
    def multiply(
        m: int,
        n: int,
        k: int,
        A: array,
        at_a: int,
        lda: int,
        P: array,
        at_p: int,
        ldp: int,
        C: array,
        at_c: int,
        ldc: int,
        add: bool,
    ): ...

    @wp.func_native(native(real, strided, _text("gram")))
    def gram(
        m: int,
        n: int,
        k: int,
        A: array,
        at_a: int,
        lda: int,
        B: array,
        at_b: int,
        ldb: int,
        C: array,
        at_c: int,
        ldc: int,
        add: bool,
    ): ...

    @wp.func_native(native(real, strided, _text("activate")))
    def activate(
        code: int,
        n: int,
        B: array,
        at_b: int,
        S: array,
        at_y: int,
        at_h: int,
        at_s1: int,
        at_s2: int,
    ): ...

    @wp.func_native(native(real, strided, _text("scale")))
    def scale(
        rows: int,
        n: int,
        T: array,
        at_t: int,
        S: array,
        at_s: int,
        lds: int,
        D: array,
        at_d: int,
        ldd: int,
    ): ...

    @wp.func_native(native(real, strided, _text("solve")))
    def solve(r: int, S: array, at_A: int, at_b: int) -> bool: ...

    @wp.func_native("return WP_TILE_THREAD_IDX;")
    def thread() -> int: ...

    @wp.func_native("return WP_TILE_BLOCK_DIM;")
    def threads() -> int: ...

    @wp.func_native("WP_TILE_SYNC();")
    def sync(): ...

    return Block(real, strided, multiply, gram, activate, scale, solve, thread, threads, sync)


def aligned(array: np.ndarray) -> np.ndarray:
    """A copy that starts on a cache line: vectors that cross lines cost twice."""
    room = np.empty(array.nbytes + 64, dtype=np.uint8)
    start = -room.ctypes.data % 64
    out = room[start : start + array.nbytes].view(array.dtype).reshape(array.shape)
    out[...] = array
    return out
