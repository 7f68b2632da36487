"""Contact in the features z of a subspace, u = B z: a sample of the surface stands for all."""

from __future__ import annotations

from typing import Final

import numpy as np

from hodsim.dynamics.contact.law import Law
from hodsim.dynamics.contact.points import surface_points
from hodsim.fem import Body
from hodsim.scene import Obstacle

# Points of the surface in a reduced space, unless told otherwise.
SAMPLE: Final = 600


class ReducedContact:
    """B^T times the forces of obstacles, as functions of features z and their rates, (w,) each.

    Parameters
    ----------
    body, obstacles
        As for `Contact`.
    basis
        B (n_dofs, w).
    sample
        How many points of the surface are looked at; None for all.
    """

    def __init__(
        self,
        body: Body,
        obstacles: tuple[Obstacle, ...],
        basis: np.ndarray,
        sample: int | None = SAMPLE,
    ) -> None:
        points = surface_points(body)
        self.points = points if sample is None else points.sample(sample)
        self.law = Law(obstacles, self.points.areas)
        self.basis = np.asarray(self.points.map(body) @ basis)

    def place(self, z: np.ndarray) -> np.ndarray:
        """Positions [m] of the points, (n, 3)."""
        return np.asarray(self.points.rest + (self.basis @ z).reshape(-1, 3))

    def energy(self, z: np.ndarray) -> float:
        """The pressures' potential [J]; friction has none."""
        return self.law.energy(self.place(z))

    def depth(self, z: np.ndarray) -> np.ndarray:
        """How deep [m] each point is in an obstacle, (n,); at most 0 outside of all."""
        return self.law.touched(self.place(z))

    def force(self, z: np.ndarray, dz: np.ndarray) -> np.ndarray:
        """B^T f, (w,)."""
        law, rows, x, v = self._touching(z, dz)
        return np.asarray(rows.T @ law.force(x, v).ravel())

    def stiffness(self, z: np.ndarray, dz: np.ndarray, J: np.ndarray, dJ: np.ndarray) -> np.ndarray:
        """Minus J^T times the derivative of `force` along columns J of z and dJ of its rate, (w, r)
        each; (r, r)."""
        law, rows, x, v = self._touching(z, dz)
        t = law.tangent(x, v)
        k, r = len(x), J.shape[1]
        moved, sped = (rows @ J).reshape(k, 3, r), (rows @ dJ).reshape(k, 3, r)
        pushed = (t.push + t.drag) @ moved[t.points] + t.brake @ sped[t.points]
        return -np.tensordot(moved[t.points], pushed, ((0, 1), (0, 1)))

    def affine(self, z: np.ndarray, dz: np.ndarray, c: float) -> tuple[np.ndarray, np.ndarray]:
        """(p, G), p (w,) and G (w, w): p + G y is `force` to first order at features y near z,
        where rates change by c (y - z)."""
        law, rows, x, v = self._touching(z, dz)
        t = law.tangent(x, v)
        w = self.basis.shape[1]
        mine = rows.reshape(-1, 3, w)[t.points]
        pushed = (t.push + t.drag + c * t.brake) @ mine
        G = np.tensordot(mine, pushed, ((0, 1), (0, 1)))
        return rows.T @ law.force(x, v).ravel() - G @ z, G

    def noise(self, z: np.ndarray, dz: np.ndarray, J: np.ndarray, c: float) -> float:
        """|J^T B^T f| that rounding of the positions can make where dz' = c dz."""
        law, rows, x, v = self._touching(z, dz)
        t = law.tangent(x, v)
        reach = float(np.abs(self.points.rest).max() + np.abs(x).max(initial=0.0))
        stiff = float(np.linalg.norm(t.push + c * t.brake))
        return float(np.finfo(np.float64).eps * reach * stiff * np.linalg.norm(rows @ J))

    def _touching(
        self, z: np.ndarray, dz: np.ndarray
    ) -> tuple[Law, np.ndarray, np.ndarray, np.ndarray]:
        """Of the k points that are in an obstacle: the law, the rows of B (3 k, w), positions [m]
        and velocities [m/s] (k, 3)."""
        x = self.place(z)
        near = np.flatnonzero(self.law.touched(x) > 0.0)
        w = self.basis.shape[1]
        rows = self.basis.reshape(-1, 3, w)[near].reshape(-1, w)
        return self.law.at(near), rows, x[near], (rows @ dz).reshape(-1, 3)
