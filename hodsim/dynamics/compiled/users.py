"""Loads that a user makes while a simulation runs, as forces p + G z on the features."""

from __future__ import annotations

import numpy as np

from hodsim.errors import InputError
from hodsim.fem import Body, Loads
from hodsim.scene import Load


def spring(
    body: Body, basis: np.ndarray, vertex: int, target: np.ndarray, stiffness: float
) -> tuple[np.ndarray, np.ndarray]:
    """(p, G) of a spring from a vertex to a point: minus the gradient, by z, of
    stiffness/2 |X + B_v z - target|^2, X the vertex at rest and B_v its rows of the basis."""
    target = np.asarray(target, dtype=np.float64)
    n = body.mesh.n_vertices
    if not 0 <= vertex < n:
        raise InputError(f"spring: expected a vertex from 0 to {n - 1}, given {vertex}")
    free = int(body.pattern.free[vertex])
    if free < 0:
        raise InputError(f"spring: expected a vertex that moves, given the clamped one {vertex}")
    if target.shape != (3,) or not np.isfinite(target).all():
        raise InputError(f"spring: expected a target of three finite numbers, given {target}")
    if not (np.isfinite(stiffness) and stiffness >= 0.0):
        raise InputError(f"spring: expected a stiffness of at least 0 N/m, given {stiffness}")
    B = basis[3 * free : 3 * free + 3]
    return stiffness * (target - body.mesh.vertices[vertex]) @ B, -stiffness * B.T @ B


def gravity_columns(body: Body, basis: np.ndarray) -> np.ndarray:
    """B^T M e for the unit accelerations e along x, y and z, (w, 3)."""
    load = Load("gravity", (0.0,), ((1.0, 1.0, 1.0),))
    return Loads(body, (load,)).reduce(basis).columns
