"""A step that fails is taken in parts; one that cannot be taken leaves the state alone."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from hodsim.dynamics import Applied, Motion, NewtonResult, Spring, State, Substepping

GIVEN: list[tuple[float, float]] = []
RESULT = NewtonResult(np.zeros(1), "converged", 2, (1.0, 0.1, 0.0), (1.0, 1.0))


class _Falling:
    """x' = -x by implicit Euler, which fails for steps above `most`."""

    def __init__(self, h: float, most: float) -> None:
        self.h, self._most, self.applied = h, most, Applied()

    def apply_input(self, applied: Applied) -> None:
        self.applied = applied

    def copy_applied(self, other: _Falling) -> None:
        GIVEN.append((self.h, other.h))
        other.applied = self.applied

    def start(self) -> State:
        x = np.ones(1)
        return State(0.0, Motion(x, -x), x, -x, Motion(x, -x))

    def step(self, state: State) -> tuple[State, NewtonResult]:
        x = state.motion.x / (1.0 + self.h)
        motion = state.motion.then(x, -x)
        after = State(state.t + self.h, motion, x, -x, motion)
        good = self.h <= self._most
        return after, replace(RESULT, status="converged" if good else "line_search")


def test_a_step_that_converges_is_one_step() -> None:
    made: list[float] = []
    space = Substepping(lambda h: (made.append(h), _Falling(h, 1.0))[1], 0.5)
    after, result = space.step(space.start())
    assert made == [0.5]
    assert (after.t, float(after.motion.x[0])) == (0.5, 1 / 1.5)
    assert result.iterations == 2
    assert after.motion.x_before is not None


@pytest.mark.parametrize(("most", "parts"), [(0.25, 2), (0.1, 8)])
def test_a_failed_step_is_taken_in_parts(most: float, parts: int) -> None:
    space = Substepping(lambda h: _Falling(h, most), 0.5)
    after, result = space.step(space.start())
    assert result.converged
    assert result.iterations == 2 * parts
    assert after.t == 0.5
    assert float(after.motion.x[0]) == pytest.approx((1 + 0.5 / parts) ** -parts, rel=1e-14)
    # What stood before it belongs to another length of step.
    assert after.motion.x_before is None
    assert after.features is not None
    assert after.features.x_before is None


def test_where_nothing_helps_the_state_stays() -> None:
    space = Substepping(lambda h: _Falling(h, 0.0), 0.5)
    before = space.start()
    after, result = space.step(before)
    assert after is before
    assert result.status == "line_search"


def test_parts_feel_the_loads_that_a_user_applies() -> None:
    GIVEN.clear()
    made: list[_Falling] = []
    space = Substepping(lambda h: (made.append(_Falling(h, 0.25)), made[-1])[1], 0.5)
    pulled = Applied((Spring(3, (0.0, 0.0, 1.0), 5.0),), (0.0, 0.0, -9.8))
    space.apply_input(pulled)
    space.step(space.step(space.start())[0])
    assert GIVEN == [(0.5, 0.25), (0.5, 0.25)]
    assert [space.applied for space in made] == [pulled, pulled]
