"""The folder of a study: costs, checkpoints, and a JSON file for each run done."""

from __future__ import annotations

import platform
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from hodsim.files import sha256_of
from hodsim.learning.finetune.costs import Costs
from hodsim.learning.finetune.problem import Problem
from hodsim.learning.finetune.runs import Job, Run
from hodsim.learning.finetune.starts import Checkpoint
from hodsim.learning.kept import place_of, read_kept, write_kept


class Store:
    """Runs by what decides them: one that is there is not made again.

    Every file is written in one move, so that a study stopped at any time leaves whole ones; of a
    run that was stopped nothing is left, and it begins anew. Costs are measured once and kept: runs
    charged at other costs are other runs.

    folder : None keeps nothing.
    """

    def __init__(self, folder: str | Path | None) -> None:
        self.folder = None if folder is None else Path(folder)

    @property
    def checkpoints(self) -> Path | None:
        return None if self.folder is None else self.folder / "checkpoints"

    def costs(self, problem: Problem, batch: int, measure: Callable[[], Costs]) -> Costs:
        """The costs kept for a problem and so many images a batch, measured where there are none.

        They are of the machine that measured them: to go on on another one, delete the file.
        """
        facts = {"problem": problem.name, "data": problem.digest, "batch": batch}
        path = self._path("costs", f"{problem.name}-batch-{batch}", facts)
        told = read_kept(path)
        try:
            return Costs(**told["costs"])
        except (KeyError, TypeError, ValueError):
            found = measure()
            machine = {"processor": platform.processor() or platform.machine()}
            machine |= {"torch": torch.__version__, "threads": str(torch.get_num_threads())}
            write_kept(path, facts | {"machine": machine, "costs": asdict(found)})
            return found

    def read(self, problem: Problem, start: Checkpoint, job: Job, costs: Costs) -> Run | None:
        """A run that was done; None where there is none, or it cannot be read."""
        facts = _facts(problem, start, job, costs)
        told = read_kept(self._run(problem, job, facts))
        try:
            return Run.from_dict(told["run"]) if told["key"] == sha256_of(facts) else None
        except (KeyError, TypeError, ValueError):
            return None

    def write(self, problem: Problem, start: Checkpoint, job: Job, costs: Costs, done: Run) -> None:
        facts = _facts(problem, start, job, costs)
        told = {"key": sha256_of(facts), "run": done.to_dict()}
        write_kept(self._run(problem, job, facts), told)

    def _run(self, problem: Problem, job: Job, facts: dict[str, Any]) -> Path | None:
        values = (f"{v:g}" if isinstance(v, float) else str(v) for v in job.setting.values())
        name = "-".join((problem.name, problem.images.name, job.method, *values, f"{job.budget:g}"))
        return self._path("runs", f"{name}-seed-{job.seed}", facts)

    def _path(self, kind: str, name: str, facts: dict[str, Any]) -> Path | None:
        return place_of(self.folder, kind, name, facts, ".json")


def _facts(problem: Problem, start: Checkpoint, job: Job, costs: Costs) -> dict[str, Any]:
    """All that decides a run."""
    return {
        "problem": problem.name,
        "data": problem.digest,
        "start": start.digest,
        "job": asdict(job),
        "costs": asdict(costs),
    }
