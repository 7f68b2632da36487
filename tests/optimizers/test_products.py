"""Gradients and curvature products beside float64 double backpropagation."""

from __future__ import annotations

import pytest
import torch
from problems import (
    classification,
    dense_gauss_newton,
    dense_hessian,
    flat,
    gradient,
    regression,
    small_net,
)
from torch import nn
from zoo import F64, agree, normal

from hodsim.errors import InputError
from hodsim.optimizers import Batch, NewtonKrylov, Objective, Spent
from hodsim.optimizers.products import Counter, Layout, Products


def products(objective: Objective) -> Products:
    net = objective.network
    layout = Layout({name: p.shape for name, p in net.named_parameters()})
    return Products(objective, layout, flat(net), Counter())


@pytest.mark.parametrize("make", [regression, classification])
def test_products_are_double_backpropagation_s(make) -> None:
    batch = make(small_net())
    near = products(batch)
    v = normal(near.point.numel(), seed=9)
    agree(near.hvp(v), dense_hessian(batch) @ v)
    agree(near.gnvp(v), dense_gauss_newton(batch) @ v)
    loss, g = near.gradient()
    agree(g, gradient(batch))
    assert loss == pytest.approx(float(batch._called().detach()), rel=1e-15)
    assert near.counter.spent == Spent(0, 1, 2, 0, batch.size, 2 * batch.size)


def test_products_are_the_rate_of_the_gradient() -> None:
    batch = classification(small_net())
    near = products(batch)
    v = normal(near.point.numel(), seed=9)
    exact, errors = near.hvp(v), []
    for h in (1e-2, 5e-3):
        ends = [
            Products(batch, near.layout, near.point + s * h * v, Counter()).gradient()[1]
            for s in (1, -1)
        ]
        errors.append(float(((ends[0] - ends[1]) / (2 * h) - exact).norm()))
    assert errors[0] / errors[1] == pytest.approx(4.0, rel=0.05)


def test_float32_products_are_float32() -> None:
    near = products(classification(small_net(dtype=torch.float32)))
    v = normal(near.point.numel(), seed=9)
    true = products(classification(small_net()))
    for got, wanted in ((near.hvp(v.float()), true.hvp(v)), (near.gnvp(v.float()), true.gnvp(v))):
        assert got.dtype is torch.float32
        agree(got.double(), wanted, rtol=1e-5)


def test_normalisation_s_statistics_move_once_a_step_and_not_with_trials() -> None:
    net = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Tanh(), nn.Linear(4, 2)).to(F64)
    batch = classification(net)
    near = products(batch)
    v = normal(near.point.numel(), seed=9)
    agree(near.hvp(v), dense_hessian(batch) @ v)
    net[1].reset_running_stats()
    for _ in range(2):
        near.hvp(v), near.gnvp(v), near.gradient(), near.value(near.point)
    assert int(net[1].num_batches_tracked) == 0
    assert not net[1].running_mean.any()
    optimizer = NewtonKrylov(net, "gauss-newton", damping=0.1)
    optimizer.step(batch)
    assert optimizer.record.outcome == "accepted"
    assert int(net[1].num_batches_tracked) == 1
    with torch.no_grad():
        expected = 0.1 * net[0](batch.x).mean(0)
    torch.testing.assert_close(net[1].running_mean, expected)


def test_frozen_parameters_are_constants() -> None:
    net = small_net()
    batch = classification(net)
    whole = dense_hessian(batch)
    count = net[0].weight.numel()
    net[0].bias.requires_grad_(False)
    layout = Layout({"0.weight": net[0].weight.shape})
    near = Products(batch, layout, net[0].weight.detach().reshape(-1), Counter())
    v = normal(count, seed=2)
    agree(near.hvp(v), whole[:count, :count] @ v)


@pytest.mark.parametrize(
    ("make", "told"),
    [
        (lambda: Objective(nn.Tanh(), lambda: torch.ones(())), "expected parameters to train"),
        (lambda: Objective(len, lambda: torch.ones(())), "expected a torch.nn.Module"),
        (lambda: Objective(small_net(), 3.0), "closure: expected a function, got float"),
        (lambda: Objective(small_net(), lambda: torch.ones(()), 0), "at least one sample, got 0"),
        (
            lambda: regression(small_net().half()),
            "parameters, got torch.float16",
        ),
        (lambda: Batch(small_net(), len, torch.ones(0, 3), None), "at least one sample"),
        (
            lambda: regression(nn.Sequential(nn.Linear(3, 2), nn.Dropout(0.1)).to(F64)),
            "active dropout in 1",
        ),
    ],
)
def test_bad_objectives_are_named(make, told: str) -> None:
    with pytest.raises(InputError, match=told):
        make()


def test_dropout_at_rest_is_none() -> None:
    net = nn.Sequential(nn.Linear(3, 2), nn.Dropout(0.1)).to(F64).eval()
    products(regression(net)).hvp(flat(net))


def test_a_loss_of_many_numbers_is_refused() -> None:
    net = small_net()
    batch = Batch(net, lambda z, y: (z - y) ** 2, torch.ones(4, 3, dtype=F64), 0.0)
    with pytest.raises(InputError, match=r"of one number, got shape \(4, 2\)"):
        products(batch).gradient()


def test_gauss_newton_asks_for_a_batch() -> None:
    net = small_net()
    with pytest.raises(InputError, match="expected a Batch, whose outputs and loss are apart"):
        products(Objective(net, lambda: net(torch.ones(1, 3, dtype=F64)).sum())).product(
            "gauss-newton"
        )


def test_a_batch_is_torch_s_closure_too() -> None:
    net = small_net()
    batch = classification(net)
    wanted = gradient(batch)
    net[0].weight.grad = torch.ones_like(net[0].weight)
    loss = batch()
    assert not loss.requires_grad
    agree(torch.cat([p.grad.reshape(-1) for p in net.parameters()]), wanted)
