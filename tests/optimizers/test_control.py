"""How far to go along a direction, on functions of one number."""

from __future__ import annotations

import math

import pytest
import torch

from hodsim.optimizers.control import Model, adapted, by_armijo, by_taylor

F64 = torch.float64


def cubic(c: float):
    """L(t) = 5 - t + t^2/2 + c t^3, and its quadratic at 0, whose whole step is Newton's."""
    return lambda t: 5.0 - t + 0.5 * t * t + c * t**3, Model(5.0, -1.0, 1.0, F64)


def test_taylor_s_ratio_is_what_the_quadratic_lacks() -> None:
    loss, model = cubic(0.1)
    for t in (1.0, 0.5, 0.25):
        wanted = 0.1 * t**3 / abs(loss(t) - 5.0)
        assert model.taylor(t, loss(t)) == pytest.approx(wanted, rel=1e-10)
    # It goes with t^2.
    small = [model.taylor(t, loss(t)) for t in (1e-2, 5e-3)]
    assert small[0] / small[1] == pytest.approx(4.0, rel=0.02)


@pytest.mark.parametrize(("c", "halvings"), [(0.0, 0), (0.1, 1), (1.0, 3), (100.0, 6)])
def test_halving_stops_at_the_first_length_that_serves(c: float, halvings: int) -> None:
    loss, model = cubic(c)
    taken = by_taylor(loss, model, 0.05, 20)
    assert (taken.length, taken.trials) == (0.5**halvings, halvings + 1)
    assert taken.loss == loss(taken.length)
    assert taken.taylor == model.taylor(taken.length, taken.loss) <= 0.05
    if halvings:
        assert not (model.taylor(2 * taken.length, loss(2 * taken.length)) <= 0.05)
    assert taken.ratio == pytest.approx((loss(1.0) - 5.0) / -0.5)


def test_when_trials_run_out_the_last_is_taken_if_it_lowers_the_loss() -> None:
    loss, model = cubic(1.0)
    assert by_taylor(loss, model, 0.05, 1).length == 0.0  # L(1) = 5.5
    last = by_taylor(loss, model, 0.05, 2)
    assert (last.length, last.trials) == (0.5, 2)
    assert last.taylor > 0.05
    assert last.loss < 5.0


def test_nan_and_infinity_are_never_taken() -> None:
    _, model = cubic(0.0)
    for bad in (math.nan, math.inf, -math.inf):
        taken = by_taylor(lambda t, bad=bad: bad if t > 0.3 else 5.0 - t, model, 0.5, 5)
        assert (taken.length, taken.ratio) == (0.25, None)
        assert by_armijo(lambda t, bad=bad: bad, model, 3).length == 0.0
    assert by_taylor(lambda _: math.nan, model, 0.5, 5).taylor is None


def test_stretching_goes_on_while_it_pays() -> None:
    model = Model(5.0, -1.0, -1e-3, F64)

    def loss(t: float) -> float:
        return 5.0 + model.change(t) + 1e-4 * t**3

    taken = by_taylor(loss, model, 0.05, 20, stretch=True)
    assert taken.length == 16.0
    assert taken.loss == loss(16.0)
    assert model.taylor(32.0, loss(32.0)) > 0.05
    assert by_taylor(loss, model, 0.05, 3, stretch=True).length == 4.0
    assert by_taylor(loss, model, 0.05, 20).length == 1.0


def test_rounding_is_no_disagreement() -> None:
    model = Model(1.0, -1e-17, 1e-17, F64)
    taken = by_taylor(lambda _: 1.0, model, 0.05, 3)
    assert (taken.length, taken.trials) == (1.0, 1)
    # In float32 the same change of the loss is rounding that in float64 is not.
    assert Model(1.0, -1e-8, 0.0, torch.float32).falls(1.0, 1.0)
    assert not Model(1.0, -1e-8, 0.0, F64).falls(1.0, 1.0)


def test_armijo_asks_for_a_share_of_the_slope() -> None:
    model = Model(5.0, -1.0, 0.0, F64)

    def loss(t: float) -> float:
        """Falls, but by half a percent of the slope only, until it is short."""
        return 5.0 - 0.005 * t if t > 0.5 else 5.0 - 0.9 * t

    taken = by_armijo(loss, model, 20)
    assert taken.length == pytest.approx(0.8**4)
    assert taken.trials == 5
    known = by_armijo(loss, model, 20, first=loss(1.0))
    assert (known.length, known.trials, known.ratio) == (taken.length, 4, taken.ratio)
    assert by_armijo(loss, model, 3).length == 0.0


def test_levenberg_and_marquardt() -> None:
    assert adapted(0.9, 0.9) == pytest.approx(0.6)
    assert adapted(0.9, 0.5) == 0.9
    assert adapted(0.9, 0.1) == adapted(0.9, None) == adapted(0.9, -3.0) == pytest.approx(1.35)
