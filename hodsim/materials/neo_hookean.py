"""Stable neo-Hookean (Smith, de Goes and Kim 2018, Eq. 14): finite under inversion.

W = mu/2 (I_C - 3) + lam/2 (J - alpha)^2 - mu/2 log(I_C + 1),  alpha = 1 + 3 mu / (4 lam),
with mu = 4/3 mu_Lame and lam = lam_Lame + 5/6 mu_Lame, and W shifted to be 0 at rest.
"""

from typing import Any

import warp as wp


def parameters(mu: float, lam: float) -> tuple[float, float]:
    return 4.0 / 3.0 * mu, lam + 5.0 / 6.0 * mu


@wp.func
def shared(F: Any, mu: Any, lam: Any):
    """The cofactor dJ/dF: its columns are cross products of F's columns."""
    f0 = wp.vector(F[0, 0], F[1, 0], F[2, 0])
    f1 = wp.vector(F[0, 1], F[1, 1], F[2, 1])
    f2 = wp.vector(F[0, 2], F[1, 2], F[2, 2])
    return wp.matrix_from_cols(wp.cross(f1, f2), wp.cross(f2, f0), wp.cross(f0, f1))


@wp.func
def cofactor_tangent(F: Any, D: Any):
    f0 = wp.vector(F[0, 0], F[1, 0], F[2, 0])
    f1 = wp.vector(F[0, 1], F[1, 1], F[2, 1])
    f2 = wp.vector(F[0, 2], F[1, 2], F[2, 2])
    d0 = wp.vector(D[0, 0], D[1, 0], D[2, 0])
    d1 = wp.vector(D[0, 1], D[1, 1], D[2, 1])
    d2 = wp.vector(D[0, 2], D[1, 2], D[2, 2])
    return wp.matrix_from_cols(
        wp.cross(d1, f2) + wp.cross(f1, d2),
        wp.cross(d2, f0) + wp.cross(f2, d0),
        wp.cross(d0, f1) + wp.cross(f0, d1),
    )


@wp.func
def alpha(mu: Any, lam: Any):
    return type(mu)(1.0) + type(mu)(0.75) * mu / lam


@wp.func
def energy(F: Any, mu: Any, lam: Any):
    half = F.dtype(0.5)
    one = F.dtype(1.0)
    I = wp.ddot(F, F)
    rest = one - alpha(mu, lam)
    growth = wp.determinant(F) - alpha(mu, lam)
    # log((I + 1)/4) and the two differences keep the value accurate near rest.
    return half * (
        mu * (I - F.dtype(3.0) - wp.log((I + one) * F.dtype(0.25)))
        + lam * (growth - rest) * (growth + rest)
    )


@wp.func
def stress(F: Any, C: Any, mu: Any, lam: Any):
    one = F.dtype(1.0)
    I = wp.ddot(F, F)
    J = wp.determinant(F)
    return (mu * (one - one / (I + one))) * F + (lam * (J - alpha(mu, lam))) * C


@wp.func
def tangent(F: Any, C: Any, dF: Any, mu: Any, lam: Any):
    one = F.dtype(1.0)
    s = one / (wp.ddot(F, F) + one)
    J = wp.determinant(F)
    return (
        (mu * (one - s)) * dF
        + (F.dtype(2.0) * mu * s * s * wp.ddot(F, dF)) * F
        + (lam * wp.ddot(C, dF)) * C
        + (lam * (J - alpha(mu, lam))) * cofactor_tangent(F, dF)
    )
