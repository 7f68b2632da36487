"""Warp kernels over all linear tets at once: element energy, force and stiffness, and their sums.

Two passes, no atomics, so that the result is the same bit for bit in every run: each tet writes its
own 12 forces and 12 x 12 stiffness, then each vertex (or vertex pair) gathers what concerns it.
"""

# No `from __future__ import annotations` here: Warp reads a kernel's annotations as objects.
from dataclasses import dataclass
from functools import cache
from typing import Any

import warp as wp

from hodsim.kernels import matrix_type, vector_type
from hodsim.materials import law_named

real = wp.float64
vec = vector_type(real)
mat = matrix_type(real)


@dataclass(frozen=True)
class ElementKernels:
    """The kernels of one material law; arguments are listed in `assembly.Assembly`."""

    energy: Any
    force: Any
    force_and_stiffness: Any
    strain_and_stress: Any


@wp.func
def gradient(x: wp.array(dtype=vec), tet: wp.vec4i, inverse: mat):
    """Deformation gradient F = D_s D_m^-1 of one tet (Sifakis and Barbic 2012, section 4.2)."""
    o = x[tet[0]]
    return wp.matrix_from_cols(x[tet[1]] - o, x[tet[2]] - o, x[tet[3]] - o) * inverse


@wp.func
def spread(P: Any, e: int, out: wp.array2d(dtype=vec)):
    """Forces of tet e on its vertices: the columns of P = V P_1 D_m^-T, and minus their sum."""
    f1 = vec(P[0, 0], P[1, 0], P[2, 0])
    f2 = vec(P[0, 1], P[1, 1], P[2, 1])
    f3 = vec(P[0, 2], P[1, 2], P[2, 2])
    out[e, 0] = -(f1 + f2 + f3)
    out[e, 1] = f1
    out[e, 2] = f2
    out[e, 3] = f3


@cache
def element_kernels(law: str) -> ElementKernels:
    """The kernels of the law of that name, compiled on their first launch."""
    named = law_named(law)
    density, shared, stress, tangent = named.energy, named.shared, named.stress, named.tangent

    @wp.kernel(module="unique", enable_backward=False)
    def energy(
        x: wp.array(dtype=vec),
        tets: wp.array(dtype=wp.vec4i),
        inverse: wp.array(dtype=mat),
        volume: wp.array(dtype=real),
        a: wp.array(dtype=real),
        b: wp.array(dtype=real),
        out: wp.array(dtype=real),
    ):
        e = wp.tid()
        F = gradient(x, tets[e], inverse[e])
        out[e] = volume[e] * density(F, a[e], b[e])

    @wp.kernel(module="unique", enable_backward=False)
    def force(
        x: wp.array(dtype=vec),
        tets: wp.array(dtype=wp.vec4i),
        inverse: wp.array(dtype=mat),
        volume: wp.array(dtype=real),
        a: wp.array(dtype=real),
        b: wp.array(dtype=real),
        out: wp.array2d(dtype=vec),
    ):
        e = wp.tid()
        F = gradient(x, tets[e], inverse[e])
        X = shared(F, a[e], b[e])
        P = volume[e] * stress(F, X, a[e], b[e]) * wp.transpose(inverse[e])
        spread(P, e, out)

    @wp.kernel(module="unique", enable_backward=False)
    def force_and_stiffness(
        x: wp.array(dtype=vec),
        tets: wp.array(dtype=wp.vec4i),
        inverse: wp.array(dtype=mat),
        volume: wp.array(dtype=real),
        a: wp.array(dtype=real),
        b: wp.array(dtype=real),
        out: wp.array2d(dtype=vec),
        blocks: wp.array3d(dtype=mat),
    ):
        e = wp.tid()
        B = inverse[e]
        G = wp.transpose(B)
        F = gradient(x, tets[e], B)
        X = shared(F, a[e], b[e])
        P = volume[e] * stress(F, X, a[e], b[e]) * G
        spread(P, e, out)
        sum0 = mat()
        sum1 = mat()
        sum2 = mat()
        sum3 = mat()
        for p in range(3):
            row1 = mat()
            row2 = mat()
            row3 = mat()
            for i in range(3):
                # Vertex p + 1 moves along axis i: dF = e_i (row p of B).
                dF = mat()
                dF[i, 0] = B[p, 0]
                dF[i, 1] = B[p, 1]
                dF[i, 2] = B[p, 2]
                dP = volume[e] * tangent(F, X, dF, a[e], b[e]) * G
                for k in range(3):
                    row1[k, i] = dP[k, 0]
                    row2[k, i] = dP[k, 1]
                    row3[k, i] = dP[k, 2]
            # Column blocks of vertex p + 1; those of vertex 0 follow from translation invariance.
            row0 = -(row1 + row2 + row3)
            blocks[e, 0, p + 1] = row0
            blocks[e, 1, p + 1] = row1
            blocks[e, 2, p + 1] = row2
            blocks[e, 3, p + 1] = row3
            sum0 += row0
            sum1 += row1
            sum2 += row2
            sum3 += row3
        blocks[e, 0, 0] = -sum0
        blocks[e, 1, 0] = -sum1
        blocks[e, 2, 0] = -sum2
        blocks[e, 3, 0] = -sum3

    @wp.kernel(module="unique", enable_backward=False)
    def strain_and_stress(
        x: wp.array(dtype=vec),
        tets: wp.array(dtype=wp.vec4i),
        inverse: wp.array(dtype=mat),
        volume: wp.array(dtype=real),
        a: wp.array(dtype=real),
        b: wp.array(dtype=real),
        directions: wp.array2d(dtype=vec),
        dF: wp.array2d(dtype=mat),
        dP: wp.array2d(dtype=mat),
    ):
        """dF and V dP of every tet for displacement directions (n_vertices, r): their products
        over all tets are U^T K U, with no stiffness matrix made."""
        e = wp.tid()
        B = inverse[e]
        tet = tets[e]
        F = gradient(x, tet, B)
        X = shared(F, a[e], b[e])
        for i in range(directions.shape[1]):
            o = directions[tet[0], i]
            D = (
                wp.matrix_from_cols(
                    directions[tet[1], i] - o, directions[tet[2], i] - o, directions[tet[3], i] - o
                )
                * B
            )
            dF[i, e] = D
            dP[i, e] = volume[e] * tangent(F, X, D, a[e], b[e])

    return ElementKernels(energy, force, force_and_stiffness, strain_and_stress)


@wp.kernel(module="unique", enable_backward=False)
def gather_forces(
    element: wp.array(dtype=vec),
    start: wp.array(dtype=wp.int32),
    source: wp.array(dtype=wp.int32),
    out: wp.array(dtype=vec),
):
    """out[v] = the sum of the element forces listed for vertex v."""
    v = wp.tid()
    s = vec()
    for k in range(start[v], start[v + 1]):
        s += element[source[k]]
    out[v] = s


@wp.kernel(module="unique", enable_backward=False)
def gather_blocks(
    element: wp.array(dtype=mat),
    start: wp.array(dtype=wp.int32),
    source: wp.array(dtype=wp.int32),
    first: wp.array(dtype=wp.int32),
    stride: wp.array(dtype=wp.int32),
    out: wp.array(dtype=real),
):
    """Writes block b's 3 x 3 sum into CSR data: entry (i, j) at first[b] + i stride[b] + j."""
    b = wp.tid()
    s = mat()
    for k in range(start[b], start[b + 1]):
        s += element[source[k]]
    for i in range(3):
        for j in range(3):
            out[first[b] + i * stride[b] + j] = s[i, j]
