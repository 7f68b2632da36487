"""The same loads in full space and in subspaces, measured in one process, one after the other."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from hodsim.comparison.metrics import error_over_time, relative_rms, travel
from hodsim.cubature import Cubature
from hodsim.dynamics import Setup, Spec, Trajectory, setup_of, simulate
from hodsim.fem import Body, body_of, dofs_of, tip_vertices
from hodsim.mesh import TetMesh
from hodsim.scene import Scene
from hodsim.subspaces import Model

FULL = Spec("full")
Progress = Callable[[str, int, int], None]  # label of the run, steps done, steps in all


@dataclass(frozen=True)
class Run:
    """One motion, as reports give it. Errors and speed-up are against full space.

    Attributes
    ----------
    scene, subspace, rank
        What was run; `subspace` is "full", "pca", "quadratic" or "hod", `rank` None for full.
    tip_position_error, tip_velocity_error
        RMS over steps and tip vertices of the difference to full space over the RMS of the
        full-space motion: 0.01 is 1 %. None where the run or its reference stopped early.
    step_ms
        Median wall time of a step [ms], one thread; None where no step was taken.
    speedup
        Median full-space step time over this one's.
    newton_iterations
        Mean over the steps.
    converged
        Whether every step converged; where not, the run stopped and `failure` says why.
    label, formulation, terms, solver, integrator
        How: terms of Newton's matrix kept, sparse solver ("dense" in a subspace), time scheme.
    engine, tets
        "full", "compiled" or "reference", and how many tets give the elastic forces.
    steps, step, dofs
        Steps taken, their length [s], coordinates solved for.
    position_error, velocity_error
        As for the tip, but over all vertices, weighted by mass.
    """

    scene: str
    subspace: str
    rank: int | None
    tip_position_error: float | None
    tip_velocity_error: float | None
    step_ms: float | None
    speedup: float | None
    newton_iterations: float | None
    converged: bool
    failure: str | None
    label: str
    formulation: str | None
    terms: tuple[str, ...]
    solver: str
    integrator: str
    steps: int
    step: float
    dofs: int
    position_error: float | None
    velocity_error: float | None
    max_newton_iterations: int | None
    engine: str
    tets: int

    def to_dict(self) -> dict[str, Any]:
        """All of it, ready for JSON."""
        return asdict(self)


@dataclass(frozen=True)
class Play:
    """Every run of one scene, with the motions themselves; arrays only, so processes can pass it.

    `trajectories` go by the labels of `runs`, "full" first; `tip` holds vertex indices.
    """

    scene: Scene
    mesh: TetMesh
    free_vertices: np.ndarray
    tip: np.ndarray
    runs: tuple[Run, ...]
    trajectories: Mapping[str, Trajectory]

    @property
    def tip_dofs(self) -> np.ndarray:
        """Free degrees of freedom of the tip vertices, shape (3k,)."""
        return dofs_of(self.free_vertices, self.tip)

    def positions(self, label: str, frames: Sequence[int] | np.ndarray) -> np.ndarray:
        """Positions [m] of all vertices at some frames of a run, shape (k, n_vertices, 3).

        A run that stopped early stays where it stopped.
        """
        motion = self.trajectories[label]
        rows = np.minimum(frames, len(motion.times) - 1)
        z = motion.z[rows]
        u = z if motion.basis is None else z @ motion.basis.T
        full = np.repeat(self.mesh.vertices[None], len(rows), axis=0)
        full[:, self.free_vertices] += u.reshape(len(rows), -1, 3)
        return full

    def peak(self) -> int:
        """Frame at which the tip's vertices are farthest from rest in full space (RMS)."""
        u = self.trajectories[FULL.label].displacements(self.tip_dofs)
        return int(np.argmax((u**2).sum(axis=1)))

    def tip_travel(self) -> np.ndarray:
        """Distance [m] of the tip's centroid from rest in full space, shape (T + 1,)."""
        return travel(self.trajectories[FULL.label].displacements(self.tip_dofs))

    def tip_error(self, label: str) -> np.ndarray:
        """RMS tip error at each time over the RMS of the full-space motion, while both last."""
        full = self.trajectories[FULL.label].displacements(self.tip_dofs)
        mine = self.trajectories[label].displacements(self.tip_dofs)
        return error_over_time(mine[: len(full)], full)


def play(
    scene: Scene,
    model: Model | None,
    specs: Sequence[Spec],
    *,
    cubatures: Mapping[str, Cubature] | None = None,
    steps: int | None = None,
    solver: str = "auto",
    progress: Progress | None = None,
) -> Play:
    """Simulate a scene in full space and in each of `specs`, and compare.

    Full space is always run, first, as the reference. A run whose Newton's method fails ends
    there and is reported with `converged` false. `steps` replaces the scene's own number;
    `cubatures` go by the labels of their subspaces, and one without any evaluates all tets.

    Raises
    ------
    InputError
        The scene cannot be built, the model is for another body, has not the rank, or is missing.
    """
    body = body_of(scene)
    reduced = [spec for spec in dict.fromkeys(specs) if spec.kind != "full"]
    if model is not None:
        model.check(body)
    total = scene.time.steps if steps is None else steps
    setups = {
        spec: setup_of(scene, body, spec, model, cubatures, solver) for spec in (FULL, *reduced)
    }
    motions: dict[str, Trajectory] = {}
    runs = []
    for spec, setup in setups.items():
        told = None if progress is None else _told(progress, spec.label, total)
        motions[spec.label] = simulate(
            setup.integrator, total, basis=setup.basis, on_failure="stop", progress=told
        )
        runs.append(_measure(scene, body, spec, setup, motions))
    return Play(scene, body.mesh, body.free_vertices, tip_vertices(body), tuple(runs), motions)


def _told(progress: Progress, label: str, total: int) -> Callable[[int], None]:
    return lambda k: progress(label, k, total)


def _measure(
    scene: Scene,
    body: Body,
    spec: Spec,
    setup: Setup,
    motions: Mapping[str, Trajectory],
) -> Run:
    full, mine = motions[FULL.label], motions[spec.label]
    tip = dofs_of(body.free_vertices, tip_vertices(body))
    mass = np.asarray(body.mass.sum(axis=1)).ravel()
    errors: list[float | None] = [None] * 4
    if full.converged and mine.converged:
        found = (
            relative_rms(mine.displacements(tip), full.displacements(tip)),
            relative_rms(mine.velocities(tip), full.velocities(tip)),
            relative_rms(mine.displacements(), full.displacements(), mass),
            relative_rms(mine.velocities(), full.velocities(), mass),
        )
        errors = [x if np.isfinite(x) else None for x in found]
    taken = len(mine.step_ms)
    step_ms = float(np.median(mine.step_ms)) if taken else None
    full_ms = float(np.median(full.step_ms)) if len(full.step_ms) else None
    reduced = setup.subspace is not None
    kept = tuple(k for k in ("second", "third") if getattr(spec.terms, k))
    rank = None if setup.subspace is None else setup.subspace.rank
    return Run(
        scene=scene.name,
        subspace=spec.kind,
        rank=rank,
        tip_position_error=errors[0],
        tip_velocity_error=errors[1],
        step_ms=step_ms,
        speedup=full_ms / step_ms if full_ms and step_ms else None,
        newton_iterations=float(np.mean(mine.iterations)) if taken else None,
        converged=mine.converged,
        failure=mine.failure,
        label=spec.label,
        formulation=spec.formulation if reduced else None,
        terms=kept if reduced else (),
        solver=setup.solver,
        integrator=scene.time.integrator,
        steps=taken,
        step=scene.time.step,
        dofs=rank or body.n_dofs,
        position_error=errors[2],
        velocity_error=errors[3],
        max_newton_iterations=int(mine.iterations.max()) if taken else None,
        engine=setup.engine,
        tets=setup.tets,
    )
