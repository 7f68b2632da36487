"""Newton-Krylov finetuning (paper, Algorithm 1)."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Final

import torch
from torch import Tensor

from hodsim.errors import InputError
from hodsim.optimizers.base import (
    CurvatureOptimizer,
    Report,
    at_least,
    concluded,
    cosine,
    moved,
    whole_loss,
)
from hodsim.optimizers.cg import NEGATIVE, STEEPEST, Stop, conjugate_gradients
from hodsim.optimizers.control import Model, adapted, by_taylor
from hodsim.optimizers.products import HESSIAN, Products
from hodsim.optimizers.record import ACCEPTED, SKIPPED, Record

# Of the running mean square that preconditions, and the share of its mean that it never is below.
_DECAY: Final = 0.9
_FLOOR: Final = 0.01


class NewtonKrylov(CurvatureOptimizer):
    """Newton's method on a batch: CG on exact curvature products, Taylor-ratio step control.

    A step on a batch: its gradient g; skipped where g disagrees with the global gradient that
    `look` took (lines 4-8); conjugate gradients on (H + damping) d = -g (see `cg` for what the
    printed ones lack); an ascent direction is reversed (line 28 prints a lengthening, which would
    climb); the length is halved until loss and quadratic agree (lines 31-44, see `control`); a step
    that raises the loss or makes it nan is abandoned. The residual's gradient is the batch's own
    (line 10 prints the global one, against the batch's Hessian).

    The defaults are the paper's. On image networks after a few epochs of Adam far more was gained,
    for the same work, with a large batch for the gradient and a tenth of it for the products
    (`step(batch, curvature=)`), "gauss-newton", damping=0.03 with adapt, taylor=0.9 and
    tolerance=0.1: printed settings cut nearly every step short.

    Parameters
    ----------
    params : a network, or what torch's optimisers take; a group may have a "damping" of its own.
    curvature : "hessian" (the paper's), or "gauss-newton", which is never negative and needs a
        `Batch`.
    damping : added to the curvature.
    adapt : let damping follow Levenberg and Marquardt's rule (times 3/2 where the loss falls by
        less than a quarter of what the model foretold, times 2/3 where by more than three
        quarters); it must begin above 0.
    iterations, tolerance : of conjugate gradients.
    flatness : added to p.Hp / p.p where that lies in (0, 1e-8). The paper prints 0.01 |p| in place
        of p.Hp; 1e-3 is what its authors ran. 0 turns it off.
    taylor : the largest Taylor ratio of a step that is taken.
    trials : losses evaluated at most in looking for the length.
    agreement : the least cosine between the batch's gradient and the global one.
    refresh : accepted steps after which the global gradient is taken anew.
    precondition : scale conjugate gradients as Adam scales its steps, by the root of the running
        mean square of the gradients, which is free. For deep networks, where iterations run out
        before the tolerance is reached; not in the paper.
    report : given the record of each step.

    Raises
    ------
    InputError : a parameter out of range.
    """

    def __init__(
        self,
        params: Any,
        curvature: str = HESSIAN,
        damping: float = 0.0,
        adapt: bool = False,
        iterations: int = 50,
        tolerance: float = 1e-4,
        flatness: float = 1e-3,
        taylor: float = 0.05,
        trials: int = 10,
        agreement: float = 0.0,
        refresh: int = 1,
        precondition: bool = False,
        report: Report | None = None,
    ) -> None:
        super().__init__(params, damping, curvature, report)
        for name, value, least in (
            ("iterations", iterations, 1),
            ("tolerance", tolerance, 0.0),
            ("flatness", flatness, 0.0),
            ("taylor", taylor, 0.0),
            ("trials", trials, 1),
            ("agreement", agreement, -1.0),
            ("refresh", refresh, 1),
        ):
            at_least(name, value, least)
        if adapt and min(group["damping"] for group in self.param_groups) == 0.0:
            raise InputError("damping: expected above 0 where it adapts, got 0; begin at 1e-2, say")
        self.adapt, self.flatness, self.taylor, self.trials = adapt, flatness, taylor, trials
        self.agreement, self.refresh = agreement, refresh
        self.precondition, self.stop = precondition, Stop(iterations, tolerance)
        self._squares: Tensor | None = None  # of the step under way

    def _try(self, near: Products, bent: Products) -> tuple[Record, Tensor | None]:
        product, everywhere = bent.product(self.curvature), self._global_gradient()
        loss, g, norm = whole_loss(near)
        agrees = None if everywhere is None else cosine(g, everywhere)
        record = Record(0, SKIPPED, loss, loss, norm, cosine=agrees)
        if norm == 0.0:
            return replace(record, why="the gradient is zero"), None
        if agrees is not None and agrees < self.agreement:
            why = "the batch's gradient disagrees with the global one"
            return replace(record, why=why), None
        solved = conjugate_gradients(
            product, -g, self._damping(), self.stop, self.flatness, scale=self._scale(g)
        )
        d, slope = solved.x, float(torch.dot(solved.x, g))
        if turned := slope > 0.0:
            d, slope = -d, -slope
        record = self._told(record, solved, turned)
        if not slope < 0.0:
            return replace(record, why="no direction of descent was found"), None
        curve = float(torch.dot(solved.x, solved.Hx))
        taken = by_taylor(
            lambda t: near.value(near.point.add(d, alpha=t)),
            Model(loss, slope, curve, g.dtype),
            self.taylor,
            self.trials,
            stretch=solved.ended in (NEGATIVE, STEEPEST),
        )
        return concluded(record, taken), moved(near.point, d, taken)

    def _scale(self, g: Tensor) -> Tensor | None:
        if not self.precondition:
            return None
        old, new = self._kept("squares"), g * g
        self._squares = new if old is None else _DECAY * old + (1.0 - _DECAY) * new
        return (self._squares + _FLOOR * self._squares.mean()).sqrt()

    def _learn(self, record: Record) -> None:
        if self._squares is not None and record.outcome != SKIPPED:
            self._keep("squares", self._squares)
        if record.outcome == ACCEPTED and self._add("accepted") % self.refresh == 0:
            self._refresh()
        if self.adapt and record.outcome != SKIPPED:
            self._adapt(lambda damping: adapted(damping, record.ratio))
