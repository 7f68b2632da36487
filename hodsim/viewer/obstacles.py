"""Obstacles as triangles, for pictures and windows."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.spatial.transform import Rotation

from hodsim.scene import Obstacle, Shape

GREY = (0.62, 0.65, 0.70)
_AROUND = 48  # points around a sphere
_CORNER = 4  # points along the quarter circle of a box's edge
_TILES = 12  # along a plane's side


@dataclass(frozen=True, eq=False)
class Surface:
    """Triangles (m, 3) over vertices [m] (n, 3), counter-clockwise seen from outside."""

    vertices: np.ndarray
    triangles: np.ndarray


def surface_of(obstacle: Obstacle, low: np.ndarray, high: np.ndarray) -> Surface:
    """What is drawn of an obstacle near a body whose box at rest reaches from `low` to `high` [m].

    Of a half-space that is a piece of its plane below the body.
    """
    shape = obstacle.shape
    if shape.kind == "half_space":
        return _plane(shape, (low + high) / 2.0, 0.8 * float(np.linalg.norm(high - low)))
    directions, triangles = _sphere()
    if shape.kind == "sphere":
        assert shape.radius is not None
        return Surface(np.array(shape.center) + shape.radius * directions, triangles)
    return _box(shape)


def _plane(shape: Shape, middle: np.ndarray, half: float) -> Surface:
    n = np.array(shape.normal)
    n = n / np.linalg.norm(n)
    # Along x where that lies in the plane, so that floors lie as bodies do.
    side = np.eye(3)[0] if abs(n[0]) < 0.9 else np.eye(3)[1]
    across = np.cross(n, side)
    across /= np.linalg.norm(across)
    along = np.cross(across, n)
    foot = middle - ((middle - np.array(shape.point)) @ n) * n
    s = np.linspace(-half, half, _TILES + 1)
    grid = foot + s[:, None, None] * along + s[:, None] * across
    return Surface(grid.reshape(-1, 3), _grid(_TILES + 1, _TILES + 1))


def _sphere() -> tuple[np.ndarray, np.ndarray]:
    """Unit vectors by latitude and longitude, and the triangles between them."""
    above = np.linspace(-np.pi / 2, np.pi / 2, _AROUND // 2 + 1)[:, None]
    around = np.linspace(0.0, 2 * np.pi, _AROUND + 1)
    x, y = np.cos(above) * np.cos(around), np.cos(above) * np.sin(around)
    z = np.sin(above) * np.ones_like(around)
    directions = np.stack([x, y, z], axis=-1).reshape(-1, 3)
    return directions, _grid(len(above), len(around))[:, [0, 2, 1]]


def _box(shape: Shape) -> Surface:
    """A sphere's surface cut at its three middle planes, the parts drawn apart to the corners."""
    assert shape.rounding is not None
    # Twice each angle at which the middle planes cut: what lies between becomes faces.
    quarter = np.linspace(0.0, np.pi / 2, _CORNER + 1)
    around = np.concatenate([k * np.pi / 2 + quarter for k in range(4)] + [[2 * np.pi]])
    above = np.concatenate([quarter - np.pi / 2, quarter])
    sign = [np.repeat(s, _CORNER + 1) for s in ([1, -1, -1, 1], [1, 1, -1, -1])]
    corner = np.stack([np.append(s, 1.0) for s in sign])  # of x and y, along `around`
    top = np.repeat([-1.0, 1.0], _CORNER + 1)
    u, w = above[:, None], around
    round_ = np.stack(
        [np.cos(u) * np.cos(w), np.cos(u) * np.sin(w), np.sin(u) * np.ones_like(w)], axis=-1
    )
    corners = np.stack(np.broadcast_arrays(corner[0], corner[1], top[:, None]), axis=-1)
    half = 0.5 * np.array(shape.size) - shape.rounding
    y = (corners * half + shape.rounding * round_).reshape(-1, 3)
    rows, columns = len(above), len(around)
    triangles = _grid(rows, columns)[:, [0, 2, 1]]
    # The two flat ends: each end's row runs around the rectangle that closes it.
    ring = np.arange(columns - 1)
    bottom, lid = ring, (rows - 1) * columns + ring
    triangles = np.concatenate([triangles, _fan(bottom[::-1]), _fan(lid)])
    turn = Rotation.from_rotvec(np.radians(np.array(shape.turn or (0.0, 0.0, 0.0))))
    return Surface(np.array(shape.center) + turn.apply(y), triangles)


def _fan(ring: np.ndarray) -> np.ndarray:
    return np.stack([np.full(len(ring) - 2, ring[0]), ring[1:-1], ring[2:]], axis=1)


def _grid(rows: int, columns: int) -> np.ndarray:
    """Two triangles for each cell of a grid of points, row by row."""
    k = (np.arange(rows - 1)[:, None] * columns + np.arange(columns - 1)).ravel()
    a, b, c, d = k, k + columns, k + columns + 1, k + 1
    return np.concatenate([np.stack([a, b, c], axis=1), np.stack([a, c, d], axis=1)])
