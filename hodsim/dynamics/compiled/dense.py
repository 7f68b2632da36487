"""A small dense solve in a kernel: LU with partial pivoting, by one thread."""

# No `from __future__ import annotations` here: Warp reads a function's annotations as objects.
# Warp needs bool(True) for variables that change in a loop.
# ruff: noqa: UP018
# mypy: disable-error-code="attr-defined,index"
from functools import cache
from typing import Any

import warp as wp


@cache
def lu_solve(real: Any) -> Any:
    """`solve(r, w, A, b)` overwrites A (r, r) by its factors and b (r,) by A^-1 b, at those offsets
    of w; False for a zero pivot or a result that is not finite."""
    array = wp.array(dtype=real)

    @wp.func
    def solve(r: int, w: array, A: int, b: int):
        good = bool(True)
        for k in range(r):
            pivot = int(k)
            for i in range(k + 1, r):
                if wp.abs(w[A + i * r + k]) > wp.abs(w[A + pivot * r + k]):
                    pivot = int(i)
            if pivot != k:
                for j in range(r):
                    t = w[A + k * r + j]
                    w[A + k * r + j] = w[A + pivot * r + j]
                    w[A + pivot * r + j] = t
                t = w[b + k]
                w[b + k] = w[b + pivot]
                w[b + pivot] = t
            if w[A + k * r + k] == real(0.0):
                good = bool(False)
            inverse = real(1.0) / w[A + k * r + k]
            for i in range(k + 1, r):
                f = w[A + i * r + k] * inverse
                for j in range(k + 1, r):
                    w[A + i * r + j] = w[A + i * r + j] - f * w[A + k * r + j]
                w[b + i] = w[b + i] - f * w[b + k]
        k = r - 1
        while k >= 0:
            t = w[b + k]
            for j in range(k + 1, r):
                t = t - w[A + k * r + j] * w[b + j]
            w[b + k] = t / w[A + k * r + k]
            if not wp.isfinite(w[b + k]):
                good = bool(False)
            k = k - 1
        return good

    return solve
