"""Penalties against nested autograd and Hessians by hand; their gradients against differences."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np
import pytest
import torch
from oracles import central_errors, derivative_tensor, observed_orders
from torch import Tensor, nn
from torch.nn.utils import parameters_to_vector, vector_to_parameters

from hodsim.errors import InputError
from hodsim.learning.contractive import (
    hessian_diagonal_norm2,
    hessian_norm2,
    jacobian_norm2,
    stochastic_hessian_norm2,
)
from hodsim.learning.contractive.penalties import stochastic_norms2

F64 = torch.float64
NOISE = 0.3
Penalty = Callable[[nn.Module, Tensor], Tensor]


def stochastic(f: nn.Module, x: Tensor) -> Tensor:
    return stochastic_hessian_norm2(f, x, NOISE, 2, torch.Generator().manual_seed(5))


PENALTIES: dict[str, Penalty] = {
    "jacobian": jacobian_norm2,
    "curvature": hessian_diagonal_norm2,
    "hessian": hessian_norm2,
    "stochastic": stochastic,
}


class Gated(nn.Module):
    """No chain of layers: two branches multiplied."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Linear(6, 4), nn.Linear(6, 4)

    def forward(self, x: Tensor) -> Tensor:
        x = x.flatten(1)
        return torch.tanh(self.a(x)) * torch.sigmoid(self.b(x))


def encoder(name: str, seed: int = 0) -> nn.Module:
    """Encoders of 6 inputs, float64; "narrow" has fewer outputs of the first layer than inputs."""
    torch.manual_seed(seed)
    if name == "gated":
        return Gated().to(F64)
    kind, act = name.split("-")
    width = 4 if kind == "narrow" else 8
    make = {"elu": nn.ELU, "tanh": nn.Tanh, "silu": nn.SiLU, "softplus": nn.Softplus}[act]
    layers = (nn.Linear(6, width), make(), nn.Linear(width, 5), make(), nn.Linear(5, 7))
    f = nn.Sequential(nn.Flatten(), *layers).to(F64)
    with torch.no_grad():
        for p in f.parameters():
            p.mul_(2.0)
    return f


def images(seed: int, n: int = 3) -> Tensor:
    g = torch.Generator().manual_seed(seed)
    return torch.randn(n, 1, 2, 3, generator=g, dtype=F64)


ENCODERS = ("narrow-elu", "wide-elu", "narrow-tanh", "narrow-silu", "wide-softplus", "gated")
every = pytest.mark.parametrize("encoded", ENCODERS)


def wanted(name: str, f: nn.Module, x: Tensor) -> list[float]:
    """By nested autograd, image for image."""

    def one(row: Tensor) -> Tensor:
        return f(row.reshape(1, 1, 2, 3))[0]

    rows = x.flatten(1)
    if name == "jacobian":
        return [float(derivative_tensor(one, r, 1).square().sum()) for r in rows]
    if name == "stochastic":
        g = torch.Generator().manual_seed(5)
        steps = NOISE * torch.randn((2, *x.shape), generator=g, dtype=F64).flatten(2)
        J = partial(derivative_tensor, one, order=1)
        return [
            float(sum((J(r + e[k]) - J(r)).square().sum() for e in steps)) / 2 / NOISE**2
            for k, r in enumerate(rows)
        ]
    H = [derivative_tensor(one, r, 2) for r in rows]
    if name == "curvature":
        return [float(h.diagonal(dim1=1, dim2=2).square().sum()) for h in H]
    return [float(h.square().sum()) for h in H]


@every
@pytest.mark.parametrize("name", PENALTIES)
@pytest.mark.parametrize("seed", [1, 2])
def test_values(name: str, encoded: str, seed: int) -> None:
    f, x = encoder(encoded, seed), images(seed)
    found = PENALTIES[name](f, x)
    assert found.shape == (3,)
    assert found.tolist() == pytest.approx(wanted(name, f, x), rel=1e-11)
    alone = [float(PENALTIES[name](f, x[k : k + 1]).detach()) for k in range(3)]
    if name != "stochastic":  # whose noise is of the batch
        assert found.tolist() == pytest.approx(alone, rel=1e-12)


@every
@pytest.mark.parametrize("name", PENALTIES)
def test_gradients_by_the_parameters(name: str, encoded: str) -> None:
    f, x = encoder(encoded, 3), images(3)
    params = list(f.parameters())
    found = torch.autograd.grad(PENALTIES[name](f, x).mean(), params, allow_unused=True)
    gradient = torch.cat(
        [(torch.zeros_like(p) if g is None else g).flatten() for p, g in zip(params, found)]  # noqa: B905
    )
    at = parameters_to_vector(params).detach().numpy().copy()
    direction = np.random.default_rng(4).standard_normal(len(at))

    def value(w: np.ndarray) -> np.ndarray:
        vector_to_parameters(torch.from_numpy(w), params)
        with torch.no_grad():
            return np.array([float(PENALTIES[name](f, x).mean())])

    slope = np.array([gradient.numpy() @ direction])
    errors = central_errors(value, slope, at, direction, (4e-4, 2e-4, 1e-4))
    assert observed_orders(errors) == pytest.approx(2.0, abs=0.1)
    assert errors[-1] < 1e-4 * abs(slope[0])


def test_a_quadratic_s_curvature_is_known() -> None:
    """Of softplus(beta) at 0: slope 1/2, curvature beta/4; f = c softplus(a . x)."""
    a, c, beta = torch.tensor([[0.5, -2.0, 3.0]], dtype=F64), 1.5, 2.0
    f = nn.Sequential(nn.Linear(3, 1, bias=False), nn.Softplus(beta), nn.Linear(1, 1)).to(F64)
    with torch.no_grad():
        f[0].weight.copy_(a)
        f[2].weight.fill_(c)
    x = torch.zeros(1, 3, dtype=F64)
    square = float(a.square().sum())
    with torch.no_grad():
        assert float(jacobian_norm2(f, x)) == pytest.approx((c / 2) ** 2 * square, rel=1e-13)
        h = c * beta / 4
        assert float(hessian_diagonal_norm2(f, x)) == pytest.approx(
            h**2 * float((a**4).sum()), rel=1e-13
        )
        assert float(hessian_norm2(f, x)) == pytest.approx(h**2 * square**2, rel=1e-13)


def test_the_rival_tends_to_the_whole_hessian() -> None:
    """E |D f(x + e) - D f(x)|^2 / noise^2 over many draws; the mean errs as its own deviation."""
    f, x = encoder("narrow-tanh", 1), images(1, 1)
    exact = float(hessian_norm2(f, x).detach())
    draws = 4000
    with torch.no_grad():
        few = [
            float(
                stochastic_hessian_norm2(f, x, 1e-3, draws // 20, torch.Generator().manual_seed(k))
            )
            for k in range(20)
        ]
    error = np.std(few, ddof=1) / np.sqrt(20)
    assert np.mean(few) == pytest.approx(exact, abs=4.0 * error)
    assert error < 0.05 * exact


@pytest.mark.parametrize("name", ["narrow-tanh", "gated"])
def test_the_rival_s_jacobian_is_the_penalty_s(name: str) -> None:
    f, x = encoder(name, 2), images(3)
    first, second = stochastic_norms2(f, x, NOISE, 2, torch.Generator().manual_seed(5))
    assert torch.allclose(first, jacobian_norm2(f, x), rtol=1e-12)
    assert torch.equal(second, stochastic(f, x))


def test_what_is_refused() -> None:
    f, x = encoder("narrow-tanh"), images(1)
    wide = nn.Sequential(nn.Linear(65, 2), nn.Tanh())
    for bad, told in (
        (lambda: stochastic_hessian_norm2(f, x, 0.0), "noise"),
        (lambda: stochastic_hessian_norm2(f, x, float("nan")), "noise"),
        (lambda: stochastic_hessian_norm2(f, x, 1.0, 0), "draws"),
        (lambda: hessian_norm2(wide, torch.zeros(1, 65)), "at most 64 inputs an image"),
    ):
        with pytest.raises(InputError, match=told):
            bad()
