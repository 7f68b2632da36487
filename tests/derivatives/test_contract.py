"""Contractions and full tensors of whole networks against nested autograd; threads."""

from __future__ import annotations

import threading
from collections.abc import Callable
from itertools import permutations

import pytest
import torch
from oracles import derivative_tensor, nested_autograd, third_difference
from torch import Tensor, nn
from torch.nn import functional
from zoo import F64, agree, normal, randomise

from hodsim import InputError
from hodsim.derivatives import (
    LanePlan,
    Lanes,
    contract,
    hessian,
    hvp,
    jacobian,
    jvp,
    push,
    third,
)

CALL = nn.Module.__call__  # as it is before any pass has run
ACTIVATIONS: list[type[nn.Module]] = [nn.ELU, nn.SiLU, nn.Softplus, nn.Tanh, nn.Sigmoid]
every_activation = pytest.mark.parametrize("activation", ACTIVATIONS)
every_order = pytest.mark.parametrize("order", [1, 2, 3, 4])


def _net(activation: type[nn.Module] = nn.SiLU, n: int = 3, m: int = 4, seed: int = 0) -> nn.Module:
    torch.manual_seed(seed)
    layers = [nn.Linear(n, 7), activation(), nn.Linear(7, 6), activation(), nn.Linear(6, m)]
    net = nn.Sequential(*layers).to(F64)
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.mul_(2.0)  # torch's initial weights are so small that high orders vanish
    return net


@every_activation
@every_order
def test_distinct_directions(activation: type[nn.Module], order: int) -> None:
    f = _net(activation)
    for seed in range(3):
        x, *directions = normal(order + 1, 3, seed=seed)
        agree(contract(f, x, directions), nested_autograd(f, x, directions))


@every_activation
@pytest.mark.parametrize("pattern", ["aa", "aaa", "aab", "aba", "baa", "aaaa", "abab", "aabc"])
def test_repeated_directions(activation: type[nn.Module], pattern: str) -> None:
    f = _net(activation)
    x = normal(3)
    named = dict(zip("abc", normal(3, 3, seed=2), strict=True))
    same_object = [named[c] for c in pattern]
    equal_values = [named[c].clone() for c in pattern]
    wanted = nested_autograd(f, x, same_object)
    agree(contract(f, x, same_object), wanted)
    assert torch.equal(contract(f, x, same_object), contract(f, x, equal_values))


def test_order_zero_is_the_network_itself() -> None:
    f, x = _net(), normal(5, 3)
    agree(contract(f, x), f(x))
    agree(contract(f, x[0]), f(x[0]))
    agree(contract(nn.Sequential(f, nn.Tanh()), x), torch.tanh(f(x)))


@every_order
def test_batch_left_and_shared_directions(order: int) -> None:
    f, x = _net(), normal(5, 3)
    shared, own = normal(3, seed=3), normal(5, 3, seed=4)
    right = [own, shared, own, shared][:order]
    each = [
        nested_autograd(f, x[i], [a if a.dim() == 1 else a[i] for a in right]) for i in range(5)
    ]
    wanted = torch.stack(each)
    agree(contract(f, x, right), wanted)
    w, own_w = normal(4, seed=5), normal(5, 4, seed=6)
    agree(contract(f, x, right, left=w), wanted @ w)
    agree(contract(f, x, right, left=own_w), (wanted * own_w).sum(-1))
    point = [shared] * order
    single = contract(f, x[0], point, left=w)
    assert single.shape == ()
    agree(single, nested_autograd(f, x[0], point) @ w)


@every_activation
def test_full_tensors(activation: type[nn.Module]) -> None:
    f, x = _net(activation), normal(2, 3)
    for i, (function, order) in enumerate([(jacobian, 1), (hessian, 2), (third, 3)]):
        wanted = torch.stack([derivative_tensor(f, point, order) for point in x])
        agree(function(f, x), wanted)
        agree(function(f, x[0]), wanted[0])
        if i:
            ascending = LanePlan.symmetric(3, order).blocks[order].unbind(1)
            agree(function(f, x, packed=True), wanted[(..., *ascending)])
            assert function(f, x[0], packed=True).shape == (4, [6, 10][i - 1])


def test_one_input_one_output() -> None:
    f, x = _net(n=1, m=1), normal(1)
    agree(third(f, x), derivative_tensor(f, x, 3))
    agree(third(f, x, packed=True).reshape(()), third(f, x).reshape(()))


def test_symmetry_in_the_directions() -> None:
    f, x = _net(), normal(3)
    abc = list(normal(3, 3, seed=7))
    first = contract(f, x, abc)
    for order in permutations(abc):
        agree(contract(f, x, list(order)), first)


def test_linearity_in_each_direction() -> None:
    f, x = _net(), normal(3)
    a, b, c, d = normal(4, 3, seed=8)
    left = contract(f, x, [2.0 * a - 3.0 * d, b, c])
    agree(left, 2.0 * contract(f, x, [a, b, c]) - 3.0 * contract(f, x, [d, b, c]))


def test_chain_rule() -> None:
    g, f, x = _net(m=3), _net(nn.Tanh, seed=9), normal(3)
    a, b = normal(2, 3, seed=10)
    y = contract(g, x)
    inner = [jvp(g, x, a), jvp(g, x, b)]
    wanted = contract(f, y, inner) + jvp(f, y, contract(g, x, [a, b]))
    agree(contract(nn.Sequential(g, f), x, [a, b]), wanted)


def test_finite_differences_converge_quadratically() -> None:
    f, x = _net(), normal(3)
    a, b, c = normal(3, 3, seed=11)
    exact = contract(f, x, [a, b, c])
    with torch.no_grad():
        errors = [float((third_difference(f, x, a, b, c, h) - exact).norm()) for h in (2e-2, 1e-2)]
    assert errors[0] / errors[1] == pytest.approx(4.0, rel=0.05)


def test_integrator_lanes_with_a_concatenated_skip() -> None:
    net, lanes, q, v = _skip_case()
    agree(lanes.value, net(q))
    eye = torch.eye(6, dtype=F64)
    for i in range(6):
        agree(lanes[(i,)], nested_autograd(net, q, [eye[i]]))
        agree(lanes[(i, 6)], nested_autograd(net, q, [eye[i], v]))
        agree(lanes[(6, 6, i)], nested_autograd(net, q, [v, v, eye[i]]))
        for j in range(i, 6):
            agree(lanes[(j, i)], nested_autograd(net, q, [eye[i], eye[j]]))


class _Skip(nn.Module):
    """[hidden(q); q], as a decoder's features are."""

    def __init__(self) -> None:
        super().__init__()
        self.hidden = nn.Sequential(nn.Linear(6, 9), nn.SiLU(), nn.Linear(9, 8), nn.SiLU())

    def forward(self, q: Tensor) -> Tensor:
        return torch.cat([self.hidden(q), q], dim=-1)


def _skip_case() -> tuple[nn.Module, Lanes, Tensor, Tensor]:
    torch.manual_seed(0)
    net = _Skip().to(F64)
    q, v = normal(2, 6, seed=12)
    wanted = [(i, j) for i in range(7) for j in range(7)] + [(6, 6, i) for i in range(6)]
    plan = LanePlan.closure(wanted, 7)
    directions = torch.cat([torch.eye(6, dtype=F64), v[None]])
    return net, push(net, q, directions, plan), q, v


def test_push_takes_directions_of_each_point_and_skips_unused_ones() -> None:
    f, x = _net(), normal(4, 3)
    directions = normal(3, 4, 3, seed=13)
    lanes = push(f, x, directions, LanePlan.closure([(0, 2)], 3))
    assert lanes.values.shape == (4, 4, 4)
    for i in range(4):
        wanted = nested_autograd(f, x[i], [directions[0, i], directions[2, i]])
        agree(lanes[(2, 0)][i], wanted)


def test_gradients_flow_through_lanes() -> None:
    f, x = _net(), normal(2, 3)
    a = normal(3, seed=14)
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
            assert a_got is None or torch.equal(a_got, torch.zeros_like(a_got))
        else:
            agree(a_got, a_wanted)


def test_equal_directions_keep_their_own_gradients() -> None:
    f, x = _net(), normal(3)
    a = normal(3, seed=15).requires_grad_(True)
    b = a.detach().clone().requires_grad_(True)
    ga, gb = torch.autograd.grad(contract(f, x, [a, b]).sum(), [a, b])
    agree(ga, gb)
    (both,) = torch.autograd.grad(contract(f, x, [a, a]).sum(), [a])
    agree(both, ga + gb)


def test_a_module_used_twice_is_applied_twice() -> None:
    act = nn.Tanh()
    f = nn.Sequential(nn.Linear(3, 3), act, nn.Linear(3, 3), act).to(F64)
    x, a = normal(2, 3, seed=16)
    for net in (f, nn.Sequential(f)):  # nested, it goes through the rule of Sequential
        agree(contract(net, x, [a, a]), nested_autograd(f, x, [a, a]))


def test_linear_without_bias_and_identity() -> None:
    f = nn.Sequential(nn.Identity(), nn.Linear(3, 4, bias=False), nn.Tanh(), nn.Identity()).to(F64)
    x, a, b = normal(3, 3, seed=17)
    agree(contract(f, x), f(x))
    agree(contract(f, x, [a, b]), nested_autograd(f, x, [a, b]))
    assert torch.equal(hessian(nn.Linear(3, 2).to(F64), x), torch.zeros(2, 3, 3, dtype=F64))


def test_float32_agrees_to_its_own_rounding() -> None:
    f, x = _net(), normal(5, 3)
    wanted = third(f, x)
    got = third(_net().float(), x.float())
    assert got.dtype is torch.float32
    # A few dozen roundings of 6e-8 on top of each other, relative to the largest entry.
    assert float(((got - wanted).abs().max() / wanted.abs().max()).detach()) < 1e-5


# ---------------------------------------------------------------- modules of one's own


class _Doubled(nn.Linear):
    def forward(self, x: Tensor) -> Tensor:
        return 2 * super().forward(x)


class _Plain(nn.Linear):
    pass


def test_a_subclass_does_what_its_own_forward_says() -> None:
    x = normal(3)
    for f, factor in ((_Plain(3, 2).to(F64), 1.0), (_Doubled(3, 2).to(F64), 2.0)):
        agree(jacobian(f, x), factor * f.weight)
        agree(jacobian(nn.Sequential(nn.Identity(), f), x), factor * f.weight)


def test_an_edit_of_the_weights_is_seen_by_the_next_call() -> None:
    f, x, a = _net(), normal(3), normal(3, seed=2)
    with torch.no_grad():
        contract(f, x, [a, a])
        f[0].weight.mul_(0.5)
        f[1] = nn.Tanh()
        f[2].weight = nn.Parameter(1.5 * f[2].weight)
        got = contract(f, x, [a, a]), jacobian(f, x)
    agree(got[0], nested_autograd(f, x, [a, a]))
    agree(got[1], derivative_tensor(f, x, 1))


def test_wrong_shapes_inside_a_network_are_refused() -> None:
    for f in (nn.Sequential(nn.Identity(), _net()), nn.Sequential(_net(), nn.Linear(5, 2).to(F64))):
        for x in (normal(2), normal(5, 2)):
            with pytest.raises((InputError, RuntimeError), match="shape"):
                jacobian(f, x)
    with pytest.raises(InputError, match=r"x: expected .*torch.float32"):
        jacobian(nn.Sequential(_net(), nn.Linear(4, 2)), normal(3))


# ---------------------------------------------------------------- threads


def test_threads_differentiate_side_by_side() -> None:
    # nn.Module.__call__ is exchanged while a pass runs: for lanes alone, in every thread.
    network = randomise(nn.Sequential(nn.Linear(3, 6), nn.BatchNorm1d(6), nn.SiLU()))
    x, a = normal(5, 3), normal(5, 3, seed=2)
    w = normal(5, 6, seed=3)
    others = randomise(nn.BatchNorm1d(6).train())
    y = normal(5, 6, seed=4)

    def products() -> Tensor:
        with torch.no_grad():
            return hvp(network, x, a, left=w)

    def refused() -> Tensor:
        with pytest.raises(ZeroDivisionError):
            contract(lambda t: 1 / 0, x, [a])
        return w

    def plain() -> Tensor:
        with torch.no_grad():
            return others(y)

    seen = int(others.num_batches_tracked)
    wanted = {
        products: products(),
        refused: w,
        plain: functional.batch_norm(y, None, None, others.weight, others.bias, training=True),
    }
    rounds, wrong, start = 40, [], threading.Barrier(4)

    def work(job: Callable[[], Tensor]) -> None:
        start.wait()
        for _ in range(rounds):
            try:
                agree(job(), wanted[job])
            except BaseException as error:  # noqa: BLE001  (a thread's error must not be lost)
                wrong.append(error)

    jobs = [products, products, refused, plain]
    workers = [threading.Thread(target=work, args=(job,)) for job in jobs]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert not wrong
    assert nn.Module.__call__ is CALL
    assert int(others.num_batches_tracked) == seen + rounds  # an ordinary call stays ordinary
    assert int(network[1].num_batches_tracked) == 0


def test_modules_are_called_as_ever_while_a_pass_runs_elsewhere() -> None:
    inside, done = threading.Event(), threading.Event()
    norm = nn.BatchNorm1d(3, dtype=F64)

    def slow(t: Tensor) -> Tensor:
        inside.set()
        assert done.wait(10.0)
        return norm(t)

    x = normal(5, 3)
    worker = threading.Thread(target=lambda: contract(slow, x, [x]))
    worker.start()
    assert inside.wait(10.0)
    assert nn.Module.__call__ is not CALL
    other = nn.BatchNorm1d(3, dtype=F64)
    other(x)
    assert int(other.num_batches_tracked) == 1
    with pytest.raises(ZeroDivisionError):  # a pass that fails meanwhile takes nothing away
        contract(lambda t: 1 / 0, x, [x])
    done.set()
    worker.join()
    assert nn.Module.__call__ is CALL
    assert int(norm.num_batches_tracked) == 0
