"""External forces: loads on a body as an affine function of its displacement.

f_ext(t, u) = sum_k s_k(t) (p_k + G_k u): three amplitudes s_k a load, one for each axis. Gravity
and forces have G = 0; a torque acts about the moving centroid of its region, so its forces turn.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from hodsim.errors import InputError
from hodsim.fem.body import Body
from hodsim.scene import Load, select, value_at

_AXES = np.eye(3)


@dataclass(frozen=True)
class _Torque:
    """f_i = w x (x_i - c), c the region's centroid, w = I^-1 tau with I = sum |r|^2 1 - r r^T.

    I is the region's inertia at rest with unit weights. The total moment is tau exactly at rest,
    and while the region turns as if rigid about tau, if that is one of its principal axes. Turned
    by another rotation Q it is Q I Q^T I^-1 tau: the price of forces that are affine in u.
    """

    vertices: np.ndarray
    inverse: np.ndarray  # I^-1 [1/m^2]
    rest: np.ndarray  # x_i - c at rest [m], (k, 3)

    def arms(self, u: np.ndarray) -> np.ndarray:
        """Change of x_i - c [m] under displacements u (n_vertices, 3) of all vertices."""
        moved = u[self.vertices]
        return moved - moved.mean(axis=0)


class Loads:
    """The loads of a scene, applied to a body.

    Raises
    ------
    InputError
        A torque on a region without extent (one vertex, or vertices in a line).
    """

    def __init__(self, body: Body, loads: tuple[Load, ...]) -> None:
        self.body = body
        self.loads = loads
        self._torques: dict[int, _Torque] = {}
        columns = []
        for k, load in enumerate(loads):
            if load.kind == "torque":
                torque = _torque(body, load)
                self._torques[k] = torque
                columns += [self._turn(torque, torque.rest, axis) for axis in _AXES]
            else:
                columns += [_unit_force(body, load, axis) for axis in _AXES]
        self.columns = np.array(columns).reshape(-1, body.n_dofs).T.copy()

    def _turn(self, torque: _Torque, arms: np.ndarray, tau: np.ndarray) -> np.ndarray:
        full = np.zeros((self.body.mesh.n_vertices, 3))
        full[torque.vertices] = np.cross(torque.inverse @ tau, arms)
        return self.body.restrict(full)

    def amplitudes(self, t: float) -> np.ndarray:
        """s(t), three numbers a load in the unit of its kind, shape (3 n_loads,)."""
        return np.array([value_at(load, t) for load in self.loads]).reshape(-1)

    def force(self, s: np.ndarray, u: np.ndarray) -> np.ndarray:
        """f_ext [N] at amplitudes s and displacements u [m], shape (n_dofs,)."""
        f = self.columns @ s
        for k, torque in self._torques.items():
            tau = s[3 * k : 3 * k + 3]
            if tau.any():
                f += self._turn(torque, torque.arms(self.body.expand(u)), tau)
        return f

    def reduce(self, basis: np.ndarray) -> ReducedLoads:
        """The same loads for u = basis z, basis (n_dofs, w): nothing left of the mesh's size."""
        stiff = np.zeros((self.columns.shape[1], basis.shape[1], basis.shape[1]))
        for k, torque in self._torques.items():
            for i, axis in enumerate(_AXES):
                turned = [
                    self._turn(torque, torque.arms(self.body.expand(b)), axis) for b in basis.T
                ]
                stiff[3 * k + i] = basis.T @ np.array(turned).T
        return ReducedLoads(self, basis.T @ self.columns, stiff)


@dataclass(frozen=True)
class ReducedLoads:
    """B^T f_ext(t, B z) = sum_k s_k(t) (B^T p_k + B^T G_k B z), for a basis B (n_dofs, w)."""

    loads: Loads
    columns: np.ndarray  # B^T p_k, (w, 3 n_loads)
    stiff: np.ndarray  # B^T G_k B, (3 n_loads, w, w)

    def at(self, t: float) -> tuple[np.ndarray, np.ndarray]:
        """(p, G) at time t: the force is p + G z, p (w,) [N], G (w, w) [N/m]."""
        s = self.loads.amplitudes(t)
        return self.columns @ s, np.tensordot(s, self.stiff, 1)


def _unit_force(body: Body, load: Load, axis: np.ndarray) -> np.ndarray:
    """Force [N] of a unit load along an axis: M e for gravity, shared equally for a force."""
    if load.kind == "gravity":
        # Per unit acceleration of every vertex, clamped ones included: M's row sums are the
        # vertex masses of the free pattern only, so add up tets instead.
        lumped = np.zeros(body.mesh.n_vertices)
        share = body.material.density * body.mesh.volumes / 4.0
        np.add.at(lumped, body.mesh.tets.ravel(), np.repeat(share, 4))
        return body.restrict(lumped[:, None] * axis)
    assert load.region is not None
    vertices = select(load.region, body.mesh.vertices, body.mesh.tags)
    full = np.zeros((body.mesh.n_vertices, 3))
    full[vertices] = axis / len(vertices)
    force = body.restrict(full)
    if not force.any() and axis.any():
        raise InputError(
            f"load: expected a force on at least one free vertex, given {len(vertices)} clamped "
            "ones; choose another region"
        )
    return force


def _torque(body: Body, load: Load) -> _Torque:
    assert load.region is not None
    vertices = select(load.region, body.mesh.vertices, body.mesh.tags)
    arms = body.mesh.vertices[vertices]
    arms = arms - arms.mean(axis=0)
    inertia = (arms * arms).sum() * np.eye(3) - arms.T @ arms
    if np.linalg.matrix_rank(inertia) < 3:
        raise InputError(
            f"torque: expected a region with extent in at least two directions, given "
            f"{len(vertices)} vertices in a line; choose a wider region"
        )
    return _Torque(vertices, np.linalg.inv(inertia), arms)
