"""Hessian-free optimisation: descent on images, its damping, warm start and backtracking."""

from __future__ import annotations

import pytest
import torch
from problems import classification, quadratic, regression, small_net
from torch.nn import functional

from hodsim.learning import autoencoder, lenet5
from hodsim.optimizers import Batch, HessianFree, Spent
from hodsim.optimizers.cg import Solution
from hodsim.optimizers.hessian_free import _best


def pictures(n: int, seed: int = 1) -> tuple[torch.Tensor, torch.Tensor]:
    """Ten kinds of strokes, 28 x 28, each shifted and with noise."""
    g = torch.Generator().manual_seed(seed)
    y = torch.arange(n) % 10
    row = torch.arange(28.0)
    angle = y * (torch.pi / 10) + 0.1 * torch.randn(n, generator=g)
    shift = 2.0 * torch.randn(n, 2, generator=g) + 13.5
    across = (row[None, :, None] - shift[:, :1, None]) * angle.cos()[:, None, None] + (
        row[None, None, :] - shift[:, 1:, None]
    ) * angle.sin()[:, None, None]
    return torch.exp(-0.1 * across**2)[:, None].float(), y


def test_a_classifier_of_images_learns() -> None:
    with torch.random.fork_rng():
        torch.manual_seed(1)
        net = lenet5()
    x, y = pictures(50)
    batch = Batch(net, functional.cross_entropy, x, y)
    optimizer = HessianFree(net, damping=0.1)
    losses = [optimizer.step(batch) for _ in range(8)]
    assert losses == sorted(losses, reverse=True)
    assert losses[-1] < 0.2 * losses[0]
    with torch.no_grad():
        assert float((net(x).argmax(1) == y).float().mean()) > 0.9


def test_an_autoencoder_of_images_learns() -> None:
    with torch.random.fork_rng():
        torch.manual_seed(1)
        net = autoencoder((784, 40, 8))
    x, _ = pictures(100)
    batch = Batch(net, functional.binary_cross_entropy_with_logits, x, x.flatten(1))
    optimizer = HessianFree(net, damping=1e-3)
    losses = [optimizer.step(batch) for _ in range(8)]
    assert losses == sorted(losses, reverse=True)
    # What no network can go below: the entropy of grey pixels.
    least = float(functional.binary_cross_entropy(x, x))
    assert losses[-1] - least < 0.4 * (losses[0] - least)


def test_its_damping_falls_while_the_model_is_good() -> None:
    net = small_net()
    batch = regression(net)
    optimizer = HessianFree(net, damping=9.0)
    for _ in range(3):
        damping = optimizer.param_groups[0]["damping"]
        optimizer.step(batch)
        ratio = optimizer.record.ratio
        factor = 1.5 if ratio < 0.25 else 1 / 1.5 if ratio > 0.75 else 1.0
        assert optimizer.record.damping == damping
        assert optimizer.param_groups[0]["damping"] == pytest.approx(damping * factor)
    assert optimizer.param_groups[0]["damping"] < 9.0


def test_a_warm_start_costs_one_product_and_saves_more() -> None:
    spent = {}
    for warm in (True, False):
        net = small_net()
        batch = classification(net)
        optimizer = HessianFree(net, damping=1e-3, warm=warm)
        for _ in range(6):
            optimizer.step(batch)
            record = optimizer.record
            assert record.spent.products == record.cg_iterations + (warm and record.step > 1)
        spent[warm] = optimizer.spent
        if warm:
            kept = optimizer._kept("direction")
            assert kept.any()
    assert spent[True] != spent[False]


def test_counts_are_the_trials() -> None:
    net = small_net()
    optimizer = HessianFree(net)
    optimizer.step(classification(net))
    record = optimizer.record
    assert record.spent == Spent(
        record.trials, 1, record.cg_iterations, 30 * record.trials, 30, 30 * record.cg_iterations
    )


def test_backtracking_goes_back_while_the_loss_falls() -> None:
    def at(values: list[float]) -> tuple[float, int]:
        points = tuple((torch.tensor([float(i)]), torch.zeros(1)) for i in range(len(values)))
        solved = Solution(points[-1][0], points[-1][1], "", 9, 0.0, None, 0, points)
        x, _, loss, tried = _best(lambda x: values[int(x)], solved)
        assert loss == values[int(x)]
        return float(x), tried

    assert at([5.0, 4.0, 3.0]) == (2.0, 2)
    assert at([5.0, 1.0, 2.0, 3.0]) == (1.0, 4)
    assert at([0.0, 4.0, 3.0, 3.5]) == (2.0, 3)
    assert at([5.0, 1.0, 2.0, float("nan")]) == (1.0, 4)
    assert at([7.0]) == (0.0, 1)


def test_a_step_that_does_not_serve_is_abandoned_and_damped_more() -> None:
    net = small_net()
    inner = regression(net)
    start = float(inner._called().detach())

    def loss(z, y):
        # The same slope and curvature at the start, but higher anywhere else.
        value = functional.mse_loss(z, y)
        return value + 1e6 * (value.detach() - start) ** 2

    batch = Batch(net, loss, inner.x, inner.y)
    optimizer = HessianFree(net, damping=1.0, trials=2)
    before = [p.detach().clone() for p in net.parameters()]
    optimizer.step(batch)
    assert optimizer.record.outcome == "abandoned"
    assert all(torch.equal(p, q) for p, q in zip(net.parameters(), before, strict=True))
    assert optimizer.param_groups[0]["damping"] == 1.5
    assert not optimizer._kept("direction").any()


def test_gauss_newton_s_split_is_asked_for() -> None:
    objective, _ = quadratic()
    with pytest.raises(ValueError, match="expected a Batch"):
        HessianFree(objective.network).step(objective)
