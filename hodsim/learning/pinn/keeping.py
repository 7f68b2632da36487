"""What is kept of a run: weights, the optimiser's state, and the curve so far, in one file."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
from torch import Tensor

from hodsim.files import atomic
from hodsim.learning.pinn.stages import State


@dataclass(frozen=True)
class Point:
    """A training curve at one moment.

    Attributes
    ----------
    stage : of the plan, from 0.
    step : steps made in all; a stage that ends early makes fewer than were planned.
    seconds : CPU time that the steps took; looking at errors does not count.
    loss : before the last step, at that step's points; None before the first.
    errors : relative L2 error of each component; empty where no truth is known.
    """

    stage: int
    step: int
    seconds: float
    loss: float | None
    errors: tuple[float, ...]


@dataclass(frozen=True, eq=False)
class Kept:
    """A run after some steps.

    Attributes
    ----------
    stage, step : the next to be made, the step counted within its stage.
    seconds : CPU time of the steps so far.
    loss : the last step's.
    weights : of the network, by name.
    good : the last weights at which the loss was finite.
    taken : steps made in all.
    state : of the stage's optimiser; None where it begins.
    curve : so far.
    idle : steps that moved nothing.
    stopped : why the run ended before its plan did, else "".
    """

    stage: int
    step: int
    seconds: float
    loss: float | None
    weights: dict[str, Tensor]
    state: State | None
    curve: tuple[Point, ...] = field(default=())
    idle: int = 0
    stopped: str = ""
    good: dict[str, Tensor] = field(default_factory=dict)
    taken: int = 0


def write(path: Path, key: str, kept: Kept) -> None:
    """Keep a run in one move; key : what decides it."""
    tensors = {f"network.{name}": t.contiguous() for name, t in kept.weights.items()}
    tensors |= {f"good.{name}": t.contiguous() for name, t in kept.good.items()}
    plain: dict[str, Any] | None = None
    if kept.state is not None:
        tensors |= {f"optimizer.{name}": t.contiguous() for name, t in kept.state[0].items()}
        plain = kept.state[1]
    told = {
        "key": key,
        "stage": kept.stage,
        "step": kept.step,
        "seconds": kept.seconds,
        "loss": kept.loss,
        "plain": plain,
        "curve": [asdict(point) for point in kept.curve],
        "idle": kept.idle,
        "stopped": kept.stopped,
        "taken": kept.taken,
    }
    with atomic(path) as temporary:
        safetensors.torch.save_file(tensors, temporary, {"run": json.dumps(told)})


def read(path: Path, key: str) -> Kept | None:
    """A run that was kept under this key; None where there is none, or it cannot be read."""
    try:
        with safetensors.safe_open(path, "pt") as file:
            told = json.loads((file.metadata() or {})["run"])
        tensors = safetensors.torch.load_file(path)
        if told["key"] != key:
            return None
        state = None if told["plain"] is None else (_part(tensors, "optimizer."), told["plain"])
        curve = [Point(**{**p, "errors": tuple(p["errors"])}) for p in told["curve"]]
        return Kept(
            stage=int(told["stage"]),
            step=int(told["step"]),
            seconds=float(told["seconds"]),
            loss=told["loss"],
            weights=_part(tensors, "network."),
            state=state,
            curve=tuple(curve),
            idle=int(told["idle"]),
            stopped=str(told["stopped"]),
            good=_part(tensors, "good."),
            taken=int(told["taken"]),
        )
    except (OSError, KeyError, TypeError, ValueError, safetensors.SafetensorError):
        return None


def _part(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {k.removeprefix(prefix): t for k, t in tensors.items() if k.startswith(prefix)}
