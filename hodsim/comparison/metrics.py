"""How far a motion is from the full-space one: at the tip, over the body, and how far it went."""

from __future__ import annotations

import numpy as np


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
