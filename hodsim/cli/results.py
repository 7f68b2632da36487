"""What `hodsim compare` prints and writes: tables, results.json, results.csv, plot, report."""

from __future__ import annotations

import csv
import hashlib
import platform
import subprocess
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from rich.table import Table

import hodsim
from hodsim.cli import output
from hodsim.cli.compared import USUAL
from hodsim.errors import InputError
from hodsim.files import atomic

if TYPE_CHECKING:
    from hodsim.comparison import Cell, Group, Match, Run, Store
    from hodsim.viewer import Curve

_LINES = 12  # more labels than these are plotted by the usual ones
_PANELS = 15  # more scenes than these are plotted by one of each family


def commit() -> str | None:
    """The commit of the source tree that runs, "-dirty" if it was changed; None outside of one."""
    root = Path(hodsim.__file__).resolve().parent.parent
    if not (root / ".git").exists():
        return None
    try:
        done = subprocess.run(
            ["git", "describe", "--always", "--abbrev=40", "--dirty", "--exclude=*"],  # noqa: S607
            cwd=root,
            capture_output=True,
            text=True,
            check=True,
            timeout=20,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip() or None


def origins(cells: Sequence[Cell]) -> dict[str, Any]:
    """Versions, threads, machine, and digests of the scenes and models that went in."""
    told = output.report_of("", [], [], [])
    files = {str(cell.case.scene.path): cell.case.scene for cell in cells if cell.case.scene.path}
    folders = dict.fromkeys(cell.folder for cell in cells)
    return {
        "versions": told["versions"],
        "threads": told["threads"],
        "machine": machine(),
        "scenes": {name: _sha256(Path(name)) for name in files},
        "models": {str(folder): _sha256(folder / "model.json") for folder in folders},
    }


def machine() -> str:
    """System and processor, in words."""
    name = platform.processor()
    told = Path("/proc/cpuinfo")
    if told.is_file():
        lines = told.read_text(encoding="utf-8", errors="replace").splitlines()
        models = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
        name = f"{len(models)} x {models[0]}" if models else name
    return f"{platform.system()} {platform.machine()}, {name}".rstrip(", ")


def table(group: Group, rows: Sequence[dict[str, Any]], several: Sequence[str]) -> Table:
    """The lines of a group of the summary; `several` are the parts of its name that vary."""
    loads = rows[0]["loads"]
    made = Table(
        title=f"{title(group, several)}: tip errors over {loads} load{'s' if loads > 1 else ''}",
        title_justify="left",
        box=None,
        pad_edge=False,
        padding=(0, 2, 0, 0),
    )
    longest = max(len(word) for row in rows for word in row["label"].split())
    made.add_column("\nsubspace", min_width=max(11, longest))
    for name in (
        "position\nmean",
        "\nworst",
        "velocity\nmean",
        "\nworst",
        "Newton\niter.",
        "step\nms",
        "\nspeed-up",
        "\ntets",
    ):
        made.add_column(name, justify="right", no_wrap=True)
    for row in rows:
        full = row["subspace"] == "full"
        errors = [
            row[f"tip_{name}_error_{what}"]
            for name in ("position", "velocity")
            for what in ("mean", "worst")
        ]
        stopped = f" ({row['stopped']} of {row['loads']} stopped)" if row["stopped"] else ""
        made.add_row(
            row["label"] + stopped,
            *("-" if full else output.percent(error) for error in errors),
            output.number(row["newton_iterations"]),
            output.number(row["step_ms"]),
            "-" if row["speedup"] is None else f"{row['speedup']:.1f} x",
            "-" if row["tets"] is None else f"{row['tets']:.0f}",
        )
    return made


def title(group: Group, several: Sequence[str]) -> str:
    """The name of a group: its family, and of the rest what varies in this comparison."""
    parts = [getattr(group, name) for name in ("body", "load", "integrator") if name in several]
    return ", ".join([group.family, *parts])


def varying(groups: Iterable[Group]) -> list[str]:
    """Which parts of the groups' names differ among them."""
    every = list(groups)
    names = ("body", "load", "integrator")
    return [name for name in names if len({getattr(group, name) for group in every}) > 1]


def show(
    told: Sequence[str],
    runs: Sequence[Run],
    summary: Sequence[dict[str, Any]],
    matches: Sequence[Match],
) -> None:
    """Print what was left out, a table for each group, and the ranks that match."""
    from hodsim.comparison import grouped
    from hodsim.subspaces import NESTED

    console = output.console()
    for line in told:
        console.print(line, soft_wrap=True, markup=False)
    groups = list(grouped(runs))
    several = varying(groups)
    for group in groups:
        rows = [row for row in summary if all(row[k] == v for k, v in vars(group).items())]
        console.print(table(group, rows, several))
        console.print()
    if warned := output.missing_cubatures(runs):
        console.print(warned, soft_wrap=True)
    # Others have a rank or two: the tables above show them.
    ranked = [match for match in matches if match.method in ("pca", *NESTED)]
    if ranked:
        console.print("Rank from which on a method matches HoD-Net, by tip position / velocity:")
        console.print(matches_table(ranked, several))


def write_all(
    out: Path,
    whole: dict[str, Any],
    cells: Sequence[Cell],
    runs: Sequence[Run],
    store: Store,
) -> list[Path]:
    """Write results.json, results.csv, error.png and report.html, and say which."""
    from hodsim.viewer import error_plot

    written = [out / "results.json", out / "results.csv"]
    output.write_json(written[0], whole)
    write_csv(written[1], runs)
    if found := curves(runs):
        written.append(out / "error.png")
        error_plot(written[-1], found)
    written.append(out / "report.html")
    if not write_html(written[-1], whole, cells, store):
        told = "no pictures in the report: nothing can be drawn here, see README"
        output.console().print(told, soft_wrap=True)
    return written


def matches_table(matches: Sequence[Match], several: Sequence[str]) -> Table:
    """From which rank on each method matches a HoD-Net, by position and by velocity."""
    made = Table(
        box=None,
        pad_edge=False,
        padding=(0, 2, 0, 0),
    )
    methods = list(dict.fromkeys(match.method for match in matches))
    for name in ("loads", ""):
        made.add_column(name, no_wrap=True)
    for name in methods:
        made.add_column(name)
    lines: dict[tuple[str, str], dict[str, str]] = {}
    for match in matches:
        name = match.hod if match.formulation == "incremental" else f"{match.hod} (lagrangian)"
        line = lines.setdefault((title(match.group, several), name), {})
        found = (match.by_position, match.by_velocity)
        line[match.method] = (
            " / ".join(f">{match.up_to}" if x is None else f"{x}" for x in found)
            if match.compared
            else "not compared"
        )
    for (where, hod), line in lines.items():
        made.add_row(where, hod, *(line.get(method, "-") for method in methods))
    return made


def write_csv(path: Path, runs: Iterable[Run]) -> None:
    """One line a run, with all that is a single value."""
    rows = [run.to_dict() for run in runs]
    for row in rows:
        del row["error_over_time"]
        row["terms"] = "+".join(row["terms"])
    with atomic(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


def curves(runs: Iterable[Run]) -> dict[str, dict[str, Curve]]:
    """Tip error against time of all reduced runs with one, by scene; HoD-Net stands out."""
    from hodsim.viewer import Curve

    found: dict[str, dict[str, Curve]] = {}
    families: set[str] = set()
    members: dict[tuple[str, str, str], list[Run]] = {}
    for run in runs:
        if run.error_over_time is not None:
            members.setdefault((run.body, run.scene, run.integrator), []).append(run)
    labels = {run.label for mine in members.values() for run in mine}
    # With every rank of every method in it no line could be told from another.
    shown = labels & {*USUAL.split(",")} if len(labels) > _LINES else labels
    several = len({(body, integrator) for body, _, integrator in members}) > 1
    for (body, scene, integrator), mine in members.items():
        family = f"{body} {mine[0].family} {integrator}"
        if len(members) > _PANELS and family in families:
            continue
        families.add(family)
        for run in (run for run in mine if run.label in (shown or labels)):
            assert run.error_over_time is not None
            times = run.step * np.arange(len(run.error_over_time))
            strong = run.subspace == "hod" and run.terms == ("second", "third")
            curve = Curve(times, np.array(run.error_over_time), strong)
            name = f"{body} {scene} {integrator}" if several else scene
            found.setdefault(name, {}).setdefault(run.label, curve)
    return found


def write_html(path: Path, results: dict[str, Any], cells: Sequence[Cell], store: Store) -> bool:
    """The comparison as one HTML file; False where its pictures could not be drawn."""
    from hodsim.comparison import Library
    from hodsim.viewer import check_drawing
    from hodsim.viewer.report import WorstFrame, worst_frames, write_report

    frames, library = [], Library()
    for cell in cells:
        worst = store.worst(cell)
        if worst is None:
            continue
        scene, body = cell.case.scene, library.body(cell.case.scene)
        frames.append(
            WorstFrame(
                body=cell.body,
                load=cell.case.load,
                scene=scene.name,
                label=cell.spec.label,
                time=worst.frame * scene.time.step,
                error=worst.error,
                vertices=body.mesh.vertices,
                surface=body.mesh.surface,
                clamped=np.setdiff1d(np.arange(body.mesh.n_vertices), body.free_vertices),
                full=worst.full.astype(np.float64),
                positions=worst.reduced.astype(np.float64),
            )
        )
    try:
        check_drawing()
    except InputError:
        write_report(path, results)
        return not frames
    write_report(path, results, worst_frames(frames))
    return True


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
