"""What a step decided and what it cost, for logs and for tests."""

from __future__ import annotations

import operator
from dataclasses import astuple, dataclass, field
from typing import Final

ACCEPTED: Final = "accepted"
SKIPPED: Final = "skipped"
ABANDONED: Final = "abandoned"


@dataclass(frozen=True)
class Spent:
    """How often losses, gradients and curvature products were evaluated, and over how many samples.

    A gradient costs about three values; a product's cost in gradients depends on the network and
    is for the caller to measure.
    """

    values: int = 0
    gradients: int = 0
    products: int = 0
    value_samples: int = 0
    gradient_samples: int = 0
    product_samples: int = 0

    def __add__(self, other: Spent) -> Spent:
        return Spent(*map(operator.add, astuple(self), astuple(other)))

    def __sub__(self, other: Spent) -> Spent:
        return Spent(*map(operator.sub, astuple(self), astuple(other)))


@dataclass(frozen=True)
class Record:
    """One step. Numbers that were not reached, or are not finite, are None: `asdict` is JSON.

    Attributes
    ----------
    step : its number, from 1.
    outcome : "accepted", "skipped" (nothing tried) or "abandoned" (nothing that was tried served);
        parameters have changed where it is "accepted" alone.
    why : why skipped or abandoned, else "".
    loss_before, loss_after : of the batch; equal unless accepted.
    gradient_norm : of the batch's gradient.
    cosine : between the batch's gradient and the global one.
    damping : what was added to the curvature (the first group's).
    cg_iterations, cg_ended : of conjugate gradients; see `cg.Solution`.
    residual : |b - A x| / |b| of the solution.
    smallest_curvature : the least p.Hp / p.p met, damping included.
    flat : directions that were damped for their flatness.
    reversed : whether an ascent direction was turned round.
    ratio : change of the loss by that which the quadratic model foretold, for the whole step.
    taylor : the Taylor ratio of the step taken, or of the last one tried.
    length : the multiple of the direction that was taken; 0 unless accepted.
    trials : losses evaluated to find it.
    spent : by this step, the refreshing of the global gradient included.
    """

    step: int
    outcome: str
    loss_before: float
    loss_after: float
    gradient_norm: float
    why: str = ""
    cosine: float | None = None
    damping: float | None = None
    cg_iterations: int = 0
    cg_ended: str = ""
    residual: float | None = None
    smallest_curvature: float | None = None
    flat: int = 0
    reversed: bool = False
    ratio: float | None = None
    taylor: float | None = None
    length: float = 0.0
    trials: int = 0
    spent: Spent = field(default_factory=Spent)
