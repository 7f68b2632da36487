"""Which vertices are the tip of a body, whose motion stands for the whole in tables and plots."""

from __future__ import annotations

import numpy as np

from hodsim.fem.body import Body

# Rest positions that differ by less than this part of the body's length stand in one plane.
_SAME_PLANE = 1e-6
# Where no face stands across the far end, the tip is this part of the body's length.
_ROUND_TIP = 1 / 8


def tip_vertices(body: Body) -> np.ndarray:
    """Indices of the vertices of the free end face, ascending, shape (k,).

    These are all free vertices whose distance from the clamped ones, along the longest axis of the
    mesh's bounding box, is the largest (to 1e-6 of that axis): for a beam clamped at one end all
    vertices of its other end face, for one clamped at both ends those of its middle. Where these
    lie in a line, as on a round body, the tip is all free vertices whose distance is within an
    eighth of that axis of the largest. Where nothing is clamped, the end with the largest
    coordinate is the tip.
    """
    rest = body.mesh.vertices
    axis = int(np.argmax(np.ptp(rest, axis=0)))
    x = rest[:, axis]
    clamped = np.setdiff1d(np.arange(len(x)), body.free_vertices)
    if len(clamped):
        ends = np.unique(x[clamped])
        right = np.searchsorted(ends, x).clip(1, max(len(ends) - 1, 1))
        nearest = ends[np.stack([right - 1, np.minimum(right, len(ends) - 1)])]
        distance = np.abs(x - nearest).min(axis=0)
    else:
        distance = x - x.min()
    free = body.free_vertices
    far = distance[free] >= distance[free].max() - _SAME_PLANE * np.ptp(x)
    arms = rest[free[far]] - rest[free[far]].mean(axis=0)
    if np.linalg.matrix_rank(arms, tol=_SAME_PLANE * np.ptp(x)) < 2:
        far = distance[free] >= distance[free].max() - _ROUND_TIP * np.ptp(x)
    return np.asarray(free[far])


def dofs_of(free_vertices: np.ndarray, vertices: np.ndarray) -> np.ndarray:
    """Free degrees of freedom of free vertices (k,): x, y, z of each in turn, shape (3k,)."""
    places = np.searchsorted(free_vertices, vertices)
    return np.asarray((3 * places[:, None] + np.arange(3)).ravel())
