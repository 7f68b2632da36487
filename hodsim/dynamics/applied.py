"""Forces that a user applies while a simulation runs, besides the scene's loads."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from hodsim.errors import InputError
from hodsim.fem import Body, Loads
from hodsim.scene import Load

Vector = tuple[float, float, float]


@dataclass(frozen=True)
class Spring:
    """A spring of `stiffness` [N/m] from a vertex to a point `target` [m], of rest length 0.

    Raises
    ------
    InputError
        The target is not finite, or the stiffness not a finite number of at least 0.
    """

    vertex: int
    target: Vector
    stiffness: float

    def __post_init__(self) -> None:
        target = np.asarray(self.target, dtype=np.float64)
        if target.shape != (3,) or not np.isfinite(target).all():
            raise InputError(f"spring: expected a target of three finite numbers, given {target}")
        if not (np.isfinite(self.stiffness) and self.stiffness >= 0.0):
            raise InputError(
                f"spring: expected a stiffness of at least 0 N/m, given {self.stiffness}"
            )
        x, y, z = target.tolist()
        object.__setattr__(self, "target", (x, y, z))

    def place(self, body: Body) -> int:
        """Where the vertex stands among the free ones.

        Raises `InputError` for a clamped vertex or one that is not there.
        """
        n = body.mesh.n_vertices
        if not 0 <= self.vertex < n:
            raise InputError(f"spring: expected a vertex from 0 to {n - 1}, given {self.vertex}")
        free = int(body.pattern.free[self.vertex])
        if free < 0:
            raise InputError(
                f"spring: expected a vertex that moves, given the clamped one {self.vertex}"
            )
        return free

    def reduce(self, body: Body, basis: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(p, G) of its force p + G z on the features of u = B z, p (w,) and G (w, w): minus the
        gradient, by z, of stiffness/2 |X + B_v z - target|^2, X the vertex at rest and B_v its rows
        of the basis B (n_dofs, w)."""
        free = self.place(body)
        B, k = basis[3 * free : 3 * free + 3], self.stiffness
        return k * (np.array(self.target) - body.mesh.vertices[self.vertex]) @ B, -k * B.T @ B


@dataclass(frozen=True)
class Applied:
    """All that a user applies at one time: springs, and an acceleration of gravity [m/s^2], (3,),
    on top of what the scene has. Raises `InputError` for a gravity that is not finite."""

    springs: tuple[Spring, ...] = ()
    gravity: Vector = (0.0, 0.0, 0.0)

    def __post_init__(self) -> None:
        gravity = np.asarray(self.gravity, dtype=np.float64)
        if gravity.shape != (3,) or not np.isfinite(gravity).all():
            raise InputError(
                f"gravity: expected a finite acceleration (3,) [m/s^2], given {self.gravity!r}"
            )
        x, y, z = gravity.tolist()
        object.__setattr__(self, "gravity", (x, y, z))

    def reduce(
        self, body: Body, basis: np.ndarray, columns: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """(p, G) of the force p + G z on the features; `columns` (w, 3) is B^T of
        `gravity_columns`."""
        p, G = columns @ np.array(self.gravity), np.zeros((len(columns), len(columns)))
        for spring in self.springs:
            a, b = spring.reduce(body, basis)
            p, G = p + a, G + b
        return p, G


def gravity_columns(body: Body) -> np.ndarray:
    """M e for the unit accelerations e along x, y and z, (n_dofs, 3)."""
    return Loads(body, (Load("gravity", (0.0,), ((1.0, 1.0, 1.0),)),)).columns
