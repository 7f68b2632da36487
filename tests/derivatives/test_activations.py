"""sigma^(k) of every activation against nested autograd, in its tails and at ELU's kink."""

from __future__ import annotations

import pytest
import torch
from oracles import nested_autograd, scalar_derivatives
from torch import Tensor, nn

from hodsim.derivatives import contract
from hodsim.derivatives.activations import activation_of, logistic

ACTIVATIONS = [
    nn.ELU(),
    nn.ELU(alpha=0.7),
    nn.SiLU(),
    nn.Softplus(),
    nn.Softplus(beta=2.5, threshold=4.0),
    nn.Tanh(),
    nn.Sigmoid(),
    nn.SELU(),
    nn.GELU(),
    nn.GELU("tanh"),
    nn.LogSigmoid(),
]
PIECEWISE_LINEAR = [nn.ReLU(), nn.LeakyReLU(0.1)]
every_activation = pytest.mark.parametrize("activation", ACTIVATIONS, ids=str)


def _points(seed: int, count: int = 40) -> Tensor:
    """Random points at least 0.01 from ELU's kink and 0.01 from the softplus threshold 4 / 2.5."""
    x = 2.5 * torch.randn(count, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
    return x[(x.abs() > 0.01) & ((x - 1.6).abs() > 0.01)]


def _derivatives(activation: nn.Module, x: Tensor, order: int) -> list[Tensor]:
    sigma = activation_of(type(activation))
    assert sigma is not None
    return sigma(activation, x, order)


@every_activation
@pytest.mark.parametrize("seed", range(3))
def test_all_orders_up_to_six(activation: nn.Module, seed: int) -> None:
    x = _points(seed)
    wanted = scalar_derivatives(activation, x, 6)
    got = _derivatives(activation, x, 6)
    assert len(got) == 7
    for k, (a, b) in enumerate(zip(got, wanted, strict=True)):
        # Relative to the derivative's own size: a pointwise ratio would blow up at its zeros.
        assert bool(b.abs().max() > 0), k
        torch.testing.assert_close(a, b, rtol=1e-10, atol=1e-12 * float(b.abs().max()))


@every_activation
@pytest.mark.parametrize("order", range(1, 7))
def test_lanes_of_distinct_directions(activation: nn.Module, order: int) -> None:
    # Two activations in a row: the second one sees lanes of every order, Bell(order) partitions.
    generator = torch.Generator().manual_seed(order)
    x = torch.tensor([0.4, -0.7], dtype=torch.float64)
    directions = list(torch.randn(order, 2, dtype=torch.float64, generator=generator))
    f = nn.Sequential(activation, activation)
    got = contract(f, x, directions)
    wanted = nested_autograd(f, x, directions)
    assert bool((wanted != 0).any()) or isinstance(activation, nn.ELU)
    torch.testing.assert_close(got, wanted, rtol=1e-10, atol=1e-13 * float(wanted.abs().max()))


@pytest.mark.parametrize("x0", [20.0, 40.0, 200.0])
def test_tails_of_the_sigmoid_keep_relative_accuracy(x0: float) -> None:
    # s(x) = 1 - e^-x + e^-2x - ..., so |s^(k)| = e^-x (1 + O(2^k e^-x)) in both tails.
    x = torch.tensor([x0, -x0], dtype=torch.float64)
    tail = torch.exp(torch.tensor(-x0, dtype=torch.float64))
    for k, s in enumerate(logistic(x, 6)[1:], start=1):
        signs = torch.tensor([(-1.0) ** (k + 1), 1.0], dtype=torch.float64)
        torch.testing.assert_close(s, signs * tail, rtol=2**k * 2.0 * float(tail) + 1e-14, atol=0.0)


@every_activation
def test_extreme_arguments_stay_finite(activation: nn.Module) -> None:
    x = torch.tensor([-1e3, -50.0, 50.0, 1e3], dtype=torch.float64, requires_grad=True)
    for s in _derivatives(activation, x, 4):
        assert bool(torch.isfinite(s).all())
        (gradient,) = torch.autograd.grad(s.sum(), x, retain_graph=True)
        assert bool(torch.isfinite(gradient).all())


def test_softplus_is_linear_past_its_threshold_as_torch_has_it() -> None:
    x = torch.tensor([5.0], dtype=torch.float64)
    softplus = nn.Softplus(beta=1.0, threshold=4.0)
    assert [float(s) for s in _derivatives(softplus, x, 3)] == [5.0, 1.0, 0.0, 0.0]


def test_elu_jumps_from_the_second_derivative_on() -> None:
    # C^1 only. On the kink itself every order takes the left side; torch.autograd takes the left
    # for the first order and the right, zero, from the second on.
    elu, one = nn.ELU(), torch.ones(1, dtype=torch.float64)
    for order, jump in [(1, 0.0), (2, -1.0), (3, -1.0)]:
        left, at, right = (contract(elu, x * one, [one] * order).item() for x in (-1e-12, 0, 1e-12))
        assert right - left == pytest.approx(jump, abs=1e-11)
        assert at == pytest.approx(left, abs=1e-11)


def test_elu_of_another_alpha_jumps_already_in_the_first() -> None:
    one = torch.ones(1, dtype=torch.float64)
    left, right = (contract(nn.ELU(0.7), x * one, [one]).item() for x in (-1e-12, 1e-12))
    assert right - left == pytest.approx(0.3, abs=1e-11)


@pytest.mark.parametrize("activation", PIECEWISE_LINEAR, ids=str)
def test_piecewise_linear_ones_end_at_the_first_order(activation: nn.Module) -> None:
    x = _points(0)
    got, wanted = _derivatives(activation, x, 4), scalar_derivatives(activation, x, 4)
    for a, b in zip(got, wanted, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-14, atol=0.0)
    assert len(_derivatives(activation, x, 0)) == 1


@pytest.mark.parametrize("name", ["ELU", "SiLU", "ReLU", "LeakyReLU", "SELU", "CELU"])
def test_in_place_activations_change_what_they_are_given_alone(name: str) -> None:
    in_place, plain = (getattr(nn, name)(inplace=flag) for flag in (True, False))
    x = torch.tensor([0.4, -0.7, 1.3], dtype=torch.float64)
    kept, a = x.clone(), torch.tensor([0.5, 1.5, -1.0], dtype=torch.float64)

    def f(t: Tensor) -> Tensor:
        y = torch.sin(t)
        before = y * y
        z = in_place(y)
        return before + z * y  # y is z now, as torch has it

    def truth(t: Tensor) -> Tensor:
        y = torch.sin(t)
        return y * y + plain(y) * plain(y)

    for order in (1, 2, 3):
        wanted = nested_autograd(truth, x, [a] * order)
        torch.testing.assert_close(contract(f, x, [a] * order), wanted, rtol=1e-10, atol=1e-12)
        ones = torch.ones_like(x)
        pulled = contract(f, x, [a] * (order - 1), left=ones, free=1)
        torch.testing.assert_close(pulled * a, wanted, rtol=1e-10, atol=1e-12)
    assert torch.equal(x, kept)
