"""Squared norms of derivatives as losses: values, and gradients by parameters and points."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.autograd.functional import hessian, jacobian
from zoo import agree, normal, randomise

from hodsim.derivatives import derivative_norms2, hessian_diagonal_norm2, jacobian_norm2

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
