"""Contact in the features z of a subspace, u = B z: a sample of the surface stands for all."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Final

import numpy as np

from hodsim.dynamics.contact.law import Law, Tangent
from hodsim.dynamics.contact.points import surface_points
from hodsim.fem import Body
from hodsim.scene import Obstacle

# Points of the surface in a reduced space, unless told otherwise: all of those of a small body. On
# the shipped beam, which has 1608, a tip pressed onto a ball is off by 1 % with 600, 4 % with 300.
SAMPLE: Final = 2000


class ReducedContact:
    """B^T times the forces of obstacles, at features z and their rates (w,).

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
        self._last: tuple[np.ndarray, np.ndarray, Touch] | None = None

    def place(self, z: np.ndarray) -> np.ndarray:
        """Positions [m] of the points, (n, 3)."""
        return np.asarray(self.points.rest + (self.basis @ z).reshape(-1, 3))

    def energy(self, z: np.ndarray) -> float:
        """The pressures' potential [J]; friction has none."""
        return self.law.energy(self.place(z))

    def depth(self, z: np.ndarray) -> np.ndarray:
        """How deep [m] each point is in an obstacle, (n,); at most 0 outside of all."""
        return self.law.touched(self.place(z))

    def at(self, z: np.ndarray, dz: np.ndarray) -> Touch:
        """All that follows from features and their rates; the last one is kept, for what is asked
        for next is most often of the same."""
        if self._last is None or not (
            np.array_equal(self._last[0], z) and np.array_equal(self._last[1], dz)
        ):
            self._last = z.copy(), dz.copy(), self._touch(z, dz)
        return self._last[2]

    def _touch(self, z: np.ndarray, dz: np.ndarray) -> Touch:
        x = self.place(z)
        near = np.flatnonzero(self.law.touched(x) > 0.0)
        w = self.basis.shape[1]
        rows = self.basis.reshape(-1, 3, w)[near].reshape(-1, w)
        x = x[near]
        reach = float(np.abs(self.points.rest).max(initial=0.0) + np.abs(x).max(initial=0.0))
        return Touch(self.law.at(near), rows, z, x, (rows @ dz).reshape(-1, 3), reach)


@dataclass(frozen=True)
class Touch:
    """Contact at one z and z': of the k points that are in an obstacle, the law, the rows of B
    (3 k, w), positions x [m] and velocities v [m/s] (k, 3); `reach` is the largest coordinate."""

    law: Law
    rows: np.ndarray
    z: np.ndarray
    x: np.ndarray
    v: np.ndarray
    reach: float

    @cached_property
    def force(self) -> np.ndarray:
        """B^T f, (w,)."""
        return np.asarray(self.rows.T @ self.law.force(self.x, self.v).ravel())

    @cached_property
    def _tangent(self) -> Tangent:
        return self.law.tangent(self.x, self.v)

    def stiffness(self, J: np.ndarray, dJ: np.ndarray) -> np.ndarray:
        """Minus J^T times the derivative of `force` along columns J of z and dJ of its rate, (w, r)
        each; (r, r)."""
        t, r = self._tangent, J.shape[1]
        moved, sped = (self.rows @ J).reshape(-1, 3, r), (self.rows @ dJ).reshape(-1, 3, r)
        pushed = (t.push + t.drag) @ moved[t.points] + t.brake @ sped[t.points]
        return -np.tensordot(moved[t.points], pushed, ((0, 1), (0, 1)))

    def affine(self, c: float) -> tuple[np.ndarray, np.ndarray]:
        """(p, G), p (w,) and G (w, w): p + G y is `force` to first order at features y near z,
        where rates change by c (y - z)."""
        t, w = self._tangent, len(self.z)
        mine = self.rows.reshape(-1, 3, w)[t.points]
        pushed = (t.push + t.drag + c * t.brake) @ mine
        G = mine.reshape(-1, w).T @ pushed.reshape(-1, w)
        return self.force - G @ self.z, G

    def noise(self, J: np.ndarray, c: float) -> float:
        """|J^T B^T f| that rounding of the positions can make where dz' = c dz."""
        if not len(self.x):
            return 0.0
        stiff = float(np.linalg.norm(self._tangent.push + c * self._tangent.brake))
        lever = float(np.linalg.norm(self.rows @ J))
        return float(np.finfo(np.float64).eps) * self.reach * stiff * lever
