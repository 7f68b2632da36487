"""The short form of tests/soak/steps.py: a body under random loads for long."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from soak import steps

from hodsim.dynamics import parse_spec


@pytest.mark.slow
def test_random_loads_leave_memory_and_energy_bounded() -> None:
    out = steps.soak(parse_spec("hod-6"), 3000, 1)
    assert not out.bad
    assert out.steps == 3000
    assert 0.1 < out.largest < 2.0
    assert 0.0 < out.gained < 1.0


def test_what_must_not_be_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    """A step that fails, one that is not finite, and a body that gains energy as it is let go."""
    made, setup_of = 0, steps.setup_of

    def faulty(*arguments: Any) -> Any:
        nonlocal made
        setup, number = setup_of(*arguments), made
        made += 1
        inner, taken = setup.integrator.step, 0

        def step(state: Any) -> Any:
            nonlocal taken
            taken += 1
            after, result = inner(state)
            if number == 0 and taken == 6:  # of the integrator that knows no loads
                after = replace(after, dz=30.0 * after.dz)
                result = replace(result, status="max_iterations")
            if number == 0 and taken == 199:
                after = replace(after, dz=np.full_like(after.dz, np.nan))
            return after, result

        monkeypatch.setattr(setup.integrator, "step", step)
        return setup

    monkeypatch.setattr(steps, "setup_of", faulty)
    monkeypatch.setattr(steps, "LOOK", 5)
    out = steps.soak(parse_spec("hod-6"), 1000, 2)
    assert (out.failed, out.broken >= 1) == (1, True)
    assert out.gained > 1.01
    assert out.bad
