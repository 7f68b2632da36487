"""The elastic part of a step's balance: summed over tets, or of St. Venant-Kirchhoff's polynomial.

Each has `force(s, w)`, which writes B^T f_int(B z) into the third row of the forces at the z of the
rows Z, and `stiffness(s, w)`, which adds J^T B^T K B J to A at the z that `force` last saw.
"""

# No `from __future__ import annotations` here: Warp reads a function's annotations as objects.
# mypy: disable-error-code="attr-defined,index"
from dataclasses import dataclass
from functools import cache
from typing import Any, Final

import warp as wp

from hodsim.dynamics.compiled import plan as at
from hodsim.kernels.block import block
from hodsim.kernels.block.laws import law_loops
from hodsim.materials import law_named

PAIRS, LD_P, POLY_K, POLY_C, POLY_Q, PRODUCTS, SLOPES, MATRIX = (
    wp.constant(x)
    for x in (
        *(at.PAIRS, at.LD_P, at.POLY_K, at.POLY_C, at.POLY_Q),
        *(at.PRODUCTS, at.SLOPES, at.MATRIX),
    )
)
# What stands for a law's name where the elasticity is a `hodsim.cubature.Polynomial`.
POLYNOMIAL: Final = "polynomial"


@dataclass(frozen=True)
class Elastic:
    """Functions of a plan s and a row of scratch w; `declare` is the law loops' (`LawLoops`)."""

    force: Any
    stiffness: Any
    declare: Any


@cache
def elastic(law: str, flat: bool, real: Any, strided: bool) -> Elastic:
    """The functions of a law's tets or of `POLYNOMIAL`; `flat` says that z = q."""
    if law == POLYNOMIAL:
        return _polynomial(flat, real, strided)
    return _tets(law, flat, real, strided)


def _tets(law: str, is_flat: bool, real: Any, strided: bool) -> Elastic:
    b = block(real, strided)
    named = law_named(law)
    tets = law_loops(real, strided, named.shared, named.stress, named.tangent)
    Plan = at.plan_type(real)
    array = wp.array(dtype=real)
    multiply, gram = b.multiply, b.gram
    stresses, tangents = tets.stresses, tets.tangents
    flat = wp.constant(is_flat)

    @wp.func(inline=False)
    def force(s: wp.ref[Plan], w: array):
        n = s.width
        ld = s.ld_z
        rows = 1 + s.rank
        if flat:
            rows = 1
        multiply(rows, s.ld_f, n, w, s.Z, ld, s.model, s.G, s.ld_f, w, s.F, s.ld_f, False)
        stresses(s.tets, w, s.F, s.X, s.P, s.model, s.a, s.b, s.w)
        gram(1, n, s.ld_f, w, s.P, s.ld_f, s.model, s.G, s.ld_f, w, s.forces + 2 * ld, ld, False)

    @wp.func(inline=False)
    def stiffness(s: wp.ref[Plan], w: array):
        r = s.rank
        if flat:
            tangents(r, s.tets, w, s.F, s.X, s.dP, s.model, s.G, s.model, s.a, s.b, s.w)
            gram(r, r, s.ld_f, s.model, s.G, s.ld_f, w, s.dP, s.ld_f, w, s.A, r, True)
        else:
            tangents(r, s.tets, w, s.F, s.X, s.dP, w, s.F + s.ld_f, s.model, s.a, s.b, s.w)
            gram(r, r, s.ld_f, w, s.F + s.ld_f, s.ld_f, w, s.dP, s.ld_f, w, s.A, r, True)

    return Elastic(force, stiffness, tets.declare)


def _polynomial(is_flat: bool, real: Any, strided: bool) -> Elastic:
    """Two products with the slopes of K make a = C z and b = Q (z x z), see `Quartic`; the square
    matrices K + a/2 + b/6 and K + a + b/2 follow from them."""
    b = block(real, strided)
    Plan = at.plan_type(real)
    array = wp.array(dtype=real)
    multiply, gram = b.multiply, b.gram
    thread, threads, sync = b.thread, b.threads, b.sync
    flat = wp.constant(is_flat)

    @wp.func
    def square(s: wp.ref[Plan], w: array, cubic: real, quartic: real):
        """K + cubic a + quartic b as rows of the matrix."""
        n = s.width
        K = s.layer[s.layers, POLY_K]
        slopes = s.layer[s.layers, SLOPES]
        ld = s.layer[s.layers, LD_P]
        matrix = s.layer[s.layers, MATRIX]
        for i in range(thread(), n, threads()):
            first = i * n - i * (i - 1) // 2
            for j in range(i, n):
                p = first + j - i
                entry = s.model[K + p] + cubic * w[slopes + p] + quartic * w[slopes + ld + p]
                w[matrix + i * s.ld_z + j] = entry
                w[matrix + j * s.ld_z + i] = entry
        sync()

    @wp.func(inline=False)
    def force(s: wp.ref[Plan], w: array):
        n = s.width
        ld = s.ld_z
        m = s.layer[s.layers, PAIRS]
        p = s.layer[s.layers, LD_P]
        products = s.layer[s.layers, PRODUCTS]
        slopes = s.layer[s.layers, SLOPES]
        for i in range(thread(), n, threads()):
            first = products + i * n - i * (i - 1) // 2
            for j in range(i, n):
                w[first + j - i] = w[s.Z + i] * w[s.Z + j]
        sync()
        C = s.layer[s.layers, POLY_C]
        Q = s.layer[s.layers, POLY_Q]
        multiply(1, m, n, w, s.Z, ld, s.model, C, p, w, slopes, p, False)
        multiply(1, m, m, w, products, p, s.model, Q, p, w, slopes + p, p, False)
        square(s, w, real(0.5), real(1.0) / real(6.0))
        matrix = s.layer[s.layers, MATRIX]
        multiply(1, n, n, w, s.Z, ld, w, matrix, ld, w, s.forces + 2 * ld, ld, False)

    @wp.func(inline=False)
    def stiffness(s: wp.ref[Plan], w: array):
        r = s.rank
        n = s.width
        ld = s.ld_z
        matrix = s.layer[s.layers, MATRIX]
        square(s, w, real(1.0), real(0.5))
        if flat:
            for i in range(thread(), r, threads()):
                for j in range(r):
                    w[s.A + i * r + j] = w[s.A + i * r + j] + w[matrix + i * ld + j]
            sync()
        else:
            J = s.Z + ld
            multiply(r, n, n, w, J, ld, w, matrix, ld, w, s.Y, ld, False)
            gram(r, r, n, w, J, ld, w, s.Y, ld, w, s.A, r, True)

    @wp.func
    def declare(C: array):
        return C[0]

    return Elastic(force, stiffness, declare)
