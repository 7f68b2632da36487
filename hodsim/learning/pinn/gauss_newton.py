"""Gauss-Newton steps in the space of residuals, damped as Levenberg and Marquardt do.

With more parameters than residuals, ``(J^T J + lambda I) d = J^T r`` is solved as ``d = J^T w``,
``(J J^T + lambda I) w = r``: a system of as many unknowns as there are residuals (Rows makes J J^T
of lanes, without J).
"""

from __future__ import annotations

import math
from typing import Final

import torch
from torch import Tensor

from hodsim.learning.pinn.field import AutogradField, Field
from hodsim.learning.pinn.problem import Problem
from hodsim.learning.pinn.rivals import JacobianRows
from hodsim.learning.pinn.rows import Rows, check_layers
from hodsim.learning.pinn.stages import Stage, State, Stepper

_TRIALS: Final = 8  # dampings, each four times the last, before a step is given up
# Of a direction before its damping is raised: at small damping shorter steps lead further than
# damped ones.
_LENGTHS: Final = (1.0, 0.5, 0.25, 0.1)
_LEAST, _MOST = 1e-14, 1e4  # damping
_GOOD: Final = 0.7  # share of the loss that a step of full length must take for less damping


class GaussNewton(Stepper):
    """Lowers the loss at a step's points; the damping falls while full steps take most of it.

    Of an `AutogradField` the rows are made by torch.func.

    Raises
    ------
    InputError : a network with parameters outside of linear layers, by name.
    """

    def __init__(self, problem: Problem, u: Field, stage: Stage, seed: int) -> None:
        super().__init__(problem, u, stage, seed)
        check_layers(u.network)
        self.damping = stage.damping

    def step(self, number: int) -> float:
        points = self.points(number)
        rows = self._rows(points)
        r, gram = rows.residual, rows.gram()
        before = float(r.square().sum())
        if not math.isfinite(before):
            return before
        scale = float(gram.diagonal().mean())
        held = [p.detach().clone() for p in self.network.parameters()]
        for _ in range(_TRIALS):
            w = _solved(gram, self.damping * scale, r)
            d = [] if w is None else rows.pull(w)
            for length in _LENGTHS if d else ():
                self._move(held, d, length)
                after = self._loss(points)
                if after < before:
                    self._learn(length, 1.0 - after / before)
                    return before
            self.damping = min(_MOST, 4.0 * self.damping)
        self._move(held, held, 0.0)
        return before

    def _learn(self, length: float, share: float) -> None:
        if length < 1.0:
            self.damping = min(_MOST, 2.0 * self.damping)
        elif share > _GOOD:
            self.damping = max(_LEAST, self.damping / 3.0)

    def _rows(self, points: tuple[Tensor, Tensor]) -> Rows | JacobianRows:
        if isinstance(self.u, AutogradField):
            return JacobianRows(self.network, self.problem, points)
        return Rows(self.network, self.problem.parts(self.u, *points))

    def _move(self, held: list[Tensor], d: list[Tensor], length: float) -> None:
        with torch.no_grad():
            for p, old, part in zip(self.network.parameters(), held, d, strict=True):
                p.copy_(old - length * part)

    def _loss(self, points: tuple[Tensor, Tensor]) -> float:
        with torch.no_grad():
            loss = float(self.problem.loss(self.u, *points))
        return loss if math.isfinite(loss) else math.inf

    def state(self) -> State:
        return {}, {"damping": self.damping}

    def resume(self, state: State) -> None:
        self.damping = float(state[1]["damping"])


def _solved(gram: Tensor, added: float, r: Tensor) -> Tensor | None:
    """(gram + added I)^-1 r, None where that is not positive definite in floating point."""
    damped = gram.clone()
    damped.diagonal().add_(added)
    factor, info = torch.linalg.cholesky_ex(damped)
    if int(info):
        return None
    w: Tensor = torch.cholesky_solve(r.unsqueeze(1), factor).squeeze(1)
    return w
