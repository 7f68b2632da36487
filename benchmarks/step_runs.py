"""Contenders of benchmarks/step.py: each takes the scene's steps, in turn with the others."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from statistics import median
from typing import Any, Final

import numpy as np

from hodsim.dynamics import NewtonResult, State
from hodsim.dynamics.compiled import CompiledSpace, simulate_batch
from hodsim.errors import ConvergenceError

# Steps that a contender takes before the next one's turn: the first finds its data out of cache.
TURN: Final = 8
# Bodies that are run singly, under the loads that as many have in a batch.
_RUNS: Final = 10


@dataclass
class Contender:
    """One way to step a body.

    Attributes
    ----------
    subspace, rank, tets, dtype, bodies
        As in the row.
    take
        One timed call; returns Newton iterations (mean of a batch's).
    units
        Steps of single bodies in a call.
    most
        Calls to be timed; as many as the scene has steps if None.
    space
        The compiled step whose products are its floor, or None.
    basis
        B, where its displacements are to be compared with full space.
    restart
        Back to the scene's start.
    """

    subspace: str
    rank: int | None
    tets: int
    take: Callable[[], float]
    restart: Callable[[], None]
    dtype: str = "float64"
    bodies: int = 1
    units: int = 1
    most: int | None = None
    space: CompiledSpace | None = None
    basis: np.ndarray | None = None
    notes: list[str] = field(default_factory=list)
    wall: list[float] = field(default_factory=list)
    cpu: list[float] = field(default_factory=list)
    iterations: list[float] = field(default_factory=list)
    poses: list[np.ndarray] = field(default_factory=list)
    last: Callable[[], np.ndarray] | None = None

    @property
    def full(self) -> bool:
        return self.subspace == "full"

    def timed(self, keep: bool) -> None:
        """One call, its times [ms] a step of one body, and the pose after it if `keep`."""
        cpu, wall = time.process_time(), time.perf_counter()
        iterations = self.take()
        wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
        self.wall.append(1e3 * wall / self.units)
        self.cpu.append(1e3 * cpu / self.units)
        self.iterations.append(iterations)
        if keep and self.last is not None:
            self.poses.append(self.last())

    def cpu_ms(self, calls: int | None = None) -> float:
        """Median CPU time [ms] over the first calls."""
        return median(self.cpu[:calls])

    def wall_ms(self, calls: int | None = None) -> float:
        """Median wall time [ms] over the first calls."""
        return median(self.wall[:calls])


def stepping(subspace: str, rank: int | None, tets: int, integrator: Any, **more: Any) -> Contender:
    """A contender that steps an integrator through the scene, a call a step."""
    state: list[State] = [integrator.start()]

    def take() -> int:
        after, result = integrator.step(state[0])
        _good(result, subspace)
        state[0] = after
        return int(result.iterations)

    def restart() -> None:
        state[0] = integrator.start()

    return Contender(subspace, rank, tets, take, restart, last=lambda: state[0].z.copy(), **more)


def compiled(space: CompiledSpace, **more: Any) -> Contender:
    """A compiled step, a call of Python a step."""
    tets = space.body.mesh.n_tets if space.cubature is None else len(space.cubature.tets)
    s = space.subspace
    return stepping(
        s.kind, s.rank, tets, space, dtype=space.dtype, space=space, basis=s.basis, **more
    )


def batch(space: CompiledSpace, steps: int, rounds: int) -> Contender:
    """All bodies of a space through `steps` steps in one launch, each under other loads."""

    def take() -> float:
        scales = scales_of(space.bodies)
        out = simulate_batch(space, steps=steps, scales=scales, features=False, workers=1)
        if not out.converged.all():
            raise ConvergenceError(f"{int((~out.converged).sum())} of {space.bodies} bodies failed")
        return float(out.iterations.mean())

    return _many(space, take, space.bodies, steps, rounds)


def single_runs(space: CompiledSpace, steps: int, rounds: int) -> Contender:
    """One body after the other through `steps` steps, a call of Python a step."""
    rest = np.zeros((1, space.subspace.rank))

    def take() -> float:
        taken = 0
        for scale in scales_of(_RUNS):
            space.begin(rest, rest, np.full((1, len(space.amplitudes_at(0.0))), scale))
            state = space.start()
            for _ in range(steps):
                state, result = space.step(state)
                _good(result, "a single run")
                taken += result.iterations
        return taken / (_RUNS * steps)

    one = _many(space, take, 1, _RUNS * steps, rounds)
    one.notes.append(f"single runs: step() in a loop, loads of {_RUNS} bodies")
    return one


def scales_of(bodies: int) -> np.ndarray:
    """What each body's loads are multiplied by."""
    return np.linspace(0.5, 1.0, bodies) if bodies > 1 else np.ones(1)


def _many(
    space: CompiledSpace, take: Callable[[], float], bodies: int, steps: int, rounds: int
) -> Contender:
    s = space.subspace
    assert space.cubature is not None
    return Contender(
        s.kind,
        s.rank,
        len(space.cubature.tets),
        take,
        lambda: None,
        dtype=space.dtype,
        bodies=bodies,
        units=bodies * steps,
        most=rounds,
        space=space,
    )


def race(contenders: Sequence[Contender], steps: int, tell: Callable[[str], None]) -> None:
    """Every contender through the scene, some steps at a time, one after the other."""
    for one in contenders:
        tell(f"warming up {one.subspace}")
        one.take()
        if one.most is None:
            one.take()
        one.restart()
    shown = max((one.most or steps for one in contenders if one.full), default=0)
    done = 0
    while done < steps:
        tell(f"step {done} of {steps}")
        until = min(done + TURN, steps)
        for one in contenders:
            for _ in range(len(one.wall), min(until, steps if one.most is None else one.most)):
                one.timed(keep=len(one.wall) < shown)
        done = until


def _good(result: NewtonResult, what: str) -> None:
    if not result.converged:
        raise ConvergenceError(f"{what}: a step ended with {result.status}")
