"""One run: an optimiser continues from a checkpoint until its budget is spent."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from itertools import count
from typing import Any

import torch
from torch import nn

from hodsim.errors import InputError
from hodsim.learning.finetune.costs import CPU, Clock, Costs
from hodsim.learning.finetune.methods import METHODS, Setting
from hodsim.learning.finetune.points import Point, evaluate
from hodsim.learning.finetune.problem import Problem
from hodsim.learning.finetune.starts import Checkpoint
from hodsim.learning.finetune.steppers import Made
from hodsim.optimizers import Batch, Record, Spent

_ROWS = ("outcome", "why", "cosine", "cg_iterations", "cg_ended", "length", "damping")


@dataclass(frozen=True)
class Job:
    """What is to be run: an optimiser by name, its setting, a seed, and the budget.

    budget : in gradient-equivalents.
    points : of the curve, evenly spaced over the budget, beside the one at its beginning.
    """

    method: str
    setting: Setting
    seed: int
    budget: float
    points: int = 20

    def __post_init__(self) -> None:
        if self.method not in METHODS:
            raise InputError(
                f"optimizers: expected some of {', '.join(METHODS)}, got {self.method!r}"
            )
        if not 0.0 < self.budget < math.inf:
            raise InputError(f"budget: expected a number above 0, got {self.budget}")
        if self.points < 1 or self.seed < 0:
            raise InputError("points and seed: expected at least 1 and 0")


@dataclass(frozen=True)
class Run:
    """A run that took place.

    Attributes
    ----------
    job : what was run.
    checkpoint : digest of what it began at.
    curve : its points; the first is the checkpoint's, the last its end.
    spent, own : evaluations, and seconds of the optimiser's own work, both charged to the budget.
    steps : what a curvature optimiser did, a list for each quantity, one entry a step; "gradients"
        are gradient-equivalents charged until its end. Empty for others.
    diverged : why it ended early, else "".
    """

    job: Job
    checkpoint: str
    curve: tuple[Point, ...]
    spent: Spent
    own: float
    steps: Mapping[str, list[Any]] = field(default_factory=dict)
    diverged: str = ""

    @property
    def loss(self) -> float:
        """The training loss at the end, infinite where it diverged."""
        last = self.curve[-1].loss
        return math.inf if self.diverged or last is None else last

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    @staticmethod
    def from_dict(told: Mapping[str, Any]) -> Run:
        return Run(
            job=Job(**told["job"]),
            checkpoint=str(told["checkpoint"]),
            curve=tuple(Point(**point) for point in told["curve"]),
            spent=Spent(**told["spent"]),
            own=float(told["own"]),
            steps=dict(told["steps"]),
            diverged=str(told["diverged"]),
        )


def run(
    problem: Problem,
    start: Checkpoint,
    job: Job,
    costs: Costs,
    progress: Callable[[float, float], None] | None = None,
    clock: Clock = CPU,
) -> Run:
    """Train from a checkpoint until the next step would exceed the budget.

    That step is undone: no optimiser has more than the budget, whatever its steps cost.
    `progress(spent, budget)` is told after each step.
    """
    network = problem.drawn(0)
    network.load_state_dict(start.tensors)
    stepper = METHODS[job.method].start(problem, network, job.setting, costs.batch, clock)
    told = _Tally(problem, network, costs, job)
    told.look()
    for batch in _batches(problem, network, stepper.size, job.seed):
        held = [p.detach().clone() for p in network.parameters()]
        began = clock()
        made = stepper.step(batch, told.gradients / job.budget)
        seconds = clock() - began
        if not told.afford(made, stepper.curvature):
            _restore(network, held)
            break
        told.add(made, stepper.curvature, seconds, batch.size)
        if progress is not None:
            progress(told.gradients, job.budget)
        if told.diverged:
            break
    told.look()
    return Run(
        job, start.digest, tuple(told.curve), told.spent, told.own, told.steps, told.diverged
    )


class _Tally:
    """The budget's account, and the curve as it grows."""

    def __init__(self, problem: Problem, network: nn.Module, costs: Costs, job: Job) -> None:
        self.problem, self.network, self.costs, self.job = problem, network, costs, job
        self.gradients = self.seconds = self.own = 0.0
        self.step = self.seen = 0
        self.spent, self.diverged = Spent(), ""
        self.curve: list[Point] = []
        self.steps: dict[str, list[Any]] = {}

    def afford(self, made: Made, curvature: str) -> bool:
        return self.gradients + self._charge(made, curvature) <= self.job.budget

    def add(self, made: Made, curvature: str, seconds: float, images: int) -> None:
        """Charge a step; look at the curve where a point is due."""
        due = self.job.budget / self.job.points
        before = math.floor(self.gradients / due)
        self.gradients += self._charge(made, curvature)
        self.seconds += seconds
        self.own += made.own
        self.spent += made.spent
        self.step += 1
        self.seen += images
        if made.record is not None:
            self._row(made.record)
        if not math.isfinite(made.loss):
            self.diverged = made.why or f"the loss is {made.loss} at step {self.step}"
        elif math.floor(self.gradients / due) > before:
            self.look()

    def look(self) -> None:
        """A point of the curve, unless there is one of this step."""
        if self.curve and self.curve[-1].step == self.step:
            return
        found = evaluate(self.problem, self.network)
        epoch = self.seen / len(self.problem.images.train_x)
        self.curve.append(Point(self.step, epoch, self.seconds, self.gradients, **found))
        if found["loss"] is None and not self.diverged:
            self.diverged = f"the training loss is not finite after step {self.step}"

    def _charge(self, made: Made, curvature: str) -> float:
        return self.costs.of(made.spent, curvature) + self.costs.of_seconds(made.own)

    def _row(self, record: Record) -> None:
        for name in _ROWS:
            self.steps.setdefault(name, []).append(getattr(record, name))
        self.steps.setdefault("gradients", []).append(self.gradients)


def _batches(problem: Problem, network: nn.Module, size: int, seed: int) -> Iterator[Batch]:
    """Batches for ever, epoch after epoch."""
    for epoch in count():
        yield from problem.epoch(network, size, seed, epoch)


def _restore(network: nn.Module, held: list[torch.Tensor]) -> None:
    with torch.no_grad():
        for p, saved in zip(network.parameters(), held, strict=True):
            p.copy_(saved)
