"""Lanes of plain chains that are differentiated again: values, gradients, second gradients."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from copy import deepcopy
from itertools import pairwise

import pytest
import torch
from oracles import nested_autograd
from torch import Tensor, nn
from zoo import F64, agree, normal, randomise

from hodsim import InputError
from hodsim.derivatives import LanePlan, biharmonic, jacobian, laplacian, push
from hodsim.derivatives.gradients import passes
from hodsim.derivatives.operators import fourth_powers

N, M, BATCH = 3, 2, 40
ACTIVATIONS: dict[str, Callable[[], nn.Module]] = {
    "elu": lambda: nn.ELU(0.7),
    "tanh": nn.Tanh,
    "silu": nn.SiLU,
    "softplus": lambda: nn.Softplus(1.5),
}
every_activation = pytest.mark.parametrize("activation", ACTIVATIONS)


def _sums(lanes: Sequence[tuple[int, ...]], *weights: Sequence[float]) -> LanePlan:
    return LanePlan.closure(lanes, N).collapsed(torch.tensor(weights))


PLANS: dict[str, LanePlan] = {
    "first order": LanePlan.symmetric(N, 1),
    "a sum of first order": _sums([(0,), (1,), (2,)], [1.0, -2.0, 0.5]),
    "some of first order": LanePlan.closure([(0,), (2,)], N),
    "laplacian": _sums([(i, i) for i in range(N)], [1.0] * N),
    "weighted squares": _sums([(i, i) for i in range(N)], [1.0, 3.0, -2.0]),
    "one square": LanePlan.closure([(1, 1)], N),
    "squares": LanePlan.closure([(i, i) for i in range(N)], N),
    "all of second order": LanePlan.symmetric(N, 2),
    "mixed sums": _sums([(0, 1), (0, 2), (1, 1)], [1.0, 2.0, -1.0], [0.5, 0.0, 1.0]),
    "third order": _sums([(0, 0, 1), (0, 1, 2)], [1.0, 2.0]),
    "biharmonic of two": _sums([(0, 0, 0, 0), (0, 0, 1, 1), (1, 1, 1, 1)], [1.0, 2.0, 1.0]),
}
every_plan = pytest.mark.parametrize("plan", PLANS.values(), ids=PLANS)
DIRECTIONS = normal(N, N, seed=4)


def dense(act: Callable[[], nn.Module], widths: Sequence[int] = (N, 6, 4, 5, M)) -> nn.Sequential:
    layers: list[nn.Module] = []
    for a, b in pairwise(widths):
        layers += [nn.Linear(a, b), act()]
    return randomise(nn.Sequential(*layers[:-1]), seed=len(widths), scale=0.7)


def both(f: nn.Module, x: Tensor, plan: LanePlan) -> tuple[Tensor, Tensor]:
    """The lanes of f as a chain, and as a function, which is no chain whatever it calls."""
    moved = DIRECTIONS.unsqueeze(1).expand(-1, *x.shape)
    plain = push(lambda t: f(t), x, moved, plan)
    return push(f, x, DIRECTIONS, plan).fill().values, plain.fill().values


def gradients(f: nn.Module, x: Tensor, loss: Tensor, **how: bool) -> list[Tensor]:
    leaves = [x, *f.parameters()]
    return list(torch.autograd.grad(loss, leaves, retain_graph=True, **how))


@every_plan
@every_activation
@pytest.mark.parametrize("batch", [1, BATCH])
def test_lanes_and_their_gradients(plan: LanePlan, activation: str, batch: int) -> None:
    f, x = dense(ACTIVATIONS[activation]), normal(batch, N, seed=5).requires_grad_(True)
    got, wanted = both(f, x, plan)
    agree(got, wanted)
    weights = normal(*wanted.shape, seed=6)
    mine, theirs = (gradients(f, x, (lanes * weights).sum()) for lanes in (got, wanted))
    for a, b in zip(mine, theirs, strict=True):
        agree(a, b)


@every_plan
def test_gradients_can_be_differentiated_again(plan: LanePlan) -> None:
    f, x = dense(nn.Tanh), normal(2, N, seed=7).requires_grad_(True)
    again = []
    for lanes in both(f, x, plan):
        first = gradients(f, x, lanes.square().sum(), create_graph=True)
        along = [normal(*g.shape, seed=k) for k, g in enumerate(first)]
        slope = torch.stack([(g * a).sum() for g, a in zip(first, along, strict=True)]).sum()
        again.append(gradients(f, x, slope))
    for a, b in zip(*again, strict=True):
        agree(a, b)


@every_activation
def test_laplacian_is_the_sum_of_nested_backpropagation(activation: str) -> None:
    f, x = dense(ACTIVATIONS[activation]), normal(3, N, seed=8).requires_grad_(True)
    basis = torch.eye(N, dtype=F64)
    wanted = torch.stack([sum(nested_autograd(f, p, [e, e]) for e in basis) for p in x.detach()])
    agree(laplacian(f, x), wanted)
    agree(laplacian(f, x[0]), wanted[0])
    with torch.no_grad():
        agree(laplacian(f, x), wanted)
    loss = [laplacian(g, x).square().sum() for g in (f, lambda t: f(t))]
    leaves = [x, *list(f.parameters())[:-1]]
    mine, theirs = (torch.autograd.grad(each, leaves) for each in loss)
    for a, b in zip(mine, theirs, strict=True):
        agree(a, b)


def test_gradients_are_the_limit_of_differences_at_second_order() -> None:
    f, x = dense(nn.SiLU), normal(BATCH, N, seed=9)
    parameters = list(f.parameters())[:-1]

    def loss(g: nn.Module) -> Tensor:
        return (laplacian(g, x) - 1.0).square().mean()

    found = torch.autograd.grad(loss(f), parameters)
    directions = [normal(*p.shape, seed=k) for k, p in enumerate(parameters)]
    slope = sum(float((g * d).sum()) for g, d in zip(found, directions, strict=True))
    gaps = []
    for h in (2e-3, 1e-3):
        sides = []
        for sign in (1, -1):
            g = deepcopy(f)
            with torch.no_grad():
                for p, d in zip(list(g.parameters())[:-1], directions, strict=True):
                    p += sign * h * d
                sides.append(float(loss(g)))
        gaps.append(abs((sides[0] - sides[1]) / (2 * h) - slope))
    assert 1.8 < math.log2(gaps[0] / gaps[1]) < 2.2


@every_plan
def test_tiles_of_points_change_nothing(plan: LanePlan, monkeypatch: pytest.MonkeyPatch) -> None:
    f, x = dense(nn.Softplus), normal(BATCH, N, seed=10).requires_grad_(True)
    values, found = [], []
    for tile in (2**16, 1):
        monkeypatch.setattr(passes, "_TILE", tile)
        lanes = push(f, x, DIRECTIONS, plan).values
        values.append(lanes)
        found.append(gradients(f, x, lanes.square().sum()))
    agree(values[1], values[0], rtol=1e-13)
    for a, b in zip(found[1], found[0], strict=True):
        agree(a, b, rtol=1e-12)


@every_plan
def test_frozen_weights_and_maps_of_no_or_several_layers(plan: LanePlan) -> None:
    layers = [nn.Tanh(), nn.Linear(N, 4), nn.Linear(4, 5), nn.Linear(5, 5), nn.SiLU(), nn.Sigmoid()]
    f = randomise(nn.Sequential(*layers, nn.Linear(5, M, bias=False)), seed=1, scale=0.5)
    f[1].weight.requires_grad_(False)
    x, kept = normal(3, N, seed=2), [p for p in f.parameters() if p.requires_grad]
    got, wanted = both(f, x, plan)
    agree(got, wanted)
    mine, theirs = (torch.autograd.grad(lanes.square().sum(), kept) for lanes in (got, wanted))
    for a, b in zip(mine, theirs, strict=True):
        agree(a, b)


def test_a_linear_map_has_no_curvature() -> None:
    f, x = randomise(nn.Sequential(nn.Linear(N, M)), seed=1), normal(2, N)
    assert not laplacian(f, x).any()
    got, wanted = both(f, x, PLANS["laplacian"])
    agree(got, wanted)


def test_single_precision() -> None:
    f, x = dense(nn.Tanh), normal(BATCH, N, seed=3)
    single = deepcopy(f).float()
    wanted, got = laplacian(f, x), laplacian(single, x.float())
    assert got.dtype is torch.float32
    agree(got.double(), wanted, rtol=100 * torch.finfo(torch.float32).eps)
    mine, theirs = (
        torch.autograd.grad(out.square().mean(), list(g.parameters())[:-1])
        for g, out in ((single, got), (f, wanted))
    )
    for a, b in zip(mine, theirs, strict=True):
        agree(a.double(), b, rtol=500 * torch.finfo(torch.float32).eps)


# ---------------------------------------------------------------- the Jacobian


@every_activation
@pytest.mark.parametrize("widths", [(2, 6, 4, 5), (5, 4, 6, 2)], ids=["few inputs", "few outputs"])
def test_jacobians_and_their_gradients_of_any_order(
    activation: str, widths: tuple[int, ...]
) -> None:
    f, x = dense(ACTIVATIONS[activation], widths), normal(3, widths[0], seed=4).requires_grad_(True)
    again = []
    for J in (jacobian(f, x), jacobian(lambda t: f(t), x)):
        first = torch.autograd.grad(J.square().sum(), x, create_graph=True)[0]
        again += [(J, first, *torch.autograd.grad(first.square().sum(), [x, f[0].weight]))]
    for a, b in zip(*again, strict=True):
        agree(a, b)
    agree(jacobian(f, x[0]), jacobian(f, x)[0])


# ---------------------------------------------------------------- the biharmonic operator


@pytest.mark.parametrize("n", [1, 2, 3, 4, 5])
def test_fourth_powers_add_up_to_the_square_of_the_square(n: int) -> None:
    directions, weights = fourth_powers(n)
    y = normal(20, n, seed=n)
    agree((y @ directions.T).pow(4) @ torch.tensor(weights, dtype=F64), y.square().sum(1).square())
    assert len(directions) == {1: 1, 2: 3, 3: 9, 4: 12, 5: 25}[n]


@pytest.mark.parametrize("n", [1, 2, 3])
def test_biharmonic_is_the_sum_of_nested_backpropagation(n: int) -> None:
    f = dense(nn.Tanh, (n, 5, 4, M))
    x, basis = normal(2, n, seed=3), torch.eye(n, dtype=F64)
    wanted = torch.stack(
        [sum(nested_autograd(f, p, [a, a, b, b]) for a in basis for b in basis) for p in x]
    )
    agree(biharmonic(f, x), wanted)
    agree(biharmonic(f, x[0]), wanted[0])
    agree(biharmonic(lambda t: f(t), x), wanted)
    leaves = list(f.parameters())[:-1]
    mine, theirs = (
        torch.autograd.grad(biharmonic(g, x).square().sum(), leaves) for g in (f, lambda t: f(t))
    )
    for a, b in zip(mine, theirs, strict=True):
        agree(a, b)


def test_a_biharmonic_operator_wants_vectors() -> None:
    with pytest.raises(InputError, match=r"x: expected .*\(n,\) or \(batch, n\), got \(1, 2, 3\)"):
        biharmonic(torch.tanh, torch.zeros(1, 2, 3))
