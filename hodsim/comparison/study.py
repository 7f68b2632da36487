"""A comparison: cells that are there are taken, and those missing are run, case by case."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

import numpy as np

from hodsim.comparison.cases import Case
from hodsim.comparison.cells import Cell, Store, Worst
from hodsim.comparison.engine import Crash, each
from hodsim.comparison.library import Library
from hodsim.comparison.measure import Run, refused
from hodsim.comparison.runs import FULL, Play, Progress, fault, play
from hodsim.dynamics import FORMULATIONS, Spec, Terms
from hodsim.errors import InputError

# A worker with several threads takes one case at a time: step times must compare.
_ALONE = threading.Lock()


@dataclass(frozen=True)
class Task:
    """A case and the specs that are missing in it, with their keys, for a worker.

    The scene travels; its mesh and the model are read where the worker finds them, which must be
    the same files: `keys` hold their digests.
    """

    case: Case
    folder: Path
    specs: tuple[Spec, ...]
    keys: tuple[str, ...]
    solver: str = "auto"


@dataclass(frozen=True)
class Outcome:
    """Runs in the order of the task's specs, and the worst frames of some by their labels."""

    runs: tuple[Run, ...]
    worst: dict[str, Worst] = field(default_factory=dict)


def run_task(task: Task, progress: Progress | None = None) -> Outcome:
    """Play a case in full space and in each of the task's specs.

    A spec for which this machine has other files, or another hodsim, than the one that asked is a
    refused run, and so is each spec of a case that cannot be played.
    """
    import torch

    scene, load, found = task.case.scene, task.case.load, {}
    worst: dict[str, Worst] = {}
    with _ALONE:
        torch.set_num_threads(1)
        try:
            library = Library()
            same = [
                s
                for s, key in zip(task.specs, task.keys, strict=True)
                if _is(s, key, task, library)
            ]
            if same:
                model = library.model(task.folder)
                p = play(
                    scene,
                    model,
                    same,
                    cubatures=library.cubatures(task.folder),
                    solver=task.solver,
                    load=load,
                    on_refusal="tell",
                    progress=progress,
                )
                found = {run.label: run for run in p.runs}
                rank = model.network.shape.rank
                worst = {s.label: _worst(p, s.label) for s in same if _pictured(s, rank, p)}
            why = (
                f"expected the mesh, model and hodsim with which the comparison was started, found "
                f"others in {task.folder} or in hodsim's sources; use a disk that all workers "
                "share, leave both alone, and run the same command again"
            )
        except InputError as error:
            why = " ".join(str(error).split())
        # One case's fault is told there, and the other cases go on.
        except Exception as error:  # noqa: BLE001
            why = fault(error)
    runs = [found.get(spec.label) or refused(scene, spec, why, load) for spec in task.specs]
    return Outcome(tuple(runs), worst)


def _is(spec: Spec, key: str, task: Task, library: Library) -> bool:
    return library.key(task.case, spec, task.folder, task.solver) == key


def run_cells(
    cells: Sequence[Cell],
    store: Store | None = None,
    jobs: int = 1,
    dask: str | None = None,
    solver: str = "auto",
    progress: Callable[[str, int, int], None] | None = None,
) -> list[Run]:
    """The runs of all cells, in their order.

    Those in `store` are taken from there, and each other one that took place is put there as soon
    as its case is done, so that the same call goes on where a stopped one was.
    `progress(case, runs done, runs in all)` is told of each case done, and of each step where one
    job does all in this process. See `each` for `jobs` and `dask`.
    """
    runs: dict[int, Run] = {}
    missing: dict[tuple[str, Path], list[int]] = {}
    for k, cell in enumerate(cells):
        found = None
        if cell.refusal is not None:
            found = refused(cell.case.scene, cell.spec, cell.refusal, cell.case.load)
        elif store is not None:
            found = store.read(cell)
        if found is None:
            missing.setdefault((_case_name(cell), cell.folder), []).append(k)
        else:
            runs[k] = found
    groups = list(missing.values())
    tasks = [_task([cells[k] for k in group], solver) for group in groups]
    report = progress or _silent
    work = run_task if jobs > 1 or dask else partial(_told, report=report)
    report("runs", len(runs), len(cells))
    for number, outcome in each(work, tasks, jobs, dask):
        group = [cells[k] for k in groups[number]]
        if isinstance(outcome, Crash):
            made = [
                refused(c.case.scene, c.spec, f"crashed: {outcome.why}", c.case.load) for c in group
            ]
        else:
            made = list(outcome.runs)
            for cell, run in zip(group, made, strict=True):
                # One that could not even start costs nothing to try again.
                if store is not None and run.engine is not None:
                    store.write(cell, run, outcome.worst.get(run.label))
        runs |= dict(zip(groups[number], made, strict=True))
        report("runs", len(runs), len(cells))
    return [replace(runs[k], body=cell.body) for k, cell in enumerate(cells)]


def _silent(what: str, done: int, total: int) -> None:
    del what, done, total


def _told(task: Task, report: Callable[[str, int, int], None]) -> Outcome:
    name = task.case.scene.name
    return run_task(task, lambda what, done, total: report(f"{name} {what}", done, total))


def _case_name(cell: Cell) -> str:
    """Tells the cells of one case from those of others, of the same name too."""
    return repr((cell.body, cell.case))


def _task(cells: Sequence[Cell], solver: str) -> Task:
    first = cells[0]
    return Task(
        first.case,
        first.folder,
        tuple(cell.spec for cell in cells),
        tuple(cell.key for cell in cells),
        solver,
    )


def _pictured(spec: Spec, rank: int, p: Play) -> bool:
    """HoD-Net and the PCA of its rank, where both motions have a step to show."""
    plain = spec.formulation == FORMULATIONS[0] and spec.terms == Terms()
    shown = spec.kind in ("hod", "pca") and spec.rank == rank and plain
    labels = (FULL.label, spec.label)
    return shown and all(x in p.trajectories and len(p.trajectories[x].times) > 1 for x in labels)


def _worst(p: Play, label: str) -> Worst:
    full = p.trajectories[FULL.label].displacements(p.tip_dofs)
    mine = p.trajectories[label].displacements(p.tip_dofs)
    both = min(len(full), len(mine))
    squares = ((mine[:both] - full[:both]) ** 2).mean(axis=1)
    frame = int(np.argmax(squares))
    size = float(np.sqrt((full**2).mean()))
    error = float(np.sqrt(squares[frame])) / size if size > 0.0 else 0.0
    positions = [p.positions(x, [frame])[0].astype(np.float32) for x in (FULL.label, label)]
    return Worst(frame, error, *positions)
