"""Loss and error over the whole training and test parts, and the points of a training curve."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor, nn

from hodsim.learning.finetune.problem import Problem
from hodsim.optimizers.objective import finite

_AT_ONCE: Final = 250  # images in a forward pass


@dataclass(frozen=True)
class Point:
    """A training curve at one moment; losses and errors that are not finite are None.

    Attributes
    ----------
    step : steps made.
    epoch : training images seen, by how many there are.
    seconds : CPU time that the steps took; evaluations for this curve do not count.
    gradients : gradient-equivalents charged.
    loss, error : over the training part: mean loss, share wrong.
    held_out_loss, held_out_error : over the test part.
    """

    step: int
    epoch: float
    seconds: float
    gradients: float
    loss: float | None
    error: float | None
    held_out_loss: float | None
    held_out_error: float | None


def evaluate(problem: Problem, network: nn.Module) -> dict[str, float | None]:
    """Loss and error over both parts, by the names of `Point`.

    Batch normalisation is evaluated with statistics of the training part, taken anew for the
    parameters as they are: a running mean lags behind an optimiser that moves far in one step, and
    differently for each.
    """
    images = problem.images
    with evaluating(problem, network):
        loss, error = _means(problem, network, images.train_x, images.train_y)
        test_loss, test_error = _means(problem, network, images.test_x, images.test_y)
    told = {"loss": loss, "error": error}
    told |= {"held_out_loss": test_loss, "held_out_error": test_error}
    good = all(math.isfinite(value) for value in (loss, error))
    return {name: finite(value) if good else None for name, value in told.items()}


@contextmanager
def evaluating(problem: Problem, network: nn.Module) -> Iterator[None]:
    """Hold a network in evaluation mode, its statistics those of the whole training part."""
    norms = [m for m in network.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)]
    held = [m.momentum for m in norms]
    with torch.no_grad():
        if norms:
            for m in norms:
                m.reset_running_stats()
                m.momentum = None  # a plain mean over batches
            network.train()
            for part in problem.images.train_x.split(_AT_ONCE):
                network(part)
            for m, momentum in zip(norms, held, strict=True):
                m.momentum = momentum
        network.eval()
        try:
            yield
        finally:
            network.train()


def _means(problem: Problem, network: nn.Module, x: Tensor, y: Tensor) -> tuple[float, float]:
    loss, wrong = 0.0, 0.0
    for some_x, some_y in zip(x.split(_AT_ONCE), y.split(_AT_ONCE), strict=True):
        outputs, target = network(some_x), problem.target(some_x, some_y)
        loss += float(problem.loss(outputs, target)) * len(some_x)
        wrong += float(problem.wrong(outputs, target).sum())
    return loss / len(x), wrong / len(x)
