"""Squared norms of derivatives as losses: values, and gradients by parameters and points."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from copy import deepcopy
from itertools import pairwise, product

import pytest
import torch
from torch import Tensor, nn
from torch.autograd.functional import hessian, jacobian
from zoo import agree, normal, randomise

from hodsim.derivatives import (
    derivative_norms2,
    hessian_diagonal,
    hessian_diagonal_norm2,
    jacobian_norm2,
)
from hodsim.derivatives import jacobian as plain_jacobian
from hodsim.derivatives.gradients import diagonal_norm, jacobian_norm
from hodsim.derivatives.gradients.jacobian_norm import Way

N, M = 5, 4
ACTIVATIONS: dict[str, Callable[[], nn.Module]] = {
    "elu": lambda: nn.ELU(0.7),
    "tanh": nn.Tanh,
    "silu": nn.SiLU,
    "softplus": lambda: nn.Softplus(1.5),
}
every_activation = pytest.mark.parametrize("activation", ACTIVATIONS)
every_batch = pytest.mark.parametrize("batch", [1, 4])


class Branches(nn.Module):
    """No plain chain of layers."""

    def __init__(self, act: Callable[[], nn.Module]) -> None:
        super().__init__()
        self.inner, self.act, self.outer = nn.Linear(N, 6), act(), nn.Linear(6 + N, M)

    def forward(self, x: Tensor) -> Tensor:
        return self.outer(torch.cat([self.act(self.inner(x)), x.sin()], -1)) * 0.5


def chain(act: Callable[[], nn.Module]) -> nn.Module:
    layers = [nn.Linear(N, 6), act(), nn.Linear(6, 3), act(), nn.Linear(3, 6), act()]
    return nn.Sequential(*layers, nn.Linear(6, M))


SHAPES = {"chain": chain, "branches": Branches}
every_shape = pytest.mark.parametrize("shape", SHAPES)


def truth(f: nn.Module, x: Tensor) -> tuple[Tensor, Tensor]:
    """Both norms by nested backpropagation, an output at a time."""
    first, second = [], []
    for point in x:
        J = jacobian(lambda t: f(t[None])[0], point, create_graph=True)
        H = [hessian(lambda t, j=j: f(t[None])[0, j], point, create_graph=True) for j in range(M)]
        first.append(J.square().sum())
        second.append(torch.stack([h.diagonal().square().sum() for h in H]).sum())
    return torch.stack(first), torch.stack(second)


def gradients(f: nn.Module, x: Tensor, loss: Tensor) -> list[Tensor]:
    leaves = [x, *f.parameters()]
    found = torch.autograd.grad(loss, leaves, retain_graph=True, allow_unused=True)
    assert found[1] is not None
    return [torch.zeros(1) if g is None else g for g in found]


@every_shape
@every_activation
@every_batch
def test_values_and_gradients_are_those_of_nested_backpropagation(
    shape: str, activation: str, batch: int
) -> None:
    f = randomise(SHAPES[shape](ACTIVATIONS[activation]), seed=batch)
    x = normal(batch, N, seed=2 + batch).requires_grad_(True)

    def ours() -> tuple[Tensor, ...]:
        return jacobian_norm2(f, x), hessian_diagonal_norm2(f, x), *derivative_norms2(f, x)

    def theirs() -> tuple[Tensor, ...]:
        return truth(f, x) * 2

    for got, true in zip(ours(), theirs(), strict=True):
        assert got.shape == (batch,)
        agree(got, true)
    # Even weights, as of a mean, and different ones for every point.
    for weights in (torch.full((batch,), 0.3, dtype=x.dtype), normal(batch, seed=9)):
        for got, true in zip(ours(), theirs(), strict=True):
            wanted = gradients(f, x, f(x).sum() + true @ weights)
            for a, b in zip(gradients(f, x, f(x).sum() + got @ weights), wanted, strict=True):
                agree(a, b)


@every_shape
def test_one_point_and_no_gradients(shape: str) -> None:
    f, x = randomise(SHAPES[shape](nn.SiLU), seed=3), normal(3, N, seed=4)
    wanted = truth(f, x)
    with torch.no_grad():
        for got, true in zip(derivative_norms2(f, x), wanted, strict=True):
            agree(got, true)
            assert not got.requires_grad
    if shape == "chain":  # the other joins along axis -1 as well, but reads x[None]
        for got, true in zip(derivative_norms2(f, x[1]), wanted, strict=True):
            assert got.shape == ()
            agree(got, true[1])


@pytest.mark.parametrize("nested", [False, True])
def test_images_before_a_flattening_are_rows(nested: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    f = randomise(chain(nn.ELU), seed=5)
    images = normal(3, 1, N, 1, seed=6).requires_grad_(True)
    flat = nn.Flatten()
    g = nn.Sequential(nn.Sequential(flat), *f) if nested else nn.Sequential(flat, *f)
    by_lanes = jacobian_norm2(nn.Sequential(nn.Flatten(1, 2), nn.Flatten(1), *f), images)
    for name in ("jacobian", "hessian_diagonal"):
        monkeypatch.setattr(f"hodsim.derivatives.norms.{name}", _unwanted)
    wanted = derivative_norms2(f, images.flatten(1))
    got = derivative_norms2(g, images)
    agree(got[0], by_lanes)
    for a, b in zip(got, wanted, strict=True):
        assert torch.equal(a, b)
        (slope,) = torch.autograd.grad(a.sum(), images, retain_graph=True)
        agree(slope, torch.autograd.grad(b.sum(), images, retain_graph=True)[0])


def _unwanted(*_: object) -> Tensor:
    raise AssertionError("the slow way was taken")


# ---------------------------------------------------------------- ways and tiles


WIDTHS = [(5, 4, 3), (7, 4, 3, 6), (2, 5, 4, 6, 3), (3, 6, 2)]


def dense(widths: Sequence[int], act: Callable[[], nn.Module]) -> nn.Sequential:
    layers: list[nn.Module] = []
    for a, b in pairwise(widths):
        layers += [nn.Linear(a, b), act()]
    return randomise(nn.Sequential(*layers[:-1]), seed=len(widths))


def of_square(f: nn.Module, x: Tensor, weights: Tensor) -> list[Tensor]:
    entries = torch.stack([jacobian(f, t[None], create_graph=True) for t in x])
    return gradients(f, x, entries.square().flatten(1).sum(1) @ weights + f(x).sum())


@pytest.mark.parametrize("widths", WIDTHS, ids=str)
@pytest.mark.parametrize("way", list(product((False, True), repeat=3)), ids=str)
@pytest.mark.parametrize("tile", [1, 2**16])
def test_every_way_through_a_jacobian_is_the_same(
    widths: Sequence[int], way: tuple[bool, bool, bool], tile: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(jacobian_norm, "costs", lambda *_: {Way(*way): 1.0})
    monkeypatch.setattr(jacobian_norm, "_TILE", tile)
    f, x = dense(widths, nn.SiLU), normal(3, widths[0], seed=5).requires_grad_(True)
    for weights in (torch.ones(3, dtype=x.dtype), normal(3, seed=6)):
        mine = gradients(f, x, jacobian_norm2(f, x) @ weights + f(x).sum())
        for a, b in zip(mine, of_square(f, x, weights), strict=True):
            agree(a, b)


def test_the_way_with_the_fewest_products_is_taken() -> None:
    wide = jacobian_norm.costs((784, 200, 200, 200, 400), 16)
    assert min(wide, key=lambda way: wide[way]) == Way(False, True, True)
    narrow = jacobian_norm.costs((784, 200, 200, 200, 1), 16)
    assert min(narrow, key=lambda way: narrow[way]).turned
    few = jacobian_norm.costs((2, 100, 100, 100, 50), 1000)
    assert min(few, key=lambda way: few[way]).gram_in is False


@pytest.mark.parametrize("widths", WIDTHS, ids=str)
@pytest.mark.parametrize("tile", [1, 20])
def test_tiles_of_points_and_lanes_change_nothing(
    widths: Sequence[int], tile: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    f, x = dense(widths, nn.Tanh), normal(4, widths[0], seed=7).requires_grad_(True)
    weights = normal(4, seed=8)
    before = hessian_diagonal_norm2(f, x)
    wanted = gradients(f, x, before @ weights + f(x).sum())
    monkeypatch.setattr(diagonal_norm, "_TILE", tile)
    after = hessian_diagonal_norm2(f, x)
    agree(after, before, rtol=1e-13)
    for a, b in zip(gradients(f, x, after @ weights + f(x).sum()), wanted, strict=True):
        agree(a, b, rtol=1e-13)


@pytest.mark.parametrize("norm2", [jacobian_norm2, hessian_diagonal_norm2])
def test_gradients_are_the_limit_of_differences_at_second_order(
    norm2: Callable[[nn.Module, Tensor], Tensor],
) -> None:
    f, x = dense((6, 5, 4, 3), nn.Softplus), normal(2, 6, seed=9)
    parameters = list(f.parameters())[:-1]
    found = torch.autograd.grad(norm2(f, x).mean(), parameters)
    directions = [normal(*p.shape, seed=k) for k, p in enumerate(parameters)]
    slope = sum(float((g * d).sum()) for g, d in zip(found, directions, strict=True))
    gaps = []
    for h in (1e-2, 5e-3):
        sides = []
        for sign in (1, -1):
            g = deepcopy(f)
            with torch.no_grad():
                for p, d in zip(list(g.parameters())[:-1], directions, strict=True):
                    p += sign * h * d
                sides.append(float(norm2(g, x).mean()))
        gaps.append(abs((sides[0] - sides[1]) / (2 * h) - slope))
    assert 1.8 < math.log2(gaps[0] / gaps[1]) < 2.2


@pytest.mark.parametrize("norm2", [jacobian_norm2, hessian_diagonal_norm2])
def test_a_second_gradient_is_refused(norm2: Callable[[nn.Module, Tensor], Tensor]) -> None:
    f, x = dense((3, 4, 2), nn.Tanh), normal(2, 3)
    with pytest.raises(RuntimeError, match=r"cannot be differentiated again .*create_graph"):
        torch.autograd.grad(norm2(f, x).sum(), list(f.parameters())[:-1], create_graph=True)


@pytest.mark.parametrize("norm2", [jacobian_norm2, hessian_diagonal_norm2])
def test_single_precision(norm2: Callable[[nn.Module, Tensor], Tensor]) -> None:
    f, x = dense((30, 20, 20, 10), nn.ELU), normal(4, 30)
    with torch.no_grad():
        for p in f.parameters():
            p *= 0.2
    got = deepcopy(f).float()
    agree(norm2(got, x.float()).double(), norm2(f, x), rtol=100 * torch.finfo(torch.float32).eps)


@pytest.mark.parametrize("norm2", [jacobian_norm2, hessian_diagonal_norm2])
def test_frozen_layers_and_maps_of_no_or_several_layers(
    norm2: Callable[[nn.Module, Tensor], Tensor],
) -> None:
    layers = [nn.Tanh(), nn.Linear(3, 4), nn.Linear(4, 5, bias=False), nn.SiLU(), nn.Sigmoid()]
    f, x = randomise(nn.Sequential(*layers), seed=1), normal(2, 3, seed=2)
    entries = hessian_diagonal if norm2 is hessian_diagonal_norm2 else plain_jacobian
    f[1].bias.requires_grad_(False)
    kept = [p for p in f.parameters() if p.requires_grad]
    # A function is no chain, whatever it calls.
    wanted = entries(lambda t: f(t), x).square().flatten(1).sum(1)
    agree(norm2(f, x), wanted)
    mine, theirs = (torch.autograd.grad(n.sum(), kept) for n in (norm2(f, x), wanted))
    for a, b in zip(mine, theirs, strict=True):
        agree(a, b)


def test_a_linear_map_has_its_own_norm_and_no_curvature() -> None:
    f, x = randomise(nn.Sequential(nn.Linear(3, 2)), seed=1), normal(2, 3)
    first, second = derivative_norms2(f, x)
    agree(first, f[0].weight.square().sum().expand(2))
    assert not second.any()


@pytest.mark.parametrize("norm", [jacobian_norm2, hessian_diagonal_norm2])
def test_no_points_have_no_norms(norm: Callable[[nn.Module, Tensor], Tensor]) -> None:
    f = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 2)).double()
    values = norm(f, torch.zeros(0, 3, dtype=torch.float64))
    assert values.shape == (0,)
    values.sum().backward()
    assert all(p.grad is None or not p.grad.any() for p in f.parameters())
