"""What every derivative must satisfy, on random networks, points and directions."""

from __future__ import annotations

from itertools import permutations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn import functional
from zoo import F64, agree, normal, randomise, spaced

from hodsim.derivatives import contract, hessian, hvp, jacobian, jvp, third, vjp

seeds = st.integers(0, 2**31 - 1)
sizes = st.integers(1, 4)
few = settings(max_examples=15, deadline=None, derandomize=True)
ACTIVATIONS = (nn.SiLU, nn.Tanh, nn.GELU, nn.Softplus, nn.Sigmoid, nn.ELU)
activations = st.sampled_from(ACTIVATIONS)


class _Net(nn.Module):
    """A residual network with a normalised middle."""

    def __init__(self, n: int, m: int, activation: type[nn.Module], seed: int) -> None:
        super().__init__()
        self.first, self.norm = nn.Linear(n, 5), nn.LayerNorm(5)
        self.middle, self.last = nn.Linear(5, 5), nn.Linear(5, m)
        self.activation = activation()
        randomise(self, seed)

    def forward(self, x: Tensor) -> Tensor:
        y = self.activation(self.first(x))
        y = y + self.activation(self.middle(self.norm(y)))
        return self.last(y)


def _close(got: Tensor, wanted: Tensor, scale: float, rtol: float = 1e-10) -> None:
    """Equal to `rtol` of a scale: what is compared may itself cancel."""
    assert got.shape == wanted.shape
    assert float((got - wanted).detach().abs().max()) <= rtol * scale


@few
@given(seed=seeds, n=sizes, m=sizes, activation=activations)
def test_second_and_third_derivatives_are_symmetric(
    seed: int, n: int, m: int, activation: type[nn.Module]
) -> None:
    f = _Net(n, m, activation, seed)
    x = normal(n, seed=seed % 1000)
    a, b, c = normal(3, n, seed=seed % 1000 + 1)
    # Not of the stored entries, whose mirror images are copies: of directions in any order.
    first, second = contract(f, x, [a, b, c]), contract(f, x, [a, b])
    agree(contract(f, x, [b, a]), second, rtol=1e-10)
    for order in permutations((a, b, c)):
        agree(contract(f, x, list(order)), first)
    w = normal(m, seed=seed % 1000 + 2)
    left, right = hvp(f, x, a, left=w) @ b, hvp(f, x, b, left=w) @ a
    _close(left, right, float((second * w).detach().abs().sum()))


@few
@given(seed=seeds, n=sizes, m=sizes, activation=activations)
def test_full_tensors_are_symmetric_by_either_scheme(
    seed: int, n: int, m: int, activation: type[nn.Module]
) -> None:
    f = _Net(n, m, activation, seed)
    x = normal(2, n, seed=seed % 1000)
    with torch.no_grad():
        for scheme in ("forward", "adjoint"):
            H = hessian(f, x, scheme=scheme)
            T = contract(f, x, free=3, scheme=scheme)
            agree(H.mT, H)
            for order in permutations((2, 3, 4)):
                agree(T.permute(0, 1, *order), T)
        agree(T, third(f, x))


@few
@given(seed=seeds, n=sizes, m=sizes, activation=activations)
def test_pushing_and_pulling_are_adjoint(
    seed: int, n: int, m: int, activation: type[nn.Module]
) -> None:
    f = _Net(n, m, activation, seed)
    x, v = normal(2, 3, n, seed=seed % 1000)
    w = normal(3, m, seed=seed % 1000 + 1)
    pushed, pulled = jvp(f, x, v), vjp(f, x, w)
    _close((w * pushed).sum(), (pulled * v).sum(), float((w * pushed).detach().abs().sum()))
    # And at every higher order: D^k (w . f)[a, ...] pulled, then contracted with v.
    a = normal(n, seed=seed % 1000 + 2)
    for right in ([a], [a, a], [a, v]):
        pushed = contract(f, x, [*right, v])
        pulled = contract(f, x, right, left=w, free=1)
        _close((w * pushed).sum(), (pulled * v).sum(), float((w * pushed).detach().abs().sum()))


def _picture(t: Tensor) -> Tensor:
    t = functional.conv2d(t, normal(4, 2, 3, 3, seed=1), padding=1, groups=1)
    t = functional.group_norm(functional.elu(t), 2)
    return functional.avg_pool2d(functional.max_pool2d(t, 2), 2).flatten(1)


def test_pushing_and_pulling_are_adjoint_through_pictures() -> None:
    for seed in range(3):
        x, v = spaced(3, 2, 8, 8, seed=seed), normal(3, 2, 8, 8, seed=seed + 1)
        w = normal(3, 16, seed=seed + 2)
        agree((w * jvp(_picture, x, v)).sum(), (vjp(_picture, x, w) * v).sum())


@few
@given(seed=seeds, n=sizes, m=sizes, s=st.floats(-3, 3), order=st.integers(1, 4))
def test_linearity_in_each_direction_and_in_the_weights(
    seed: int, n: int, m: int, s: float, order: int
) -> None:
    f = _Net(n, m, ACTIVATIONS[seed % 6], seed)
    x, a, b, *rest = normal(order + 2, n, seed=seed % 1000)
    parts = [contract(f, x, [one, *rest]) for one in (a, b)]
    scale = sum(float(p.detach().abs().max()) for p in parts) * (1.0 + abs(s))
    mixed = contract(f, x, [a + s * b, *rest])
    _close(mixed, parts[0] + s * parts[1], scale)
    u, w = normal(2, m, seed=seed % 1000 + 1)
    pulled = [contract(f, x, rest, left=one, free=1) for one in (u, w)]
    scale = sum(float(p.detach().abs().max()) for p in pulled) * (1.0 + abs(s))
    _close(contract(f, x, rest, left=u + s * w, free=1), pulled[0] + s * pulled[1], scale)


@few
@given(seed=seeds, n=sizes, k=sizes, m=sizes)
def test_chain_rule(seed: int, n: int, k: int, m: int) -> None:
    g, f = _Net(n, k, nn.Tanh, seed), _Net(k, m, ACTIVATIONS[seed % 6], seed + 1)
    x, a, b, c = normal(4, n, seed=seed % 1000)

    def whole(t: Tensor) -> Tensor:
        return f(g(t))

    y = g(x)
    A, B, C = (jvp(g, x, v) for v in (a, b, c))
    AB, BC, AC = (contract(g, x, list(pair)) for pair in ((a, b), (b, c), (a, c)))
    ABC = contract(g, x, [a, b, c])
    agree(jvp(whole, x, a), jvp(f, y, A))
    terms = [contract(f, y, [A, B]), jvp(f, y, AB)]
    _close(contract(whole, x, [a, b]), terms[0] + terms[1], _sizes(terms))
    terms = [
        contract(f, y, [A, B, C]),
        *(contract(f, y, [p, q]) for p, q in ((AB, C), (BC, A), (AC, B))),
        jvp(f, y, ABC),
    ]
    _close(contract(whole, x, [a, b, c]), torch.stack(terms).sum(0), _sizes(terms))
    w = normal(m, seed=seed % 1000 + 1)
    agree(vjp(whole, x, w), vjp(g, x, vjp(f, y, w).detach()))


def _sizes(terms: list[Tensor]) -> float:
    return sum(float(t.detach().abs().max()) for t in terms)


@few
@given(seed=seeds, n=sizes, m=sizes)
def test_a_batch_is_its_points(seed: int, n: int, m: int) -> None:
    f = _Net(n, m, ACTIVATIONS[seed % 6], seed)
    x, a = normal(4, n, seed=seed % 1000), normal(n, seed=seed % 1000 + 1)
    J, T = jacobian(f, x), contract(f, x, [a, a], free=1)
    for i, point in enumerate(x):
        agree(J[i], jacobian(f, point))
        agree(T[i], contract(f, point, [a, a], free=1))


@few
@given(seed=seeds, n=sizes, order=st.integers(1, 6))
def test_a_polynomial_has_its_own_derivatives(seed: int, n: int, order: int) -> None:
    # D^k of (c . x)^k along a_1, ..., a_k is k! prod (c . a_i); one order more is zero.
    c, x, *right = normal(order + 2, n, seed=seed % 1000)
    wanted = torch.ones((), dtype=F64)
    for k, a in enumerate(right, start=1):
        wanted = wanted * k * (c * a).sum()

    def f(t: Tensor) -> Tensor:
        return (c * t).sum() ** order

    if float(wanted.abs()) > 1e-6:
        agree(contract(f, x, right), wanted, rtol=1e-9 if order > 4 else 1e-10)
    assert float(contract(f, x, [*right, x])) == pytest.approx(0.0, abs=1e-9)
