"""Hessian-free optimisation (Martens 2010), the paper's second-order rival."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from hodsim.errors import InputError
from hodsim.optimizers.base import (
    CurvatureOptimizer,
    Report,
    at_least,
    concluded,
    moved,
    whole_loss,
)
from hodsim.optimizers.cg import Solution, Stop, conjugate_gradients
from hodsim.optimizers.control import Model, adapted, by_armijo
from hodsim.optimizers.products import GAUSS_NEWTON, Products
from hodsim.optimizers.record import ACCEPTED, SKIPPED, Record


class HessianFree(CurvatureOptimizer):
    """Gauss-Newton steps by conjugate gradients, damped by Levenberg and Marquardt's rule.

    Conjugate gradients begin at the last step's answer and end by its relative progress; the
    stored iterate of least loss is taken, going back from the last; then a line search by
    Armijo's rule. Departures from Martens (2010): no preconditioner (his needs the squared
    gradient of each sample); the last answer is taken up at its best multiple (see `cg`), so that
    no step ascends; the reduction ratio is that of the undamped quadratic.

    Parameters
    ----------
    params : a network, or what torch's optimisers take; a group may have a "damping" of its own.
    damping : to begin with, above 0; times 3/2 where the loss falls by less than a quarter of what
        the quadratic foretold, times 2/3 where by more than three quarters.
    iterations : of conjugate gradients, at most.
    progress : the share of its value by which the quadratic must fall in an iteration, averaged
        over the last max(10, a tenth).
    trials : losses evaluated at most in the line search.
    warm : begin at the last step's answer.
    report : given the record of each step.

    Raises
    ------
    InputError : a parameter out of range.
    """

    def __init__(
        self,
        params: Any,
        damping: float = 1.0,
        iterations: int = 250,
        progress: float = 5e-4,
        trials: int = 60,
        warm: bool = True,
        report: Report | None = None,
    ) -> None:
        super().__init__(params, damping, GAUSS_NEWTON, report)
        for name, value, least in (
            ("iterations", iterations, 1),
            ("progress", progress, 0.0),
            ("trials", trials, 1),
        ):
            at_least(name, value, least)
        if min(group["damping"] for group in self.param_groups) == 0.0:
            raise InputError("damping: expected above 0, got 0; begin at 1, say")
        self.trials, self.warm = trials, warm
        self.stop = Stop(iterations, tolerance=0.0, progress=progress)
        self._answer: Tensor | None = None  # of the step under way

    def _try(self, near: Products, bent: Products) -> tuple[Record, Tensor | None]:
        product = bent.product(self.curvature)
        loss, g, norm = whole_loss(near)
        record = Record(0, SKIPPED, loss, loss, norm)
        if norm == 0.0:
            return replace(record, why="the gradient is zero"), None
        start = self._kept("direction") if self.warm else None
        if start is not None and not bool(start.any()):
            start = None
        solved = conjugate_gradients(
            product, -g, self._damping(), self.stop, start=start, keep=True
        )
        self._answer = solved.x
        record = self._told(record, solved)
        d, Hd, lowest, tried = _best(lambda x: near.value(near.point + x), solved)
        slope, curve = float(torch.dot(d, g)), float(torch.dot(d, Hd))
        if not slope < 0.0:
            return replace(record, why="no direction of descent was found", trials=tried), None
        taken = by_armijo(
            lambda t: near.value(near.point.add(d, alpha=t)),
            Model(loss, slope, curve, g.dtype),
            self.trials,
            lowest,
        )
        taken = replace(taken, trials=taken.trials + tried)
        return concluded(record, taken), moved(near.point, d, taken)

    def _learn(self, record: Record) -> None:
        if record.outcome == SKIPPED or self._answer is None:
            return
        # What failed is no start for the next.
        kept = self._answer if record.outcome == ACCEPTED else torch.zeros_like(self._answer)
        self._keep("direction", kept)
        self._adapt(lambda damping: adapted(damping, record.ratio))


def _best(
    loss_at: Callable[[Tensor], float], solved: Solution
) -> tuple[Tensor, Tensor, float, int]:
    """Going back over the iterates while the loss falls: x, H x, the loss there, losses tried."""
    x, Hx = solved.iterates[-1] if solved.iterates else (solved.x, solved.Hx)
    lowest, tried = loss_at(x), 1
    for earlier, H_earlier in reversed(solved.iterates[:-1]):
        loss = loss_at(earlier)
        tried += 1
        # "not above": a loss that is nan further out gives way to any number.
        if loss >= lowest:
            break
        x, Hx, lowest = earlier, H_earlier, loss
    return x, Hx, lowest, tried
