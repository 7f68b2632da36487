"""Contact in full space: forces on free vertices, and their matrix on the stiffness's pattern."""

from __future__ import annotations

import numpy as np

from hodsim.dynamics.contact.law import Law, Tangent
from hodsim.dynamics.contact.points import surface_points
from hodsim.fem import Body
from hodsim.scene import Obstacle


class Contact:
    """The forces of obstacles on a body, as functions of its displacement u [m] and velocity v
    [m/s], (n_dofs,) each.

    Nothing is known of the way between two steps: what moves through a thin obstacle within one
    step has not met it.
    """

    def __init__(self, body: Body, obstacles: tuple[Obstacle, ...]) -> None:
        points = surface_points(body)
        self.points, self.law = points, Law(obstacles, points.areas)
        self._map = points.map(body)
        self._back = self._map.T.tocsr()
        pattern = body.pattern
        # Point k couples its corners a and b: where the blocks (a, b) stand in the CSR data.
        free = pattern.free[points.corners]
        rows, columns = np.repeat(free, 3, axis=1), np.tile(free, (1, 3))
        both = (rows >= 0) & (columns >= 0)
        share = np.repeat(points.weights, 3, axis=1) * np.tile(points.weights, (1, 3))
        self._share = np.where(both, share, 0.0)
        block_row = (np.searchsorted(pattern.indptr, pattern.first, side="right") - 1) // 3
        keys = block_row.astype(np.int64) * pattern.n + pattern.indices[pattern.first] // 3
        block = np.where(both, np.searchsorted(keys, rows * pattern.n + columns), 0)
        axis = np.arange(3)
        first, stride = (x[block][:, :, None, None] for x in (pattern.first, pattern.stride))
        self._at = first + stride * axis[:, None] + axis

    def place(self, u: np.ndarray) -> np.ndarray:
        """Positions [m] of the points, (n, 3)."""
        return np.asarray(self.points.rest + (self._map @ u).reshape(-1, 3))

    def energy(self, u: np.ndarray) -> float:
        """The pressures' potential [J]; friction has none."""
        return self.law.energy(self.place(u))

    def depth(self, u: np.ndarray) -> np.ndarray:
        """How deep [m] each point is in an obstacle, (n,); at most 0 outside of all."""
        return self.law.touched(self.place(u))

    def force(self, u: np.ndarray, v: np.ndarray) -> np.ndarray:
        """What the obstacles do to the body [N], (n_dofs,)."""
        speed = (self._map @ v).reshape(-1, 3)
        return np.asarray(self._back @ self.law.force(self.place(u), speed).ravel())

    def stiffness(
        self, u: np.ndarray, v: np.ndarray, c: float, size: int
    ) -> tuple[np.ndarray, np.ndarray | None]:
        """Minus the derivative of `force` where dv = c du, in two parts, CSR data [N/m] of that
        size: the symmetric one that a Cholesky factorisation takes (the pressure, and how friction
        grows with speed), and what friction adds to that, if anything."""
        t = self._tangent(u, v)
        symmetric = self._assemble(t.points, -(t.push + c * t.brake), size)
        return symmetric, self._assemble(t.points, -t.drag, size) if t.drag.any() else None

    def noise(self, u: np.ndarray, v: np.ndarray, c: float) -> float:
        """|force| [N] that rounding of the positions can make."""
        t = self._tangent(u, v)
        reach = float(np.abs(self.points.rest).max(initial=0.0) + np.abs(u).max())
        return float(np.finfo(np.float64).eps * reach * np.linalg.norm(t.push + c * t.brake))

    def _tangent(self, u: np.ndarray, v: np.ndarray) -> Tangent:
        return self.law.tangent(self.place(u), (self._map @ v).reshape(-1, 3))

    def _assemble(self, points: np.ndarray, blocks: np.ndarray, size: int) -> np.ndarray:
        """CSR data of the sum over points of share_ab times the block, at (a, b)."""
        values = self._share[points][:, :, None, None] * blocks[:, None]
        out = np.zeros(size)
        np.add.at(out, self._at[points].ravel(), values.ravel())
        return out
