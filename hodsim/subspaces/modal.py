"""Linear vibration modes and their modal derivatives (Barbic and James 2005, section 3.2)."""

from __future__ import annotations

import numpy as np
import scipy.sparse.linalg as spl

from hodsim.errors import InputError
from hodsim.fem import Body
from hodsim.subspaces.weighted import Weighted, fit_weighted

# Displacement of a finite difference of the stiffness, over the size of the smallest tet.
_STEP = 1e-3


def vibration_modes(body: Body, k: int) -> tuple[np.ndarray, np.ndarray]:
    """omega^2 [1/s^2] (k,), ascending, and modes phi (n_dofs, k) of K phi = omega^2 M phi at rest.

    phi^T M phi = 1. Raises `InputError` for a body that is not clamped or has no mass.
    """
    if not body.mass.diagonal().all() or len(body.free_vertices) == body.mesh.n_vertices:
        raise InputError(
            "modes: expected a clamped body with mass, given another; add a [[clamp]] and a "
            "material.density [kg/m^3]"
        )
    rest = body.stiffness(np.zeros(body.n_dofs)).tocsc()
    # Shift and invert at 0; a fixed start makes the result the same in every run.
    values, modes = spl.eigsh(
        rest, k, body.mass.tocsc(), sigma=0.0, which="LM", v0=np.ones(body.n_dofs)
    )
    order = np.argsort(values)
    return values[order], modes[:, order]


def stiffness_slopes(body: Body, modes: np.ndarray) -> np.ndarray:
    """(dK/dq_j) phi_i at rest, (k, k, n_dofs), symmetric in i and j, of modes phi (n_dofs, k).

    Central differences of two steps, extrapolated: the error is of order four, 1e-11 of the
    result.
    """
    k = modes.shape[1]
    slopes = np.empty((k, k, body.n_dofs))
    size = float(body.mesh.volumes.min()) ** (1.0 / 3.0)
    for j, mode in enumerate(modes.T):
        h = _STEP * size / float(np.abs(mode).max())
        near, far = (
            (body.stiffness(s * mode) @ modes - body.stiffness(-s * mode) @ modes).T / (2.0 * s)
            for s in (0.5 * h, h)
        )
        slopes[j] = (4.0 * near - far) / 3.0
    return 0.5 * (slopes + slopes.transpose(1, 0, 2))


def modal_derivatives(body: Body, modes: np.ndarray) -> np.ndarray:
    """theta_ij = -K^-1 (dK/dq_j) phi_i at rest, (k, k, n_dofs): how mode i bends as j grows."""
    k = modes.shape[1]
    solve = spl.factorized(body.stiffness(np.zeros(body.n_dofs)).tocsc())
    slopes = stiffness_slopes(body, modes)
    derivatives = np.empty_like(slopes)
    for i in range(k):
        for j in range(i, k):
            derivatives[i, j] = derivatives[j, i] = -solve(slopes[i, j])
    return derivatives


def fit_modal(body: Body, r: int, n_modes: int = 20) -> Weighted:
    """r directions from the lowest modes and all their derivatives; no poses are needed.

    The reduction is that of Barbic and James: the principal directions, in the inner product of
    mass, of the modes times lambda_1 / lambda_i and the derivatives times
    lambda_1^2 / (lambda_i lambda_j), lambda = omega^2.

    Raises
    ------
    InputError
        The body is not clamped or has no mass, or r exceeds what modes and derivatives span.
    """
    k = min(n_modes, body.n_dofs // 2)
    values, modes = vibration_modes(body, k)
    low = values[0] / values
    i, j = np.triu_indices(k)
    derivatives = modal_derivatives(body, modes)[i, j] * (low[i] * low[j])[:, None]
    scaled = np.concatenate([(modes * low).T, derivatives])
    return fit_weighted(scaled.T @ scaled, body.mass, r, "mass")
