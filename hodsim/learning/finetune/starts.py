"""Where finetuning begins: a network that Adam has trained for some epochs, kept on disk."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
import torch
from torch import Tensor

from hodsim.errors import InputError
from hodsim.files import atomic, file_name
from hodsim.learning.finetune.problem import Problem


@dataclass(frozen=True)
class Start:
    """How a checkpoint is made: Adam's epochs, its rate, images a batch, and the seed of all."""

    epochs: int = 10
    rate: float = 1e-3
    batch: int = 128
    seed: int = 0

    def __post_init__(self) -> None:
        for name, least in (("epochs", 0), ("batch", 1), ("seed", 0)):
            if getattr(self, name) < least:
                raise InputError(
                    f"{name}: expected a whole number of at least {least}, got "
                    f"{getattr(self, name)}"
                )
        if not 0.0 < self.rate < float("inf"):
            raise InputError(f"rate: expected a number above 0, got {self.rate}")


@dataclass(frozen=True, eq=False)
class Checkpoint:
    """Weights and buffers by name, and the digest that tells them from others."""

    tensors: dict[str, Tensor]
    digest: str

    @staticmethod
    def of(tensors: dict[str, Tensor]) -> Checkpoint:
        told = hashlib.sha256()
        for name, t in sorted(tensors.items()):
            told.update(name.encode())
            told.update(t.contiguous().numpy().tobytes())
        return Checkpoint(tensors, told.hexdigest())


def checkpoint(
    problem: Problem,
    start: Start,
    folder: Path | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Checkpoint:
    """The checkpoint of a problem: taken from `folder` where it was made before, else made.

    `progress` is told epochs done, of how many.

    Raises
    ------
    InputError : the loss is not finite on the way.
    """
    path = None if folder is None else folder / f"{_name(problem, start)}.safetensors"
    if path is not None and (found := _read(path, problem, start)) is not None:
        return found
    made = _made(problem, start, progress)
    if path is not None:
        with atomic(path) as temporary:
            safetensors.torch.save_file(
                made.tensors, temporary, {"made": _told(problem, start), "digest": made.digest}
            )
    return made


def _made(
    problem: Problem, start: Start, progress: Callable[[int, int], None] | None
) -> Checkpoint:
    network = problem.drawn(start.seed)
    adam = torch.optim.Adam(network.parameters(), start.rate)
    for epoch in range(start.epochs):
        if progress is not None:
            progress(epoch, start.epochs)
        for batch in problem.epoch(network, start.batch, start.seed, epoch):
            loss = batch()
            adam.step()
            if not bool(torch.isfinite(loss)):
                raise InputError(
                    f"checkpoint: expected a finite loss, got {float(loss)} in epoch {epoch + 1} "
                    f"of Adam at rate {start.rate:g}; take a lower rate"
                )
    tensors = {k: t.detach().clone().contiguous() for k, t in network.state_dict().items()}
    return Checkpoint.of(tensors)


def _read(path: Path, problem: Problem, start: Start) -> Checkpoint | None:
    """None where there is none of the same making, or it is damaged: it is then made again."""
    try:
        with safetensors.safe_open(path, "pt") as file:
            facts = file.metadata() or {}
        found = Checkpoint.of(safetensors.torch.load_file(path))
    except (OSError, safetensors.SafetensorError):
        return None
    same = facts.get("made") == _told(problem, start) and facts.get("digest") == found.digest
    return found if same else None


def _told(problem: Problem, start: Start) -> str:
    told: dict[str, Any] = {"problem": problem.name, "data": problem.digest, **asdict(start)}
    return json.dumps(told, sort_keys=True)


def _name(problem: Problem, start: Start) -> str:
    digest = hashlib.sha256(_told(problem, start).encode()).hexdigest()
    told = f"{problem.name}-{problem.images.name}-seed-{start.seed}"
    return file_name(told, digest)
