"""Newton's method on equations small enough to know everything about."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

from hodsim import ConvergenceError
from hodsim.dynamics import NewtonResult, newton


def _solve(f, slope, x: float, tolerance: float = 1e-11, most: int = 30, **kw) -> NewtonResult:
    """One equation in one unknown, measured by the scale 1."""

    def directions(x: np.ndarray, g: np.ndarray) -> Iterator[np.ndarray]:
        yield -g / slope(x)

    return newton(lambda x: (f(x), 1.0), directions, np.array([x]), tolerance, most, **kw)


def test_converged() -> None:
    result = _solve(lambda x: x**2 - 2.0, lambda x: 2.0 * x, 1.0)
    assert (result.status, result.converged) == ("converged", True)
    assert result.x == pytest.approx([np.sqrt(2.0)], rel=1e-11)
    assert result.check("it") is result
    # |x^2 - 2| by Newton's own recursion: 1, 0.25, 6.9e-3, 6.0e-6, 4.5e-12.
    x, wanted = 1.0, [1.0]
    for _ in range(4):
        x = (x + 2.0 / x) / 2
        wanted.append(abs(x * x - 2.0))
    assert result.iterations == len(result.steps) == 4
    assert result.residuals == pytest.approx(wanted, abs=1e-15)
    assert result.steps == (1.0,) * 4


def test_a_root_needs_no_iteration() -> None:
    result = _solve(lambda x: x - 3.0, np.ones_like, 3.0)
    assert (result.status, result.iterations, result.residuals) == ("converged", 0, (0.0,))


def test_max_iterations() -> None:
    result = _solve(lambda x: x**2 - 2.0, lambda x: 2.0 * x, 1.0, most=3)
    assert (result.status, result.iterations, len(result.residuals)) == ("max_iterations", 3, 4)
    with pytest.raises(ConvergenceError, match=r"step 7: .* max_iterations after 3 .* 6\.0"):
        result.check("step 7")
    # Exactly as many as it takes is not one too few.
    assert _solve(lambda x: x**2 - 2.0, lambda x: 2.0 * x, 1.0, most=4).converged


def test_long_steps_are_shortened() -> None:
    """atan from 3: Newton's full step overshoots and diverges; log from 3 leaves the domain."""
    for f, slope, root in (
        (np.arctan, lambda x: 1.0 / (1.0 + x**2), 0.0),
        (np.log, lambda x: 1.0 / x, 1.0),
    ):
        result = _solve(f, slope, 3.0)
        assert result.converged
        assert result.x == pytest.approx([root], abs=1e-11)
        assert result.steps[0] < 1.0
        assert (np.diff(result.residuals) < 0).all()


def test_line_search() -> None:
    """x^2 + 1 has no root: |g| stops falling, and the last good point is kept."""
    result = _solve(lambda x: x**2 + 1.0, lambda x: 2.0 * x, 1.0)
    assert result.status == "line_search"
    assert result.residuals[-1] == result.x[0] ** 2 + 1.0 >= 1.0
    with pytest.raises(ConvergenceError, match="line_search"):
        result.check("it")
    uphill = _solve(lambda x: x, lambda x: -np.ones_like(x), 1.0)
    assert (uphill.status, uphill.iterations, uphill.x[0]) == ("line_search", 0, 1.0)


def test_singular() -> None:
    result = newton(lambda x: (x, 1.0), lambda x, g: iter(()), np.ones(2), 1e-6, 9)
    assert (result.status, result.iterations) == ("singular", 0)
    assert result.residuals == (pytest.approx(np.sqrt(2.0)),)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_not_finite(value: float) -> None:
    result = _solve(lambda x: x * value, np.ones_like, 1.0)
    assert (result.status, result.iterations) == ("not_finite", 0)
    # A direction that is not finite is no direction downhill.
    assert _solve(lambda x: x, lambda x: 1.0 / (value * x), 1.0).status == "line_search"


def test_safer_directions_are_asked_for_only_where_needed() -> None:
    asked = []

    def directions(x: np.ndarray, g: np.ndarray) -> Iterator[np.ndarray]:
        for k, sign in enumerate((1.0, 1.0, -0.5)):
            asked.append(k)
            yield sign * g

    result = newton(lambda x: (x, 1.0), directions, np.ones(1), 0.3, 9)
    assert result.converged
    assert result.residuals == (1.0, 0.5, 0.25)
    assert asked == [0, 1, 2, 0, 1, 2]


def test_tolerance_is_relative_to_the_scale_at_the_same_point() -> None:
    def directions(x: np.ndarray, g: np.ndarray) -> Iterator[np.ndarray]:
        yield -0.5 * g

    result = newton(lambda x: (x, 10.0 * abs(x[0] - 2)), directions, np.ones(1), 0.02, 9)
    # |x| <= 0.2 |x - 2|: 1, 1/2 no; 1/4 yes.
    assert result.x.tolist() == [0.25]
    assert result.residuals == pytest.approx((0.1, 0.5 / 15, 0.25 / 17.5))


def test_what_rounding_makes_is_not_iterated_on() -> None:
    noise = iter([1e-10, -1.1e-10, 1.2e-10, -1.3e-10, *[1e-10] * 50])
    result = _solve(lambda x: np.array([next(noise)]), np.ones_like, 0.0)
    assert result.status == "line_search"
    result = _solve(lambda x: np.array([1e-10]), np.ones_like, 0.0, rounding=2e-10)
    assert (result.status, result.iterations) == ("converged", 0)
    result = _solve(lambda x: np.array([1e-10]), np.ones_like, 0.0, rounding=0.9e-10)
    assert result.status == "line_search"
    with np.errstate(all="raise"):  # a scale of 0, at rest under no load, divides nothing
        result = newton(lambda x: (0.0 * x, 0.0), lambda x, g: iter(()), np.ones(2), 1e-6, 9)
    assert (result.status, result.residuals) == ("converged", (0.0,))
