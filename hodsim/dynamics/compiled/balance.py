"""The balance of forces of one step at one q, and its derivatives, as kernel functions.

The equations are those of `hodsim.dynamics.reduced`, only the arrangement differs: value and
tangent rows go through the feature map together, which costs little more than the value alone.
"""

# No `from __future__ import annotations` here: Warp reads a function's annotations as objects.
# mypy: disable-error-code="attr-defined,index"
from dataclasses import dataclass
from functools import cache
from typing import Any

import warp as wp

from hodsim.dynamics.compiled import plan as at
from hodsim.dynamics.compiled.elastic import elastic
from hodsim.dynamics.compiled.maps import feature_map
from hodsim.kernels.block import block


@dataclass(frozen=True)
class Balance:
    """Functions of a plan s and a row of scratch w, which holds q and all that follows from it.

    `evaluate(s, w, c, turned)` makes the forces that balance and J^T of each; `size_of(s, w)` is
    |g|, `scale_of(s, w)` what it is measured by, `rounding(s, w)` the |g| that rounding can make;
    `matrices(s, w, effective, turned)` makes g and the two parts of Newton's matrix. `declare` is
    the law loops' (see `LawLoops`).
    """

    evaluate: Any
    size_of: Any
    scale_of: Any
    rounding: Any
    matrices: Any
    declare: Any


@cache
def balance(form: str, law: str, real: Any, strided: bool) -> Balance:
    """The functions for a form of subspace, a law, a scalar type and a branch of `block`.

    `law` is a material's name, or `elastic.POLYNOMIAL`.
    """
    b = block(real, strided)
    features = feature_map(form, real, strided)
    parts = elastic(law, features.flat, real, strided)
    Plan = at.plan_type(real)
    array = wp.array(dtype=real)
    multiply, gram = b.multiply, b.gram
    thread, threads, sync = b.thread, b.threads, b.sync
    lanes, curvature = features.lanes, features.curvature
    elastic_force, elastic_stiffness = parts.force, parts.stiffness

    @wp.func(inline=False)
    def evaluate(s: wp.ref[Plan], w: array, c: real, turned: bool):
        """Rows of z, and the forces that balance in R: inertia, damping, elasticity, loads; then
        J^T of each."""
        lanes(s, w)
        r = s.rank
        n = s.width
        ld = s.ld_z
        f = s.forces
        for j in range(thread(), n, threads()):
            # Differences first: in float32 most digits of z cancel.
            dz = c * (w[s.Z + j] - w[s.past + j]) - w[s.alpha + j]
            w[s.dz + j] = dz
            w[s.dz + ld + j] = c * (dz - w[s.past + ld + j]) - w[s.beta + j]
            w[f + 3 * ld + j] = w[s.load + j]
        sync()
        multiply(1, n, n, w, s.dz + ld, ld, s.model, s.mass, ld, w, f, ld, False)
        multiply(1, n, n, w, s.dz, ld, s.model, s.damping, ld, w, f + ld, ld, False)
        if turned:
            multiply(1, n, n, w, s.Z, ld, w, s.turn, ld, w, f + 3 * ld, ld, True)
        elastic_force(s, w)
        gram(4, r, n, w, f, ld, w, s.Z + ld, ld, w, s.parts, r, False)

    @wp.func
    def total(s: wp.ref[Plan], w: array, i: int):
        """g_i, of the four parts of the balance."""
        p = s.parts + i
        return w[p] + w[p + s.rank] + w[p + 2 * s.rank] + w[p + 3 * s.rank]

    @wp.func
    def size_of(s: wp.ref[Plan], w: array):
        """|g|."""
        square = real(0.0)
        for i in range(s.rank):
            g = total(s, w, i)
            square += g * g
        return wp.sqrt(square)

    @wp.func
    def scale_of(s: wp.ref[Plan], w: array):
        """What |g| is measured by: the sum of the norms of the parts that balance in it."""
        scale = real(0.0)
        for k in range(4):
            square = real(0.0)
            for i in range(s.rank):
                p = w[s.parts + k * s.rank + i]
                square += p * p
            scale += wp.sqrt(square)
        return scale

    @wp.func
    def stretch(s: wp.ref[Plan], w: array, S: int):
        """sqrt(tr J^T S J) for the matrix S (w, w) at that offset of the model."""
        r = s.rank
        n = s.width
        J = s.Z + s.ld_z
        multiply(r, n, n, w, J, s.ld_z, s.model, S, s.ld_z, w, s.Y, s.ld_z, False)
        gram(r, r, n, w, s.Y, s.ld_z, w, J, s.ld_z, w, s.LU, r, False)
        square = real(0.0)
        for i in range(r):
            square += w[s.LU + i * r + i]
        sync()
        return wp.sqrt(square)

    @wp.func(inline=False)
    def rounding(s: wp.ref[Plan], w: array):
        """|g| that rounding alone can make."""
        z = real(0.0)
        for j in range(s.width):
            z += w[s.Z + j] * w[s.Z + j]
        z = wp.sqrt(z)
        floor = stretch(s, w, s.gram) * s.noise * (s.far + s.swing * z)
        if s.mass_noise > real(0.0):
            floor += stretch(s, w, s.mass_gram) * s.mass_noise * z
        return floor

    @wp.func(inline=False)
    def matrices(s: wp.ref[Plan], w: array, effective: int, turned: bool):
        """A = J^T (c^2 M + c C - G + K) J, H = sum_p R_p D^2 z_p and g at the q last evaluated."""
        r = s.rank
        n = s.width
        ld = s.ld_z
        for j in range(thread(), n, threads()):
            p = s.forces + j
            w[s.R + j] = w[p] + w[p + ld] + w[p + 2 * ld] + w[p + 3 * ld]
        for i in range(thread(), r, threads()):
            w[s.g + i] = total(s, w, i)
        sync()
        J = s.Z + ld
        multiply(r, n, n, w, J, ld, s.model, effective, ld, w, s.Y, ld, False)
        if turned:
            multiply(r, n, n, w, J, ld, w, s.turn, ld, w, s.Y, ld, True)
        gram(r, r, n, w, J, ld, w, s.Y, ld, w, s.A, r, False)
        elastic_stiffness(s, w)
        curvature(s, w)

    return Balance(evaluate, size_of, scale_of, rounding, matrices, parts.declare)
