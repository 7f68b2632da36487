"""What once was silently wrong, or could be: each found by trying to break it."""

from __future__ import annotations

import threading
from itertools import pairwise
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional
from zoo import agree, normal, randomise

from hodsim import InputError
from hodsim.derivatives import (
    LanePlan,
    UnknownRuleError,
    contract,
    hessian,
    hvp,
    jacobian,
    jvp,
    laplacian,
    push,
    register_activation,
    vjp,
)

F64 = torch.float64
X, V = normal(4, 3, seed=1), normal(4, 3, seed=2)


def _mlp(*widths: int) -> nn.Module:
    layers: list[nn.Module] = []
    for a, b in pairwise(widths):
        layers += [nn.Linear(a, b), nn.SiLU()]
    return randomise(nn.Sequential(*layers[:-1]))


# ---------------------------------------------------------------- the fast path


def test_commands_outlive_the_tables_that_other_chains_push_out() -> None:
    hot, x, a = _mlp(3, 8, 4), X, V
    with torch.no_grad():
        wanted = contract(hot, x, [a], free=1, scheme="forward").clone()
        for width in range(2, 300):
            other = nn.Sequential(nn.Linear(3, 4), nn.SiLU(), nn.Linear(4, 2)).double()
            plan = LanePlan.closure([(k,) for k in range(width % 17 + 1)], width + 20)
            push(other, x, torch.ones(width + 20, 3, dtype=F64), plan)
            assert torch.equal(contract(hot, x, [a], free=1, scheme="forward"), wanted)


@pytest.mark.parametrize("order", [7, 8])
def test_orders_that_the_native_mixing_has_no_room_for(order: int) -> None:
    f, x = _mlp(2, 3, 1), normal(1, 2, seed=3)
    same = [0.5 * normal(1, 2, seed=4)] * order
    with torch.no_grad():
        fast = contract(f, x, same)
    agree(fast, contract(f, x, same), rtol=1e-9)
    with pytest.raises(InputError, match=r"order 10 at most, got order 11"):
        contract(f, x, [normal(1, 2, seed=k) for k in range(11)])


def test_global_hooks_are_run_or_refused() -> None:
    f = _mlp(3, 5, 2)
    handle = nn.modules.module.register_module_forward_hook(
        lambda module, args, out: 2 * out if isinstance(module, nn.Linear) else out
    )
    try:
        with torch.no_grad():
            got = contract(f, X, [V])
        agree(got, contract(f, X, [V]))
        with pytest.raises(UnknownRuleError, match="hooks"):
            contract(nn.BatchNorm1d(3, dtype=F64), X, [V])
    finally:
        handle.remove()
    assert float((contract(f, X, [V]) - got).abs().max()) > 1e-3


def test_forward_mode_of_torch_goes_through() -> None:
    f = _mlp(3, 5, 2).requires_grad_(False)
    with torch.autograd.forward_ad.dual_level():
        dual = torch.autograd.forward_ad.make_dual(X, V)
        tangent = torch.autograd.forward_ad.unpack_dual(contract(f, dual, [V])).tangent
    agree(tangent, contract(f, X, [V, V]))


def test_autocast_is_refused() -> None:
    with torch.autocast("cpu"), pytest.raises(InputError, match="autocast"):
        jvp(lambda t: t @ t.mT, X.float(), V.float())


def test_negated_views() -> None:
    f = _mlp(3, 5, 2)
    minus = torch._neg_view(X)
    with torch.no_grad():
        agree(jacobian(f, minus), jacobian(f, -X))
        f[0].weight.data = torch._neg_view(f[0].weight.data)
        g = _mlp(3, 5, 2)
        g[0].weight.neg_()
        agree(jacobian(f, X), jacobian(g, X))
        left = torch._neg_view(normal(4, 2, seed=5))
        agree(vjp(f, X, left), -vjp(f, X, -left.resolve_neg()))


def test_an_activation_parameter_that_changes() -> None:
    alpha = torch.tensor(1.0)
    f = nn.Sequential(nn.Linear(3, 3), nn.ELU(alpha=alpha), nn.Linear(3, 1))  # type: ignore[arg-type]
    f = randomise(f)
    with torch.no_grad():
        jacobian(f, X)
        alpha.fill_(3.0)
        got = jacobian(f, X)
        agree(got, jacobian(nn.Sequential(f[0], nn.ELU(3.0), f[2]), X))


def test_ones_own_activation_takes_the_fast_path_too() -> None:
    class Cube(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x**3

    @register_activation(Cube)
    def sigma(_: nn.Module, x: Tensor, order: int) -> list[Tensor]:
        return [x**3, 3 * x * x, 6 * x, torch.full_like(x, 6.0), *[0 * x] * order][: order + 1]

    f = randomise(nn.Sequential(nn.Linear(3, 4), Cube(), nn.Linear(4, 2)))
    with torch.no_grad():
        fast = hessian(f, X, scheme="pairs")
    agree(fast, hessian(f, X))


@pytest.mark.parametrize("graph", [True, False])
def test_no_points_at_all(graph: bool) -> None:
    f = _mlp(3, 5, 2)
    with torch.set_grad_enabled(graph):
        assert jacobian(f, X[:0]).shape == (0, 2, 3)
        assert contract(f, X[:0], [V[:0]]).shape == (0, 2)


# ---------------------------------------------------------------- functions


def test_binary_cross_entropy_of_confident_logits() -> None:
    x, target = (
        torch.tensor([25.0, -30.0, 1.0], dtype=F64),
        torch.tensor([1.0, 0.0, 1.0], dtype=F64),
    )
    one = torch.ones(3, dtype=F64)

    def loss(t: Tensor) -> Tensor:
        return functional.binary_cross_entropy_with_logits(t, target, reduction="none")

    s, m = torch.sigmoid(x), torch.sigmoid(-x)
    wanted = [torch.log1p(torch.exp(-x.abs())), torch.where(target > 0, -m, s), s * m]
    for k in range(3):
        got = contract(loss, x, [one] * k)
        assert float(((got - wanted[k]) / wanted[k]).abs().max()) < 1e-12


def test_variance_with_a_bool() -> None:
    x = normal(5, seed=6)
    agree(contract(lambda t: t.var(False).reshape(1), x, [x]), 2 * x.var(False).reshape(1))
    agree(contract(lambda t: t.std(0).reshape(1), x, [x]), x.std(0).reshape(1))


def test_hardtanh_in_place_and_at_its_bounds() -> None:
    def f(t: Tensor) -> Tensor:
        h = 2 * t
        return functional.hardtanh(h, inplace=True) + h

    x = torch.tensor([0.2, 0.9, -3.0], dtype=F64)
    agree(contract(f, x, [torch.ones_like(x)]), torch.tensor([4.0, 0, 0], dtype=F64))
    zero = torch.zeros(2, dtype=F64)
    assert torch.equal(contract(nn.ReLU6(), zero, [zero + 1]), zero)


@pytest.mark.parametrize(
    "f",
    [
        lambda h: (h.expand(2, *h.shape), h),
        lambda h: (h.detach(), h),
        lambda h: (h.view(-1), h),
    ],
    ids=["expand", "detach", "view"],
)
def test_writing_under_an_alias_is_refused(f: Any) -> None:
    def whole(t: Tensor) -> Tensor:
        alias, h = f(t * 1.0)
        h += 1
        return alias.sum() * h

    with pytest.raises(UnknownRuleError, match="shares no memory"):
        contract(whole, X[0], [V[0]])


def test_mixing_whose_first_derivative_vanishes() -> None:
    with pytest.raises(InputError, match="mixes the points"):
        hessian(lambda t: t * t.mean(0), torch.zeros(2, 1, dtype=F64))


def test_infinite_slopes_are_no_mixing() -> None:
    x = torch.tensor([[0.0, 1.0], [4.0, 9.0]], dtype=F64)
    got = jacobian(torch.sqrt, x)
    agree(got[1], torch.diag(torch.tensor([0.25, 1 / 6], dtype=F64)))
    assert bool(got[0, 0, 0].isinf())


def test_division_by_what_has_no_reciprocal() -> None:
    x = torch.full((2,), 1e-309, dtype=F64)
    agree(contract(lambda t: t / 1e-309, x, [x]), torch.ones(2, dtype=F64))
    assert bool(contract(lambda t: t / 0.0, x, []).isinf().all())


@pytest.mark.parametrize(
    ("f", "message"),
    [
        (lambda t: t**1j, "complex"),
        (lambda t: t.view(torch.int64), "view: expected lanes to keep"),
        (lambda t: t.argmax(-1), "expected real numbers as its result, got torch.int64"),
        (
            lambda t: functional.embedding(torch.tensor([0]), t, max_norm=1.0),
            "embedding: max_norm",
        ),
        (lambda t: torch.where(t > 0, t, torch.ones(3).to(torch.complex128)), "where: expected"),
    ],
)
def test_refused_by_name(f: Any, message: str) -> None:
    with pytest.raises((InputError, UnknownRuleError), match=message):
        contract(f, X, [V])


def test_the_padding_row_of_an_embedding_gets_no_gradient() -> None:
    numbers = torch.tensor([0, 2, 0, 1])
    got = vjp(lambda p: functional.embedding(numbers, p["E"], 0).square().sum(), {"E": X})["E"]
    wanted = 2 * X
    wanted[0] = 0
    wanted[3] = 0
    agree(got, wanted)


# ---------------------------------------------------------------- parameters, places, threads


@pytest.mark.parametrize("kind", ["linear", "conv", "layer norm", "group norm"])
def test_a_bias_or_a_first_normalisation_alone_is_perturbed(kind: str) -> None:
    x = normal(2, 4, 6, 6, seed=7)
    layer = {
        "linear": lambda p: functional.linear(x, normal(3, 6, seed=8), p),
        "conv": lambda p: functional.conv2d(x, normal(3, 4, 3, 3, seed=9), p),
        "layer norm": lambda p: functional.layer_norm(x, (6,), p, None),
        "group norm": lambda p: functional.group_norm(x, 2, p, None),
    }[kind]
    size = {"linear": 3, "conv": 3, "layer norm": 6, "group norm": 4}[kind]
    b, v = normal(size, seed=10), normal(size, seed=11)

    def loss(p: Tensor) -> Tensor:
        return layer(p).exp().sum()

    got = hvp(lambda p: loss(p["b"]), {"b": b}, {"b": v})["b"]
    _, wanted = torch.autograd.functional.hvp(loss, b, v)
    agree(got, wanted)


def test_another_default_device() -> None:
    f = _mlp(3, 5, 2)
    wanted = [g.detach() for g in (jacobian(f, X), hessian(f, X), laplacian(f, X))]
    LanePlan.symmetric.cache_clear()
    with torch.device("meta"):
        got = [jacobian(f, X), hessian(f, X), laplacian(f, X)]
    for a, b in zip(got, wanted, strict=True):
        agree(a, b)


def test_a_direction_repeated_that_wants_a_gradient_travels_once() -> None:
    v = V.clone().requires_grad_(True)
    lanes: list[int] = []

    def f(t: Any) -> Tensor:
        y = t.sin()
        lanes.append(y.lanes.values.shape[0])
        return y

    contract(f, X, [v, v])
    assert lanes == [3]


def test_weights_may_be_left_out_for_one_output_only() -> None:
    one, two = _mlp(3, 5, 1), _mlp(3, 5, 2)
    for graph in (True, False):
        with torch.set_grad_enabled(graph):
            assert hvp(one, X, V).shape == X.shape
            for call in (lambda: vjp(two, X), lambda: hvp(two, X, V)):
                with pytest.raises(InputError, match="left: expected weights over f's 2 outputs"):
                    call()


def test_push_of_a_mapping_and_of_no_plan() -> None:
    with pytest.raises(InputError, match="x: expected a tensor"):
        push(lambda p: p["a"], {"a": X}, X, LanePlan.symmetric(1, 1))  # type: ignore[arg-type]
    with pytest.raises(InputError, match="plan: expected a LanePlan"):
        push(torch.sin, X, X, None)  # type: ignore[arg-type]


def test_two_threads_on_one_normalisation() -> None:
    norm = nn.InstanceNorm1d(3, track_running_stats=True, dtype=F64)
    own = dict(norm._buffers)
    kept = {k: b.clone() for k, b in norm.named_buffers()}
    constant = normal(2, 3, 5, seed=12)
    barrier = threading.Barrier(2)

    def f(t: Tensor) -> Tensor:
        barrier.wait(10)
        return t * norm(constant).sum()

    threads = [threading.Thread(target=contract, args=(f, X, [V])) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for name, b in norm._buffers.items():
        assert b is own[name]
        assert torch.equal(b, kept[name])
