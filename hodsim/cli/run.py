"""`hodsim run`: from a mesh or a scene to a trained model, its errors, and the viewer."""

from __future__ import annotations

import hashlib
import json as jsonlib
import shlex
import time
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hodsim.cli import film, output, view
from hodsim.cli.init import (
    AS_IS,
    EdgeOption,
    Filling,
    JoinOption,
    MendOption,
    ScaleOption,
    in_the_way,
    make_scene,
    show,
)
from hodsim.cli.options import (
    QUICK_TRAINING,
    JsonOption,
    SolverOption,
    check_file,
    check_folder,
    find_scene,
)
from hodsim.errors import InputError
from hodsim.files import alone

if TYPE_CHECKING:
    from hodsim.comparison import Run
    from hodsim.dynamics import Spec
    from hodsim.scene import Scene
    from hodsim.subspaces import Model
    from hodsim.training import TrainOptions

_USUAL = {"trajectories": 60, "epochs": 300, "held_out": 5}
_QUICK = QUICK_TRAINING | {"held_out": 1}
# Held-out loads are drawn from this beside the seed, and so never those of training.
_HELD_OUT = 40_503


def run(
    source: Annotated[
        str,
        typer.Argument(
            help="A mesh of tets, a closed surface, or a scene with [[sampling]] loads."
        ),
    ],
    out: Annotated[
        Path | None,
        typer.Option("--out", metavar="DIR", help="Folder for all of it. [default: NAME-run]"),
    ] = None,
    edge: EdgeOption = None,
    mend: MendOption = False,
    join: JoinOption = None,
    scale: ScaleOption = 1.0,
    trajectories: Annotated[
        int | None,
        typer.Option("--trajectories", min=1, help=f"Motions. [default: {_USUAL['trajectories']}]"),
    ] = None,
    epochs: Annotated[
        int | None,
        typer.Option("--epochs", min=1, help=f"Passes over them. [default: {_USUAL['epochs']}]"),
    ] = None,
    held_out: Annotated[
        int | None,
        typer.Option(
            "--held-out", min=1, help=f"Loads to measure by. [default: {_USUAL['held_out']}]"
        ),
    ] = None,
    rank: Annotated[int, typer.Option("--rank", min=1, help="Latent coordinates.")] = 6,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Seed of loads and weights.")] = 2,
    workers: Annotated[
        int, typer.Option("--workers", min=1, help="Processes that make motions.")
    ] = 2,
    quick: Annotated[
        bool, typer.Option("--quick", help="Few motions, few epochs, one load: a first look.")
    ] = False,
    no_view: Annotated[bool, typer.Option("--no-view", help="Open no window at the end.")] = False,
    web: Annotated[
        bool, typer.Option("--web", help="View in a browser; needs hodsim[web].")
    ] = False,
    video: Annotated[
        Path | None,
        typer.Option(
            "--video",
            metavar="FILE",
            help="Film the scene in place of a window: .mp4, .gif, or one picture, .png.",
        ),
    ] = None,
    solver: SolverOption = "auto",
    json: JsonOption = None,
) -> None:
    """Make a reduced model of a body: scene, motions, training, cubature, report, viewer.

    A stopped run, called again, goes on where it was. report.html has the errors on loads that
    training never saw, run.json the times of every stage.
    """
    check_file(json)
    check_file(video)
    if video is not None:
        from hodsim.viewer import film_kind

        film_kind(video)
    place = Path(f"{Path(source).stem}-run") if out is None else out
    check_folder(place)
    if not find_scene(source).is_file():
        raise InputError(f"{source}: expected a mesh or a scene, but there is none; check the path")
    from hodsim.cli import results
    from hodsim.training import TrainOptions

    usual = _USUAL | (_QUICK if quick else {})
    asked = {"trajectories": trajectories, "epochs": epochs, "held_out": held_out}
    counts = usual | {name: value for name, value in asked.items() if value is not None}
    began = time.perf_counter()
    seconds: dict[str, float] = {}
    with alone(place), output.progress() as report:
        scene, path = _scene(source, place, report, Filling(edge, mend, join), scale)
        seconds["scene"] = time.perf_counter() - began
        options = TrainOptions(trajectories=counts["trajectories"], seed=seed, workers=workers)
        fit = replace(options.fit, rank=rank, epochs=counts["epochs"], seed=seed)
        fit = replace(fit, batch=counts.get("batch", fit.batch))
        options = replace(options, fit=fit)
        model, seconds["training"] = _trained(scene, path, place / "model", options, quick, report)
        started = time.perf_counter()
        runs, whole, written = _compared(
            scene, place, counts["held_out"], seed, quick, solver, report
        )
        seconds["comparison"] = time.perf_counter() - started
    seconds["in all"] = time.perf_counter() - began
    console = output.console()
    results.show([], runs, whole["summary"]["groups"], [])
    told = _told(model, seconds, runs)
    for line in _sentences(model, seconds):
        console.print(line, soft_wrap=True, markup=False)
    full = whole | {"command": "run", "run": told}
    for file in [place / "run.json", *([] if json is None else [json])]:
        output.write_json(file, output.finite(full))
        written.append(file)
    console.print("wrote " + ", ".join(map(str, written)), soft_wrap=True, markup=False)
    if video is not None:
        film.film(str(path), model=place / "model", out=video, quick=quick, solver=solver)
    elif not no_view:
        _view(path, place, web, quick, solver)


def _scene(
    source: str,
    place: Path,
    report: output.Report,
    filling: Filling,
    scale: float,
) -> tuple[Scene, Path]:
    """The scene to run and its file: the one given, or one made for the mesh, once."""
    from hodsim.scene import read_scene

    found = find_scene(source)
    if found.suffix.lower() == ".toml":
        if filling != AS_IS or scale != 1.0:
            raise InputError(
                f"{source}: expected a mesh for --edge, --mend, --join and --scale, given a scene"
            )
        return read_scene(found), found
    path, note = place / "scene.toml", place / "source.json"
    asked = {"sha256": _digest(found), **asdict(filling), "scale": scale}
    if not note.is_file():
        there = in_the_way(found, path)
        if there is not None:
            raise InputError(f"{there}: not made by hodsim run; choose another --out")
    elif path.is_file():
        if _noted(note) != asked:
            raise InputError(
                f"{place}: expected the folder of a run of {source} with the same --edge, --mend, "
                "--join and --scale, given that of another; choose another --out"
            )
        output.console().print(f"going on with {path}", soft_wrap=True, markup=False)
        return read_scene(path), path
    # First: what is there without it was not made here.
    output.write_json(note, asked)
    show(make_scene(found, path, report, filling=filling, scale=scale, model="model"))
    return read_scene(path), path


def _noted(note: Path) -> Any:
    try:
        return jsonlib.loads(note.read_text(encoding="utf-8"))
    except (ValueError, OSError) as error:
        raise InputError(f"{note}: cannot be read ({error}); choose another --out") from error


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _trained(
    scene: Scene,
    path: Path,
    folder: Path,
    options: TrainOptions,
    quick: bool,
    report: output.Report,
) -> tuple[Model, float]:
    """The model, trained unless it is there, and the seconds that took."""
    from hodsim.fem import body_of
    from hodsim.sampling import check_snapshots
    from hodsim.snapshots import Store
    from hodsim.subspaces import load_model
    from hodsim.training import train

    fit, began = options.fit, time.perf_counter()
    # The checkpoint goes when all else is written.
    if (folder / "model.json").is_file() and not (folder / "checkpoint.safetensors").exists():
        model = load_model(folder)
        model.check(body_of(scene))
        made = model.card.get("options", {})
        wanted = jsonlib.loads(jsonlib.dumps(asdict(options)))
        differ = [k for k in wanted if k not in ("workers", "fit") and wanted[k] != made.get(k)]
        differ += [k for k, v in wanted["fit"].items() if v != made.get("fit", {}).get(k)]
        if differ:
            raise InputError(
                f"{folder}: expected the model of a run like this, given one of other "
                f"{', '.join(differ)}; choose another --out, or the options it was made with"
            )
        # A scene that was changed since draws other motions.
        check_snapshots([scene], options.trajectories, options.seed, Store(folder / "snapshots"))
        return model, 0.0

    def told(stage: str, done: int, total: int, row: dict[str, Any]) -> None:
        error = row.get("held_out_error")
        report(stage, done, total, "" if error is None else f"error {output.percent(error)}")

    words = ["hodsim", "train", str(path), "--out", str(folder)]
    for name, value in (
        ("trajectories", options.trajectories),
        ("rank", fit.rank),
        ("seed", options.seed),
        ("epochs", fit.epochs),
    ):
        words += [f"--{name}", str(value)]
    words += ["--quick"] if quick else []
    train([scene], folder, options, None, told, shlex.join(words), few=quick)
    return load_model(folder), time.perf_counter() - began


def _compared(
    scene: Scene,
    place: Path,
    count: int,
    seed: int,
    quick: bool,
    solver: str,
    report: output.Report,
) -> tuple[list[Run], dict[str, Any], list[Path]]:
    """The comparison on `count` loads drawn anew: runs, results.json, files written."""
    from hodsim.cli import results
    from hodsim.comparison import Store, cases_of, cells_of, run_cells, summary_of

    folder, commit = place / "model", results.commit()
    output.one_thread()
    cases = cases_of(_held_out(scene, count, seed), ("held-out",))
    cells, told = cells_of(cases, lambda _: folder, lambda model: _specs(model, quick), solver)
    store = Store(place / "cells", commit)
    runs = run_cells(cells, store, solver=solver, progress=report)
    if not any(run.steps for run in runs):
        raise InputError(next((run.failure for run in runs if run.failure), "no step was taken"))
    whole: dict[str, Any] = {
        "header": {
            "command": f"hodsim run, {count} loads drawn from the scene's random ones",
            "commit": commit,
            "left out": told,
            **results.origins(cells),
        },
        "rows": [run.to_dict() for run in runs],
        "summary": {"groups": summary_of(runs), "matches": []},
    }
    return runs, whole, results.write_all(place, whole, cells, runs, store)


def _held_out(scene: Scene, count: int, seed: int) -> list[Scene]:
    """The scene under loads of its own random families that no training motion has."""
    import numpy as np

    from hodsim.sampling import draw_loads

    return [
        replace(
            scene,
            name=f"{scene.name}-{k + 1}",
            loads=draw_loads(scene, np.random.default_rng((seed, _HELD_OUT, k))),
            sampling=(),
            path=None,
        )
        for k in range(count)
    ]


def _specs(model: Model, quick: bool) -> list[Spec]:
    """What is compared: all that has a cubature, or PCA and HoD-Net of the model's rank."""
    from hodsim.cubature import load_cubatures
    from hodsim.dynamics import parse_specs

    rank = model.network.shape.rank
    found = list(load_cubatures(model.folder)) if model.folder is not None else []
    wanted = [f"pca-{rank}", f"quadratic-{rank}", f"hod-{rank}"]
    return list(parse_specs(wanted if quick or not found else found))


def _told(model: Model, seconds: dict[str, float], runs: list[Run]) -> dict[str, Any]:
    """What run.json tells beside the comparison."""
    return {
        "seconds": {name: round(s, 2) for name, s in seconds.items()},
        "degrees_of_freedom": model.network.shape.n_dofs,
        "rank": model.network.shape.rank,
        "reconstruction_error": model.card["reconstruction_error"],
        "stopped_early": model.card["stopped_early"],
        "failures": [f"{r.scene}, {r.label}: {r.failure}" for r in runs if r.failure],
    }


def _sentences(model: Model, seconds: dict[str, float]) -> list[str]:
    errors = model.card["reconstruction_error"]
    held = "held_out" in errors and model.card["poses"]["held_out"]
    lines = [
        f"reconstruction error {output.percent(errors['trained_on'])} on the motions trained on"
        + (f", {output.percent(errors['held_out'])} on those held out" if held else "")
    ]
    lines += [
        f"motion {name} stopped early: its poses until then were used"
        for name in model.card["stopped_early"]
    ]
    took = ", ".join(f"{name} {s:.1f} s" for name, s in seconds.items())
    return [*lines, took]


def _view(path: Path, place: Path, web: bool, quick: bool, solver: str) -> None:
    """Open the viewer; where there is none to open, say how, for all else is done."""
    try:
        view.view(
            str(path), model=place / "model", web=web, folder=place, quick=quick, solver=solver
        )
    except InputError as error:
        words = shlex.join(["hodsim", "view", str(path), "--model", str(place / "model")])
        output.console().print(f"no viewer: {error}\nlater: {words}", soft_wrap=True, markup=False)
