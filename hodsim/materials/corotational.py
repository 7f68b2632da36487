"""Corotational (corotated) elasticity with its exact tangent.

W = mu |F - R|^2 + lam/2 tr(R^T F - I)^2,  P = 2 mu (F - R) + lam tr(R^T F - I) R, F = R S polar
(Sifakis and Barbic 2012, section 3.4). R is the nearest proper rotation, also of an inverted F.
"""

from typing import Any

import warp as wp


def parameters(mu: float, lam: float) -> tuple[float, float]:
    return mu, lam


@wp.func
def shared(F: Any, mu: Any, lam: Any):
    """The proper rotation nearest to F, by its singular value decomposition."""
    U = F
    V = F
    _s = wp.vector(F[0, 0], F[0, 0], F[0, 0])
    # U and V are proper rotations, and the smallest singular value has the sign of det F
    # (McAdams et al. 2011), so that an inverted F needs no mending here.
    U, _s, V = wp.svd3(F)
    return U * wp.transpose(V)


@wp.func
def energy(F: Any, mu: Any, lam: Any):
    R = shared(F, mu, lam)
    D = F - R
    t = wp.ddot(R, D)  # tr(R^T F) - 3
    return mu * wp.ddot(D, D) + F.dtype(0.5) * lam * t * t


@wp.func
def stress(F: Any, R: Any, mu: Any, lam: Any):
    D = F - R
    return (mu + mu) * D + (lam * wp.ddot(R, D)) * R


@wp.func
def tangent(F: Any, R: Any, dF: Any, mu: Any, lam: Any):
    S = wp.transpose(R) * F
    A = wp.transpose(R) * dF
    # dR = R [w]x with (tr(S) I - S) w = the axial vector of A - A^T.
    axial = wp.vector(A[2, 1] - A[1, 2], A[0, 2] - A[2, 0], A[1, 0] - A[0, 1])
    G = wp.trace(S) * wp.identity(n=3, dtype=F.dtype) - S
    dR = R * wp.skew(wp.inverse(G) * axial)
    t = wp.trace(S) - F.dtype(3.0)
    # tr(dR^T F) = 0, because R^T dR is antisymmetric and S symmetric.
    return (mu + mu) * (dF - dR) + (lam * wp.trace(A)) * R + (lam * t) * dR
