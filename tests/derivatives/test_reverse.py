"""CSFD-BP: backpropagation on lanes, by inputs and by parameters, and perturbed parameters."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import pytest
import torch
from oracles import nested_autograd
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn import functional
from zoo import F64, PlainNorm, agree, normal, randomise, spaced

from hodsim.derivatives import contract, hessian, hvp, jacobian, jvp, laplacian, vjp

Parameters = dict[str, Tensor]


def _parameters(network: nn.Module) -> Parameters:
    return {name: p.detach().clone() for name, p in network.named_parameters()}


def _like(point: Parameters, seed: int) -> Parameters:
    return {
        name: 0.5 * normal(*p.shape, seed=100 * seed + i)
        for i, (name, p) in enumerate(point.items())
    }


def _flat(tensors: Parameters) -> Tensor:
    return torch.cat([t.flatten() for t in tensors.values()])


def _of_vector(f: Callable[[Parameters], Tensor], point: Parameters) -> Callable[[Tensor], Tensor]:
    """f as a function of all parameters in one vector, its result as one too."""
    sizes = [p.numel() for p in point.values()]

    def g(vector: Tensor) -> Tensor:
        pieces = vector.split(sizes)
        parameters = {
            name: piece.reshape(p.shape)
            for (name, p), piece in zip(point.items(), pieces, strict=True)
        }
        return f(parameters).flatten()

    return g


class _Swapped(nn.Module):
    """A network whose normalisation layers are replaced by primitives, parameters by name alike."""

    def __init__(self, network: nn.Sequential) -> None:
        super().__init__()
        self.layers = network

    def forward(self, x: Tensor) -> Tensor:
        for layer in self.layers:
            plain = isinstance(layer, nn.BatchNorm1d | nn.BatchNorm2d | nn.LayerNorm | nn.GroupNorm)
            x = PlainNorm(layer)(x) if plain else layer(x)
        return x


NETWORKS: dict[str, tuple[nn.Sequential, tuple[int, ...]]] = {
    "dense": (nn.Sequential(nn.Linear(4, 5), nn.SiLU(), nn.Linear(5, 3), nn.Tanh()), (6, 4)),
    "dense with batch and layer normalisation": (
        nn.Sequential(
            *(nn.Linear(4, 5), nn.BatchNorm1d(5), nn.GELU(), nn.Linear(5, 3), nn.LayerNorm(3))
        ),
        (6, 4),
    ),
    "convolutions": (
        nn.Sequential(
            *(nn.Conv2d(2, 4, 3, stride=2, padding=1, groups=2), nn.BatchNorm2d(4), nn.ELU()),
            *(nn.Conv2d(4, 2, 2, dilation=2), nn.GroupNorm(1, 2), nn.Flatten(), nn.Linear(8, 3)),
        ),
        (3, 2, 7, 7),
    ),
    "a sequence": (
        nn.Sequential(
            *(nn.Conv1d(2, 3, 3, padding="same"), nn.Softplus(), nn.AvgPool1d(2)),
            *(nn.MaxPool1d(2), nn.Flatten(), nn.Linear(6, 3), nn.Softmax(1)),
        ),
        (3, 2, 9),
    ),
}
every_network = pytest.mark.parametrize("name", NETWORKS)


def _case(name: str) -> tuple[Callable[..., Tensor], Callable[..., Tensor], Parameters, Tensor]:
    """The network as a function of its parameters, the same of primitives, where, and on what."""
    network, shape = NETWORKS[name]
    randomise(network, seed=7, scale=0.7)
    x = spaced(*shape, seed=8)
    swapped = _Swapped(network)

    def truth(parameters: Parameters, x: Tensor = x) -> Tensor:
        renamed = {f"layers.{key}": p for key, p in parameters.items()}
        return functional_call(swapped, renamed, (x,))

    def f(parameters: Parameters, x: Tensor = x) -> Tensor:
        return functional_call(network, parameters, (x,))

    return f, truth, _parameters(network), x


@every_network
@pytest.mark.parametrize("order", [1, 2, 3, 4])
def test_products_of_every_order_by_the_parameters(name: str, order: int) -> None:
    f, truth, point, x = _case(name)
    target = normal(x.shape[0], 3, seed=9)
    vectors = [_like(point, seed) for seed in range(order)]
    wanted = nested_autograd(
        _of_vector(lambda p: functional.mse_loss(truth(p), target).reshape(1), point),
        _flat(point),
        [_flat(v) for v in vectors],
    )

    def loss(p: Parameters) -> Tensor:
        return functional.mse_loss(f(p), target)

    with torch.no_grad():
        agree(contract(loss, point, vectors).reshape(1), wanted)
        pulled = contract(loss, point, vectors[:-1], free=1)
    assert list(pulled) == list(point)
    for key, p in point.items():
        assert pulled[key].shape == p.shape
    terms = _flat(pulled) * _flat(vectors[-1])
    assert float((terms.sum() - wanted).abs()) <= 1e-10 * float(terms.abs().sum())


@every_network
def test_gradient_and_hessian_vector_product_entry_by_entry(name: str) -> None:
    f, truth, point, x = _case(name)
    classes = torch.arange(x.shape[0]) % 3
    v = _like(point, 5)

    leaves = {key: p.clone().requires_grad_(True) for key, p in point.items()}
    value = functional.cross_entropy(truth(leaves), classes)
    first = torch.autograd.grad(value, list(leaves.values()), create_graph=True)
    along = sum((g * a).sum() for g, a in zip(first, v.values(), strict=True))
    second = torch.autograd.grad(along, list(leaves.values()))

    def loss(p: Parameters) -> Tensor:
        return functional.cross_entropy(f(p), classes)

    with torch.no_grad():
        agree(_flat(vjp(loss, point)), torch.cat([g.flatten() for g in first]))
        agree(_flat(hvp(loss, point, v)), torch.cat([g.flatten() for g in second]))


@every_network
@pytest.mark.parametrize("order", [1, 2, 3])
def test_perturbed_parameters_forward(name: str, order: int) -> None:
    # Eq. 7 with V, at any order: y_S = sum over T of W_T x_(S minus T).
    f, truth, point, _ = _case(name)
    vectors = [_like(point, seed + 20) for seed in range(order)]
    wanted = nested_autograd(_of_vector(truth, point), _flat(point), [_flat(v) for v in vectors])
    got = contract(f, point, vectors)
    agree(got.flatten(), wanted)
    repeated = [vectors[0]] * order
    wanted = nested_autograd(_of_vector(truth, point), _flat(point), [_flat(v) for v in repeated])
    agree(contract(f, point, repeated).flatten(), wanted)


@every_network
def test_input_and_parameters_perturbed_together(name: str) -> None:
    f, truth, point, x = _case(name)
    point = {**point, "the input": x}
    a, b, c = (_like(point, seed) for seed in (31, 32, 33))

    def split(g: Callable[..., Tensor]) -> Callable[[Parameters], Tensor]:
        return lambda p: g({k: t for k, t in p.items() if k != "the input"}, p["the input"])

    wanted = nested_autograd(_of_vector(split(truth), point), _flat(point), [*map(_flat, (a, b))])
    agree(contract(split(f), point, [a, b]).flatten(), wanted)
    w = normal(x.shape[0], 3, seed=34)
    pulled = contract(split(f), point, [a, b], left=w, free=1)
    wanted = w.flatten() @ nested_autograd(
        _of_vector(split(truth), point), _flat(point), [*map(_flat, (a, b, c))]
    )
    terms = _flat(pulled) * _flat(c)
    assert float((terms.sum() - wanted).abs()) <= 1e-10 * float(terms.abs().sum())


def test_a_direction_that_leaves_out_parameters_moves_the_others_alone() -> None:
    f, _, point, _ = _case("dense")
    part = {"2.weight": normal(3, 5, seed=1)}
    whole = {key: part.get(key, torch.zeros_like(p)) for key, p in point.items()}
    agree(contract(f, point, [part, part]), contract(f, point, [whole, whole]))


def test_jacobian_by_the_parameters() -> None:
    f, truth, point, _ = _case("dense")
    got = jacobian(f, point)
    wanted = torch.autograd.functional.jacobian(_of_vector(truth, point), _flat(point))
    assert got["0.weight"].shape == (6, 3, 5, 4)
    agree(torch.cat([g.reshape(18, -1) for g in got.values()], 1), wanted)


def test_weights_used_twice_get_both_their_shares() -> None:
    point = {"W": normal(4, 4, seed=1)}
    x = normal(3, 4, seed=2)

    def f(p: Parameters) -> Tensor:
        return (torch.tanh(functional.linear(x, p["W"])) @ p["W"]).sum(1)

    u, v = ({"W": normal(4, 4, seed=s)} for s in (3, 4))
    wanted = nested_autograd(_of_vector(f, point), _flat(point), [_flat(u), _flat(v)])
    agree(contract(f, point, [u, v]), wanted)
    pulled = contract(f, point, [u], left=torch.ones(3, dtype=F64), free=1)
    agree((_flat(pulled) * _flat(v)).sum().reshape(1), wanted.sum().reshape(1))


def test_an_embedding() -> None:
    table, index = {"E": normal(5, 3, seed=1)}, torch.tensor([[0, 3, 3], [4, 0, 1]])

    def f(p: Parameters) -> Tensor:
        return functional.embedding(index, p["E"]).sin().sum(2)

    def truth(p: Parameters) -> Tensor:
        return p["E"][index].sin().sum(2)

    u, v = ({"E": normal(5, 3, seed=s)} for s in (2, 3))
    wanted = nested_autograd(_of_vector(truth, table), _flat(table), [_flat(u), _flat(v)])
    agree(contract(f, table, [u, v]).flatten(), wanted)


# ---------------------------------------------------------------- by inputs


def _net() -> nn.Module:
    return randomise(nn.Sequential(nn.Linear(3, 6), nn.SiLU(), nn.Linear(6, 4), nn.Tanh()))


@pytest.mark.parametrize("order", [1, 2, 3, 4, 5])
def test_products_by_the_input_for_each_point_of_a_batch(order: int) -> None:
    f, x = _net(), normal(5, 3, seed=1)
    right = [normal(3, seed=2 + i) if i % 2 else normal(5, 3, seed=2 + i) for i in range(order - 1)]
    w = normal(5, 4, seed=9)
    with torch.no_grad():
        got = contract(f, x, right, left=w, free=1)
    basis = torch.eye(3, dtype=F64)
    for i, point in enumerate(x):
        own = [a if a.dim() == 1 else a[i] for a in right]
        agree(got[i], torch.stack([nested_autograd(f, point, [*own, e]) @ w[i] for e in basis]))


def test_the_whole_batch_is_one_point_of_a_loss() -> None:
    f, x = _net(), normal(5, 3, seed=1)
    a = normal(5, 3, seed=2)
    p = x.clone().requires_grad_(True)
    (g,) = torch.autograd.grad(functional.softmax(f(p), 0).square().sum(), p, create_graph=True)
    (wanted,) = torch.autograd.grad((g * a).sum(), p)
    agree(hvp(lambda t: functional.softmax(f(t), 0).square().sum(), x, a), wanted)


# ---------------------------------------------------------------- the tape, and autograd's graph


class _Refuse:
    """No tensor may be saved for a backward pass of autograd."""

    def __enter__(self) -> None:
        def refuse(t: Tensor) -> Tensor:
            raise AssertionError("autograd saved a tensor")

        self.hooks = torch.autograd.graph.saved_tensors_hooks(refuse, refuse)
        self.hooks.__enter__()

    def __exit__(self, *error: Any) -> None:
        self.hooks.__exit__(*error)


def test_no_autograd_graph_under_no_grad() -> None:
    f, x = _net(), normal(5, 3, seed=1).requires_grad_(True)
    a = normal(3, seed=2)
    with pytest.raises(AssertionError, match="saved"), _Refuse():  # the check itself can fail
        hvp(f, x, a, left=normal(4))
    with torch.no_grad(), _Refuse():
        results = [hvp(f, x, a, left=normal(4)), contract(f, x, [a, a]), jacobian(f, x)]
        results += [contract(f, x, [a, a], left=normal(4), free=1), hessian(f, x), laplacian(f, x)]
    for result in results:
        assert not result.requires_grad
        assert result.grad_fn is None


def test_no_graph_where_nothing_asks_for_a_gradient() -> None:
    f, x = _net().requires_grad_(False), normal(5, 3, seed=1)
    with _Refuse():
        assert hvp(f, x, x[0], left=normal(4)).grad_fn is None


def test_gradients_flow_through_backpropagation_on_lanes() -> None:
    f, x, a = _net(), normal(2, 3, seed=3), normal(3, seed=4)
    parameters = list(f.parameters())
    w = normal(4, seed=5)
    got = torch.autograd.grad(
        hvp(f, x, a, left=w).square().sum() + laplacian(f, x).square().sum(),
        parameters,
        allow_unused=True,
    )

    p = x.clone().requires_grad_(True)
    out = f(p)
    (g,) = torch.autograd.grad((out @ w).sum(), p, create_graph=True)
    (h,) = torch.autograd.grad((g * a).sum(), p, create_graph=True)
    truth = h.square().sum()
    for j in range(4):
        (g,) = torch.autograd.grad(out[:, j].sum(), p, create_graph=True)
        trace = sum(
            torch.autograd.grad(g[:, i].sum(), p, create_graph=True)[0][:, i] for i in range(3)
        )
        truth = truth + trace.square().sum()
    wanted = torch.autograd.grad(truth, parameters, allow_unused=True)
    for mine, true in zip(got, wanted, strict=True):
        agree(mine, true)


def test_gradients_flow_to_points_directions_and_weights() -> None:
    f = _net()
    inputs = [normal(3, seed=6), normal(3, seed=7), normal(4, seed=8)]
    x, a, w = (t.requires_grad_(True) for t in inputs)
    got = torch.autograd.grad(hvp(f, x, a, left=w).square().sum(), [x, a, w])
    (g,) = torch.autograd.grad(f(x) @ w, x, create_graph=True)
    (h,) = torch.autograd.grad(g @ a, x, create_graph=True)
    wanted = torch.autograd.grad(h.square().sum(), [x, a, w])
    for mine, true in zip(got, wanted, strict=True):
        agree(mine, true)


def test_gradients_flow_to_perturbed_parameters() -> None:
    f, truth, point, _ = _case("dense with batch and layer normalisation")
    leaves = {key: p.requires_grad_(True) for key, p in point.items()}
    v = _like(point, 3)
    mine = hvp(lambda p: f(p).square().mean(), leaves, v)
    got = torch.autograd.grad(_flat(mine).square().sum(), list(leaves.values()))
    value = truth(leaves).square().mean()
    first = torch.autograd.grad(value, list(leaves.values()), create_graph=True)
    along = sum((g * a).sum() for g, a in zip(first, v.values(), strict=True))
    second = torch.autograd.grad(along, list(leaves.values()), create_graph=True)
    whole = torch.cat([h.flatten() for h in second]).square().sum()
    wanted = torch.autograd.grad(whole, list(leaves.values()))
    agree(torch.cat([g.flatten() for g in got]), torch.cat([g.flatten() for g in wanted]))


# ---------------------------------------------------------------- in-place operations


IN_PLACE: dict[str, tuple[Callable[[Tensor], Tensor], Callable[[Tensor], Tensor]]] = {
    "its own argument": (lambda t: t.mul_(2.0).sin(), lambda t: (2.0 * t).sin()),
    "its own argument, twice": (lambda t: (t.mul_(t).mul_(t)).sin(), lambda t: (t**4).sin()),
    "ReLU(inplace=True) first": (
        nn.Sequential(nn.ReLU(inplace=True), nn.Tanh()),
        lambda t: torch.tanh(torch.relu(t)),
    ),
}


@pytest.mark.parametrize("name", IN_PLACE)
@pytest.mark.parametrize("order", [1, 2, 3])
def test_a_function_that_writes_into_its_argument(name: str, order: int) -> None:
    f, truth = IN_PLACE[name]
    x = spaced(4, seed=2, limit=1.0)
    kept = x.clone()
    right = [normal(4, seed=i) for i in range(order)]
    wanted = nested_autograd(truth, x, right)
    agree(contract(f, x, right), wanted)
    w = normal(4, seed=9)
    agree(contract(f, x, right[:-1], left=w, free=1) * right[-1], wanted * w)
    assert torch.equal(x, kept)


def test_a_value_used_before_it_is_overwritten_keeps_its_share() -> None:
    def f(t: Tensor) -> Tensor:
        y = torch.sin(t)
        z = y * y
        y += z
        y *= t
        return y + z

    def truth(t: Tensor) -> Tensor:
        y = torch.sin(t)
        return (y + y * y) * t + y * y

    x, a, b = normal(3, 4, seed=1)
    agree(contract(f, x, [a, b]), nested_autograd(truth, x, [a, b]))
    agree(
        hvp(f, x, a, left=torch.ones(4, dtype=F64)),
        torch.stack([nested_autograd(truth, x, [a, e]).sum() for e in torch.eye(4, dtype=F64)]),
    )


def test_first_order_products_are_transposes_of_each_other() -> None:
    f, x = _net(), normal(5, 3, seed=1)
    v, w = normal(5, 3, seed=2), normal(5, 4, seed=3)
    forward, back = (jvp(f, x, v) * w).sum(), (vjp(f, x, w) * v).sum()
    agree(forward, back, rtol=1e-13)
    assert all(a.shape == b.shape for a, b in pairwise([vjp(f, x, w), x, v]))
