"""How far to go along a direction: by the Taylor ratio (Algorithm 1), or by Armijo's rule."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import torch

from hodsim.optimizers.objective import finite

# Rounding of a loss that is a mean of many terms, in units of its last place.
_ROUNDING: Final = 8.0
_ARMIJO, _SHORTER = 1e-2, 0.8  # Martens 2010's own


@dataclass(frozen=True)
class Model:
    """The quadratic along a direction d: loss + t slope + t^2/2 curve.

    loss : at t = 0.
    slope : g.d.
    curve : d.Hd.
    dtype : in which losses are computed.
    """

    loss: float
    slope: float
    curve: float
    dtype: torch.dtype

    def change(self, t: float) -> float:
        return t * self.slope + 0.5 * t * t * self.curve

    @property
    def noise(self) -> float:
        """What rounding alone can make of a difference of two losses."""
        return _ROUNDING * torch.finfo(self.dtype).eps * abs(self.loss)

    def taylor(self, t: float, loss: float) -> float:
        """|L(w + t d) - L(w) - change| / |L(w + t d) - L(w)|, rounding taken off the numerator."""
        moved = loss - self.loss
        wrong = abs(moved - self.change(t)) - self.noise  # nan stays nan, as in no max()
        if wrong <= 0.0:
            return 0.0
        return wrong / abs(moved) if moved else math.inf

    def falls(self, t: float, loss: float) -> bool:
        """Whether the loss is lower; no higher than rounding where no more was foretold."""
        if not math.isfinite(loss):
            return False
        if abs(self.change(t)) <= self.noise:
            return loss <= self.loss + self.noise
        return loss < self.loss


@dataclass(frozen=True)
class Taken:
    """The outcome of a search along a direction.

    length : t, or 0 where no trial served.
    loss : there.
    trials : losses evaluated.
    ratio : change of the loss at t = 1 by that which the model foretold, None if not finite.
    taylor : the Taylor ratio of the step taken, else of the last trial; None if not finite.
    """

    length: float
    loss: float
    trials: int
    ratio: float | None
    taylor: float | None


def by_taylor(
    loss_at: Callable[[float], float],
    model: Model,
    threshold: float,
    trials: int,
    stretch: bool = False,
) -> Taken:
    """Halve the step until its Taylor ratio is at most `threshold` and the loss falls.

    Departs from lines 32-44, whose shrinking and stretching can undo each other for ever: the
    step is only ever halved, or, with `stretch` (for directions of negative curvature, whose
    length means nothing), doubled while both still hold and the loss falls further. The initial
    size s is computed there and never used. When trials run out, the last one is taken if it
    lowers the loss at all.
    """
    t, loss, first = 1.0, model.loss, math.nan
    ratio = math.inf
    for made in range(1, trials + 1):
        t = 0.5 ** (made - 1)
        loss = loss_at(t)
        first = loss if made == 1 else first
        ratio = model.taylor(t, loss)
        if ratio <= threshold and model.falls(t, loss):
            break
    if not model.falls(t, loss):
        return Taken(0.0, model.loss, made, _ratio(model, first), finite(ratio))
    while stretch and made < trials and t >= 1.0 and ratio <= threshold:
        made += 1
        longer = loss_at(2.0 * t)
        wider = model.taylor(2.0 * t, longer)
        if not (wider <= threshold and longer < loss):
            break
        t, loss, ratio = 2.0 * t, longer, wider
    return Taken(t, loss, made, _ratio(model, first), finite(ratio))


def by_armijo(
    loss_at: Callable[[float], float], model: Model, trials: int, first: float | None = None
) -> Taken:
    """Shorten the step by 0.8 until the loss falls by 1 % of what its slope foretells.

    first : the loss of the whole step where it is known.
    """
    t, made = 1.0, 0
    loss = first
    whole = math.nan
    while True:
        if loss is None:
            loss, made = loss_at(t), made + 1
        whole = loss if t == 1.0 else whole
        if loss <= model.loss + _ARMIJO * t * model.slope and model.falls(t, loss):
            return Taken(t, loss, made, _ratio(model, whole), finite(model.taylor(t, loss)))
        if made >= trials:
            told = finite(model.taylor(t, loss))
            return Taken(0.0, model.loss, made, _ratio(model, whole), told)
        t, loss = t * _SHORTER, None


def adapted(damping: float, ratio: float | None) -> float:
    """Levenberg-Marquardt: less damping where the model foretells well, more where it does not."""
    if ratio is None or ratio < 0.25:
        return damping * 1.5
    return damping / 1.5 if ratio > 0.75 else damping


def _ratio(model: Model, loss: float) -> float | None:
    foretold = model.change(1.0)
    return finite((loss - model.loss) / foretold) if foretold else None
