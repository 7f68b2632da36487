"""Many bodies, many steps, one launch: a block of threads each on CUDA, shared out on the CPU."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from hodsim.dynamics.compiled.launches import Output
from hodsim.dynamics.compiled.plan import NOT_TAKEN, STATUSES
from hodsim.dynamics.compiled.space import CompiledSpace
from hodsim.errors import InputError


@dataclass(frozen=True)
class Batch:
    """The motions of N bodies over T steps.

    Attributes
    ----------
    q
        Latent coordinates after each step, (T, N, r); where a body's step failed, and after it,
        those of its last good step.
    z, dz
        Features and their rates, (T, N, w), or (0, N, w) where they were not kept.
    statuses
        How each step ended, (T, N): as `NewtonResult.status`, or "not_taken" after a failure.
    iterations, residuals
        Newton iterations and relative residual of each step, (T, N).
    """

    q: np.ndarray
    z: np.ndarray
    dz: np.ndarray
    statuses: np.ndarray
    iterations: np.ndarray
    residuals: np.ndarray

    @property
    def converged(self) -> np.ndarray:
        """Whether every step of each body was taken, (N,)."""
        return np.asarray((self.statuses == "converged").all(axis=0))


def simulate_batch(
    space: CompiledSpace,
    q: np.ndarray | None = None,
    v: np.ndarray | None = None,
    steps: int = 1,
    *,
    amplitudes: np.ndarray | None = None,
    scales: np.ndarray | None = None,
    features: bool = True,
    workers: int | None = None,
) -> Batch:
    """Take so many steps of all of the space's bodies from t = 0, in one launch.

    A body whose step fails stays at its last good state, and its later steps are "not_taken":
    steps are not taken in parts here, as `Substepping` does for one body.

    Parameters
    ----------
    space
        Made for as many `bodies`. What was `apply`-ed to each acts throughout. Obstacles are not
        met: a `TouchingSpace` is refused.
    q, v
        Latent coordinates and rates [1/s] at the start, (N, r); rest unless given.
    steps
        T.
    amplitudes
        The loads' amplitudes at the end of each step, three a load in the unit of its kind,
        (T, 3 n_loads) for all bodies or (T, N, 3 n_loads); those of the loads unless given.
    scales
        What each body's amplitudes are multiplied by, (N,) or (N, 3 n_loads); 1 unless given.
    features
        Whether to keep z and dz.
    workers
        CPU threads that share the bodies, at most N; all that the process may use unless given.

    Raises
    ------
    InputError
        An array of another shape or not finite, a number below 1, or another space.
    """
    if not isinstance(space, CompiledSpace):
        raise InputError(
            "simulate_batch: expected a CompiledSpace, which meets no obstacles, given "
            f"{type(space).__name__}; simulate scenes with obstacles one by one"
        )
    n, r, k = space.bodies, space.subspace.rank, space.launcher.plan.amplitudes
    if steps < 1:
        raise InputError(f"steps: expected at least 1, given {steps}")
    if workers is not None and workers < 1:
        raise InputError(f"workers: expected at least 1, given {workers}")
    q = np.zeros((n, r)) if q is None else _array("q", q, (n, r))
    v = np.zeros((n, r)) if v is None else _array("v", v, (n, r))
    if amplitudes is None:
        times = space.h * np.arange(1, steps + 1)
        amplitudes = np.array([space.amplitudes_at(t) for t in times])
    amplitudes = np.asarray(amplitudes, dtype=np.float64)
    if amplitudes.shape == (steps, k):
        amplitudes = amplitudes[:, None]
    several = n if amplitudes.shape == (steps, n, k) else 1
    amplitudes = _array("amplitudes", amplitudes, (steps, several, k))
    if scales is None:
        scales = np.ones((n, k))
    scales = np.asarray(scales, dtype=np.float64)
    if scales.shape == (n,):
        scales = np.repeat(scales[:, None], k, axis=1)
    scales = _array("scales", scales, (n, k))

    launcher = space.launcher
    out = launcher.output(steps, several, latent=steps, features=steps if features else 0)
    space.begin(q, v, scales)
    if k:
        out.amplitudes.assign(amplitudes.astype(space.dtype))
    if launcher.device.is_cuda:
        run = launcher.record(out, steps, launcher.scratch(n), count=n, fresh=True)
        run.launch()  # `run` and its memory live until the results are read below
    else:
        _on_threads(space, out, steps, workers)
    names = np.array([*STATUSES, "not_taken"])
    codes = out.status.numpy()
    return Batch(
        q=out.latent.numpy().astype(np.float64),
        z=out.features.numpy().astype(np.float64),
        dz=out.velocities.numpy().astype(np.float64),
        statuses=names[np.where(codes == NOT_TAKEN, len(STATUSES), codes)],
        iterations=out.iterations.numpy().astype(np.int64),
        residuals=out.relative.numpy().astype(np.float64),
    )


def _on_threads(space: CompiledSpace, out: Output, steps: int, workers: int | None) -> None:
    """Even shares of the bodies, one thread and one row of scratch each: a launch holds no lock."""
    n, launcher = space.bodies, space.launcher
    workers = min(workers or len(os.sched_getaffinity(0)), n)
    ends = [n * i // workers for i in range(workers + 1)]
    scratch = launcher.scratch(workers)
    mine, *others = [
        launcher.record(out, steps, scratch, a, b - a, row, fresh=True)
        for row, (a, b) in enumerate(pairwise(ends))
    ]
    if not others:
        mine.launch()
        return
    with ThreadPoolExecutor(len(others)) as pool:
        waiting = [pool.submit(other.launch) for other in others]
        mine.launch()
        for done in waiting:
            done.result()


def _array(name: str, given: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    array = np.asarray(given, dtype=np.float64)
    if array.shape != shape or not np.isfinite(array).all():
        raise InputError(
            f"{name}: expected finite numbers of shape {shape}, given {array.shape} or NaN or inf"
        )
    return array
