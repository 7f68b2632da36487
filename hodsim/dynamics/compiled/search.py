"""Newton's method in a kernel: `hodsim.dynamics.newton` with the directions of `ReducedSpace`.

All threads of a block take every branch together: what they decide on is read from scratch memory
after a barrier.
"""

# No `from __future__ import annotations` here: Warp reads a function's annotations as objects.
# Warp needs int(0) for variables that change in a loop.
# ruff: noqa: E741, RUF046, UP018
# mypy: disable-error-code="attr-defined,index"
from functools import cache
from typing import Any

import warp as wp

from hodsim.dynamics.compiled import plan as at
from hodsim.dynamics.compiled.balance import balance
from hodsim.kernels.block import block

CONVERGED, MAX_ITERATIONS, LINE_SEARCH, SINGULAR, NOT_FINITE = (
    wp.constant(x)
    for x in (at.CONVERGED, at.MAX_ITERATIONS, at.LINE_SEARCH, at.SINGULAR, at.NOT_FINITE)
)
TRIALS = wp.constant(11)  # Newton's step and its halvings, down to 2^-10
DIRECTIONS = wp.constant(5)  # Newton's, that of J alone, three of Levenberg's


@cache
def newton_method(form: str, law: str, real: Any, strided: bool) -> Any:
    """`newton(s, w, c, effective, turned, residuals, lengths)` for a balance of forces."""
    b = block(real, strided)
    forces = balance(form, law, real, strided)
    Plan = at.plan_type(real)
    array = wp.array(dtype=real)
    solve, thread, threads, sync = b.solve, b.thread, b.threads, b.sync
    evaluate, matrices, rounding = forces.evaluate, forces.matrices, forces.rounding
    size_of, scale_of = forces.size_of, forces.scale_of

    @wp.func
    def ratio(size: real, scale: real):
        out = size
        if scale > real(0.0):
            out = size / scale
        return out

    @wp.func(inline=False)
    def direct(s: wp.ref[Plan], w: array, attempt: int):
        """Direction d of that attempt: of A + H, of A alone, Levenberg's; False if it has none."""
        r = s.rank
        if thread() == 0:
            if attempt < 2:
                for i in range(r * r):
                    w[s.LU + i] = w[s.A + i]
                    if attempt == 0:
                        w[s.LU + i] = w[s.A + i] + w[s.H + i]
                for i in range(r):
                    w[s.d + i] = -w[s.g + i]
            else:
                trace = real(0.0)
                for i in range(r):
                    d = real(0.0)
                    for l in range(r):
                        d += (w[s.A + l * r + i] + w[s.H + l * r + i]) * w[s.g + l]
                    w[s.d + i] = -d
                    for j in range(r):
                        m = real(0.0)
                        for l in range(r):
                            m += (w[s.A + l * r + i] + w[s.H + l * r + i]) * (
                                w[s.A + l * r + j] + w[s.H + l * r + j]
                            )
                        w[s.LU + i * r + j] = m
                    trace += w[s.LU + i * r + i]
                shift = real(1e-4)
                if attempt == 3:
                    shift = real(1e-2)
                if attempt == 4:
                    shift = real(1.0)
                for i in range(r):
                    w[s.LU + i * r + i] = w[s.LU + i * r + i] + shift * trace / real(r)
            w[s.flag] = real(0.0)
            if solve(r, w, s.LU, s.d):
                w[s.flag] = real(1.0)
        sync()
        good = w[s.flag] == real(1.0)
        sync()
        return good

    @wp.func
    def newton(
        s: wp.ref[Plan],
        w: array,
        c: real,
        effective: int,
        turned: bool,
        residuals: array,
        lengths: array,
    ):
        """Solve g(q) = 0 from the guess in q; how it ended and the iterations taken."""
        r = s.rank
        evaluate(s, w, c, turned)
        size = size_of(s, w)
        scale = scale_of(s, w)
        floor = real(0.0)
        steps = int(0)
        status = int(MAX_ITERATIONS)
        if thread() == 0:
            residuals[0] = ratio(size, scale)
        while True:
            if not wp.isfinite(size):
                status = int(NOT_FINITE)
                break
            if size <= s.tolerance * scale:
                status = int(CONVERGED)
                break
            if steps == 0:
                floor = rounding(s, w)
            if size <= floor:
                status = int(CONVERGED)
                break
            if steps == s.max_iterations:
                break
            matrices(s, w, effective, turned)
            for i in range(thread(), r, threads()):
                w[s.x + i] = w[s.q + i]
            taken = real(0.0)
            status = int(SINGULAR)
            attempt = int(0)
            while attempt < DIRECTIONS and taken == real(0.0):
                if direct(s, w, attempt):
                    status = int(LINE_SEARCH)
                    length = real(1.0)
                    trial = int(0)
                    while trial < TRIALS and taken == real(0.0):
                        for i in range(thread(), r, threads()):
                            w[s.q + i] = w[s.x + i] + length * w[s.d + i]
                        sync()
                        evaluate(s, w, c, turned)
                        new = size_of(s, w)
                        scale_new = scale_of(s, w)
                        if new < (real(1.0) - real(1e-4) * length) * size or new <= wp.max(
                            s.tolerance * scale_new, floor
                        ):
                            taken = length
                            size = new
                            scale = scale_new
                        length = length * real(0.5)
                        trial = trial + 1
                attempt = attempt + 1
            if taken == real(0.0):
                if size <= s.stalled * floor:
                    status = int(CONVERGED)
                break
            if thread() == 0:
                lengths[steps] = taken
                residuals[steps + 1] = ratio(size, scale)
            steps = steps + 1
            status = int(MAX_ITERATIONS)
        return status, steps

    return newton
