"""CSFD of any order against nested autograd, and its windows against measurement."""

from __future__ import annotations

import math
from collections.abc import Callable
from fractions import Fraction

import pytest
import torch
from oracles import nested_autograd
from torch import Tensor, nn

from hodsim import InputError
from hodsim.derivatives.complex_step import complex_step, step_window
from hodsim.derivatives.multicomplex import Multicomplex
from hodsim.derivatives.rules import UnknownRuleError

F32, F64 = torch.float32, torch.float64
every_order = pytest.mark.parametrize("order", [1, 2, 3, 4])
every_dtype = pytest.mark.parametrize("dtype", [F32, F64], ids=str)


def fig1(x: Tensor) -> Tensor:
    """The function of Fig. 1."""
    return torch.exp(x) / (x**2 + 1)


def fig1_exact(order: int) -> float:
    """Its derivative at x = 10: e^x sum_j C(n, j) g^(j) with g = 1 / (x^2 + 1) in fractions."""
    g = [Fraction(1, 101)]  # (x^2 + 1) g = 1, differentiated n times
    for n in range(1, order + 1):
        before = g[n - 2] if n > 1 else Fraction(0)
        g.append(-(20 * n * g[n - 1] + n * (n - 1) * before) / 101)
    return math.exp(10) * float(sum(math.comb(order, j) * g[j] for j in range(order + 1)))


def relative_error(order: int, h: float, dtype: torch.dtype = F64) -> float:
    """Of the coefficient itself: what `complex_step` gives where it does not refuse the step."""
    parts = torch.zeros(1 << order, dtype=dtype)
    parts[0] = 10.0
    for j in range(order):
        parts[1 << j] = h
    got, exact = float(fig1(Multicomplex(parts)).imag), fig1_exact(order)  # type: ignore[arg-type]
    for _ in range(order):
        got /= h  # h^n itself may underflow
    return abs(got - exact) / abs(exact)


def mixing(x: Tensor) -> Tensor:
    """Three inputs to two outputs, with powers, quotients, branches and inner products."""
    a = torch.where(x > 0, torch.sin(x) * x[[1, 2, 0]], torch.exp(x / 2))
    b = torch.sqrt(1 + (x**2).sum()) / (2 + torch.tanh(x[0] * x[1]))
    return torch.stack([torch.dot(a, x).atan() + b, (a * b).prod().log1p() if b > 9 else b * a[2]])


@every_order
@pytest.mark.parametrize("seed", range(4))
def test_distinct_directions(order: int, seed: int) -> None:
    generator = torch.Generator().manual_seed(100 * order + seed)
    x, *directions = torch.randn(order + 1, 3, dtype=F64, generator=generator)
    got = complex_step(mixing, x, directions)
    wanted = nested_autograd(mixing, x, directions)
    assert bool((wanted != 0).all())
    atol = 1e-13 * float(wanted.abs().max())
    torch.testing.assert_close(got, wanted, rtol=1e-10, atol=atol)


@every_order
def test_a_network_as_it_is(order: int) -> None:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(3, 6), nn.Softplus(), nn.Linear(6, 6), nn.ELU(), nn.Linear(6, 2))
    net = net.to(F64)
    x, *directions = torch.randn(order + 1, 3, dtype=F64)
    wanted = nested_autograd(net, x, directions)
    with torch.no_grad():
        got = complex_step(net, x, directions)
    atol = 1e-13 * float(wanted.abs().max())
    torch.testing.assert_close(got, wanted, rtol=1e-10, atol=atol)


def test_high_order_and_repeated_directions() -> None:
    x, a = torch.tensor([0.4], dtype=F64), torch.tensor([1.0], dtype=F64)
    for order in (5, 6, 7):
        got = complex_step(lambda x: torch.sin(2 * x) * x.exp(), x, [a] * order)
        # e^x sin(2x) is the imaginary part of e^((1 + 2i) x).
        wanted = ((1 + 2j) ** order * complex(math.cos(0.8), math.sin(0.8))).imag * math.exp(0.4)
        assert float(got) == pytest.approx(wanted, rel=1e-13)


def test_shapes() -> None:
    x = torch.rand(2, 3, dtype=F64)
    a = torch.ones_like(x)
    torch.testing.assert_close(complex_step(torch.exp, x, [a, a]), x.exp())
    scalar = torch.tensor(2.0, dtype=F64)
    assert complex_step(torch.log, scalar, [torch.ones_like(scalar)]).shape == ()
    assert float(complex_step(torch.log, scalar, [torch.ones_like(scalar)])) == 0.5


# Fig. 1 and the windows.


@every_order
def test_rounding_all_over_the_window(order: int) -> None:
    low, default, high = step_window(F64, order)
    assert low < default < high
    # At the upper end truncation is h^2 = eps times f^(n+2) / f^(n), which is near 1 here.
    for h in torch.logspace(math.log10(low), math.log10(high), 60, dtype=F64).tolist():
        assert relative_error(order, min(max(h, low), high)) < 20 * torch.finfo(F64).eps


@every_order
def test_rounding_all_over_the_window_in_single_precision(order: int) -> None:
    low, default, high = step_window(F32, order)
    assert low < default < high
    for h in torch.logspace(math.log10(low), math.log10(high), 40, dtype=F64).tolist():
        assert relative_error(order, min(max(h, low), high), F32) < 20 * torch.finfo(F32).eps


@every_dtype
@every_order
def test_the_window_ends_where_it_must(dtype: torch.dtype, order: int) -> None:
    low, _, high = step_window(dtype, order)
    eps = torch.finfo(dtype).eps
    # A thousandfold step: truncation of the order of 1e6 eps (h^2), seen above all rounding.
    assert relative_error(order, 1000 * high, dtype) > 1e4 * eps
    # h^n 2^40 below the smallest normal number: all or most digits are lost.
    assert relative_error(order, low * 2.0 ** (-64 / order), dtype) > 1e4 * eps


def test_truncation_falls_as_the_square_of_the_step() -> None:
    for order in (1, 2, 3):
        coarse, fine = relative_error(order, 1e-2), relative_error(order, 1e-3)
        assert math.log10(coarse / fine) == pytest.approx(2.0, abs=0.02)


def test_csfd_stays_at_rounding_where_differences_bounce_back() -> None:
    # Fig. 1's claim. Differences lose all digits when h nears the rounding of x: at 1e-16.
    x, one = torch.tensor(10.0, dtype=F64), torch.tensor(1.0, dtype=F64)
    exact = fig1_exact(1)
    eps = torch.finfo(F64).eps

    def forward(h: float) -> float:
        return abs(float((fig1(x + h) - fig1(x)) / h) / exact - 1)

    def central(h: float) -> float:
        return abs(float((fig1(x + h) - fig1(x - h)) / (2 * h)) / exact - 1)

    for k in range(8, 101):
        got = float(complex_step(fig1, x, [one], step=10.0**-k))
        assert abs(got / exact - 1) < 10 * eps, k
    assert float(complex_step(fig1, x, [one], step=1e-300)) == pytest.approx(exact, rel=10 * eps)
    assert min(forward(10.0**-k) for k in range(1, 17)) > 1e-10
    assert min(central(10.0**-k) for k in range(1, 17)) > 1e-13
    for rival in (forward, central):
        best = min(rival(10.0**-k) for k in range(1, 17))
        assert rival(1e-13) > 100 * best  # it bounces back
        assert rival(1e-17) == 1.0  # x + h = x


def test_windows_of_the_paper_s_order() -> None:
    low, _, high = step_window(F64, 3)
    assert 1e-101 < low <= 1e-100
    assert 1e-8 <= high < 2e-8
    low, _, high = step_window(F32, 3)
    assert 1e-11 < low <= 1e-10
    assert 3e-4 <= high < 4e-4
    assert step_window(F64, 1)[0] <= 1e-300


@every_dtype
def test_default_steps_divide_out_exactly(dtype: torch.dtype) -> None:
    for order in range(1, 9 if dtype is F32 else 39):
        low, default, high = step_window(dtype, order)
        assert low <= default <= high
        assert order in (8, 38) or math.frexp(default)[0] == 0.5


@pytest.mark.parametrize(("dtype", "order"), [(F32, 9), (F64, 39)])
def test_an_order_for_which_no_step_is_safe(dtype: torch.dtype, order: int) -> None:
    with pytest.raises(InputError, match=rf"order: expected at most {order - 1} in {dtype}"):
        step_window(dtype, order)


@every_dtype
@every_order
def test_steps_outside_the_window_are_refused(dtype: torch.dtype, order: int) -> None:
    x = torch.ones(2, dtype=dtype)
    low, _, high = step_window(dtype, order)
    for h in (low, high):
        assert bool(torch.isfinite(complex_step(torch.exp, x, [x] * order, h)).all())
    for bad in (0.99 * low, 1.01 * high, 0.0, -1e-9, math.nan, math.inf, True, "1e-9"):
        with pytest.raises(
            InputError, match=rf"step: expected one within \[.*\] for order {order}"
        ):
            complex_step(torch.exp, x, [x] * order, bad)  # type: ignore[arg-type]


# Bad input.

POINT = torch.ones(3, dtype=F64)


@pytest.mark.parametrize(
    ("x", "directions", "told"),
    [
        (POINT, [], "directions: expected a list of at least one"),
        (POINT, POINT, "directions: expected a list"),
        (POINT, None, "directions: expected a list"),
        (POINT, [torch.ones(2, dtype=F64)], r"directions\[0\]: expected shape \(3,\)"),
        (POINT, [POINT, torch.ones(3)], r"directions\[1\]: .*given \(3,\), torch.float32"),
        (POINT, [torch.ones(3, dtype=F64, device="meta")], r"directions\[0\]: .*on meta"),
        (POINT, [1.0], r"directions\[0\]: expected a tensor, given float"),
        (torch.ones(3, dtype=torch.int64), [POINT], "x: expected a float32 or float64"),
        (torch.ones(3, dtype=torch.float16), [POINT], "x: expected .* given torch.float16"),
        ([1.0], [POINT], "x: expected .* given list"),
    ],
)
def test_bad_input_names_the_argument(x: Tensor, directions: list[Tensor], told: str) -> None:
    with pytest.raises(InputError, match=told) as caught:
        complex_step(torch.exp, x, directions)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("order", [0, -1, 1.0, True, None])
def test_bad_orders(order: int) -> None:
    with pytest.raises(InputError, match="order: expected an integer of at least 1"):
        step_window(F64, order)


@pytest.mark.parametrize(
    "f",
    [lambda x: x.real, lambda _: torch.ones(3), lambda _: 1.0, lambda x: Multicomplex(x.parts[:2])],
)
def test_a_function_that_drops_the_imaginary_parts(f: Callable[[Tensor], Tensor]) -> None:
    with pytest.raises(InputError, match=r"f: expected a Multicomplex of order 2 .* dropped"):
        complex_step(f, POINT, [POINT, POINT])


def test_what_is_not_holomorphic_is_named() -> None:
    with pytest.raises(UnknownRuleError, match="abs"):
        complex_step(lambda x: torch.abs(x) + 1, POINT, [POINT])


def test_where_f_has_no_value_there_is_no_derivative() -> None:
    x = torch.tensor([4.0, -4.0], dtype=F64)
    for order in (1, 2, 3):
        for f in (torch.sqrt, torch.log, lambda x: torch.log(x) * 2 + x.sqrt()):
            got = complex_step(f, x, [torch.ones_like(x)] * order)
            assert torch.isnan(got).tolist() == [False, True]


def test_each_point_of_a_batch_may_take_its_own_branch() -> None:
    x = torch.tensor([-1.0, 2.0], dtype=F64)
    got = complex_step(lambda x: torch.where(x < 0, x**2, x**3), x, [torch.ones_like(x)] * 2)
    assert got.tolist() == pytest.approx([2.0, 12.0], rel=1e-15)
