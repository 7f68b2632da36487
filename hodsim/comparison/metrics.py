"""How far a motion is from the full-space one, how far it went, and what it keeps."""

from __future__ import annotations

import numpy as np

from hodsim.fem import Body


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


def worst_vertex(motion: np.ndarray, truth: np.ndarray) -> float:
    """Largest |motion - truth| of any vertex at any time over the largest |truth|.

    Displacements [m] of the free degrees of freedom, shape (T + 1, 3k) each; nan where the truth
    does not move at all.
    """
    size = _lengths(truth).max()
    return float(_lengths(motion - truth).max() / size) if size > 0.0 else float("nan")


def energies(body: Body, u: np.ndarray, v: np.ndarray) -> np.ndarray:
    """Kinetic and elastic energy [J] together at each time, (T + 1,).

    From displacements u [m] and velocities v [m/s] of the free degrees of freedom, (T + 1, n_dofs).
    """
    pairs = zip(u, v, strict=True)
    return np.array([body.kinetic_energy(dp) + body.energy(p) for p, dp in pairs])


def energy_error(motion: np.ndarray, truth: np.ndarray) -> float:
    """Largest |E - E_full| over the times over the largest E_full [J], both (T + 1,)."""
    size = truth.max()
    return float(np.abs(motion - truth).max() / size) if size > 0.0 else float("nan")


def volume_change(body: Body, u: np.ndarray) -> float:
    """Largest |V / V_0 - 1| of the whole body over the times, from u [m], (T + 1, n_dofs).

    Six times the volume is the sum of det[a b c] over the boundary's triangles (Gauss).
    """
    x = body.mesh.vertices + body.expand(np.concatenate([np.zeros((1, body.n_dofs)), u]))
    # About its middle: far from the origin the sum would cancel.
    x = x - x.mean(axis=1, keepdims=True)
    a, b, c = (x[:, body.mesh.surface[:, k]] for k in range(3))
    volumes = np.einsum("tij,tij->t", a, np.cross(b, c)) / 6.0
    return float(np.abs(volumes[1:] / volumes[0] - 1.0).max())


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


def _lengths(u: np.ndarray) -> np.ndarray:
    """Length of each vertex's vector, (T + 1, k), of vectors (T + 1, 3k)."""
    return np.asarray(np.linalg.norm(u.reshape(len(u), -1, 3), axis=2))
