"""Contractions and full tensors of whole networks against nested autograd."""

from __future__ import annotations

from itertools import permutations

import pytest
import torch
from oracles import derivative_tensor, nested_autograd, third_difference
from torch import Tensor, nn

from hodsim import InputError
from hodsim.derivatives import (
    LanePlan,
    Lanes,
    UnknownRuleError,
    concatenate,
    contract,
    hessian,
    jacobian,
    jvp,
    propagate,
    push,
    register_rule,
    third,
)

ACTIVATIONS: list[type[nn.Module]] = [nn.ELU, nn.SiLU, nn.Softplus, nn.Tanh, nn.Sigmoid]
every_activation = pytest.mark.parametrize("activation", ACTIVATIONS)
every_order = pytest.mark.parametrize("order", [1, 2, 3, 4])
F64 = torch.float64


def _net(activation: type[nn.Module] = nn.SiLU, n: int = 3, m: int = 4, seed: int = 0) -> nn.Module:
    torch.manual_seed(seed)
    layers = [nn.Linear(n, 7), activation(), nn.Linear(7, 6), activation(), nn.Linear(6, m)]
    net = nn.Sequential(*layers).to(F64)
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.mul_(2.0)  # torch's initial weights are so small that high orders vanish
    return net


def _random(*shape: int, seed: int = 1) -> Tensor:
    return torch.randn(*shape, dtype=F64, generator=torch.Generator().manual_seed(seed))


def _close(got: Tensor, wanted: Tensor) -> None:
    """To 1e-10 of the largest entry, which must not be zero."""
    got, wanted = got.detach(), wanted.detach()
    scale = float(wanted.abs().max())
    assert scale > 1e-8
    assert got.shape == wanted.shape
    torch.testing.assert_close(got, wanted, rtol=1e-10, atol=1e-10 * scale)


@every_activation
@every_order
def test_distinct_directions(activation: type[nn.Module], order: int) -> None:
    f = _net(activation)
    for seed in range(3):
        x, *directions = _random(order + 1, 3, seed=seed)
        _close(contract(f, x, directions), nested_autograd(f, x, directions))


@every_activation
@pytest.mark.parametrize("pattern", ["aa", "aaa", "aab", "aba", "baa", "aaaa", "abab", "aabc"])
def test_repeated_directions(activation: type[nn.Module], pattern: str) -> None:
    f = _net(activation)
    x = _random(3)
    named = dict(zip("abc", _random(3, 3, seed=2), strict=True))
    same_object = [named[c] for c in pattern]
    equal_values = [named[c].clone() for c in pattern]
    wanted = nested_autograd(f, x, same_object)
    _close(contract(f, x, same_object), wanted)
    assert torch.equal(contract(f, x, same_object), contract(f, x, equal_values))


def test_order_zero_is_the_network_itself() -> None:
    f, x = _net(), _random(5, 3)
    _close(contract(f, x), f(x))
    _close(contract(f, x[0]), f(x[0]))
    _close(contract(nn.Sequential(f, nn.Tanh()), x), torch.tanh(f(x)))


@every_order
def test_batch_left_and_shared_directions(order: int) -> None:
    f, x = _net(), _random(5, 3)
    shared, own = _random(3, seed=3), _random(5, 3, seed=4)
    right = [own, shared, own, shared][:order]
    each = [
        nested_autograd(f, x[i], [a if a.dim() == 1 else a[i] for a in right]) for i in range(5)
    ]
    wanted = torch.stack(each)
    _close(contract(f, x, right), wanted)
    w, own_w = _random(4, seed=5), _random(5, 4, seed=6)
    _close(contract(f, x, right, left=w), wanted @ w)
    _close(contract(f, x, right, left=own_w), (wanted * own_w).sum(-1))
    point = [shared] * order
    single = contract(f, x[0], point, left=w)
    assert single.shape == ()
    _close(single, nested_autograd(f, x[0], point) @ w)


@every_activation
def test_full_tensors(activation: type[nn.Module]) -> None:
    f, x = _net(activation), _random(2, 3)
    for i, (function, order) in enumerate([(jacobian, 1), (hessian, 2), (third, 3)]):
        wanted = torch.stack([derivative_tensor(f, point, order) for point in x])
        _close(function(f, x), wanted)
        _close(function(f, x[0]), wanted[0])
        if i:
            ascending = LanePlan.symmetric(3, order).blocks[order].unbind(1)
            _close(function(f, x, packed=True), wanted[(..., *ascending)])
            assert function(f, x[0], packed=True).shape == (4, [6, 10][i - 1])


def test_one_input_one_output() -> None:
    f, x = _net(n=1, m=1), _random(1)
    _close(third(f, x), derivative_tensor(f, x, 3))
    _close(third(f, x, packed=True).reshape(()), third(f, x).reshape(()))


def test_symmetry_in_the_directions() -> None:
    f, x = _net(), _random(3)
    abc = list(_random(3, 3, seed=7))
    first = contract(f, x, abc)
    for order in permutations(abc):
        _close(contract(f, x, list(order)), first)


def test_linearity_in_each_direction() -> None:
    f, x = _net(), _random(3)
    a, b, c, d = _random(4, 3, seed=8)
    left = contract(f, x, [2.0 * a - 3.0 * d, b, c])
    _close(left, 2.0 * contract(f, x, [a, b, c]) - 3.0 * contract(f, x, [d, b, c]))


def test_chain_rule() -> None:
    g, f, x = _net(m=3), _net(nn.Tanh, seed=9), _random(3)
    a, b = _random(2, 3, seed=10)
    y = contract(g, x)
    inner = [jvp(g, x, a), jvp(g, x, b)]
    wanted = contract(f, y, inner) + jvp(f, y, contract(g, x, [a, b]))
    _close(contract(nn.Sequential(g, f), x, [a, b]), wanted)


def test_finite_differences_converge_quadratically() -> None:
    f, x = _net(), _random(3)
    a, b, c = _random(3, 3, seed=11)
    exact = contract(f, x, [a, b, c])
    with torch.no_grad():
        errors = [float((third_difference(f, x, a, b, c, h) - exact).norm()) for h in (2e-2, 1e-2)]
    assert errors[0] / errors[1] == pytest.approx(4.0, rel=0.05)


def test_integrator_lanes_with_a_concatenated_skip() -> None:
    net, lanes, q, v = _skip_case()
    _close(lanes.value, net(q))
    eye = torch.eye(6, dtype=F64)
    for i in range(6):
        _close(lanes[(i,)], nested_autograd(net, q, [eye[i]]))
        _close(lanes[(i, 6)], nested_autograd(net, q, [eye[i], v]))
        _close(lanes[(6, 6, i)], nested_autograd(net, q, [v, v, eye[i]]))
        for j in range(i, 6):
            _close(lanes[(j, i)], nested_autograd(net, q, [eye[i], eye[j]]))


class _Skip(nn.Module):
    """[hidden(q); q], as a decoder's features are."""

    def __init__(self) -> None:
        super().__init__()
        self.hidden = nn.Sequential(nn.Linear(6, 9), nn.SiLU(), nn.Linear(9, 8), nn.SiLU())

    def forward(self, q: Tensor) -> Tensor:
        return torch.cat([self.hidden(q), q], dim=-1)


@register_rule(_Skip)
def _skip(module: _Skip, lanes: Lanes) -> Lanes:
    return concatenate([propagate(module.hidden, lanes), lanes])


def _skip_case() -> tuple[nn.Module, Lanes, Tensor, Tensor]:
    torch.manual_seed(0)
    net = _Skip().to(F64)
    q, v = _random(2, 6, seed=12)
    wanted = [(i, j) for i in range(7) for j in range(7)] + [(6, 6, i) for i in range(6)]
    plan = LanePlan.closure(wanted, 7)
    directions = torch.cat([torch.eye(6, dtype=F64), v[None]])
    return net, push(net, q, directions, plan), q, v


def test_push_takes_directions_of_each_point_and_skips_unused_ones() -> None:
    f, x = _net(), _random(4, 3)
    directions = _random(3, 4, 3, seed=13)
    lanes = push(f, x, directions, LanePlan.closure([(0, 2)], 3))
    assert lanes.values.shape == (4, 4, 4)
    for i in range(4):
        wanted = nested_autograd(f, x[i], [directions[0, i], directions[2, i]])
        _close(lanes[(2, 0)][i], wanted)


def test_gradients_flow_through_lanes() -> None:
    f, x = _net(), _random(2, 3)
    a = _random(3, seed=14)
    loss = hessian(f, x).square().sum() + contract(f, x, [a, a, a]).square().sum()
    names, parameters = zip(*f.named_parameters(), strict=True)
    got = torch.autograd.grad(loss, parameters, allow_unused=True)

    def along(t: Tensor, point: Tensor) -> Tensor:
        return f(point + t * a)

    truth = torch.zeros((), dtype=F64)
    for point in x:
        h = torch.stack(
            [
                torch.autograd.functional.hessian(lambda p, j=j: f(p)[j], point, create_graph=True)
                for j in range(4)
            ]
        )
        value = [torch.zeros((), dtype=F64, requires_grad=True)]
        d3 = []
        for out in along(value[0], point):
            for _ in range(3):
                (out,) = torch.autograd.grad(out, value, create_graph=True)
            d3.append(out)
        truth = truth + h.square().sum() + torch.stack(d3).square().sum()
    wanted = torch.autograd.grad(truth, parameters, allow_unused=True)
    for name, a_got, a_wanted in zip(names, got, wanted, strict=True):
        if a_wanted is None:  # the last bias
            assert name == "4.bias"
            assert a_got is None
        else:
            _close(a_got, a_wanted)


def test_equal_directions_keep_their_own_gradients() -> None:
    f, x = _net(), _random(3)
    a = _random(3, seed=15).requires_grad_(True)
    b = a.detach().clone().requires_grad_(True)
    ga, gb = torch.autograd.grad(contract(f, x, [a, b]).sum(), [a, b])
    _close(ga, gb)
    (both,) = torch.autograd.grad(contract(f, x, [a, a]).sum(), [a])
    _close(both, ga + gb)


def test_a_module_used_twice_is_applied_twice() -> None:
    act = nn.Tanh()
    f = nn.Sequential(nn.Linear(3, 3), act, nn.Linear(3, 3), act).to(F64)
    x, a = _random(2, 3, seed=16)
    for net in (f, nn.Sequential(f)):  # nested, it goes through the rule of Sequential
        _close(contract(net, x, [a, a]), nested_autograd(f, x, [a, a]))


def test_linear_without_bias_and_identity() -> None:
    f = nn.Sequential(nn.Identity(), nn.Linear(3, 4, bias=False), nn.Tanh(), nn.Identity()).to(F64)
    x, a, b = _random(3, 3, seed=17)
    _close(contract(f, x), f(x))
    _close(contract(f, x, [a, b]), nested_autograd(f, x, [a, b]))
    assert torch.equal(hessian(nn.Linear(3, 2).to(F64), x), torch.zeros(2, 3, 3, dtype=F64))


def test_float32_agrees_to_its_own_rounding() -> None:
    f, x = _net(), _random(5, 3)
    wanted = third(f, x)
    got = third(_net().float(), x.float())
    assert got.dtype is torch.float32
    # A few dozen roundings of 6e-8 on top of each other, relative to the largest entry.
    assert float(((got - wanted).abs().max() / wanted.abs().max()).detach()) < 1e-5


# ---------------------------------------------------------------- what is refused


class _Strange(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x.abs()


class _Doubled(nn.Linear):
    def forward(self, x: Tensor) -> Tensor:
        return 2 * super().forward(x)


class _Plain(nn.Linear):
    pass


def test_unknown_modules_raise_with_their_name() -> None:
    x = _random(3)
    for module in (_Strange(), _Doubled(3, 3).to(F64), nn.Sequential(nn.Identity(), _Strange())):
        with pytest.raises(UnknownRuleError, match=r"^_(Strange|Doubled): no rule"):
            contract(module, x, [x])
    assert issubclass(UnknownRuleError, NotImplementedError)


def test_a_subclass_that_keeps_forward_keeps_the_rule() -> None:
    f = _Plain(3, 2).to(F64)
    _close(jacobian(f, _random(3)), f.weight)


def test_hooks_are_refused() -> None:
    f = nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 2)).to(F64)
    for module in (f, f[0], f[1]):
        handle = module.register_forward_hook(lambda module, args, out: 2 * out)
        with pytest.raises(UnknownRuleError, match="hooks"):
            jacobian(f, _random(3))
        handle.remove()
    jacobian(f, _random(3))


X, XB = torch.zeros(3, dtype=F64), torch.zeros(5, 3, dtype=F64)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda f: contract(f, torch.zeros(4, dtype=F64)), r"x: expected shape \(3,\).*got \(4,\)"),
        (lambda f: jacobian(f, torch.zeros(2, 2, 3, dtype=F64)), r"x: expected shape.*\(2, 2, 3\)"),
        (lambda f: hessian(f, X.float()), r"x: expected torch.float64.*got torch.float32"),
        (
            lambda f: third(f, torch.zeros(3, dtype=torch.int64)),
            r"x: expected a float32 or float64",
        ),
        (lambda f: contract(f, [0.0] * 3), r"x: expected .*got list"),
        (lambda f: contract(lambda x: x, X), r"f: expected a torch.nn.Module, got function"),
        (lambda f: contract(f, X, [X, X[:2]]), r"right\[1\]: expected shape \(3,\).*got \(2,\)"),
        (lambda f: contract(f, XB, [XB[:4]]), r"right\[0\].*\(3,\) or \(5, 3\).*got \(4, 3\)"),
        (lambda f: contract(f, X, [XB]), r"right\[0\].*got \(5, 3\)"),
        (lambda f: contract(f, X, [X.float()]), r"right\[0\]: expected torch.float64"),
        (lambda f: contract(f, X, [1.0]), r"right\[0\]: expected a tensor, got float"),
        (
            lambda f: contract(f, X, [X], left=X),
            r"left: expected shape \(4,\) \(m = 4\), got \(3,\)",
        ),
        (
            lambda f: contract(f, X, [X], left=X.new_zeros(4).float()),
            r"left: expected torch.float64",
        ),
        (lambda f: jvp(f, X, X[:1]), r"v: expected shape \(3,\)"),
        (
            lambda f: push(f, X, torch.zeros(3, 3, dtype=F64), LanePlan.symmetric(2, 2)),
            r"directions: expected shape \(2, n\).*got \(3, 3\)",
        ),
        (
            lambda f: push(f, X, torch.zeros(2, 3), LanePlan.symmetric(2, 2)),
            r"directions: expected torch.float64",
        ),
        (
            lambda f: jacobian(nn.Sequential(nn.Identity(), f), torch.zeros(2, dtype=F64)),
            r"Linear.*last axis 3.*got .*\(2,\)",
        ),
        (lambda f: jacobian(nn.Sequential(f, nn.Linear(4, 2)), X), r"expected torch.float32"),
    ],
)
def test_bad_arguments_are_named(call: object, message: str) -> None:
    with pytest.raises(InputError, match=message):
        call(_net())  # type: ignore[operator]
