"""`hodsim film`: one scene in full space and in subspaces, as a film or a picture."""

from __future__ import annotations

import time as clock
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hodsim.cli import output
from hodsim.cli.options import (
    InputsOption,
    JsonOption,
    ModelOption,
    SolverOption,
    check_file,
    model_folder,
    open_scene,
)
from hodsim.errors import InputError

if TYPE_CHECKING:
    import numpy as np

    from hodsim.comparison import Play
    from hodsim.scene import Scene
    from hodsim.session import Recording
    from hodsim.viewer import Shot

COLOURS = {
    "displacement": "displacement [m]",
    "stress": "von Mises stress [Pa]",
    "error": "distance from full space [m]",
}
_QUICK_STEPS = 60
# Stress is without bound where a corner is clamped: the bar ends where all but these values do.
_STRESS_SHARE = 99.5  # per cent


def film(
    scene: Annotated[
        str, typer.Argument(help="Scene file, or a shipped scene such as heldout/bend-1.")
    ],
    subspaces: Annotated[
        str | None,
        typer.Option(
            "--subspaces",
            metavar="LIST",
            help="What to show side by side. "
            "[default: full, and pca and hod of the model's rank where a model is named]",
        ),
    ] = None,
    model: ModelOption = None,
    inputs: InputsOption = None,
    out: Annotated[
        Path, typer.Option("--out", metavar="FILE", help="Film (.mp4, .gif) or picture (.png).")
    ] = Path("film.mp4"),
    fps: Annotated[
        float, typer.Option("--fps", help="Frames a second; a film runs in real time.")
    ] = 25.0,
    time: Annotated[
        float | None,
        typer.Option(
            "--time", metavar="S", help="Moment of a picture. [default: largest tip travel]"
        ),
    ] = None,
    colour: Annotated[
        str, typer.Option("--colour", help=f"What colours the bodies: {', '.join(COLOURS)}.")
    ] = "displacement",
    quick: Annotated[bool, typer.Option("--quick", help=f"{_QUICK_STEPS} steps at most.")] = False,
    solver: SolverOption = "auto",
    json: JsonOption = None,
) -> None:
    """Film a scene in full space and in subspaces side by side; no display is needed."""
    check_file(json)
    check_file(out)
    import numpy as np

    from hodsim.session import load_recording
    from hodsim.viewer import check_drawing, check_fps, film_kind, picture
    from hodsim.viewer import film as write_film

    kind = film_kind(out)
    check_fps(fps)
    if colour not in COLOURS:
        raise InputError(f"colour: expected one of {', '.join(COLOURS)}, given {colour!r}")
    if time is not None and kind != "picture":
        raise InputError("film: --time is of a picture, given a film; write a .png or leave it out")
    what = open_scene(scene)
    recorded = None if inputs is None else load_recording(inputs)
    steps = what.time.steps if recorded is None else recorded.steps
    steps = min(_QUICK_STEPS, steps) if quick else steps
    # A recording may change the time step: its end is known when it has been played.
    if time is not None and recorded is None:
        _check_time(time, steps * what.time.step)
    check_drawing()
    output.one_thread()
    with output.progress() as report:
        p, folders, labels = _play(what, model, subspaces, recorded, steps, solver, report)
        if time is not None:
            _check_time(time, float(p.times[-1]))
        if kind == "picture":
            frames = [p.peak() if time is None else int(np.abs(p.times - time).argmin())]
        else:
            frames = film_frames(p, fps)
        shot = shot_of(p, labels, frames, colour)
        began = clock.perf_counter()
        if kind == "picture":
            picture(out, shot)
        else:
            write_film(out, shot, fps, lambda k, n: report("film", k, n))
        took = clock.perf_counter() - began
    console = output.console()
    console.print(output.runs_table(p.runs))
    if told := output.missing_cubatures(p.runs):
        console.print(told, soft_wrap=True)
    console.print(f"{len(frames)} frames drawn in {took:.1f} s", soft_wrap=True)
    console.print(f"wrote {out}", soft_wrap=True)
    if json is not None:
        whole = output.report_of("film", [what], folders, p.runs)
        whole |= {"file": str(out), "frames": len(frames), "seconds": took, "colour": colour}
        whole |= {"fps": fps if kind == "film" else None, "shown": list(labels)}
        whole |= {"times": [float(t) for t in shot.times], "colour_top": shot.colour_top}
        output.write_json(json, whole)
        console.print(f"wrote {json}", soft_wrap=True)


def _check_time(time: float, end: float) -> None:
    if not 0.0 <= time <= end * (1 + 1e-9):
        raise InputError(f"time: expected 0 to {end:g} s, what is simulated; given {time:g}")


def _play(
    scene: Scene,
    model: Path | None,
    subspaces: str | None,
    recorded: Recording | None,
    steps: int,
    solver: str,
    report: output.Report,
) -> tuple[Play, list[Path], tuple[str, ...]]:
    """The motions, the models they took, and the labels to show, full space first if among them."""
    from hodsim.comparison import FULL, play
    from hodsim.cubature import load_schemes
    from hodsim.dynamics import Spec, parse_specs
    from hodsim.subspaces import load_model

    specs = None if subspaces is None else parse_specs(subspaces)
    if specs == ():
        raise InputError("subspaces: expected at least one, given none; name some, or full")
    named = model is not None or scene.model is not None
    reduced = specs is None or any(spec.kind != "full" for spec in specs)
    trained, folders, cubatures = None, [], {}
    if reduced and (named or specs is not None):
        folders.append(model_folder(scene, model))
        trained, cubatures = load_model(folders[0]), load_schemes(folders[0])
    if specs is None:
        rank = None if trained is None else trained.network.shape.rank
        specs = (FULL,) if rank is None else (FULL, Spec("pca", rank), Spec("hod", rank))
    p = play(
        scene,
        trained,
        specs,
        cubatures=cubatures,
        steps=steps,
        solver=solver,
        recording=recorded,
        progress=output.prefixed(report, scene.name),
    )
    labels = sorted((spec.label for spec in specs), key=lambda label: label != FULL.label)
    return p, folders, tuple(labels)


def film_frames(p: Play, fps: float) -> list[int]:
    """Frames of the motion that a film in real time shows, `fps` of them a second."""
    import numpy as np

    moments = np.arange(int(p.times[-1] * fps + 1e-6) + 1) / fps
    return [int(np.abs(p.times - t).argmin()) for t in moments]


def shot_of(
    p: Play,
    labels: Sequence[str],
    frames: Sequence[int],
    colour: str = "displacement",
    notes: Sequence[str] = (),
    **view: Any,
) -> Shot:
    """Some frames of some runs as a shot, with the arrows of the loads.

    `colour` is one of `COLOURS`; `view` goes to `Shot`. A body whose run stopped early says so in
    place of its note.
    """
    import numpy as np

    from hodsim.comparison import FULL
    from hodsim.fem import body_of
    from hodsim.viewer import Shot, Solid, body_title
    from hodsim.viewer.live.forces import LoadArrows
    from hodsim.viewer.obstacles import surface_of

    body = body_of(p.scene)
    forces = LoadArrows(p.scene, body)
    times = p.times[np.asarray(frames)]
    truth = p.positions(FULL.label, frames)
    solids = []
    for label, note in zip(labels, notes or [""] * len(labels), strict=True):
        x = p.positions(label, frames)
        last = p.trajectories[label].times[-1]
        arrows = tuple(
            np.array([[a.start, a.end] for a in forces.arrows(at, float(t), np.zeros(3))])
            for at, t in zip(x, times, strict=True)
        )
        solids.append(
            Solid(
                title=body_title(label),
                positions=x,
                values=_values(colour, body, x, truth),
                note=note if p.trajectories[label].converged else f"stopped at {last:.2f} s",
                arrows=tuple(a.reshape(-1, 2, 3) for a in arrows),
            )
        )
    ends = p.mesh.vertices.min(axis=0), p.mesh.vertices.max(axis=0)
    top = None
    if colour == "stress":
        top = float(np.percentile([solid.values for solid in solids], _STRESS_SHARE))
    return Shot(
        vertices=p.mesh.vertices,
        surface=p.mesh.surface,
        clamped=np.setdiff1d(np.arange(p.mesh.n_vertices), p.free_vertices),
        times=times,
        solids=tuple(solids),
        colour=COLOURS[colour],
        top=top,
        outline=labels[0] == FULL.label,
        obstacles=tuple(surface_of(x, *ends) for x in p.scene.obstacles),
        **view,
    )


def _values(colour: str, body: Any, x: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """What colours a body at positions x [m] over frames, (k, n_vertices)."""
    import numpy as np

    if colour == "displacement":
        return np.asarray(np.linalg.norm(x - body.mesh.vertices, axis=2))
    if colour == "error":
        return np.asarray(np.linalg.norm(x - truth, axis=2))
    from hodsim.fem.stress import Stress

    stress, u = Stress(body), body.restrict(x - body.mesh.vertices)
    return np.array([stress.at_vertices(stress.von_mises(at)) for at in u])
