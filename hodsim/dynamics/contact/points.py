"""The points of a body's surface at which it meets obstacles, and the area each stands for."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp
from scipy.spatial import KDTree

from hodsim.errors import InputError
from hodsim.fem import Body

# Three points a triangle, of a third of its area each: exact for pressures that are linear there.
# Vertices would do too, but one of an edge stands for the area of both its faces, and a block would
# stand on its rim.
_WEIGHTS = np.full((3, 3), 1.0 / 6.0) + 0.5 * np.eye(3)


@dataclass(frozen=True)
class SurfacePoints:
    """n points of a body's surface, fixed to its triangles.

    Attributes
    ----------
    corners, weights
        Point k is the sum of `weights[k, i]` times the position of vertex `corners[k, i]`, (n, 3).
    rest, normals
        Positions [m] and outward normals at rest, (n, 3).
    areas
        What each stands for [m^2], shape (n,); at rest, as for dead loads.
    """

    corners: np.ndarray
    weights: np.ndarray
    rest: np.ndarray
    normals: np.ndarray
    areas: np.ndarray

    def map(self, body: Body) -> sp.csr_array:
        """W (3 n, n_dofs): the points' displacements are W u. Clamped vertices have no column."""
        n = len(self.corners)
        free = body.pattern.free[self.corners]
        point, corner = np.nonzero(free >= 0)
        axis = np.arange(3)
        rows = (3 * point[:, None] + axis).ravel()
        columns = (3 * free[point, corner][:, None] + axis).ravel()
        values = np.repeat(self.weights[point, corner], 3)
        return sp.csr_array((values, (rows, columns)), shape=(3 * n, body.n_dofs))

    def sample(self, count: int) -> SurfacePoints:
        """`count` of them, spread evenly by farthest points, with the areas of those nearest; all
        where there are no more.

        Near is measured along the surface's turns too: both sides of a thin plate, or the faces at
        an edge, do not stand for one another. Raises `InputError` for a count below 1.
        """
        if count < 1:
            raise InputError(f"contact points: expected at least 1, given {count}")
        if count >= len(self.rest):
            return self
        span = float(np.linalg.norm(np.ptp(self.rest, axis=0)))
        place = np.hstack([self.rest, 0.25 * span * self.normals])
        chosen = np.empty(count, dtype=np.int64)
        middle = np.average(self.rest, axis=0, weights=self.areas)
        chosen[0] = np.argmax(np.linalg.norm(self.rest - middle, axis=1))
        far = np.full(len(place), np.inf)
        for k in range(1, count):
            far = np.minimum(far, ((place - place[chosen[k - 1]]) ** 2).sum(axis=1))
            chosen[k] = np.argmax(far)
        nearest = KDTree(place[chosen]).query(place)[1]
        areas = np.bincount(nearest, self.areas, minlength=count)
        return SurfacePoints(
            self.corners[chosen],
            self.weights[chosen],
            self.rest[chosen],
            self.normals[chosen],
            areas,
        )


def surface_points(body: Body) -> SurfacePoints:
    """Three points of each triangle of the surface that has a free vertex."""
    surface = body.mesh.surface
    surface = surface[(body.pattern.free[surface] >= 0).any(axis=1)]
    corners = body.mesh.vertices[surface]
    vectors = 0.5 * np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    areas = np.linalg.norm(vectors, axis=1)
    return SurfacePoints(
        corners=np.repeat(surface, 3, axis=0),
        weights=np.tile(_WEIGHTS, (len(surface), 1)),
        rest=(_WEIGHTS @ corners).reshape(-1, 3),
        normals=np.repeat(vectors / areas[:, None], 3, axis=0),
        areas=np.repeat(areas / 3.0, 3),
    )
