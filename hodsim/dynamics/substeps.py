"""Halving a step that does not converge, and only that one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any, Final, Generic, Protocol, TypeVar

from hodsim.dynamics.applied import Applied
from hodsim.dynamics.newton import NewtonResult
from hodsim.dynamics.schemes import Motion
from hodsim.dynamics.trajectory import Integrator, State

DEEPEST: Final = 3


class Space(Integrator, Protocol):
    """An integrator that a user may push and pull."""

    def apply_input(self, applied: Applied) -> None:
        """From the next step on, what a user applies; replaces what was applied before."""

    def copy_applied(self, other: Any) -> None:
        """Apply to another space what is applied to this one."""


S = TypeVar("S", bound=Space)


class Substepping(Generic[S]):
    """An integrator that takes a failed step again in 2, 4, ... 2^DEEPEST parts.

    The next step starts anew from where the parts end (BDF2 with one Euler step, as at the start).
    Where the finest parts fail too, the result is that failure, and the state the one given.

    Parameters
    ----------
    make
        Makes the integrator of a step [s]; called once for each length that is needed.
    step
        The whole step h [s].
    """

    def __init__(self, make: Callable[[float], S], step: float) -> None:
        self.h, self._make = step, make
        self.whole = make(step)
        self._parts: dict[int, S] = {}

    def start(self) -> State:
        return self.whole.start()

    def apply_input(self, applied: Applied) -> None:
        """From the next step on, what a user applies; replaces what was applied before."""
        self.whole.apply_input(applied)

    def step(self, state: State) -> tuple[State, NewtonResult]:
        after, result = self.whole.step(state)
        depth = 0
        while not result.converged and depth < DEEPEST:
            depth += 1
            after, result = self._in_parts(state, depth)
        return (after if result.converged else state), result

    def _in_parts(self, state: State, depth: int) -> tuple[State, NewtonResult]:
        if depth not in self._parts:
            self._parts[depth] = self._make(self.h / 2**depth)
        inner, now, iterations = self._parts[depth], anew(state), 0
        self.whole.copy_applied(inner)
        for _ in range(2**depth):
            now, result = inner.step(now)
            iterations += result.iterations
            if not result.converged:
                break
        end = replace(anew(now), t=state.t + self.h)
        return end, replace(result, iterations=iterations)


def anew(state: State) -> State:
    """The state with nothing before it: steps of another length left that behind."""
    features = state.features
    return replace(
        state,
        motion=Motion(state.motion.x, state.motion.v),
        features=None if features is None else Motion(features.x, features.v),
    )
