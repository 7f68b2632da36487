"""The same loads in full space and in subspaces, measured in one process, one after the other."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from hodsim.comparison.measure import HELD_OUT, Reference, Run, measure, reference_of, refused
from hodsim.comparison.metrics import error_over_time, travel
from hodsim.cubature import Scheme
from hodsim.dynamics import Integrator, Setup, Spec, Trajectory, setup_of, simulate
from hodsim.errors import ConvergenceError, InputError
from hodsim.fem import body_of, dofs_of, tip_vertices
from hodsim.mesh import TetMesh
from hodsim.scene import Scene
from hodsim.session import Driven, Recording, Replay
from hodsim.subspaces import Model

FULL = Spec("full")
Progress = Callable[[str, int, int], None]  # label of the run, steps done, steps in all

# What a subspace may come to grief by in the course of things: input, Newton's method, and numbers
# out of range where a basis is poor. Anything else is a fault, and named as such.
_REFUSED = (InputError, ConvergenceError, ArithmeticError, np.linalg.LinAlgError)


def fault(error: Exception) -> str:
    """An exception in one line, with its kind where that is not one of those to be expected."""
    said = " ".join(str(error).split())
    return said if isinstance(error, _REFUSED) else f"{type(error).__name__}: {said}"


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

    @property
    def times(self) -> np.ndarray:
        """Simulated times [s] of the longest run, shape (T + 1,)."""
        return max((motion.times for motion in self.trajectories.values()), key=len)

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
    cubatures: Mapping[str, Scheme] | None = None,
    steps: int | None = None,
    solver: str = "auto",
    load: str = HELD_OUT,
    on_refusal: str = "raise",
    recording: Recording | None = None,
    progress: Progress | None = None,
) -> Play:
    """Simulate a scene in full space and in each of `specs`, and compare.

    Full space is always run, first, as the reference. A run whose Newton's method fails ends
    there and is reported with `converged` false. `steps` replaces the scene's own number;
    `cubatures` go by the labels of their subspaces, and one without any evaluates all tets. `load`
    says where the load is from, for reports. A spec that cannot be set up raises, or with
    `on_refusal="tell"` is a run of no steps whose `failure` says why, and the rest go on. With a
    `recording` of a live session every body goes through what was done there, as many steps as it
    has unless `steps` says otherwise; steps that do not converge hold a body still, as there.

    Raises
    ------
    InputError
        The scene cannot be built, the model is for another body, has not the rank, or is missing.
    """
    if on_refusal not in ("raise", "tell"):
        raise InputError(f"on_refusal: expected raise or tell, given {on_refusal!r}; choose one")
    body = body_of(scene)
    reduced = [spec for spec in dict.fromkeys(specs) if spec.kind != "full"]
    if model is not None:
        model.check(body)
    if steps is None:
        steps = scene.time.steps if recording is None else recording.steps
    setups: dict[Spec, Setup | str] = {}
    for spec in (FULL, *reduced):
        try:
            setups[spec] = setup_of(scene, body, spec, model, cubatures, solver)
        except Exception as error:
            if on_refusal == "raise" or spec == FULL:
                raise
            setups[spec] = fault(error)
    motions: dict[str, Trajectory] = {}
    runs: list[Run] = []
    reference: Reference | None = None
    for spec, setup in setups.items():
        if isinstance(setup, str):
            runs.append(refused(scene, spec, setup, load))
            continue
        told = None if progress is None else _told(progress, spec.label, steps)
        try:
            integrator: Integrator = setup.integrator
            if recording is not None:
                driven = Driven(scene, body, spec, model, cubatures, solver)
                integrator = Replay(driven, recording)
            motion = simulate(
                integrator,
                steps,
                basis=setup.basis,
                on_failure="stop" if recording is None else "hold",
                progress=told,
            )
            reference = reference or reference_of(body, motion)
            trained = model if spec.kind != "full" else None
            seconds = None if trained is None else trained.training_seconds(spec.kind, spec.rank)
            runs.append(measure(scene, body, spec, setup, motion, reference, load, seconds))
        except Exception as error:
            if on_refusal == "raise" or spec == FULL:
                raise
            runs.append(refused(scene, spec, fault(error), load))
        else:
            motions[spec.label] = motion
    return Play(scene, body.mesh, body.free_vertices, tip_vertices(body), tuple(runs), motions)


def _told(progress: Progress, label: str, total: int) -> Callable[[int], None]:
    return lambda k: progress(label, k, total)
