"""Training on a problem, stage by stage; a run that was stopped goes on where it was kept."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Final

import torch
from torch import Tensor, nn

from hodsim.errors import InputError
from hodsim.files import sha256_of
from hodsim.learning.pinn.field import AutogradField, Field, LaneField
from hodsim.learning.pinn.gauss_newton import GaussNewton
from hodsim.learning.pinn.keeping import Kept, Point, read, write
from hodsim.learning.pinn.problem import Problem, tanh_network
from hodsim.learning.pinn.stages import (
    ADAM,
    GAUSS_NEWTON,
    LBFGS,
    AdamSteps,
    LBFGSSteps,
    Stage,
    Stepper,
)

Clock = Callable[[], float]
# What is being done, steps done, how many there are, and a word on how it goes.
Progress = Callable[[str, int, int, str], None]
# CPU time of this thread: a busy machine does not slow it.
CPU: Final[Clock] = time.thread_time
FIELDS: Final[dict[str, type[Field]]] = {"lanes": LaneField, "autograd": AutogradField}
_STEPPERS: Final[dict[str, type[Stepper]]] = {
    ADAM: AdamSteps,
    LBFGS: LBFGSSteps,
    GAUSS_NEWTON: GaussNewton,
}
_SAVED: Final = 10.0  # seconds of steps between two savings
_POINTS: Final = 4096  # that errors are taken at, about
_APART: Final = 2**29  # their draw: no step's points are among them


@dataclass(frozen=True)
class Plan:
    """How a problem is trained on.

    Attributes
    ----------
    stages : one after the other.
    seed : of weights and points.
    hidden, gain : of the network (`tanh_network`).
    derivatives : "lanes", or "autograd" for torch's own.
    looks : points of the curve, beside its first and last.
    seconds : CPU time after which no further step is begun; a rate that falls has fallen then.
    """

    stages: tuple[Stage, ...]
    seed: int = 0
    hidden: tuple[int, ...] = (100,) * 5
    gain: float = 1.0
    derivatives: str = "lanes"
    looks: int = 40
    seconds: float = math.inf

    def __post_init__(self) -> None:
        if not self.stages or self.steps < 1:
            raise InputError("stages: expected at least one step")
        if self.derivatives not in FIELDS:
            raise InputError(
                f"derivatives: expected one of {', '.join(FIELDS)}, got {self.derivatives!r}"
            )
        if self.seed < 0 or self.looks < 0:
            raise InputError("seed and looks: expected whole numbers of at least 0")
        if not self.seconds > 0.0:
            raise InputError(f"seconds: expected a number above 0, got {self.seconds}")
        if not 0.0 < self.gain < math.inf:
            raise InputError(f"gain: expected a number above 0, got {self.gain}")

    @property
    def steps(self) -> int:
        """Of all stages."""
        return sum(stage.steps for stage in self.stages)


@dataclass(frozen=True, eq=False)
class Trained:
    """A network trained on a problem.

    Attributes
    ----------
    network : with the last weights at which the loss was finite.
    curve : errors on the way; the last are the network's.
    idle : steps that found nothing lower and moved nothing.
    stopped : why it ended before the plan did, else "".
    """

    problem: Problem
    plan: Plan
    network: nn.Module
    curve: tuple[Point, ...]
    idle: int
    stopped: str

    def __call__(self, x: Tensor) -> Tensor:
        """The field at positions, shape (n, d), as values of shape (n, m), float64.

        Raises
        ------
        InputError : positions that the problem's domain does not hold: nothing was learnt there.
        """
        with torch.no_grad():
            out: Tensor = self.network(self.problem.domain.check("x", x))
        return out

    def to_dict(self) -> dict[str, Any]:
        told = asdict(self.plan)
        told["seconds"] = None if math.isinf(self.plan.seconds) else self.plan.seconds
        return {
            "plan": told,
            "curve": [asdict(point) for point in self.curve],
            "idle": self.idle,
            "stopped": self.stopped,
        }


def train(
    problem: Problem,
    plan: Plan,
    path: Path | None = None,
    progress: Progress | None = None,
    network: nn.Module | None = None,
    clock: Clock = CPU,
) -> Trained:
    """Carry out a plan; from `path` where the same was begun before, to the same bits.

    path : where the run is kept, every ten seconds of steps and at its end; None keeps nothing.
    network : float64; the plan's by default.

    Raises
    ------
    InputError : before anything is trained: a network or a residual that does what no rule knows,
        or parameters that a stage cannot train, by name.
    """
    net = tanh_network(problem, plan.seed, plan.hidden, plan.gain) if network is None else network
    u = FIELDS[plan.derivatives](net)
    tried = problem.check(u if plan.derivatives == "lanes" else LaneField(net))
    steppers = [_STEPPERS[stage.method](problem, u, stage, plan.seed) for stage in plan.stages]
    key = sha256_of([problem.told, tried, repr(asdict(plan)), repr(net), torch.__version__])
    kept = None if path is None else read(path, key)
    run = _Run(problem, plan, net, clock)
    if kept is not None:
        net.load_state_dict(kept.weights)
        run.take(kept)
        if kept.state is not None:
            steppers[kept.stage].resume(kept.state)
    else:
        run.look()
    saved = run.at.seconds
    while not run.done:
        run.step(steppers[run.at.stage])
        if progress is not None:
            progress(plan.stages[run.last].method, run.made, plan.steps, run.word())
        if path is not None and (run.done or run.at.seconds > saved + _SAVED):
            saved = run.at.seconds
            write(path, key, run.kept(steppers))
    return Trained(problem, plan, net, run.at.curve, run.at.idle, run.at.stopped)


class _Run:
    """A run as it grows."""

    def __init__(self, problem: Problem, plan: Plan, network: nn.Module, clock: Clock) -> None:
        self.problem, self.plan, self.network, self.clock = problem, plan, network, clock
        domain = problem.domain
        side = round(_POINTS ** (1.0 / domain.d))
        self.places = domain.grid(side) if side > 20 else domain.interior(_POINTS, 0, _APART)
        first = next(i for i, stage in enumerate(plan.stages) if stage.steps)
        self.at = Kept(first, 0, 0.0, None, {}, None)
        self.last = first
        self._good = self._weights()
        self.due = max(1, -(-plan.steps // max(1, plan.looks)))

    @property
    def done(self) -> bool:
        return self.at.stage >= len(self.plan.stages) or bool(self.at.stopped)

    @property
    def made(self) -> int:
        """How far in the plan: steps made or left out in all."""
        return sum(stage.steps for stage in self.plan.stages[: self.at.stage]) + self.at.step

    def take(self, kept: Kept) -> None:
        """Go on from what was kept; the network has its weights."""
        self.at, self._good = kept, kept.good

    def word(self) -> str:
        """How it goes."""
        loss = self.at.loss
        return "" if loss is None else f"loss {loss:.2e}"

    def step(self, stepper: Stepper) -> None:
        """One step, unless the loss is not finite: then back to where it last was."""
        at = self.at
        before = self._weights()
        began = self.clock()
        loss = stepper.step(at.step, at.seconds / self.plan.seconds)
        seconds = at.seconds + self.clock() - began
        self.last = at.stage
        method = self.plan.stages[at.stage].method
        why = ""
        if not math.isfinite(loss):
            why = f"the loss is {loss} at step {at.step + 1} of {method}"
        else:
            self._good = before
            if not all(bool(t.isfinite().all()) for t in self.network.state_dict().values()):
                why = f"weights are not finite after step {at.step + 1} of {method}"
        if why:
            self.network.load_state_dict(self._good)
            kept = "kept are the last weights at which the loss was finite"
            self.at = replace(at, seconds=seconds, stopped=f"{why}; {kept}")
            self.look()
            return
        now = self.plan.stages[at.stage]
        still = all(torch.equal(t, before[k]) for k, t in self.network.state_dict().items())
        # At the same points again nothing else would come of it: the stage is at its end.
        stage, step = at.stage, now.steps if still and not now.every else at.step + 1
        while stage < len(self.plan.stages) and step >= self.plan.stages[stage].steps:
            stage, step = stage + 1, 0
        idle = at.idle + still
        taken = at.taken + 1
        self.at = replace(
            at, stage=stage, step=step, seconds=seconds, loss=loss, idle=idle, taken=taken
        )
        if seconds >= self.plan.seconds and not self.done:
            self.at = replace(self.at, stopped=f"{self.plan.seconds:g} s of CPU time are spent")
        if self.done or self.made % self.due == 0 or stage != self.last:
            self.look()

    def look(self) -> None:
        """A point of the curve."""
        errors = tuple(self.problem.errors(self.network, self.places))
        point = Point(self.last, self.at.taken, self.at.seconds, self.at.loss, errors)
        self.at = replace(self.at, curve=(*self.at.curve, point))

    def kept(self, steppers: list[Stepper]) -> Kept:
        """All that going on needs."""
        begun = not self.done and self.at.step > 0
        state = steppers[self.at.stage].state() if begun else None
        return replace(self.at, weights=self._weights(), state=state, good=self._good)

    def _weights(self) -> dict[str, Tensor]:
        with torch.no_grad():
            return {k: t.detach().clone() for k, t in self.network.state_dict().items()}
