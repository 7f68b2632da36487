"""The ends of a step as kernel functions: its loads, first guess and past; the state after it."""

# No `from __future__ import annotations` here: Warp reads a function's annotations as objects.
# Warp needs bool(True) for variables that change in a loop.
# ruff: noqa: UP018
# mypy: disable-error-code="attr-defined,index"
from dataclasses import dataclass
from functools import cache
from typing import Any

import warp as wp

from hodsim.dynamics.compiled import plan as at
from hodsim.kernels.block import block

STIFF = wp.constant(at.STIFF)


@dataclass(frozen=True)
class Ends:
    """`loads_of(s, w, amplitudes, scales, push, pull, pulls)`, `begin(s, w, y, started)`,
    `guess(s, w, y, attempt)` and `finish(s, w, y, started)`, y a body's row of state."""

    loads_of: Any
    begin: Any
    guess: Any
    finish: Any


@cache
def ends(real: Any, strided: bool) -> Ends:
    """The functions of a scalar type and a branch of `block`."""
    b = block(real, strided)
    Plan = at.plan_type(real)
    array = wp.array(dtype=real)
    multiply = b.multiply
    thread, threads, sync = b.thread, b.threads, b.sync

    @wp.func(inline=False)
    def loads_of(
        s: wp.ref[Plan],
        w: array,
        amplitudes: array,
        scales: array,
        push: array,
        pull: array,
        pulls: int,
    ):
        """Minus the loads' p and G of this step; whether there is any G."""
        for k in range(thread(), s.amplitudes, threads()):
            w[s.s + k] = -scales[k] * amplitudes[k]
        for k in range(thread(), s.turning, threads()):
            w[s.s + s.amplitudes + k] = -scales[s.turns[k]] * amplitudes[s.turns[k]]
        sync()
        n = s.width
        ld = s.ld_z
        multiply(1, n, s.amplitudes, w, s.s, 1, s.model, s.columns, ld, w, s.load, ld, False)
        turned = pulls == STIFF
        for k in range(s.turning):
            if w[s.s + s.amplitudes + k] != real(0.0):
                turned = bool(True)
        if pulls != 0:
            for j in range(thread(), n, threads()):
                w[s.load + j] = w[s.load + j] - push[j]
        if turned:
            nn = n * ld
            t = s.s + s.amplitudes
            multiply(1, nn, s.turning, w, t, 1, s.model, s.stiff, nn, w, s.turn, nn, False)
            if pulls == STIFF:
                # The kernel's matrices act on rows: the transpose of G.
                for x in range(thread(), n * n, threads()):
                    i = x // n
                    j = x - i * n
                    to = s.turn + i * ld + j
                    w[to] = w[to] - pull[j * n + i]
        sync()
        return turned

    @wp.func(inline=False)
    def begin(s: wp.ref[Plan], w: array, y: array, started: bool):
        """The features' past, z' = c (z - z_n) - alpha and z'' = c (z' - z'_n) - beta, and where q
        will be if its acceleration stays; c."""
        r = s.rank
        lq = s.ld_q
        Z = 4 * lq
        two = s.bdf2 == 1 and started
        c = real(1.0) / s.h
        if two:
            c = real(1.5) / s.h
        for j in range(thread(), s.width, threads()):
            z = y[Z + j]
            dz = y[Z + s.ld_z + j]
            w[s.past + j] = z
            w[s.past + s.ld_z + j] = dz
            w[s.alpha + j] = real(0.0)
            w[s.beta + j] = real(0.0)
            if two:
                w[s.alpha + j] = (z - y[Z + 2 * s.ld_z + j]) / (real(2.0) * s.h)
                w[s.beta + j] = (dz - y[Z + 3 * s.ld_z + j]) / (real(2.0) * s.h)
        reach = real(0.0)
        change = real(0.0)
        for i in range(r):
            reach = wp.max(reach, wp.abs(y[i]))
            change = wp.max(change, wp.abs(s.h * (y[lq + i] - y[3 * lq + i])))
        ahead = started and change > real(16.0) * s.eps * reach
        for i in range(thread(), r, threads()):
            q = y[i] + s.h * y[lq + i]
            if ahead:
                q += s.h * (y[lq + i] - y[3 * lq + i])
            w[s.ahead + i] = q
        sync()
        return c

    @wp.func
    def guess(s: wp.ref[Plan], w: array, y: array, attempt: int):
        """Newton's first guess: ahead, then no motion at all, then between both."""
        for i in range(thread(), s.rank, threads()):
            q = w[s.ahead + i]
            if attempt == 1:
                q = y[i]
            if attempt == 2:
                q = real(0.5) * (q + y[i])
            w[s.q + i] = q
        sync()

    @wp.func(inline=False)
    def finish(s: wp.ref[Plan], w: array, y: array, started: bool):
        """The state one step on: q, q', those before, then z, z' and those before."""
        lq = s.ld_q
        Z = 4 * lq
        ld = s.ld_z
        for i in range(thread(), s.rank, threads()):
            q = y[i]
            q_before = y[2 * lq + i]
            v = (w[s.q + i] - q) / s.h
            if s.bdf2 == 1 and started:
                v = real(1.5) * v - (q - q_before) / (real(2.0) * s.h)
            y[2 * lq + i] = q
            y[3 * lq + i] = y[lq + i]
            y[i] = w[s.q + i]
            y[lq + i] = v
        for j in range(thread(), s.width, threads()):
            y[Z + 2 * ld + j] = y[Z + j]
            y[Z + 3 * ld + j] = y[Z + ld + j]
            y[Z + j] = w[s.Z + j]
            y[Z + ld + j] = w[s.dz + j]
        sync()

    return Ends(loads_of, begin, guess, finish)
