"""`hodsim compare`: many loads, many subspaces, one table a kind of load."""

from __future__ import annotations

import re
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table

from hodsim.cli import output
from hodsim.cli.options import (
    FormulationOption,
    JsonOption,
    ModelOption,
    ReferenceOption,
    SolverOption,
    check_file,
    check_folder,
    model_folder,
    model_opener,
    open_scene,
)
from hodsim.errors import InputError
from hodsim.files import data_dir

if TYPE_CHECKING:
    from hodsim.comparison import Run
    from hodsim.dynamics import Spec
    from hodsim.scene import Scene
    from hodsim.viewer import Curve

_SUBSPACES = "pca-6,pca-12,pca-15,pca-20,quadratic-6,hod-6"
_QUICK_STEPS = 60


def compare(
    scenes: Annotated[
        list[str] | None, typer.Argument(help="Scenes. [default: all shipped held-out ones]")
    ] = None,
    subspaces: Annotated[
        str, typer.Option("--subspaces", help="What to compare, with commas.")
    ] = _SUBSPACES,
    model: ModelOption = None,
    out: Annotated[
        Path | None, typer.Option("--out", metavar="DIR", help="Folder for report.json, error.png.")
    ] = None,
    json: JsonOption = None,
    quick: Annotated[
        bool, typer.Option("--quick", help=f"One load of each kind, {_QUICK_STEPS} steps.")
    ] = False,
    reference: ReferenceOption = False,
    formulation: FormulationOption = "incremental",
    ablate: Annotated[
        bool,
        typer.Option(
            "--ablate", help="HoD-Net alone: both formulations, with and without each derivative."
        ),
    ] = False,
    solver: SolverOption = "auto",
) -> None:
    """Compare subspaces with full space over held-out loads.

    Every run is counted: one that stops early is reported as such and has no error.
    """
    if out is not None:
        check_folder(out)
    check_file(json)
    from hodsim.comparison import play
    from hodsim.cubature import load_cubatures
    from hodsim.dynamics import parse_specs
    from hodsim.viewer import error_plot

    output.one_thread()
    specs = parse_specs(subspaces, formulation, reference)
    if all(spec.kind == "full" for spec in specs):
        raise InputError("subspaces: expected at least one besides full, given none; name some")
    opened = [open_scene(name) for name in scenes] if scenes else _held_out()
    if quick:
        opened = list({_kind(scene.name): scene for scene in reversed(opened)}.values())[::-1]
    names = [scene.name for scene in opened]
    if len(set(names)) != len(names):
        raise InputError(f"scenes: expected different names, given {', '.join(names)}")
    models = model_opener(model)
    ranks = [models(scene).network.shape.rank for scene in opened]
    if ablate and (subspaces != _SUBSPACES or formulation != "incremental" or reference):
        raise InputError(
            "compare: --ablate compares HoD-Net in both formulations by the readable integrator; "
            "leave out --subspaces, --formulation and --reference"
        )
    if ablate:
        specs = _ablation(ranks[0])
    runs: list[Run] = []
    curves: dict[str, dict[str, Curve]] = {}
    with output.progress() as report:
        for number, scene in enumerate(opened, 1):
            where = f"{scene.name} ({number}/{len(opened)})"
            p = play(
                scene,
                models(scene),
                specs,
                cubatures=load_cubatures(model_folder(scene, model))
                if any(spec.compiled for spec in specs)
                else {},
                steps=min(_QUICK_STEPS, scene.time.steps) if quick else None,
                solver=solver,
                progress=output.prefixed(report, where),
            )
            runs += p.runs
            curves[scene.name] = output.error_curves(p)
    kinds = _by_kind(runs)
    summary = {kind: _rows(group) for kind, group in kinds.items()}
    console = output.console()
    for kind, rows in summary.items():
        console.print(_table(kind, rows))
        console.print()
    if told := output.missing_cubatures(runs):
        console.print(told, soft_wrap=True)
    matches = {} if ablate else {kind: _matching_rank(rows) for kind, rows in summary.items()}
    for kind, told in matches.items():
        if told is not None:
            console.print(f"{kind}: {told}")
    whole = output.report_of("compare", opened, [model_folder(s, model) for s in opened], runs)
    whole |= {"summary": summary, "matching_pca": matches}
    if out is not None:
        error_plot(out / "error.png", curves)
        output.write_json(out / "report.json", whole)
        console.print(f"wrote {out / 'report.json'}, {out / 'error.png'}", soft_wrap=True)
    if json is not None:
        output.write_json(json, whole)
        console.print(f"wrote {json}", soft_wrap=True)


def _ablation(rank: int) -> tuple[Spec, ...]:
    """HoD-Net in both forms, with all terms of Newton's matrix and with fewer."""
    from hodsim.dynamics import Spec, Terms

    return (
        Spec("hod", rank, "incremental", reference=True),
        Spec("hod", rank, "incremental", Terms(second=False, third=False)),
        Spec("hod", rank, "lagrangian"),
        Spec("hod", rank, "lagrangian", Terms(third=False)),
        Spec("hod", rank, "lagrangian", Terms(second=False, third=False)),
    )


def _held_out() -> list[Scene]:
    paths = sorted((data_dir("scenes") / "heldout").glob("*.toml"))
    if not paths:
        raise InputError("scenes: expected held-out scenes in this installation, found none")
    return [open_scene(str(path)) for path in paths]


def _kind(name: str) -> str:
    """The kind of a scene: its name without a number at the end ("bend-3" is a "bend")."""
    return re.sub(r"-\d+$", "", name)


def _by_kind(runs: list[Run]) -> dict[str, list[Run]]:
    kinds: dict[str, list[Run]] = {}
    for run in runs:
        kinds.setdefault(_kind(run.scene), []).append(run)
    return kinds


def _rows(runs: list[Run]) -> list[dict[str, Any]]:
    """One line for each subspace: means over the loads of a kind, and the worst."""
    rows = []
    for label in dict.fromkeys(run.label for run in runs):
        group = [run for run in runs if run.label == label]
        position = _known([run.tip_position_error for run in group])
        velocity = _known([run.tip_velocity_error for run in group])
        rows.append(
            {
                "label": label,
                "subspace": group[0].subspace,
                "rank": group[0].rank,
                "loads": len(group),
                "stopped": sum(not run.converged for run in group),
                "position_mean": fmean(position) if position else None,
                "position_worst": max(position, default=None),
                "velocity_mean": fmean(velocity) if velocity else None,
                "velocity_worst": max(velocity, default=None),
                **{
                    name: fmean(values) if (values := _known(found)) else None
                    for name, found in {
                        "newton_iterations": [run.newton_iterations for run in group],
                        "step_ms": [run.step_ms for run in group],
                        "speedup": [run.speedup for run in group],
                    }.items()
                },
            }
        )
    return rows


def _known(values: list[float | None]) -> list[float]:
    return [value for value in values if value is not None]


def _table(kind: str, rows: list[dict[str, Any]]) -> Table:
    loads = rows[0]["loads"]
    table = Table(
        title=f"{kind}: tip errors over {loads} load{'s' if loads > 1 else ''}",
        title_justify="left",
        box=None,
        pad_edge=False,
        padding=(0, 2, 0, 0),
    )
    table.add_column("\nsubspace", min_width=11)
    for name in (
        "position\nmean",
        "\nworst",
        "velocity\nmean",
        "\nworst",
        "Newton\niter.",
        "step\nms",
        "\nspeed-up",
    ):
        table.add_column(name, justify="right", no_wrap=True)
    for row in rows:
        full = row["subspace"] == "full"
        errors = ("position_mean", "position_worst", "velocity_mean", "velocity_worst")
        stopped = f" ({row['stopped']} of {loads} stopped)" if row["stopped"] else ""
        table.add_row(
            row["label"] + stopped,
            *("-" if full else output.percent(row[name]) for name in errors),
            output.number(row["newton_iterations"]),
            output.number(row["step_ms"]),
            "-" if row["speedup"] is None else f"{row['speedup']:.1f} x",
        )
    return table


def _matching_rank(rows: list[dict[str, Any]]) -> str | None:
    """Which of the PCA ranks compared is first as good as HoD-Net, by the mean tip error."""
    hod = [
        row
        for row in rows
        if row["subspace"] == "hod" and row["position_mean"] is not None and not row["stopped"]
    ]
    pca = sorted((row for row in rows if row["subspace"] == "pca"), key=lambda row: row["rank"])
    if not hod or not pca:
        return None
    best = hod[0]
    for row in pca:
        mean = row["position_mean"]
        if mean is not None and not row["stopped"] and mean <= best["position_mean"]:
            return f"{row['label']} is the first PCA to match {best['label']}"
    return f"no PCA up to {pca[-1]['label']} matches {best['label']}"
