"""A coloured surface as many copies of one right-angled triangle.

In viser a mesh has one colour, or colours that cannot be changed without a flicker; copies of a
mesh are moved, stretched and coloured at any rate. An altitude cuts any triangle into two
right-angled ones, and each of those is a stretched copy of the same one.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

# The copied triangle, and its face: a right angle at the origin, legs of length 1 along x and y.
CORNERS = np.array([[0.0, 0.0, 0.0], [1.0, 0.0, 0.0], [0.0, 1.0, 0.0]])
FACE = np.array([[0, 1, 2]])


@dataclass(frozen=True)
class Halves:
    """Copies of the triangle: first one half of every triangle of a surface, then the other.

    Attributes
    ----------
    places
        Of the right angles [m], (2 m, 3).
    turns
        Quaternions w, x, y, z, (2 m, 4).
    sizes
        Lengths of the legs [m], and 1 across, (2 m, 3).
    colours
        RGB in the middle of each, (2 m, 3).
    """

    places: np.ndarray
    turns: np.ndarray
    sizes: np.ndarray
    colours: np.ndarray


def halves(positions: np.ndarray, faces: np.ndarray, colours: np.ndarray) -> Halves:
    """Cut triangles into right-angled ones.

    Parameters
    ----------
    positions
        Of vertices [m], (n, 3).
    faces
        Corners of the triangles, (m, 3).
    colours
        RGB at the vertices, (n, 3).
    """
    start, end, apex = _longest_first(positions, faces)
    base = positions[end] - positions[start]
    side = positions[apex] - positions[start]
    square = np.maximum((base * base).sum(axis=1), np.finfo(np.float64).tiny)
    share = np.clip((side * base).sum(axis=1) / square, 0.0, 1.0)[:, None]
    foot = positions[start] + share * base
    length, height = np.sqrt(square), np.linalg.norm(positions[apex] - foot, axis=1)
    along = base / length[:, None]
    up = _across(positions[apex] - foot, along)
    second = _quaternions(along, up)
    w, x, y, z = second.T
    # The first half's legs are those of the second, a quarter of a turn on.
    first = np.sqrt(0.5) * np.stack([w - z, x + y, y - x, z + w], axis=1)
    left, right, one = share[:, 0] * length, (1.0 - share[:, 0]) * length, np.ones(len(length))
    between = (1.0 - share) * colours[start] + share * colours[end]
    sums = between + colours[apex]
    return Halves(
        np.concatenate([foot, foot]),
        np.concatenate([first, second]),
        np.concatenate(
            [np.stack([height, left, one], axis=1), np.stack([right, height, one], axis=1)]
        ),
        np.concatenate([sums + colours[start], sums + colours[end]]) / 3.0,
    )


def _longest_first(
    positions: np.ndarray, faces: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The corners of each triangle, (m,) each, turned so that its longest edge comes first: the
    altitude on that edge falls within it."""
    x = positions[faces]
    edges = np.roll(x, -1, axis=1) - x
    longest = (edges * edges).sum(axis=2).argmax(axis=1)
    rows = np.arange(len(faces))
    start, end, apex = (faces[rows, (longest + k) % 3] for k in range(3))
    return start, end, apex


def _across(rough: np.ndarray, along: np.ndarray) -> np.ndarray:
    """Unit vectors (m, 3) in the direction of `rough`, made square to `along`; any one that is
    square to it for a triangle without area."""
    v = rough - (rough * along).sum(axis=1, keepdims=True) * along
    size = np.linalg.norm(v, axis=1, keepdims=True)
    axis = np.eye(3)[np.abs(along).argmin(axis=1)]
    other = np.cross(along, axis)
    flat = size <= 1e-12
    v = np.where(flat, other, v)
    return v / np.maximum(np.linalg.norm(v, axis=1, keepdims=True), np.finfo(np.float64).tiny)


def _quaternions(along: np.ndarray, up: np.ndarray) -> np.ndarray:
    """Turns w, x, y, z (m, 4) that take the x axis to `along` and the y axis to `up`."""
    from scipy.spatial.transform import Rotation

    none = ~np.any(along, axis=1)  # a triangle that is a point
    along = np.where(none[:, None], [1.0, 0.0, 0.0], along)
    up = np.where(none[:, None], [0.0, 1.0, 0.0], up)
    matrices = np.stack([along, up, np.cross(along, up)], axis=2)
    return np.roll(Rotation.from_matrix(matrices).as_quat(), 1, axis=1)
