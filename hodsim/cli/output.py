"""What the commands print and write: progress, tables, reports."""

from __future__ import annotations

import hashlib
import json
import math
import os
import platform
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from hodsim.files import atomic

if TYPE_CHECKING:
    from hodsim.comparison import Play, Run
    from hodsim.scene import Scene
    from hodsim.viewer import Curve

PACKAGES = ("hodsim", "numpy", "scipy", "torch", "warp-lang", "pypardiso")


class Report(Protocol):
    """Whom to tell how far a command is."""

    def __call__(self, what: str, done: int, total: int, note: str = "") -> None:
        """Say what is being done, how much of it is, and perhaps a word on how it goes."""


def console() -> Console:
    """Where results go."""
    return Console(soft_wrap=False, highlight=False)


@contextmanager
def progress() -> Iterator[Report]:
    """A bar on stderr that goes when the work is done; call it with (what, done, total)."""
    screen = Console(stderr=True)
    bars = Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        console=screen,
        transient=True,
        disable=not screen.is_terminal,  # in a log a bar is noise
    )
    with bars:
        task = bars.add_task("starting", total=None)
        now = ""

        def report(what: str, done: int, total: int, note: str = "") -> None:
            nonlocal now
            if what != now:
                now = what
                bars.reset(task, total=total)
            bars.update(task, completed=done, description=f"{what} {note}".rstrip())

        yield report


def prefixed(report: Report, name: str) -> Callable[[str, int, int], None]:
    """The same progress, with a name before what is being done."""
    return lambda what, done, total: report(f"{name} {what}", done, total)


def error_curves(p: Play, title: Callable[[str], str] = str) -> dict[str, Curve]:
    """Tip error against time of every reduced run; HoD-Net with all its terms stands out."""
    from hodsim.viewer import Curve

    curves = {}
    for run in p.runs[1:]:
        error = p.tip_error(run.label)
        times = p.trajectories[run.label].times[: len(error)]
        strong = run.subspace == "hod" and len(run.terms) == 2
        curves[title(run.label)] = Curve(times, error, strong)
    return curves


def one_thread() -> None:
    """Hold torch to one thread, so that step times of all subspaces compare."""
    import torch

    torch.set_num_threads(1)


def versions() -> dict[str, str | None]:
    """Versions of Python and of the packages that decide the numbers; None where not installed."""
    found: dict[str, str | None] = {"python": platform.python_version()}
    for name in PACKAGES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            found[name] = None
    if found["hodsim"] is None:  # run from the source tree, not installed
        from hodsim import __version__

        found["hodsim"] = __version__
    return found


def report_of(
    command: str, scenes: Iterable[Scene], models: Iterable[Path], runs: Iterable[Run]
) -> dict[str, Any]:
    """What every report holds: versions, threads, digests of what went in, and `runs`."""
    return {
        "command": command,
        "versions": versions(),
        "threads": int(os.environ.get("OMP_NUM_THREADS", "1")),
        "scenes": {
            scene.name: {"file": str(scene.path), "sha256": _sha256(scene.path)}
            for scene in scenes
            if scene.path is not None
        },
        "models": {
            str(folder): {"card_sha256": _sha256(folder / "model.json")}
            for folder in dict.fromkeys(models)
        },
        "runs": [run.to_dict() for run in runs],
    }


def write_json(path: Path, report: dict[str, Any]) -> None:
    """Write a report in one move; NaN and infinity are not JSON, and refused."""
    with atomic(path) as temporary:
        text = json.dumps(report, indent=2, allow_nan=False)
        temporary.write_text(text + "\n", encoding="utf-8")


def finite(value: Any) -> Any:
    """The same lists and tables with None for NaN and infinity, which JSON does not know."""
    if isinstance(value, dict):
        return {key: finite(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [finite(inner) for inner in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def runs_table(runs: Iterable[Run]) -> Table:
    """A line for each run, a block for each scene."""
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column("\nscene", no_wrap=True)
    table.add_column("\nsubspace")
    for name in (
        "tip position\nerror",
        "tip velocity\nerror",
        "step\nms",
        "\nspeed-up",
        "Newton\niterations",
    ):
        table.add_column(name, justify="right", no_wrap=True)
    last = None
    for run in runs:
        if last not in (None, run.scene):
            table.add_section()
        table.add_row(
            run.scene if run.scene != last else "",
            run.label if run.converged else f"{run.label} (stopped after {run.steps} steps)",
            percent(run.tip_position_error) if run.subspace != "full" else "-",
            percent(run.tip_velocity_error) if run.subspace != "full" else "-",
            number(run.step_ms),
            "" if run.speedup is None else f"{run.speedup:.1f} x",
            number(run.newton_iterations),
        )
        last = run.scene
    return table


def missing_cubatures(runs: Iterable[Run]) -> str | None:
    """A sentence on the compiled runs that had no cubature; None if all had."""
    whole = max((run.tets or 0 for run in runs), default=0)
    labels = [run.label for run in runs if run.engine == "compiled" and run.tets == whole > 0]
    return no_cubature(labels, whole) if labels else None


def no_cubature(labels: Iterable[str], tets: int) -> str:
    """What to say of compiled steps over all tets."""
    return (
        f"no cubature for {', '.join(dict.fromkeys(labels))}: all {tets} tets evaluated; "
        "`hodsim cubature` fits one"
    )


def percent(value: float | None) -> str:
    """A ratio as a percentage with three digits, or a dash where there is none."""
    return "-" if value is None else f"{number(100.0 * value)} %"


def number(value: float | None) -> str:
    """Three significant digits, written plainly."""
    if value is None:
        return "-"
    digits = 2 if abs(value) < 10.0 else 1 if abs(value) < 100.0 else 0
    return f"{value:.{digits}f}"


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
