"""`Run`: one motion as reports give it, and how it is measured against full space."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from types import UnionType
from typing import Any, Final, get_args, get_origin, get_type_hints

import numpy as np

from hodsim.comparison.metrics import (
    energies,
    energy_error,
    error_over_time,
    relative_rms,
    volume_change,
    worst_vertex,
)
from hodsim.dynamics import Setup, Spec, Trajectory
from hodsim.fem import Body, dofs_of, tip_vertices
from hodsim.scene import MeshSpec, Scene

HELD_OUT: Final = "held-out"


@dataclass(frozen=True)
class Run:
    """One motion, as reports give it. Errors and speed-up are against full space.

    Attributes
    ----------
    scene, subspace, rank
        What was run; `subspace` is "full" or the kind of a subspace, `rank` None for full.
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
    worst_vertex_error
        Largest difference of any vertex at any time over the largest displacement in full space.
    energy_error
        Largest difference in kinetic and elastic energy over the largest in full space.
    volume_change, full_volume_change
        Largest |V / V_0 - 1| of the whole body in this run, and in full space.
    error_over_time
        Tip error at each time from t = 0 on, (steps + 1,), to 4 digits; for held-out loads alone.
    body, family, load
        Groups of reports: the mesh's name; "bend" of "bend-3"; "held-out", "1.5x", "2x" or "other".
    reference
        Whether the readable integrator was asked for.
    training_seconds
        Wall time [s] of the subspace's training, where the model knows.
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
    solver: str | None
    integrator: str
    steps: int
    step: float
    dofs: int | None
    position_error: float | None
    velocity_error: float | None
    max_newton_iterations: int | None
    engine: str | None
    tets: int | None
    worst_vertex_error: float | None = None
    energy_error: float | None = None
    volume_change: float | None = None
    full_volume_change: float | None = None
    error_over_time: tuple[float, ...] | None = None
    body: str = ""
    family: str = ""
    load: str = HELD_OUT
    reference: bool = False
    training_seconds: float | None = None

    def to_dict(self) -> dict[str, Any]:
        """All of it, ready for JSON."""
        return asdict(self)

    @staticmethod
    def from_dict(told: Mapping[str, Any]) -> Run:
        """What `to_dict` gave, also after JSON. Raises `TypeError` for anything else."""
        lists = ("terms", "error_over_time")
        values: dict[str, Any] = {
            k: tuple(v) if k in lists and v is not None else v for k, v in told.items()
        }
        run = Run(**values)
        for name, wanted in get_type_hints(Run).items():
            if not _is(getattr(run, name), wanted):
                raise TypeError(f"{name}: expected {wanted}, given {getattr(run, name)!r}")
        return run


def _is(value: object, wanted: Any) -> bool:
    """Whether a value read from JSON is of a type such as `float | None` or `tuple[str, ...]`."""
    if isinstance(wanted, UnionType):
        return any(_is(value, one) for one in get_args(wanted))
    if get_origin(wanted) is tuple:
        return isinstance(value, tuple) and all(_is(x, get_args(wanted)[0]) for x in value)
    if isinstance(value, bool) or wanted is bool:
        return isinstance(value, bool) and wanted is bool
    if wanted is float:
        return isinstance(value, int | float) and math.isfinite(value)
    return isinstance(value, wanted)


@dataclass(frozen=True)
class Reference:
    """The full-space motion: displacements u [m] and velocities v [m/s] of the free degrees of
    freedom (T + 1, n_dofs), energy [J] (T + 1,), largest change of volume.
    """

    motion: Trajectory
    u: np.ndarray
    v: np.ndarray
    energy: np.ndarray
    volume_change: float


def reference_of(body: Body, motion: Trajectory) -> Reference:
    """What runs are measured against, of the motion in full space."""
    u, v = motion.displacements(), motion.velocities()
    return Reference(motion, u, v, energies(body, u, v), volume_change(body, u))


def body_name(mesh: MeshSpec) -> str:
    """The name of a mesh: its file's, or "beam-3x1x1" of a beam's cells."""
    if mesh.file is not None:
        return mesh.file.stem
    assert mesh.beam is not None
    return "beam-" + "x".join(map(str, mesh.beam.cells))


def family_of(name: str) -> str:
    """The family of a scene: its name without a number at the end ("bend-3" is a "bend")."""
    return re.sub(r"-\d+$", "", name)


def measure(
    scene: Scene,
    body: Body,
    spec: Spec,
    setup: Setup,
    mine: Trajectory,
    reference: Reference,
    load: str = HELD_OUT,
    training_seconds: float | None = None,
) -> Run:
    """One motion against full space."""
    full = reference.motion
    tip = dofs_of(body.free_vertices, tip_vertices(body))
    u = mine.displacements()
    found: dict[str, float] = {}
    if full.converged and mine.converged:
        v = mine.velocities()
        mass = np.asarray(body.mass.sum(axis=1)).ravel()
        found = {
            "tip_position_error": relative_rms(u[:, tip], reference.u[:, tip]),
            "tip_velocity_error": relative_rms(v[:, tip], reference.v[:, tip]),
            "position_error": relative_rms(u, reference.u, mass),
            "velocity_error": relative_rms(v, reference.v, mass),
            "worst_vertex_error": worst_vertex(u, reference.u),
            "energy_error": energy_error(energies(body, u, v), reference.energy),
            "volume_change": volume_change(body, u),
        }
    if full.converged:
        found["full_volume_change"] = reference.volume_change
    over_time = None
    if load == HELD_OUT and spec.kind != "full" and full.converged and reference.u[:, tip].any():
        over_time = _digits(error_over_time(u[:, tip], reference.u[:, tip]))
    taken = len(mine.step_ms)
    step_ms = float(np.median(mine.step_ms)) if taken else None
    full_ms = float(np.median(full.step_ms)) if len(full.step_ms) else None
    return _run(
        scene,
        spec,
        load,
        rank=None if setup.subspace is None else setup.subspace.rank,
        step_ms=step_ms,
        speedup=full_ms / step_ms if full_ms and step_ms else None,
        newton_iterations=float(np.mean(mine.iterations)) if taken else None,
        max_newton_iterations=int(mine.iterations.max()) if taken else None,
        converged=mine.converged,
        failure=mine.failure,
        solver=setup.solver,
        steps=taken,
        dofs=body.n_dofs if setup.subspace is None else setup.subspace.rank,
        engine=setup.engine,
        tets=setup.tets,
        error_over_time=over_time,
        training_seconds=training_seconds,
        **{name: x for name, x in found.items() if np.isfinite(x)},
    )


def refused(scene: Scene, spec: Spec, why: str, load: str = HELD_OUT) -> Run:
    """A run of no steps, and why it could not be made."""
    return _run(scene, spec, load, rank=spec.rank, converged=False, failure=why)


def _run(scene: Scene, spec: Spec, load: str, **found: Any) -> Run:
    reduced = spec.kind != "full"
    nothing = dict.fromkeys(
        (
            "tip_position_error",
            "tip_velocity_error",
            "position_error",
            "velocity_error",
            "step_ms",
            "speedup",
            "newton_iterations",
            "max_newton_iterations",
            "solver",
            "dofs",
            "engine",
            "tets",
        )
    )
    told = {
        "scene": scene.name,
        "subspace": spec.kind,
        "label": spec.label,
        "formulation": spec.formulation if reduced else None,
        "terms": tuple(k for k in ("second", "third") if reduced and getattr(spec.terms, k)),
        "integrator": scene.time.integrator.removeprefix("implicit-"),
        "steps": 0,
        "step": scene.time.step,
        "body": body_name(scene.mesh),
        "family": family_of(scene.name),
        "load": load,
        "reference": reduced and spec.reference,
    }
    return Run(**{**nothing, **told, **found})


def _digits(values: np.ndarray) -> tuple[float, ...] | None:
    """Rounded to 4 significant digits; None where a value is not finite."""
    if not np.isfinite(values).all():
        return None
    return tuple(float(f"{x:.3e}") for x in values)
