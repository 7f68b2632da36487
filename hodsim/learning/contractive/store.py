"""The folder of a study: encoders as they train, and a JSON file for each one measured."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

from hodsim.files import sha256_of
from hodsim.learning.contractive.classify import Classifier
from hodsim.learning.contractive.measured import Measured, Measures, Tried
from hodsim.learning.contractive.networks import Autoencoder
from hodsim.learning.contractive.runs import Job, trained
from hodsim.learning.images import Parts
from hodsim.learning.kept import place_of, read_kept, write_kept


class Store:
    """What was trained and measured, by what decides it: nothing that is there is made again.

    Every file is written in one move, so that a study stopped at any time leaves whole ones; of a
    training that was stopped the epochs done are there.

    folder : None keeps nothing.
    """

    def __init__(self, folder: str | Path | None) -> None:
        self.folder = None if folder is None else Path(folder)

    def checkpoint(self, parts: Parts, job: Job) -> Path | None:
        """Where a training keeps its state."""
        facts = {"job": job.to_dict(), "data": parts.digest}
        return place_of(self.folder, "encoders", _name(parts, job), facts, ".safetensors")

    def tried(self, parts: Parts, job: Job, how: Classifier, finetuned: bool) -> Tried | None:
        """A setting that was tried; None where it was not, or its file cannot be read."""
        facts = _facts(parts, job, how, finetuned)
        told = read_kept(self._path("tried", parts, job, facts))
        try:
            return Tried(**told["tried"]) if told["key"] == sha256_of(facts) else None
        except (KeyError, TypeError):
            return None

    def keep_tried(
        self, parts: Parts, job: Job, how: Classifier, finetuned: bool, done: Tried
    ) -> None:
        facts = _facts(parts, job, how, finetuned)
        told = {"key": sha256_of(facts), "tried": asdict(done)}
        write_kept(self._path("tried", parts, job, facts), told)

    def measured(self, parts: Parts, job: Job, how: Measures) -> Measured | None:
        """A run that was measured; None where it was not, or its file cannot be read."""
        facts = _facts(parts, job, how)
        told = read_kept(self._path("runs", parts, job, facts))
        try:
            return Measured.from_dict(told["run"]) if told["key"] == sha256_of(facts) else None
        except (KeyError, TypeError):
            return None

    def keep_measured(self, parts: Parts, job: Job, how: Measures, done: Measured) -> None:
        facts = _facts(parts, job, how)
        told = {"key": sha256_of(facts), "run": done.to_dict()}
        write_kept(self._path("runs", parts, job, facts), told)

    def network(self, parts: Parts, done: Measured) -> Autoencoder | None:
        """The autoencoder that was measured; None where it is not kept."""
        job = Job.from_dict(done.job)
        return trained(job, parts, self.checkpoint(parts, job))

    def _path(self, kind: str, parts: Parts, job: Job, facts: object) -> Path | None:
        return place_of(self.folder, kind, _name(parts, job), facts, ".json")


def _name(parts: Parts, job: Job) -> str:
    weights = f"{job.alpha:g}-{job.beta:g}"
    return f"{parts.images.name}-{job.method}-{weights}-{job.epochs}-seed-{job.seed}"


def _facts(parts: Parts, job: Job, *how: Any) -> dict[str, Any]:
    """All that decides what is measured."""
    told = [asdict(h) if isinstance(h, Classifier | Measures) else h for h in how]
    return {"job": job.to_dict(), "data": parts.digest, "how": told}
