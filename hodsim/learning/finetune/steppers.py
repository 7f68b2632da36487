"""One step of any optimiser, told apart into evaluations and the optimiser's own work."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

import torch
from torch import Tensor

from hodsim.errors import InputError
from hodsim.learning.finetune.costs import Clock
from hodsim.optimizers import Batch, CurvatureOptimizer, Record, Spent

CONSTANT: Final = "constant"
COSINE: Final = "cosine"
DECAYS: Final = (CONSTANT, COSINE)


@dataclass(frozen=True)
class Made:
    """What a step did.

    Attributes
    ----------
    loss : of its batch, before it; nan or infinite where training diverged.
    spent : evaluations.
    own : seconds of the optimiser's own work that no evaluation's cost contains.
    record : of a curvature optimiser's step.
    why : why there is no loss, where the optimiser itself gave up.
    """

    loss: float
    spent: Spent
    own: float = 0.0
    record: Record | None = None
    why: str = ""


class Stepper(ABC):
    """An optimiser at work on a network. `size` is the images that a step takes."""

    size: int
    curvature: str = ""  # of its products, if it makes any

    @abstractmethod
    def step(self, batch: Batch, share: float) -> Made:
        """A step on a batch, `share` of the budget being spent."""


class Plain(Stepper):
    """One of torch's optimisers, or of its kind, which evaluates gradients alone.

    Parameters
    ----------
    optimizer : each group's "lr" is set before each step.
    rate, decay : the learning rate, "constant" or falling to zero along a "cosine" of the budget.
    forget : drop the state before each step, for one whose state belongs to one batch.
    """

    def __init__(
        self,
        optimizer: torch.optim.Optimizer,
        size: int,
        clock: Clock,
        rate: float,
        decay: str = CONSTANT,
        forget: bool = False,
    ) -> None:
        if decay not in DECAYS:
            raise InputError(f"decay: expected one of {', '.join(DECAYS)}, got {decay!r}")
        self.optimizer, self.size, self.clock = optimizer, size, clock
        self.rate, self.decay, self.forget = rate, decay, forget

    def step(self, batch: Batch, share: float) -> Made:
        lowered = 0.5 * (1.0 + math.cos(math.pi * min(1.0, share))) if self.decay == COSINE else 1.0
        for group in self.optimizer.param_groups:
            group["lr"] = self.rate * lowered
        if self.forget:
            self.optimizer.state.clear()
        calls = _Calls(batch, self.clock)
        began, why = self.clock(), ""
        try:
            self.optimizer.step(calls)  # type: ignore[arg-type]
        except torch.linalg.LinAlgError as error:  # type: ignore[attr-defined]  # Shampoo's roots of matrices
            why = f"the optimiser failed: {str(error).splitlines()[0]}"
        own = self.clock() - began - calls.seconds
        n = len(calls.losses)
        spent = Spent(gradients=n, gradient_samples=n * batch.size)
        loss = math.nan if why else _worst(calls.losses)
        return Made(loss, spent, max(0.0, own), None, why)


class Curved(Stepper):
    """An optimiser of hodsim.optimizers, its curvature on the first `narrow` images of a batch.

    Its own work on vectors is in the cost of its products.

    everywhere : the batches of the global gradient, where it has one.
    """

    def __init__(
        self,
        optimizer: CurvatureOptimizer,
        size: int,
        narrow: int,
        everywhere: Callable[[], list[Batch]] | None = None,
    ) -> None:
        self.optimizer, self.size, self.narrow = optimizer, size, narrow
        self.curvature = optimizer.curvature
        self.everywhere = everywhere
        self._told = Spent()

    def step(self, batch: Batch, share: float) -> Made:
        del share
        if self.everywhere is not None:
            self.optimizer.look(self.everywhere())
            self.everywhere = None
        try:
            loss = self.optimizer.step(batch, self._narrowed(batch))
        except InputError:
            # What it refuses with finite numbers is no divergence.
            loss = float(_value(batch))
            if math.isfinite(loss):
                raise
        made = Made(loss, self.optimizer.spent - self._told, record=self.optimizer.record)
        self._told = self.optimizer.spent
        return made

    def _narrowed(self, batch: Batch) -> Batch | None:
        if batch.size <= self.narrow:
            return None
        n = self.narrow
        return Batch(batch.network, batch.loss, batch.x[:n], batch.y[:n])


@dataclass
class _Calls:
    """A closure that counts its calls and times them."""

    batch: Batch
    clock: Clock
    seconds: float = 0.0
    losses: list[Tensor] = field(default_factory=list)

    def __call__(self) -> Tensor:
        began = self.clock()
        loss = self.batch()
        self.losses.append(loss)
        self.seconds += self.clock() - began
        return loss


def _worst(losses: list[Tensor]) -> float:
    """The first loss, or the last where that is not finite: line searches may look at inf."""
    if not losses:
        return math.nan
    first, last = float(losses[0]), float(losses[-1])
    return first if math.isfinite(last) else last


def _value(batch: Batch) -> Tensor:
    with torch.no_grad():
        return batch.judged(batch.network(batch.x))
