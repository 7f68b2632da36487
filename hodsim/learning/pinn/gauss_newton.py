"""Gauss-Newton steps in the space of residuals, damped as Levenberg and Marquardt do.

With more parameters than residuals, ``(J^T J + lambda I) d = J^T r`` is solved as ``d = J^T w``,
``(J J^T + lambda I) w = r``: a system of as many unknowns as there are residuals (Rows makes J J^T
of lanes, without J).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

import torch
from torch import Tensor, nn

from hodsim.learning.pinn.field import AutogradField, Field
from hodsim.learning.pinn.problem import Problem
from hodsim.learning.pinn.rivals import JacobianRows
from hodsim.learning.pinn.rows import Rows, check_layers, linear_layers
from hodsim.learning.pinn.stages import Stage, State, Stepper

_TRIALS: Final = 8  # dampings, each four times the last, before a step is given up
# Of a direction before its damping is raised: at small damping shorter steps lead further than
# damped ones.
_LENGTHS: Final = (1.0, 0.5, 0.25, 0.1)
_BACK: Final = 10.0  # times the damping, where a step was taken back
_RIDGE: Final = 1e-9  # of the last layer's least squares, times its largest column
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
        self.layers = linear_layers(u.network)
        self.damping = stage.damping

    def step(self, number: int, spent: float) -> float:
        del spent  # damping, not a rate
        if not self.stage.outer:
            return self._whole(number)
        points = self.many(number)
        held = [p.detach().clone() for p in self.network.parameters()]
        judged = self._loss(points)
        before = self._whole(number)
        if not math.isfinite(before):
            return before
        self._outer(points)
        if self._loss(points) > judged:
            # What it gained at its few points it lost at the many: the last layer alone, then.
            self._move(held, held, 0.0)
            self._outer(points)
            self.damping = min(_MOST, _BACK * self.damping)
        return before

    def _outer(self, points: tuple[Tensor, Tensor]) -> None:
        """The last layer alone, by least squares over many points: where the residual is linear in
        the field that is its optimum for the layers before."""
        last = self.layers[-1:]
        rows = self._rows(points, last)
        found = [_least_squares(matrix) for matrix in rows.outputs()]
        held = [p.detach().clone() for p in last[0].parameters()]
        n = held[0].numel()
        if len(found) == 1:
            steps = [found[0][:n].view(held[0].shape), found[0][n:]]
        else:
            d = torch.stack(found)
            steps = [d[:, : held[0].shape[1]], d[:, held[0].shape[1] :].flatten()]
        self._move(held, steps[: len(held)], 1.0, last)
        if not self._loss(points) <= float(rows.residual.square().sum()):
            self._move(held, held, 0.0, last)

    def many(self, number: int) -> tuple[Tensor, Tensor]:
        """The points that the last layer is fitted to after a step: others than the step's, and
        drawn anew when those are."""
        place = -1 - (number // self.stage.every if self.stage.every else 0)
        domain, n = self.problem.domain, self.stage.outer
        faces = -(-n * self.stage.faces // self.stage.inside)
        inside = domain.interior(n, self.seed, place)
        return inside, domain.boundary(faces, self.seed, place)

    def _whole(self, number: int) -> float:
        points = self.points(number)
        rows = self._rows(points, self.layers)
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

    def _rows(
        self, points: tuple[Tensor, Tensor], layers: Sequence[nn.Linear]
    ) -> Rows | JacobianRows:
        if isinstance(self.u, AutogradField):
            return JacobianRows(self.network, self.problem, points, layers)
        return Rows(layers, self.problem.parts(self.u, *points))

    def _move(
        self,
        held: list[Tensor],
        d: list[Tensor],
        length: float,
        layers: Sequence[nn.Linear] | None = None,
    ) -> None:
        own = self.layers if layers is None else layers
        parameters = [p for layer in own for p in layer.parameters()]
        with torch.no_grad():
            for p, old, part in zip(parameters, held, d, strict=True):
                p.copy_(old - length * part)

    def _loss(self, points: tuple[Tensor, Tensor]) -> float:
        with torch.no_grad():
            loss = float(self.problem.loss(self.u, *points))
        return loss if math.isfinite(loss) else math.inf

    def state(self) -> State:
        return {}, {"damping": self.damping}

    def resume(self, state: State) -> None:
        self.damping = float(state[1]["damping"])


def _least_squares(matrix: Tensor) -> Tensor:
    """The d of least |A d - r|^2 and a trace of |d|^2, for a matrix [A r].

    By its triangular factor, whose bits are the same every time; torch.linalg.lstsq's are not.
    """
    n = matrix.shape[1] - 1
    scale = float(matrix[:, :n].square().sum(0).max()) ** 0.5
    ridge = torch.zeros(n, n + 1, dtype=matrix.dtype)
    ridge.diagonal().fill_(_RIDGE * scale or 1.0)
    factor = torch.linalg.qr(torch.cat((matrix, ridge)), mode="r").R
    d: Tensor = torch.linalg.solve_triangular(factor[:n, :n], factor[:n, n:], upper=True)
    return d.squeeze(1)


def _solved(gram: Tensor, added: float, r: Tensor) -> Tensor | None:
    """(gram + added I)^-1 r, None where that is not positive definite in floating point."""
    damped = gram.clone()
    damped.diagonal().add_(added)
    factor, info = torch.linalg.cholesky_ex(damped)
    if int(info):
        return None
    w: Tensor = torch.cholesky_solve(r.unsqueeze(1), factor).squeeze(1)
    return w
