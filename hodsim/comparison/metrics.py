"""How far a motion is from the full-space one: at the tip, over the body, and how far it went."""

from __future__ import annotations

import numpy as np

from hodsim.fem import Body

# Rest positions that differ by less than this part of the body's length stand in one plane.
_SAME_PLANE = 1e-6


def tip_vertices(body: Body) -> np.ndarray:
    """Indices of the vertices of the free end face, ascending, shape (k,).

    These are all free vertices whose distance from the clamped ones, along the longest axis of the
    mesh's bounding box, is the largest (to 1e-6 of that axis): for a beam clamped at one end all
    vertices of its other end face, for one clamped at both ends those of its middle. Where nothing
    is clamped, the end with the largest coordinate is the tip.
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
    return np.asarray(free[far])


def dofs_of(free_vertices: np.ndarray, vertices: np.ndarray) -> np.ndarray:
    """Free degrees of freedom of free vertices (k,): x, y, z of each in turn, shape (3k,)."""
    places = np.searchsorted(free_vertices, vertices)
    return np.asarray((3 * places[:, None] + np.arange(3)).ravel())


def relative_rms(motion: np.ndarray, truth: np.ndarray, mass: np.ndarray | None = None) -> float:
    """RMS of |motion - truth| over RMS of |truth|, over steps and degrees of freedom.

    Parameters
    ----------
    motion, truth
        Displacements [m] or velocities [m/s], shape (T + 1, k).
    mass
        Weights of the degrees of freedom [kg], shape (k,); equal unless given.

    Returns
    -------
    The ratio; nan where the truth does not move at all.
    """
    weight = np.ones(truth.shape[1]) if mass is None else mass
    size = float(np.sqrt((truth**2 @ weight).sum()))
    error = float(np.sqrt(((motion - truth) ** 2 @ weight).sum()))
    return error / size if size > 0.0 else float("nan")


def error_over_time(motion: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """RMS of |motion - truth| at each time over the RMS of |truth| over all times.

    Shape (S + 1,) for a motion (S + 1, k) that may be shorter than the truth (T + 1, k).
    """
    size = np.sqrt((truth**2).mean())
    return np.asarray(np.sqrt(((motion - truth[: len(motion)]) ** 2).mean(axis=1)) / size)


def travel(u: np.ndarray) -> np.ndarray:
    """Distance [m] of the centroid from rest at each time, (T + 1,), from u [m] (T + 1, 3k)."""
    return np.asarray(np.linalg.norm(u.reshape(len(u), -1, 3).mean(axis=1), axis=1))


def turn(rest: np.ndarray, u: np.ndarray, axis: int = 0) -> np.ndarray:
    """Angle [degrees] by which vertices turned about a coordinate axis, unwrapped, (T + 1,).

    At each time the rotation about `axis` that fits the moved vertices best (least squares, about
    their centroid): tan(angle) = sum(r x s) / sum(r . s) in the plane across the axis.

    Parameters
    ----------
    rest
        Rest positions [m], shape (k, 3).
    u
        Displacements [m], shape (T + 1, 3k).
    """
    across = [(axis + 1) % 3, (axis + 2) % 3]
    r = (rest - rest.mean(axis=0))[:, across]
    s = r + (u.reshape(len(u), -1, 3) - u.reshape(len(u), -1, 3).mean(axis=1)[:, None])[..., across]
    crossed = (r[:, 0] * s[..., 1] - r[:, 1] * s[..., 0]).sum(axis=1)
    dotted = (r * s).sum(axis=(1, 2))
    return np.asarray(np.degrees(np.unwrap(np.arctan2(crossed, dotted))))
