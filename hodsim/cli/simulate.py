"""`hodsim simulate`: one scene, in full space or in a subspace."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hodsim.cli import output
from hodsim.cli.options import (
    FormulationOption,
    InputsOption,
    JsonOption,
    ModelOption,
    ReferenceOption,
    SolverOption,
    check_file,
    model_folder,
    open_scene,
)
from hodsim.errors import ConvergenceError, InputError

if TYPE_CHECKING:
    from hodsim.dynamics import Integrator, NewtonResult, Setup, Spec, State, Trajectory
    from hodsim.fem import Body


def simulate(
    scene: Annotated[
        str, typer.Argument(help="Scene file, or a shipped scene such as heldout/bend-1.")
    ],
    subspace: Annotated[
        str | None,
        typer.Option(
            "--subspace",
            help="full, hod-6, pca-12, quadratic-6; pca-12:polynomial for the exact elastic forces "
            "of a body of stvk. "
            "[default: hod where a model is named, else full]",
        ),
    ] = None,
    model: ModelOption = None,
    inputs: InputsOption = None,
    reference: ReferenceOption = False,
    formulation: FormulationOption = "incremental",
    no_second: Annotated[
        bool, typer.Option("--no-second", help="Newton's matrix without second derivatives.")
    ] = False,
    no_third: Annotated[
        bool, typer.Option("--no-third", help="Newton's matrix without third derivatives.")
    ] = False,
    guard: Annotated[
        float | None,
        typer.Option(
            "--guard",
            metavar="LIMIT",
            help="Go to full space where a step in the subspace fails, gains energy from nowhere "
            "or ends farther than this from training (1: the edge of its range), and return.",
        ),
    ] = None,
    steps: Annotated[
        int | None, typer.Option("--steps", min=1, help="Steps, in place of the scene's number.")
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option("--out", metavar="FILE", help="Write the motion: .h5, .npz, .xdmf or .pvd."),
    ] = None,
    solver: SolverOption = "auto",
    json: JsonOption = None,
    verbose: Annotated[
        bool, typer.Option("--verbose", "-v", help="Print how every step converged.")
    ] = False,
) -> None:
    """Play a scene and write its motion.

    A step that does not converge ends the motion: what there is until then is written, marked as
    incomplete, and the exit code is 3.
    """
    check_file(json)
    check_file(out)
    from hodsim.comparison import travel
    from hodsim.cubature import load_schemes
    from hodsim.dynamics import Guarded, Terms, parse_spec, setup_of
    from hodsim.dynamics import simulate as run
    from hodsim.fem import Loads, body_of, dofs_of, tip_vertices
    from hodsim.session import Driven, Replay, load_recording
    from hodsim.subspaces import load_model
    from hodsim.viewer import check_suffix

    if out is not None:
        check_suffix(out)
    output.one_thread()
    what = open_scene(scene)
    named = model is not None or what.model is not None
    name = subspace or ("hod" if named else "full")
    spec = parse_spec(name, formulation, Terms(not no_second, not no_third), reference)
    altered = no_second or no_third or reference or formulation != "incremental"
    if spec.kind == "full" and altered:
        raise InputError(
            "simulate: --reference, --formulation, --no-second and --no-third are of a subspace, "
            "given full; choose a --subspace or leave them out"
        )
    if no_third and spec.formulation == "incremental":
        raise InputError(
            "simulate: --no-third is of the lagrangian formulation, the incremental one has no "
            "third derivative; add --formulation lagrangian or leave it out"
        )
    body = body_of(what)
    trained, folders, cubatures = None, [], {}
    if spec.kind != "full":
        folders.append(model_folder(what, model))
        trained = load_model(folders[0])
        trained.check(body)
        cubatures = load_schemes(folders[0]) if spec.compiled or spec.polynomial else {}
    recorded = None if inputs is None else load_recording(inputs)
    if guard is not None and (recorded is not None or trained is None):
        raise InputError(
            "simulate: --guard is of a scene's own motion in a subspace, given "
            f"{'full' if trained is None else '--inputs'}; leave it out or choose a --subspace"
        )
    basis, guarded = None, None
    if recorded is None:
        setup = setup_of(what, body, spec, trained, cubatures, solver)
        watched, total = _Watched(setup.integrator), what.time.steps
        basis = setup.basis
        if guard is not None:
            assert trained is not None
            full = setup_of(what, body, parse_spec("full"), None, None, solver)
            reach = trained.reach(spec.kind, spec.rank)
            loads = Loads(body, what.loads)
            guarded = Guarded(setup, full, body, loads, reach, guard)
            watched = _Watched(guarded)
            basis = None
    else:
        driven = Driven(what, body, spec, trained, cubatures, solver)
        setup, total = driven.setup, recorded.steps
        basis = setup.basis
        watched = _Watched(Replay(driven, recorded))
    total = total if steps is None else steps
    with output.progress() as report:
        motion = run(
            watched,
            total,
            basis=basis,
            # A live body is held still through a step that does not converge.
            on_failure="stop" if recorded is None else "hold",
            progress=lambda k: report(f"{what.name} {spec.label}", k, total),
        )
    tip = motion.displacements(dofs_of(body.free_vertices, tip_vertices(body)))
    summary = _summary(spec, setup, motion, watched.results, float(travel(tip).max()))
    if verbose:
        for k, result in enumerate(watched.results, 1):
            told = ", ".join(f"{x:.1e}" for x in result.residuals)
            print(f"step {k}: {result.status}, {result.iterations} iterations, residuals {told}")
    console = output.console()
    taken = len(motion.step_ms)
    console.print(
        f"{what.name} in {spec.label}: {taken} of {total} steps, "
        f"{output.number(summary['step_ms'])} ms a step, "
        f"{output.number(summary['newton_iterations'])} Newton iterations, "
        f"tip travel up to {summary['peak_tip_travel']:.3g} m",
        soft_wrap=True,
        markup=False,
    )
    if guarded is not None:
        away, why = sum(map(bool, guarded.whys)), ", ".join(guarded.reasons)
        told = f"guard: {away} of {taken} steps in full space"
        console.print(f"{told}: {why}" if why else told, soft_wrap=True)
        summary["guard"] = {"limit": guard, "why": guarded.whys}
    if setup.engine == "compiled" and setup.tets == body.mesh.n_tets:
        console.print(output.no_cubature([spec.label], setup.tets), soft_wrap=True)
    if out is not None:
        about = {"scene": what.name, "file": str(what.path), **summary}
        with output.progress() as report:
            written = _write(out, body, motion, about, report)
        console.print(f"wrote {', '.join(map(str, written))}", soft_wrap=True)
    if json is not None:
        whole = output.report_of("simulate", [what], folders, [])
        del whole["runs"]
        whole |= {"scene": what.name, **summary}
        whole["iterations"] = [result.iterations for result in watched.results]
        whole["residuals"] = [list(result.residuals) for result in watched.results]
        whole["status"] = [result.status for result in watched.results]
        output.write_json(json, output.finite(whole))
        console.print(f"wrote {json}", soft_wrap=True)
    sys.stdout.flush()
    if motion.held:
        raise ConvergenceError(
            f"{what.name} in {spec.label}: {motion.held} of {taken} steps did not converge and the "
            "body was held still through them, as when they were recorded"
        )
    if motion.failure is not None:
        raise ConvergenceError(
            f"{what.name} in {spec.label}: {motion.failure}; try a shorter time.step"
        )


class _Watched:
    """An integrator that keeps how Newton's method ended at each step."""

    def __init__(self, inner: Integrator) -> None:
        self._inner = inner
        self.results: list[NewtonResult] = []

    @property
    def h(self) -> float:
        return self._inner.h

    def start(self) -> State:
        return self._inner.start()

    def step(self, state: State) -> tuple[State, NewtonResult]:
        after, result = self._inner.step(state)
        self.results.append(result)
        return after, result


def _summary(
    spec: Spec, setup: Setup, motion: Trajectory, results: list[NewtonResult], peak: float
) -> dict[str, Any]:
    import numpy as np

    taken = len(motion.step_ms)
    return {
        "subspace": spec.kind,
        "rank": None if setup.subspace is None else setup.subspace.rank,
        "label": spec.label,
        "engine": setup.engine,
        "tets": setup.tets,
        "steps": taken,
        "step_ms": float(np.median(motion.step_ms)) if taken else None,
        "newton_iterations": float(np.mean([r.iterations for r in results])),
        "peak_tip_travel": peak,
        "converged": motion.converged,
        "held": motion.held,
        "failure": motion.failure,
    }


def _write(
    path: Path, body: Body, motion: Trajectory, about: dict[str, Any], report: output.Report
) -> list[Path]:
    from hodsim.viewer import Motion, write_motion

    return write_motion(
        path,
        Motion(
            vertices=body.mesh.vertices,
            tets=body.mesh.tets,
            times=motion.times,
            displacement=body.expand(motion.displacements()),
            velocity=body.expand(motion.velocities()),
            latent=None if motion.basis is None else motion.coordinates,
            iterations=motion.iterations,
            step_ms=motion.step_ms,
            about=about,
        ),
        progress=lambda k, n: report("frames", k, n),
    )
