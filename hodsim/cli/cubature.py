"""`hodsim cubature`: fit, for a trained model, few tets that stand for all in its subspaces."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table

from hodsim.cli import output
from hodsim.cli.motions import motions, scenes_of, seed_of
from hodsim.cli.options import (
    JsonOption,
    ModelOption,
    check_file,
    check_folder,
    model_folder,
    open_scene,
)
from hodsim.errors import InputError
from hodsim.files import alone, data_dir

if TYPE_CHECKING:
    import numpy as np

    from hodsim.cubature import Cubature
    from hodsim.fem import Body
    from hodsim.scene import Scene
    from hodsim.subspaces import Model

# Poses held out whose own errors are reported and drawn.
_SHOWN = 300


def cubature(
    scenes: Annotated[
        list[str] | None,
        typer.Argument(help="Scenes of the model's body. [default: those it was trained on]"),
    ] = None,
    model: ModelOption = None,
    snapshots: Annotated[
        Path | None,
        typer.Option(
            "--snapshots",
            metavar="DIR",
            help="Folder of the model's motions to fit to; those that it lacks are made and kept "
            "there. [default: made, and not kept]",
        ),
    ] = None,
    subspaces: Annotated[
        str | None,
        typer.Option(
            "--subspaces",
            help="hod-6,pca-12 and so on; pca-12:polynomial computes the exact elastic forces of a "
            "body of stvk, for which no motions are needed. [default: all that training fits]",
        ),
    ] = None,
    tets: Annotated[int | None, typer.Option("--tets", min=1, help="Most tets to take.")] = None,
    tolerance: Annotated[
        float | None,
        typer.Option("--tolerance", min=0.0, help="RMS error, such as 0.002, that is enough."),
    ] = None,
    trajectories: Annotated[
        int | None,
        typer.Option(
            "--trajectories",
            min=1,
            help="Motions of each scene. [default: all in --snapshots, or 20]",
        ),
    ] = None,
    workers: Annotated[
        int, typer.Option("--workers", min=1, help="Processes that make motions.")
    ] = 2,
    seed: Annotated[
        int | None,
        typer.Option(
            "--seed", min=0, help="Of the poses drawn, and of motions not kept. [the model's own]"
        ),
    ] = None,
    out: Annotated[
        Path | None, typer.Option("--out", metavar="DIR", help="[default: the model's folder]")
    ] = None,
    json: JsonOption = None,
    plot: Annotated[
        Path | None, typer.Option("--plot", metavar="FILE", help="Draw errors against tets.")
    ] = None,
) -> None:
    """Fit cubatures for a trained model's subspaces and store them beside it.

    Others that the model has are kept. Without snapshots, motions are made with the scenes, ranges
    and seed of the model's training.
    """
    for file in (json, plot):
        check_file(file)
    from hodsim.cli.polynomials import compute_polynomials
    from hodsim.cubature import MAX_TETS, fit_cubatures, subspaces_of, usable_cubatures
    from hodsim.dynamics import parse_specs
    from hodsim.fem import body_of
    from hodsim.subspaces import load_model
    from hodsim.training import PAGE, write_page

    opened = [open_scene(name) for name in scenes or []]
    if model is None:
        model = model_folder(opened[0], None) if opened else data_dir("trained_models") / "beam"
    place = out or model
    check_folder(place)
    trained = load_model(model)
    opened = opened or scenes_of(trained, model)
    body = body_of(opened[0])
    trained.check(body)
    wanted = subspaces_of(trained)
    polynomials: tuple[tuple[str, int], ...] = ()
    if subspaces is not None:
        specs = parse_specs(subspaces)
        polynomials = tuple(_named(s.kind, s.rank, trained) for s in specs if s.polynomial)
        wanted = tuple(_named(s.kind, s.rank, trained) for s in specs if not s.polynomial)
    names = [f"{kind}-{rank}" for kind, rank in wanted]
    if seed is None:
        seed = seed_of(trained)
    most = tets or (MAX_TETS if tolerance is None else 4 * MAX_TETS)
    command = ["hodsim", "cubature", *(scenes or []), "--model", str(model)]
    command += ["--subspaces", ",".join(names), "--tets", str(most)]
    command += [] if tolerance is None else ["--tolerance", str(tolerance)]
    command += [] if trajectories is None else ["--trajectories", str(trajectories)]
    command += ["--seed", str(seed)]
    drawn = seed if snapshots is None else seed_of(trained)
    console = output.console()
    with alone(place):
        exact = compute_polynomials(place, body, trained, polynomials)
        if polynomials and not wanted:
            _write(json, opened, model, {"polynomials": exact})
            return
        kept = {k: c for k, c in usable_cubatures(place, body, trained).items() if k not in names}
        with (
            output.progress() as report,
            motions(opened, body, snapshots, trajectories, drawn, workers, report, 20) as poses,
        ):
            seen, unseen = poses
            found = fit_cubatures(
                place,
                body,
                trained,
                wanted,
                seen.u,
                unseen.u,
                tolerance or 0.0,
                most,
                seed,
                shlex.join(command),
                kept,
                report,
            )
            fitted = {name: found[name] for name in names}
            told = _measure(fitted, body, trained, unseen.u)
    console.print(_table(fitted, told))
    if (place / PAGE).is_file() and "loads" in trained.card:
        write_page(place)
    console.print(f"wrote {place / 'cubature.safetensors'}", soft_wrap=True)
    if plot is not None:
        _draw(plot, fitted, told)
        console.print(f"wrote {plot}", soft_wrap=True)
    schemes = {name: _facts(c) | {"poses": told[name]} for name, c in fitted.items()}
    _write(json, opened, model, {"schemes": schemes} | ({"polynomials": exact} if exact else {}))


def _write(json: Path | None, scenes: list[Scene], model: Path, found: dict[str, Any]) -> None:
    if json is None:
        return
    whole = output.report_of("cubature", scenes, [model], [])
    del whole["runs"]
    output.write_json(json, output.finite(whole | found))
    output.console().print(f"wrote {json}", soft_wrap=True)


def _named(kind: str, rank: int | None, model: Model) -> tuple[str, int]:
    if kind == "full":
        raise InputError(
            "subspace: expected a kind such as hod, pca or quadratic, given full; choose one"
        )
    return kind, model.subspace(kind, rank).rank


def _measure(
    fitted: dict[str, Cubature], body: Body, model: Model, poses: np.ndarray
) -> dict[str, dict[str, list[float]]]:
    """Errors of single poses held out."""
    from hodsim.cubature import pose_errors

    some = poses[:: max(1, len(poses) // _SHOWN)]
    found = {}
    for name, scheme in fitted.items():
        errors = pose_errors(body, model.subspace(scheme.subspace, scheme.rank), scheme, some)
        found[name] = {kind: values.tolist() for kind, values in errors.items()}
    return found


def _facts(c: Cubature) -> dict[str, Any]:
    return {
        "tets": c.tets.tolist(),
        "weights": c.weights.tolist(),
        "n_tets": c.n_tets,
        "training_error": c.training_error,
        "held_out_error": c.held_out_error,
        "worst_error": c.worst_error,
        "force_error": c.force_error,
        "curve": c.curve.tolist(),
        "seed": c.seed,
        "command": c.command,
    }


def _table(fitted: dict[str, Cubature], told: dict[str, dict[str, list[float]]]) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column("\nsubspace")
    for name in (
        "\ntets",
        "error\nfitted to",
        "error\nheld out",
        "\nworst",
        "force\nerror",
        "stiffness\nerror",
    ):
        table.add_column(name, justify="right", no_wrap=True)
    for name, c in fitted.items():
        values = told[name]["stiffness"]
        stiffness = (sum(x * x for x in values) / len(values)) ** 0.5
        errors = (c.training_error, c.held_out_error, c.worst_error, c.force_error, stiffness)
        table.add_row(name, f"{len(c.tets)} of {c.n_tets}", *map(output.percent, errors))
    return table


def _draw(path: Path, fitted: dict[str, Cubature], told: dict[str, dict[str, list[float]]]) -> None:
    import numpy as np

    from hodsim.viewer import TetCurve, cubature_plot

    curves = {}
    for name, c in fitted.items():
        tets, training, held_out, _ = c.curve.T
        poses = np.array(told[name]["displacement"])
        curves[name] = TetCurve(tets, training, held_out, poses, len(c.tets))
    cubature_plot(path, curves)
