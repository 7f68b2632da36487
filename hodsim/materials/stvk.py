"""St. Venant-Kirchhoff: linear elasticity's law on the Green strain.

W = mu E:E + lam/2 tr(E)^2,  P = F S,  S = 2 mu E + lam tr(E) I,  E = (F^T F - I)/2
(Sifakis and Barbic 2012, section 3.3). It softens and inverts under strong compression.
"""

from typing import Any

import warp as wp


def parameters(mu: float, lam: float) -> tuple[float, float]:
    return mu, lam


@wp.func
def strain(F: Any):
    half = F.dtype(0.5)
    return half * (wp.transpose(F) * F - wp.identity(n=3, dtype=F.dtype))


@wp.func
def second_stress(E: Any, mu: Any, lam: Any):
    return (mu + mu) * E + (lam * wp.trace(E)) * wp.identity(n=3, dtype=E.dtype)


@wp.func
def shared(F: Any, mu: Any, lam: Any):
    return second_stress(strain(F), mu, lam)


@wp.func
def energy(F: Any, mu: Any, lam: Any):
    E = strain(F)
    t = wp.trace(E)
    return mu * wp.ddot(E, E) + F.dtype(0.5) * lam * t * t


@wp.func
def stress(F: Any, S: Any, mu: Any, lam: Any):
    return F * S


@wp.func
def tangent(F: Any, S: Any, dF: Any, mu: Any, lam: Any):
    A = wp.transpose(F) * dF
    dE = F.dtype(0.5) * (A + wp.transpose(A))
    return dF * S + F * second_stress(dE, mu, lam)
