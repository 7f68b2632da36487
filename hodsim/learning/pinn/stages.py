"""Stages of training: what each does, and an optimiser at work whose state can be kept."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import torch
from torch import Tensor, nn

from hodsim.errors import InputError
from hodsim.learning.pinn.field import Field
from hodsim.learning.pinn.problem import Problem

ADAM: Final = "adam"
LBFGS: Final = "lbfgs"
GAUSS_NEWTON: Final = "gauss-newton"
METHODS: Final = (ADAM, LBFGS, GAUSS_NEWTON)
_HISTORY: Final = 100  # pairs of L-BFGS
_FINAL: Final = 0.02  # of Adam's rate, at the end of its cosine

# Tensors by name, and plain data.
State = tuple[dict[str, Tensor], dict[str, Any]]


@dataclass(frozen=True)
class Stage:
    """An optimiser for so many steps.

    Attributes
    ----------
    method : "adam", "lbfgs" or "gauss-newton".
    steps : of it; an iteration of L-BFGS is one.
    inside, faces : points of the interior and of the boundary.
    every : steps after which points are drawn anew; 0 keeps the first.
    rate : Adam's, falling along a cosine.
    outer : points of the interior that Gauss-Newton fits the last layer to, after each step; 0
        for none.
    damping : Gauss-Newton's first, as a multiple of the mean diagonal of J J^T.
    """

    method: str
    steps: int
    inside: int
    faces: int
    every: int = 1
    rate: float = 1e-3
    damping: float = 1e-4
    outer: int = 0

    def __post_init__(self) -> None:
        if self.method not in METHODS:
            raise InputError(f"method: expected one of {', '.join(METHODS)}, got {self.method!r}")
        for name, least in (("steps", 0), ("inside", 1), ("faces", 1), ("every", 0), ("outer", 0)):
            value = getattr(self, name)
            if not isinstance(value, int) or value < least:
                raise InputError(
                    f"{name}: expected a whole number of at least {least}, got {value!r}"
                )
        for name in ("rate", "damping"):
            if not 0.0 < getattr(self, name) < math.inf:
                raise InputError(f"{name}: expected a number above 0, got {getattr(self, name)}")


class Stepper(ABC):
    """An optimiser at work on a problem's loss."""

    def __init__(self, problem: Problem, u: Field, stage: Stage, seed: int) -> None:
        self.problem, self.u, self.stage, self.seed = problem, u, stage, seed
        self.network: nn.Module = u.network
        self._drawn: tuple[int, Tensor, Tensor] | None = None

    def points(self, step: int) -> tuple[Tensor, Tensor]:
        """Interior and boundary points of a step: seed and step decide them."""
        stage = self.stage
        draw = step // stage.every if stage.every else 0
        if self._drawn is None or self._drawn[0] != draw:
            place = METHODS.index(stage.method) + len(METHODS) * draw
            inside = self.problem.domain.interior(stage.inside, self.seed, place)
            faces = self.problem.domain.boundary(stage.faces, self.seed, place)
            self._drawn = (draw, inside, faces)
        return self._drawn[1], self._drawn[2]

    @abstractmethod
    def step(self, number: int, spent: float) -> float:
        """Make a step, counted from 0; the loss before it, at its points.

        spent : share of the run's CPU time that is used up, 0 where it has no bound.
        """

    @abstractmethod
    def state(self) -> State:
        """All that the next step depends on, besides the network's parameters."""

    @abstractmethod
    def resume(self, state: State) -> None:
        """Go on from a state."""


class AdamSteps(Stepper):
    """Adam, its rate falling along a cosine of the stage."""

    def __init__(self, problem: Problem, u: Field, stage: Stage, seed: int) -> None:
        super().__init__(problem, u, stage, seed)
        self.optimizer = torch.optim.Adam(u.network.parameters(), stage.rate)

    def step(self, number: int, spent: float) -> float:
        share = min(1.0, max(number / max(1, self.stage.steps), spent))
        fallen = _FINAL + (1.0 - _FINAL) * 0.5 * (1.0 + math.cos(math.pi * share))
        self.optimizer.param_groups[0]["lr"] = self.stage.rate * fallen
        self.optimizer.zero_grad()
        loss = self.problem.loss(self.u, *self.points(number))
        loss.backward()
        if math.isfinite(float(loss.detach())):
            self.optimizer.step()
        return float(loss.detach())

    def state(self) -> State:
        return _flattened(self.optimizer.state_dict()["state"])

    def resume(self, state: State) -> None:
        told = self.optimizer.state_dict() | {"state": _nested(state)}
        self.optimizer.load_state_dict(told)


class LBFGSSteps(Stepper):
    """L-BFGS with strong Wolfe searches; its pairs are dropped where points are drawn anew."""

    def __init__(self, problem: Problem, u: Field, stage: Stage, seed: int) -> None:
        super().__init__(problem, u, stage, seed)
        self.optimizer = self._fresh()

    def _fresh(self) -> torch.optim.LBFGS:
        return torch.optim.LBFGS(
            self.network.parameters(),
            1.0,
            max_iter=1,
            max_eval=25,
            history_size=_HISTORY,
            line_search_fn="strong_wolfe",
            tolerance_grad=0.0,
            tolerance_change=0.0,
        )

    def step(self, number: int, spent: float) -> float:
        del spent
        every = self.stage.every
        if number and every and number % every == 0:
            self.optimizer = self._fresh()
        points = self.points(number)

        def closure() -> Tensor:
            self.optimizer.zero_grad()
            loss = self.problem.loss(self.u, *points)
            loss.backward()
            return loss.detach()

        return float(self.optimizer.step(closure))

    def state(self) -> State:
        return _flattened(self.optimizer.state_dict()["state"])

    def resume(self, state: State) -> None:
        told = self.optimizer.state_dict() | {"state": _nested(state)}
        self.optimizer.load_state_dict(told)


def _flattened(state: Mapping[Any, Mapping[str, Any]]) -> State:
    """An optimiser's state as tensors by name and plain data."""
    tensors, plain = {}, {}
    for key, held in state.items():
        for name, value in held.items():
            place = f"{key}.{name}"
            if isinstance(value, Tensor):
                tensors[place] = value.detach().clone()
            elif isinstance(value, list) and any(isinstance(v, Tensor) for v in value):
                plain[place] = len(value)
                for i, v in enumerate(value):
                    if v is not None:
                        tensors[f"{place}.{i}"] = torch.as_tensor(v).detach().clone()
            else:
                plain[place] = value
    return tensors, plain


def _nested(state: State) -> dict[int, dict[str, Any]]:
    """The way back of `_flattened`."""
    tensors, plain = state
    out: dict[int, dict[str, Any]] = {}
    for place, value in plain.items():
        key, name = place.split(".")
        lists = any(other.startswith(f"{place}.") for other in tensors)
        out.setdefault(int(key), {})[name] = [None] * value if lists else value
    for place, tensor in tensors.items():
        key, name, *rest = place.split(".")
        held = out.setdefault(int(key), {})
        if rest:
            held[name][int(rest[0])] = tensor
        else:
            held[name] = tensor
    return out
