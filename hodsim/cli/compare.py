"""`hodsim compare`: many loads, many subspaces, one table a kind of load."""

from __future__ import annotations

import datetime
import shlex
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hodsim.cli import output
from hodsim.cli.options import (
    JsonOption,
    ModelOption,
    ReferenceOption,
    SolverOption,
    check_file,
    check_folder,
    model_folder,
)
from hodsim.errors import InputError

if TYPE_CHECKING:
    from hodsim.comparison import Cell, Run
    from hodsim.dynamics import Spec
    from hodsim.subspaces import Model

_QUICK_STEPS = 60


def compare(
    scenes: Annotated[
        list[str] | None,
        typer.Argument(
            help="Scenes, or bodies (beam, torus, arm, starfish, pierced, or all that are trained) "
            "for all their held-out loads. [default: beam]"
        ),
    ] = None,
    subspaces: Annotated[
        str | None,
        typer.Option(
            "--subspaces",
            metavar="LIST",
            help="What to compare, with commas; pca-4..20 is a range, and pca-12:polynomial has "
            "the exact elastic forces of a body of stvk. [default: a few, with --out "
            "all usual ones of the model]",
        ),
    ] = None,
    loads: Annotated[
        str | None,
        typer.Option(
            "--loads",
            metavar="LIST",
            help="Of held-out, factors such as 1.5x and 2x that scale those, and other (loads of "
            "another kind). [default: the scenes as they are]",
        ),
    ] = None,
    integrators: Annotated[
        str | None,
        typer.Option(
            "--integrators", metavar="LIST", help="Of euler and bdf2. [default: the scene's]"
        ),
    ] = None,
    formulations: Annotated[
        str,
        typer.Option(
            "--formulations",
            "--formulation",
            metavar="LIST",
            help="Reduced equations: incremental, lagrangian (with D^3), or both.",
        ),
    ] = "incremental",
    model: ModelOption = None,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            metavar="DIR",
            help="Folder for report.html, results.json, results.csv, error.png and the runs done, "
            "which the same command takes up again.",
        ),
    ] = None,
    json: JsonOption = None,
    jobs: Annotated[int, typer.Option("--jobs", min=1, help="Processes, of one thread each.")] = 1,
    dask: Annotated[
        str | None,
        typer.Option(
            "--dask",
            metavar="ADDRESS",
            help="A Dask scheduler whose workers do it, on a disk that all share.",
        ),
    ] = None,
    quick: Annotated[
        bool, typer.Option("--quick", help=f"One load of each kind, {_QUICK_STEPS} steps.")
    ] = False,
    reference: ReferenceOption = False,
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
    began = time.perf_counter()
    from hodsim.cli import compared, results
    from hodsim.comparison import (
        Store,
        cases_of,
        cells_of,
        matches_of,
        run_cells,
        summary_of,
        without_cases,
    )

    forms = _listed(formulations) or []
    if ablate and (subspaces is not None or forms != ["incremental"] or reference):
        raise InputError(
            "compare: --ablate compares HoD-Net in both formulations by the readable integrator; "
            "leave out --subspaces, --formulations and --reference"
        )
    specs_of: Callable[[Model], list[Spec]]
    if ablate:
        specs_of = compared.ablation
    elif subspaces is None and out is not None and not quick:
        specs_of = compared.thorough(forms, reference)
    else:
        names = compared.names_in(compared.USUAL if subspaces is None else subspaces)
        specs_of = compared.specs_for(names, forms, reference)
    output.one_thread()
    wanted = _listed(loads)
    opened = compared.scenes_named(scenes, wanted)
    if quick:
        opened = compared.one_of_each(opened)
    kinds = wanted or ("held-out", "other")
    cases = cases_of(
        opened,
        kinds,
        _listed(integrators) or (),
        _QUICK_STEPS if quick else None,
    )
    apart = without_cases(opened, kinds)
    if apart and not cases:
        raise InputError(apart[0])
    commit = results.commit()
    cells, told = cells_of(cases, lambda scene: model_folder(scene, model), specs_of, solver)
    told = [*apart, *told]
    store = None if out is None else Store(out / "cells", commit)
    with output.progress() as report:
        runs = run_cells(cells, store, jobs, dask, solver, report)
    if not any(run.steps for run in runs):
        raise InputError(next((run.failure for run in runs if run.failure), "no step was taken"))
    summary, matches = summary_of(runs), [] if ablate else matches_of(runs)
    named = ((f"{c.body}: {c.spec.label}", c.unlike) for c in cells if c.unlike is not None)
    unlike = list(dict.fromkeys(f"{label}: {how}" for label, how in named))
    results.show([*told, *unlike, *_failures(cells, runs)], runs, summary, matches)
    options = {
        "subspaces": subspaces,
        "loads": loads,
        "integrators": integrators,
        "formulations": formulations,
        "model": model,
        "out": out,
        "jobs": jobs,
        "dask": dask,
        "solver": solver,
        "quick": quick,
        "reference": reference,
        "ablate": ablate,
    }
    header = {
        "command": _command(scenes or [], options),
        "commit": commit,
        "made": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "seconds": round(time.perf_counter() - began, 1),
        "jobs": jobs,
        "dask": dask,
        "left out": told,
        "fitted otherwise": unlike,
        **results.origins(cells),
    }
    console = output.console()
    whole = {
        "header": header,
        "rows": [run.to_dict() for run in runs],
        "summary": {"groups": summary, "matches": [match.to_dict() for match in matches]},
    }
    if out is not None and store is not None:
        header["runs made at other commits"] = sum(
            store.commit_of(cell) not in (None, commit) for cell in cells if cell.refusal is None
        )
        written = results.write_all(out, whole, cells, runs, store)
        console.print("wrote " + ", ".join(map(str, written)), soft_wrap=True)
    if json is not None:
        output.write_json(json, whole)
        console.print(f"wrote {json}", soft_wrap=True)


def _listed(text: str | None) -> list[str] | None:
    """The parts of a list with commas, each once; None for none."""
    if text is None:
        return None
    return list(dict.fromkeys(part.strip().lower() for part in text.split(",") if part.strip()))


def _failures(cells: list[Cell], runs: list[Run]) -> list[str]:
    """A line for each run that a crash or bad input kept from its first step."""
    return [
        f"{run.body}, {run.scene}, {run.load}, {run.label}: {run.failure}"
        for cell, run in zip(cells, runs, strict=True)
        if run.engine is None and cell.refusal is None
    ]


def _command(scenes: list[str], options: dict[str, Any]) -> str:
    """The command with these options, without those left at their defaults."""
    defaults = {"formulations": "incremental", "jobs": 1, "solver": "auto"}
    words = ["hodsim", "compare", *scenes]
    for name, value in options.items():
        if value not in (None, False, defaults.get(name)):
            words += [f"--{name}", *([] if value is True else [str(value)])]
    return shlex.join(words)
