"""What a live simulation shows of itself: plain arrays, and nothing that solves."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Frame:
    """One body after one step.

    Attributes
    ----------
    step, t
        Steps taken since the last reset, and simulated time [s].
    q
        Latent coordinates, shape (r,); empty in full space.
    z, dz
        Features and their rates, shape (w,): `LaneInfo.displacement` makes displacements of them.
    iterations, step_ms
        Newton iterations of the step and its wall time [ms]; 0 at rest.
    reach
        How far outside the training range the pose is: up to 1 inside, above 1 outside, nan where
        nothing is known (full space).
    held
        Steps since the last reset that did not converge, so that the body was held still.
    """

    step: int
    t: float
    q: np.ndarray
    z: np.ndarray
    dz: np.ndarray
    iterations: int
    step_ms: float
    reach: float
    held: int


@dataclass(frozen=True)
class LaneInfo:
    """One of the bodies that are simulated side by side.

    Attributes
    ----------
    label
        "full", "pca-6", "quadratic-6", "hod-6".
    rank
        Latent coordinates; 0 in full space.
    basis
        B (n_dofs, w), float64; None in full space, where z is the displacement itself.
    low, high
        Range of each latent coordinate over training, (r,), for sliders; empty in full space.
    tets
        Tets that give its elastic forces.
    """

    label: str
    rank: int
    basis: np.ndarray | None
    low: np.ndarray
    high: np.ndarray
    tets: int

    def displacement(self, z: np.ndarray) -> np.ndarray:
        """u = B z, displacements [m] (or velocities [m/s] of dz), (..., n_dofs) of (..., w)."""
        return z if self.basis is None else np.asarray(z @ self.basis.T)


@dataclass(frozen=True)
class LaneStatus:
    """How a lane keeps up: `lag` [s of simulated time] behind the clock, and steps a second of wall
    time over about the last second."""

    step: int
    lag: float
    steps_per_second: float


@dataclass(frozen=True)
class Status:
    """The clock: `clock` is the step that every lane is to reach, `t` its time [s], `rate`
    simulated over wall seconds as asked for; `lanes` goes by label. `note` is the last thing worth
    saying, "" for nothing."""

    playing: bool
    clock: int
    t: float
    rate: float
    together: bool
    lanes: dict[str, LaneStatus]
    note: str
