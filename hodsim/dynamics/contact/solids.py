"""Shapes as signed distances: how far a point is outside of a solid, and along which normal."""

from __future__ import annotations

from typing import Protocol

import numpy as np
from scipy.spatial.transform import Rotation

from hodsim.scene import Shape


class Solid(Protocol):
    """A signed distance function phi [m], below 0 within the solid."""

    def distance(self, x: np.ndarray) -> np.ndarray:
        """phi [m] at points x [m] (n, 3), shape (n,)."""

    def geometry(self, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The normal n = grad phi, (n, 3), of length 1, and the curvature D^2 phi [1/m], (n, 3, 3).

        Where phi has a crease (a sphere's centre, the middle planes deep in a box) n is that of one
        side.
        """


class HalfSpace:
    """phi = n . (x - p)."""

    def __init__(self, shape: Shape) -> None:
        self._point, normal = np.array(shape.point), np.array(shape.normal)
        self._normal = normal / np.linalg.norm(normal)

    def distance(self, x: np.ndarray) -> np.ndarray:
        return np.asarray((x - self._point) @ self._normal)

    def geometry(self, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return np.tile(self._normal, (len(x), 1)), np.zeros((len(x), 3, 3))


class Ball:
    """phi = |x - c| - r."""

    def __init__(self, shape: Shape) -> None:
        self._center, self._radius = np.array(shape.center), shape.radius

    def distance(self, x: np.ndarray) -> np.ndarray:
        return np.asarray(np.linalg.norm(x - self._center, axis=1) - self._radius)

    def geometry(self, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return _radial(x - self._center, np.ones_like(x))


class Box:
    """A box of half sizes b - r, grown by the radius r of its edges.

    With y the point in the box's own axes and q = |y| - (b - r): phi = |max(q, 0)| - r outside of
    the smaller box, and max_i q_i - r within it. Down to depth r, phi has a continuous gradient.
    """

    def __init__(self, shape: Shape) -> None:
        assert shape.rounding is not None
        self._center, self._rounding = np.array(shape.center), shape.rounding
        self._half = 0.5 * np.array(shape.size) - shape.rounding
        turn = np.radians(np.array(shape.turn or (0.0, 0.0, 0.0)))
        self._axes = Rotation.from_rotvec(turn).as_matrix()  # columns

    def _local(self, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        y = (x - self._center) @ self._axes
        return np.where(y < 0.0, -1.0, 1.0), np.abs(y) - self._half

    def distance(self, x: np.ndarray) -> np.ndarray:
        q = self._local(x)[1]
        outside = np.linalg.norm(np.maximum(q, 0.0), axis=1)
        return np.asarray(outside + np.minimum(q.max(axis=1), 0.0) - self._rounding)

    def geometry(self, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        side, q = self._local(x)
        beyond = (q > 0.0).astype(np.float64)
        n, H = _radial(side * np.maximum(q, 0.0), beyond)
        deep = np.flatnonzero(~beyond.any(axis=1))
        face = q[deep].argmax(axis=1)
        n[deep], H[deep] = 0.0, 0.0
        n[deep, face] = side[deep, face]
        return n @ self._axes.T, self._axes @ H @ self._axes.T


def _radial(d: np.ndarray, along: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """n = d / |d| and (diag(along) - n n^T) / |d|; straight up and flat where d = 0."""
    length = np.linalg.norm(d, axis=1)
    middle = length == 0.0
    length = np.where(middle, 1.0, length)
    n = d / length[:, None]
    n[middle] = (0.0, 0.0, 1.0)
    H = (along[:, :, None] * np.eye(3) - n[:, :, None] * n[:, None, :]) / length[:, None, None]
    H[middle] = 0.0
    return n, H


_SOLIDS: dict[str, type[HalfSpace] | type[Ball] | type[Box]] = {
    "half_space": HalfSpace,
    "sphere": Ball,
    "box": Box,
}


def solid_of(shape: Shape) -> Solid:
    """The distance function of a shape."""
    return _SOLIDS[shape.kind](shape)
