"""States, trajectories, and the loop that every integrator shares."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from hodsim.dynamics.newton import NewtonResult
from hodsim.dynamics.schemes import Motion
from hodsim.errors import InputError


@dataclass(frozen=True)
class State:
    """A body at time t [s].

    `motion` is in the integrator's own coordinates. `z` and `dz` are the features: displacement
    u = B z [m] and velocity u' = B dz [m/s] for the subspace's basis B (B = 1 in full space).
    `features` is the motion of z, where a scheme differences z itself.
    """

    t: float
    motion: Motion
    z: np.ndarray
    dz: np.ndarray
    features: Motion | None = None


class Integrator(Protocol):
    """What `simulate` drives: full space, a reduced space, or a compiled step."""

    @property
    def h(self) -> float:
        """Length of the next step [s]."""

    def start(self) -> State:
        """The state at rest at t = 0."""

    def step(self, state: State) -> tuple[State, NewtonResult]:
        """The state one step on, and how Newton's method ended."""


@dataclass(frozen=True)
class Trajectory:
    """A simulated motion: T converged steps after the initial state.

    Attributes
    ----------
    times
        [s], shape (T + 1,).
    coordinates
        The integrator's coordinates (displacements or latent), shape (T + 1, r).
    z, dz
        Features and their rates, shape (T + 1, w): u = basis z.
    basis
        (n_dofs, w), or None in full space, where z is the displacement [m] itself.
    iterations, step_ms
        Newton iterations and wall time [ms] of each step, shape (T,).
    failure
        None, or why step T + 1 was not taken.
    held
        Steps that did not converge and through which the body was held still: see `hold`.
    """

    times: np.ndarray
    coordinates: np.ndarray
    z: np.ndarray
    dz: np.ndarray
    basis: np.ndarray | None
    iterations: np.ndarray
    step_ms: np.ndarray
    failure: str | None
    held: int = 0

    @property
    def converged(self) -> bool:
        """Whether every step asked for was taken, and none held."""
        return self.failure is None and not self.held

    def displacements(self, dofs: np.ndarray | slice = slice(None)) -> np.ndarray:
        """Displacements [m] of the free degrees of freedom `dofs`, shape (T + 1, k)."""
        return self.z[:, dofs] if self.basis is None else self.z @ self.basis[dofs].T

    def velocities(self, dofs: np.ndarray | slice = slice(None)) -> np.ndarray:
        """Velocities [m/s] of the free degrees of freedom `dofs`, shape (T + 1, k)."""
        return self.dz[:, dofs] if self.basis is None else self.dz @ self.basis[dofs].T


def hold(state: State, h: float) -> State:
    """The body as it stands, without speed, h [s] later.

    What a live simulation does with a step that does not converge, and says so: it cannot stop.
    """
    motion, features = state.motion, state.features
    still = Motion(motion.x, np.zeros_like(motion.v))
    if features is not None:
        features = Motion(features.x, np.zeros_like(features.v))
    return State(state.t + h, still, state.z, np.zeros_like(state.dz), features)


def simulate(
    integrator: Integrator,
    steps: int,
    *,
    basis: np.ndarray | None = None,
    start: State | None = None,
    on_failure: str = "raise",
    progress: Callable[[int], None] | None = None,
) -> Trajectory:
    """Take `steps` steps.

    A step that does not converge raises `ConvergenceError`, with `on_failure="stop"` ends the
    trajectory at the last good state and is told in `failure`, or with "hold" is one through which
    the body is held still, counted in `held`. Nothing is ever kept from a step that failed.
    `progress(k)` is called after step k.

    Raises `InputError` for another `on_failure`.
    """
    if on_failure not in ("raise", "stop", "hold"):
        raise InputError(
            f"on_failure: expected raise, stop or hold, given {on_failure!r}; choose one"
        )
    state = integrator.start() if start is None else start
    states, iterations, wall = [state], [], []
    failure, held = None, 0
    for k in range(1, steps + 1):
        began = time.perf_counter()
        after, result = integrator.step(state)
        took = 1e3 * (time.perf_counter() - began)
        if not result.converged:
            if on_failure == "raise":
                result.check(f"step {k} (t = {state.t + integrator.h:g} s)")
            if on_failure == "stop":
                failure = (
                    f"step {k} (t = {state.t + integrator.h:g} s): {result.status}, "
                    f"relative residual {result.residuals[-1]:.1e}"
                )
                break
            after, held = hold(after, integrator.h), held + 1
        state = after
        states.append(state)
        iterations.append(result.iterations)
        wall.append(took)
        if progress is not None:
            progress(k)
    return Trajectory(
        times=np.array([s.t for s in states]),
        coordinates=np.array([s.motion.x for s in states]),
        z=np.array([s.z for s in states]),
        dz=np.array([s.dz for s in states]),
        basis=basis,
        iterations=np.array(iterations, dtype=np.int64),
        step_ms=np.array(wall),
        failure=failure,
        held=held,
    )
