"""What an obstacle does to points of a surface: a penalty pressure, and Coulomb friction.

At depth d = -phi(x) a point that stands for the area a is pushed out along n = grad phi by
N = a psi'(d); its potential is a psi(d). While it slips with v_t = (1 - n n^T) v, friction opposes
it by mu N g(|v_t|) v_t, where g(s) = (2 - s/e)/e below the speed e and 1/s above: the mollifier of
Li et al. 2020 (Incremental Potential Contact, Eq. 13), in speeds. Neither N nor n is lagged: both
are those of the end of the step, so an accepted step obeys Coulomb's law as it stands.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from hodsim.dynamics.contact.solids import Solid, solid_of
from hodsim.scene import Obstacle


@dataclass(frozen=True)
class Tangent:
    """Derivatives of the forces on k points, each (k, 3, 3) [N/m or N s/m].

    `points` (k,) says which points those are; one that two obstacles touch comes twice. `push` is
    the pressure's derivative by position, symmetric; `drag` and `brake` are friction's by position
    and by velocity, of which only `brake` is symmetric (and negative semidefinite).
    """

    points: np.ndarray
    push: np.ndarray
    drag: np.ndarray
    brake: np.ndarray


class Law:
    """The forces of some obstacles on points that stand for the areas [m^2], shape (n,)."""

    def __init__(
        self,
        obstacles: tuple[Obstacle, ...],
        areas: np.ndarray,
        solids: tuple[Solid, ...] | None = None,
    ) -> None:
        self.obstacles, self.areas = obstacles, areas
        self._solids = solids or tuple(solid_of(obstacle.shape) for obstacle in obstacles)

    def at(self, points: np.ndarray) -> Law:
        """The same obstacles on some of the points."""
        return Law(self.obstacles, self.areas[points], self._solids)

    def energy(self, x: np.ndarray) -> float:
        """The pressures' potential [J] at points x [m], (n, 3)."""
        total = 0.0
        for obstacle, solid in zip(self.obstacles, self._solids, strict=True):
            depth = np.maximum(-solid.distance(x), 0.0)
            total += float(self.areas @ potential(obstacle, depth))
        return total

    def touched(self, x: np.ndarray) -> np.ndarray:
        """Depth [m] in the obstacle that a point is deepest in, (n,); at most 0 outside of all."""
        return np.max([-solid.distance(x) for solid in self._solids], axis=0)

    def force(self, x: np.ndarray, v: np.ndarray) -> np.ndarray:
        """Forces [N] on points x [m] that move with v [m/s], (n, 3) each."""
        out = np.zeros_like(x)
        for obstacle, solid in zip(self.obstacles, self._solids, strict=True):
            phi = solid.distance(x)
            k = np.flatnonzero(phi < 0.0)
            if not len(k):
                continue
            n, _ = solid.geometry(x[k])
            N = self.areas[k] * pressure(obstacle, -phi[k])
            out[k] += N[:, None] * n
            if obstacle.friction:
                slip = v[k] - _dot(v[k], n)[:, None] * n
                g, _ = _mollifier(np.linalg.norm(slip, axis=1), obstacle.slip)
                out[k] -= (obstacle.friction * N * g)[:, None] * slip
        return out

    def tangent(self, x: np.ndarray, v: np.ndarray) -> Tangent:
        """Derivatives of `force`."""
        parts = []
        for obstacle, solid in zip(self.obstacles, self._solids, strict=True):
            phi = solid.distance(x)
            k = np.flatnonzero(phi < 0.0)
            n, H = solid.geometry(x[k])
            a = self.areas[k][:, None]
            N = a * pressure(obstacle, -phi[k])[:, None]
            dN = -a * steepness(obstacle, -phi[k])[:, None] * n
            push = _outer(n, dN) + N[:, :, None] * H
            drag, brake = np.zeros_like(push), np.zeros_like(push)
            if obstacle.friction:
                along = _dot(v[k], n)
                slip = v[k] - along[:, None] * n
                s = np.linalg.norm(slip, axis=1)
                g, dg = _mollifier(s, obstacle.slip)
                # D (g v_t) = g + (g'/s) v_t v_t^T, and D v_t by position through n alone.
                D = g[:, None, None] * np.eye(3) + dg[:, None, None] * _outer(slip, slip)
                turned = (H @ v[k][:, :, None])[:, :, 0]
                by_place = -(along[:, None, None] * H + _outer(n, turned))
                mu = -obstacle.friction
                drag = mu * (_outer(g[:, None] * slip, dN) + N[:, :, None] * (D @ by_place))
                brake = mu * N[:, :, None] * (D - g[:, None, None] * _outer(n, n))
            parts.append((k, push, drag, brake))
        return Tangent(*(np.concatenate(part) for part in zip(*parts, strict=True)))


def potential(obstacle: Obstacle, depth: np.ndarray) -> np.ndarray:
    """psi [J/m^2] at depths [m] of at least 0."""
    k, e = obstacle.stiffness, obstacle.smoothing
    if e == 0.0:
        return 0.5 * k * depth**2
    near = k * depth**3 / (6.0 * e)
    return np.where(depth < e, near, 0.5 * k * (depth - 0.5 * e) ** 2 + k * e * e / 24.0)


def pressure(obstacle: Obstacle, depth: np.ndarray) -> np.ndarray:
    """psi' [N/m^2]."""
    k, e = obstacle.stiffness, obstacle.smoothing
    if e == 0.0:
        return k * depth
    return np.where(depth < e, 0.5 * k * depth**2 / e, k * (depth - 0.5 * e))


def steepness(obstacle: Obstacle, depth: np.ndarray) -> np.ndarray:
    """psi'' [N/m^3]."""
    k, e = obstacle.stiffness, obstacle.smoothing
    return np.full_like(depth, k) if e == 0.0 else k * np.minimum(depth / e, 1.0)


def _mollifier(s: np.ndarray, e: float) -> tuple[np.ndarray, np.ndarray]:
    """g(s) [s/m] and g'(s)/s, for speeds s [m/s] of at least 0."""
    # Where nothing slips g'/s is multiplied by v_t v_t^T = 0.
    safe = np.maximum(s, np.finfo(np.float64).tiny ** 0.25)
    return (
        np.where(s < e, (2.0 - s / e) / e, 1.0 / safe),
        np.where(s < e, -1.0 / (e * e * safe), -1.0 / safe**3),
    )


def _dot(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return np.asarray((a * b).sum(axis=1))


def _outer(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return np.asarray(a[:, :, None] * b[:, None, :])
