"""Feature maps z(q) in a kernel: rows z, J e_1, ..., J e_r, and the curvature of z under R.

Each form of subspace has `lanes(s, w)`, which turns q into the rows Z, and `curvature(s, w)`, which
writes H = sum_p R_p D^2 z_p (r, r).
"""

# No `from __future__ import annotations` here: Warp reads a function's annotations as objects.
# Warp needs int(0) for variables that change in a loop.
# ruff: noqa: E741, RUF046, UP018
# mypy: disable-error-code="attr-defined,index"
from dataclasses import dataclass
from functools import cache
from typing import Any

import warp as wp

from hodsim.dynamics.compiled import plan as at
from hodsim.kernels.block import block

N, LD, W, BIAS = (wp.constant(x) for x in (at.N, at.LD, at.W, at.BIAS))
ROWS_Y, ROWS_H, S1, S2 = (wp.constant(x) for x in (at.ROWS_Y, at.ROWS_H, at.S1, at.S2))
ADJOINT = wp.constant(at.ADJOINT)


@dataclass(frozen=True)
class FeatureMap:
    """One form of subspace in a kernel; `flat` says that J is constant and z = q."""

    lanes: Any
    curvature: Any
    flat: bool


@cache
def feature_map(form: str, real: Any, strided: bool) -> FeatureMap:
    """The map of "network", "quadratic" or "linear" for that scalar type and branch."""
    make = {"network": _network, "quadratic": _quadratic, "linear": _linear}[form]
    return make(real, strided)


def _network(real: Any, strided: bool) -> FeatureMap:
    """z = W [h(q) - h(0), q]: value and tangent rows go through the layers side by side.

    With y_l = W_l h_(l-1) + b_l, h_l = sigma(y_l) and a_l the adjoint of R at h_l,
    sum_p R_p D^2 z_p = sum_l (D y_l)^T diag(a_l sigma''(y_l)) D y_l.
    """
    k = block(real, strided)
    Plan = at.plan_type(real)
    array = wp.array(dtype=real)
    multiply, gram, activate, scale = k.multiply, k.gram, k.activate, k.scale
    thread, threads, sync = k.thread, k.threads, k.sync

    @wp.func(inline=False)
    def lanes(s: wp.ref[Plan], w: array):
        r = s.rank
        moved = int(0)
        for i in range(r):
            if w[s.q + i] != real(0.0):
                moved = int(1)
        last = s.layers - 1
        for l in range(s.layers):
            n = s.layer[l, N]
            ld = s.layer[l, LD]
            Y = s.layer[l, ROWS_Y]
            if l == 0:
                # D y_1 is W_1 itself: those rows never change.
                multiply(1, n, r, w, s.q, s.ld_q, s.model, s.layer[l, W], ld, w, Y, ld, False)
            else:
                before = s.layer[l - 1, ROWS_H]
                m = s.layer[l - 1, N]
                ldb = s.layer[l - 1, LD]
                multiply(1 + r, n, m, w, before, ldb, s.model, s.layer[l, W], ld, w, Y, ld, False)
            H = s.layer[l, ROWS_H]
            ldh = ld
            if l == last:
                ldh = s.ld_top
            activate(s.code, n, s.model, s.layer[l, BIAS], w, Y, H, s.layer[l, S1], s.layer[l, S2])
            scale(r, n, w, s.layer[l, S1], w, Y + ld, ld, w, H + ldh, ldh)
        # [q, h(q) - h(0)], and exactly 0 where q is.
        H = s.layer[last, ROWS_H]
        for i in range(thread(), r, threads()):
            w[s.top + i] = w[s.q + i]
        for j in range(thread(), s.layer[last, N], threads()):
            if moved == 1:
                w[H + j] = w[H + j] - s.model[s.rest + j]
            else:
                w[H + j] = real(0.0)
        sync()
        multiply(
            1 + r,
            s.width,
            s.ld_q + s.layer[last, N],
            w,
            s.top,
            s.ld_top,
            s.model,
            s.mix,
            s.ld_z,
            w,
            s.Z,
            s.ld_z,
            False,
        )

    @wp.func(inline=False)
    def curvature(s: wp.ref[Plan], w: array):
        r = s.rank
        l = s.layers - 1
        # The rows of `mix` for q come first, and have no curvature.
        B = s.mix + s.ld_q * s.ld_z
        a = s.layer[l, ADJOINT]
        gram(
            1,
            s.layer[l, N],
            s.width,
            w,
            s.R,
            s.ld_z,
            s.model,
            B,
            s.ld_z,
            w,
            a,
            s.layer[l, LD],
            False,
        )
        while l >= 0:
            n = s.layer[l, N]
            ld = s.layer[l, LD]
            a = s.layer[l, ADJOINT]
            Y = s.layer[l, ROWS_Y] + ld
            S2l = s.layer[l, S2]
            scale(1, n, w, a, w, S2l, ld, w, S2l, ld)
            scale(r, n, w, S2l, w, Y, ld, w, s.T, ld)
            gram(r, r, n, w, s.T, ld, w, Y, ld, w, s.H, r, l < s.layers - 1)
            if l > 0:
                scale(1, n, w, s.layer[l, S1], w, a, ld, w, a, ld)
                gram(
                    1,
                    s.layer[l - 1, N],
                    n,
                    w,
                    a,
                    ld,
                    s.model,
                    s.layer[l, W],
                    ld,
                    w,
                    s.layer[l - 1, ADJOINT],
                    s.layer[l - 1, LD],
                    False,
                )
            l = l - 1

    return FeatureMap(lanes, curvature, False)


def _quadratic(real: Any, strided: bool) -> FeatureMap:
    """z = [q, q_i q_j for i <= j]."""
    k = block(real, strided)
    Plan = at.plan_type(real)
    array = wp.array(dtype=real)
    thread, threads, sync = k.thread, k.threads, k.sync

    @wp.func(inline=False)
    def lanes(s: wp.ref[Plan], w: array):
        # The rows of J: 1 where z_i = q_i from the start; thread i writes column i of all products.
        r = s.rank
        for i in range(thread(), r, threads()):
            w[s.Z + i] = w[s.q + i]
            at_i = r + i * r - i * (i - 1) // 2
            for j in range(i, r):
                p = s.Z + at_i + j - i
                w[p] = w[s.q + i] * w[s.q + j]
                w[p + (1 + i) * s.ld_z] = w[s.q + j]
                w[p + (1 + j) * s.ld_z] = w[s.q + i]
                if i == j:
                    w[p + (1 + i) * s.ld_z] = w[s.q + i] + w[s.q + i]
        sync()

    @wp.func(inline=False)
    def curvature(s: wp.ref[Plan], w: array):
        r = s.rank
        for i in range(thread(), r, threads()):
            at_i = r + i * r - i * (i - 1) // 2
            for j in range(i, r):
                R = w[s.R + at_i + j - i]
                w[s.H + i * r + j] = R
                w[s.H + j * r + i] = R
                if i == j:
                    w[s.H + i * r + j] = R + R
        sync()

    return FeatureMap(lanes, curvature, False)


def _linear(real: Any, strided: bool) -> FeatureMap:
    """z = q; the rows of J are those of the identity from the start."""
    k = block(real, strided)
    Plan = at.plan_type(real)
    array = wp.array(dtype=real)
    thread, threads, sync = k.thread, k.threads, k.sync

    @wp.func(inline=False)
    def lanes(s: wp.ref[Plan], w: array):
        for i in range(thread(), s.rank, threads()):
            w[s.Z + i] = w[s.q + i]
        sync()

    @wp.func(inline=False)
    def curvature(s: wp.ref[Plan], w: array):
        for i in range(thread(), s.rank * s.rank, threads()):
            w[s.H + i] = real(0.0)
        sync()

    return FeatureMap(lanes, curvature, True)
