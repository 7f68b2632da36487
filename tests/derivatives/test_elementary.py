"""Elementary functions: derivatives to order six, alone and through lanes, against autograd."""

from __future__ import annotations

from collections.abc import Callable
from math import factorial

import pytest
import torch
from oracles import nested_autograd, scalar_derivatives
from torch import Tensor
from zoo import F64, agree, normal

from hodsim.derivatives import UnknownRuleError, contract, elementary, jacobian

Function = Callable[[Tensor], Tensor]
Derivatives = Callable[[Tensor, int], list[Tensor]]

# The function, its derivatives, and the interval on which points are drawn.
CASES: dict[str, tuple[Function, Derivatives, float, float]] = {
    "exp": (torch.exp, elementary.exp, -3.0, 3.0),
    "expm1": (torch.expm1, elementary.expm1, -3.0, 3.0),
    "log": (torch.log, elementary.log, 0.2, 5.0),
    "log1p": (torch.log1p, elementary.log1p, -0.7, 5.0),
    "sin": (torch.sin, elementary.sin, -7.0, 7.0),
    "cos": (torch.cos, elementary.cos, -7.0, 7.0),
    "sinh": (torch.sinh, elementary.sinh, -3.0, 3.0),
    "cosh": (torch.cosh, elementary.cosh, -3.0, 3.0),
    "atan": (torch.atan, elementary.atan, -4.0, 4.0),
    "erf": (torch.erf, elementary.erf, -2.5, 2.5),
    "reciprocal": (torch.reciprocal, elementary.reciprocal, -3.0, -0.3),
    "sqrt": (torch.sqrt, lambda x, k: elementary.power(x, k, 0.5), 0.2, 5.0),
    "rsqrt": (torch.rsqrt, lambda x, k: elementary.power(x, k, -0.5), 0.2, 5.0),
    "x^5": (lambda x: x**5, lambda x, k: elementary.power(x, k, 5), -2.0, 2.0),
    "x^2": (lambda x: x**2, lambda x, k: elementary.power(x, k, 2), -2.0, 2.0),
    "x^-2": (lambda x: x**-2, lambda x, k: elementary.power(x, k, -2), -2.0, -0.3),
    "x^2.5": (lambda x: x**2.5, lambda x, k: elementary.power(x, k, 2.5), 0.2, 3.0),
    "Phi": (lambda x: 0.5 + 0.5 * torch.erf(x / 2.0**0.5), elementary.normal_cdf, -3.0, 3.0),
}
every_case = pytest.mark.parametrize("name", CASES)


def _points(low: float, high: float, seed: int, count: int = 30) -> Tensor:
    unit = torch.rand(count, dtype=F64, generator=torch.Generator().manual_seed(seed))
    return low + (high - low) * unit


@every_case
@pytest.mark.parametrize("seed", range(3))
def test_all_orders_up_to_six(name: str, seed: int) -> None:
    function, derivatives, low, high = CASES[name]
    x = _points(low, high, seed)
    got, wanted = derivatives(x, 6), scalar_derivatives(function, x, 6)
    assert len(got) == 7
    for k, (a, b) in enumerate(zip(got, wanted, strict=True)):
        if name in ("x^2", "x^5") and k > int(name[-1]):
            assert torch.equal(a, torch.zeros_like(x))
            continue
        # Relative to the derivative's own size: a pointwise ratio would blow up at its zeros.
        agree(a, b)


@every_case
@pytest.mark.parametrize("order", range(1, 7))
def test_through_lanes(name: str, order: int) -> None:
    function, _, low, high = CASES[name]
    x = _points(low, high, seed=order, count=3)
    bend = 1.0 if high > 0 else -1.0  # outwards: the bent point stays in the domain

    def f(t: Tensor) -> Tensor:
        y = function(t + bend * t * t)
        return y * y + y

    directions = [0.5 * normal(3, seed=10 * order + i) for i in range(order)]
    wanted = nested_autograd(f, x, directions)
    agree(contract(f, x, directions), wanted)
    w = normal(3, seed=order)
    pulled = contract(f, x, directions[:-1], left=w, free=1, scheme="adjoint")
    agree(pulled * directions[-1], wanted * w)


def test_whole_powers_at_zero() -> None:
    zero, one = torch.zeros(1, dtype=F64), torch.ones(1, dtype=F64)
    for p in (0, 1, 2, 3, 5):
        for order in range(7):
            got = float(contract(lambda x, p=p: x**p, zero, [one] * order))
            assert got == (factorial(p) if order == p else 0.0), (p, order)


def test_small_arguments_keep_their_accuracy() -> None:
    x = torch.tensor([1e-12], dtype=F64)
    assert float(elementary.expm1(x, 0)[0]) == pytest.approx(1e-12, rel=1e-11)
    assert float(elementary.log1p(x, 0)[0]) == pytest.approx(1e-12, rel=1e-11)


def test_the_tail_of_the_normal_distribution_keeps_relative_accuracy() -> None:
    # 1 - Phi cancels there: Phi(-x) ~ phi(x) / x (1 - 1/x^2 + 3/x^4 - 15/x^6).
    x = torch.tensor([-30.0], dtype=F64)
    phi = torch.exp(-x * x / 2) / (2 * torch.pi) ** 0.5
    series = phi / 30.0 * (1 - 1 / 30.0**2 + 3 / 30.0**4 - 15 / 30.0**6)
    agree(elementary.normal_cdf(x, 0)[0] / phi, series / phi, rtol=1e-8)


@pytest.mark.parametrize("order", range(1, 5))
def test_division_in_all_its_spellings(order: int) -> None:
    b = normal(4, seed=2).abs() + 1.0
    spellings: list[Function] = [
        lambda t: t / b,
        lambda t: torch.div(b, t),
        lambda t: 2.0 / t,
        lambda t: torch.true_divide(t, t * t + 1),
        lambda t: t.reciprocal(),
        lambda t: t.divide(3.0) / t.sin(),
    ]
    x = _points(0.4, 1.5, seed=3, count=4)
    directions = [0.5 * normal(4, seed=4 + i) for i in range(order)]
    for f in spellings:
        if order > 1 and f is spellings[0]:
            continue  # linear
        agree(contract(f, x, directions), nested_autograd(f, x, directions))


def test_a_power_that_varies_is_refused_by_name() -> None:
    x = _points(0.5, 2.0, seed=1, count=3)
    for f in (lambda t: t**t, lambda t: torch.pow(2.0, t), lambda t: t ** torch.ones(3, dtype=F64)):
        with pytest.raises(UnknownRuleError, match="pow"):
            contract(f, x, [x])
    # A number in a tensor is a number.
    agree(jacobian(lambda t: t ** torch.tensor(3.0), x).diagonal(), 3 * x * x)


def test_division_that_rounds_is_refused_by_name() -> None:
    x = _points(0.5, 2.0, seed=1, count=3)
    with pytest.raises(UnknownRuleError, match="div with rounding_mode='floor'"):
        contract(lambda t: torch.div(t, 2.0, rounding_mode="floor"), x, [x])
