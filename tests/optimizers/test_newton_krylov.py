"""Newton-Krylov: convergence, step control, skipping, restoring, state and its records."""

from __future__ import annotations

import copy
import json
from dataclasses import asdict, fields

import pytest
import torch
from problems import (
    Free,
    classification,
    decayed,
    dense_hessian,
    flat,
    gradient,
    on_vector,
    quadratic,
    regression,
    rosenbrock,
    small_net,
)
from torch import Tensor, nn
from zoo import F64, normal

from hodsim.derivatives import UnknownRuleError
from hodsim.errors import InputError
from hodsim.optimizers import Batch, HessianFree, NewtonKrylov, Objective, Spent, newton_krylov
from hodsim.optimizers.products import Products

EXACT = {"tolerance": 1e-13, "iterations": 500, "flatness": 0.0}


# ---------------------------------------------------------------- convergence


def test_one_step_solves_a_convex_quadratic() -> None:
    objective, lowest = quadratic()
    optimizer = NewtonKrylov(objective.network, tolerance=1e-12)
    before = optimizer.step(objective)
    record = optimizer.record
    assert (record.outcome, record.length, record.cg_ended) == ("accepted", 1.0, "tolerance")
    assert record.loss_before == before > record.loss_after == pytest.approx(3.0, rel=1e-12)
    assert record.ratio == pytest.approx(1.0, abs=1e-10)
    assert record.taylor < 1e-10
    torch.testing.assert_close(objective.network.w.detach(), lowest, rtol=0, atol=1e-10)


def test_rosenbrock_s_valley_is_walked_and_its_end_is_quadratic() -> None:
    objective = rosenbrock((-1.2, 1.0))
    optimizer = NewtonKrylov(objective.network, **EXACT, taylor=0.9)
    losses = []
    for _ in range(60):
        losses.append(optimizer.step(objective))
        if optimizer.record.gradient_norm < 1e-9:
            break
    assert len(losses) < 60
    assert losses == sorted(losses, reverse=True)
    torch.testing.assert_close(objective.network.w.detach(), torch.ones(2, dtype=F64))


def test_a_small_network_converges_quadratically() -> None:
    objective = decayed(small_net())
    net = objective.network
    optimizer = NewtonKrylov(net, **EXACT, taylor=0.5)
    for _ in range(20):
        optimizer.step(objective)
    assert optimizer.record.gradient_norm < 1e-12
    lowest, v = flat(net), normal(flat(net).numel(), seed=8)

    def left(h: float) -> float:
        """Distance to the minimum after one step from h away."""
        nn.utils.vector_to_parameters(lowest + h * v, net.parameters())
        NewtonKrylov(net, **EXACT, taylor=10.0).step(objective)
        return float((flat(net) - lowest).norm())

    errors = [left(h) for h in (2e-3, 1e-3, 5e-4)]
    assert errors[0] / errors[1] == pytest.approx(4.0, rel=0.15)
    assert errors[1] / errors[2] == pytest.approx(4.0, rel=0.1)


def test_negative_curvature_is_gone_down() -> None:
    # A saddle with a slight slope: w0^2 - w1^2 + w1^4 has its minima at w1 = +-1/sqrt(2).
    saddle = on_vector(
        torch.tensor([0.3, 1e-3], dtype=F64), lambda w: w[0] ** 2 - w[1] ** 2 + w[1] ** 4
    )
    optimizer = NewtonKrylov(saddle.network)
    losses, ended = [], set()
    for _ in range(40):
        losses.append(optimizer.step(saddle))
        ended.add(optimizer.record.cg_ended)
    assert ended & {"negative curvature", "steepest descent"}
    assert losses[-1] == pytest.approx(-0.25, abs=1e-10)
    assert losses == sorted(losses, reverse=True)


def test_a_step_of_negative_curvature_may_be_stretched() -> None:
    hill = on_vector(torch.tensor([1e-3], dtype=F64), lambda w: -(w[0] ** 2) + w[0] ** 4)
    optimizer = NewtonKrylov(hill.network)
    optimizer.step(hill)
    assert optimizer.record.cg_ended == "steepest descent"
    assert optimizer.record.length > 1.0
    assert optimizer.record.taylor <= 0.05


def test_an_ascent_direction_is_reversed(monkeypatch) -> None:
    objective, _ = quadratic()
    solve = newton_krylov.conjugate_gradients

    def backwards(*args, **kwargs):
        done = solve(*args, **kwargs)
        done.x.neg_(), done.Hx.neg_()
        return done

    monkeypatch.setattr(newton_krylov, "conjugate_gradients", backwards)
    optimizer = NewtonKrylov(objective.network)
    optimizer.step(objective)
    assert optimizer.record.reversed
    assert optimizer.record.outcome == "accepted"
    assert optimizer.record.loss_after < optimizer.record.loss_before


# ---------------------------------------------------------------- step control and damping


def test_taylor_control_halves_until_loss_and_model_agree() -> None:
    objective = rosenbrock((-1.2, 1.0))
    optimizer = NewtonKrylov(objective.network, **EXACT)
    optimizer.step(objective)
    w, g = objective.network.w.detach().clone(), gradient(objective)
    optimizer.step(objective)
    record = optimizer.record
    assert record.length == 0.5 ** (record.trials - 1) < 1.0
    assert record.taylor <= 0.05
    with torch.no_grad():
        step = objective.network.w - w
        objective.network.w.copy_(w)
    H = dense_hessian(objective)
    torch.testing.assert_close(step, record.length * torch.linalg.solve(H, -g))

    def taylor(t: float) -> float:
        with torch.no_grad():
            d = step / record.length
            objective.network.w.copy_(w + t * d)
            moved = float(objective._called()) - record.loss_before
            return abs(moved - float(t * g @ d + 0.5 * t * t * d @ H @ d)) / abs(moved)

    assert taylor(record.length) == pytest.approx(record.taylor, rel=1e-6)
    assert taylor(2 * record.length) > 0.05


def cliff(w: Tensor) -> Tensor:
    """Falls to the left, and is a wall from 1e-4 to the left of 0 on."""
    return (w + 0.5 * w * w + 1e9 * torch.relu(-w - 1e-4) ** 2).sum()


def test_a_step_that_raises_the_loss_is_abandoned_to_the_bit() -> None:
    objective = on_vector(torch.tensor([1e-9], dtype=F64), cliff)
    optimizer = NewtonKrylov(objective.network, trials=3)
    before = objective.network.w.detach().clone()
    optimizer.step(objective)
    record = optimizer.record
    assert (record.outcome, record.length, record.trials) == ("abandoned", 0.0, 3)
    assert record.loss_after == record.loss_before
    assert "no length of 3" in record.why
    assert torch.equal(objective.network.w, before)
    # With enough trials the step is short enough.
    NewtonKrylov(objective.network, trials=20).step(objective)
    assert float(objective.network.w.detach()) < 0.0


def test_a_step_into_nan_is_abandoned() -> None:
    # Damped, the step is to 1 - 28/10000: left of 0.999 there is no loss.
    objective = on_vector(
        torch.tensor([1.0], dtype=F64), lambda w: (w * w + 10 * w + torch.sqrt(w - 0.999)).sum()
    )
    optimizer = NewtonKrylov(objective.network, damping=1e4, trials=1)
    before = objective.network.w.detach().clone()
    optimizer.step(objective)
    assert optimizer.record.outcome == "abandoned"
    assert optimizer.record.taylor is None
    assert optimizer.record.ratio is None
    json.dumps(asdict(optimizer.record), allow_nan=False)
    assert torch.equal(objective.network.w, before)
    # Shorter ones have one.
    NewtonKrylov(objective.network, damping=1e4).step(objective)
    assert 0.999 < float(objective.network.w.detach()) < 1.0


def test_damping_follows_levenberg_and_marquardt() -> None:
    objective, _ = quadratic()
    optimizer = NewtonKrylov(objective.network, damping=0.9, adapt=True, taylor=10.0)
    optimizer.step(objective)
    assert optimizer.param_groups[0]["damping"] == pytest.approx(0.6)
    wall = on_vector(torch.tensor([1e-9], dtype=F64), cliff)
    worse = NewtonKrylov(wall.network, damping=0.9, adapt=True, trials=1)
    worse.step(wall)
    assert worse.record.outcome == "abandoned"
    assert worse.param_groups[0]["damping"] == pytest.approx(1.35)


def test_groups_have_their_own_damping() -> None:
    net = small_net()
    batch = decayed(net)
    groups = [{"params": net[0].parameters(), "damping": 1e8}, {"params": net[2].parameters()}]
    before = [p.detach().clone() for p in net.parameters()]
    NewtonKrylov(groups, damping=1.0).step(batch)
    moved = [
        float((p.detach() - q).abs().max()) for p, q in zip(net.parameters(), before, strict=True)
    ]
    assert max(moved[:2]) < 1e-6 < 1e-3 < min(moved[2:])


def test_frozen_parameters_stay() -> None:
    net = small_net()
    net[0].requires_grad_(False)
    before = net[0].weight.detach().clone()
    optimizer = NewtonKrylov(net, damping=0.1)
    optimizer.step(classification(net))
    assert optimizer.record.outcome == "accepted"
    assert torch.equal(net[0].weight, before)


# ---------------------------------------------------------------- the global gradient


def three_batches() -> tuple[nn.Module, list[Batch]]:
    net = small_net()
    batches = [regression(net, n, seed=s) for n, s in ((10, 1), (20, 2), (30, 3))]
    return net, batches


def test_look_takes_the_gradient_of_all_samples() -> None:
    net, batches = three_batches()
    optimizer = NewtonKrylov(net)
    loss = optimizer.look(batches)
    whole = Batch(
        net,
        batches[0].loss,
        torch.cat([b.x for b in batches]),
        torch.cat([b.y for b in batches]),
    )
    assert loss == pytest.approx(float(whole._called().detach()), rel=1e-14)
    torch.testing.assert_close(optimizer._global_gradient(), gradient(whole))
    assert optimizer.spent == Spent(gradients=3, gradient_samples=60)


def test_a_batch_that_disagrees_is_skipped() -> None:
    net, batches = three_batches()
    contrary = Batch(net, lambda z, y: -batches[2].loss(z, y), batches[2].x, batches[2].y)
    optimizer = NewtonKrylov(net, damping=1.0)
    optimizer.look(batches)
    before = flat(net)
    optimizer.step(contrary)
    record = optimizer.record
    assert (record.outcome, record.trials) == ("skipped", 0)
    assert "disagrees" in record.why
    assert record.spent == Spent(gradients=1, gradient_samples=30)
    assert torch.equal(flat(net), before)
    wanted = torch.cosine_similarity(gradient(contrary), optimizer._global_gradient(), dim=0)
    assert record.cosine == pytest.approx(float(wanted), rel=1e-10)
    assert record.cosine < 0.0
    optimizer.step(batches[2])
    assert optimizer.record.outcome == "accepted"
    # A higher threshold skips what is not aligned well enough.
    strict = NewtonKrylov(net, damping=1.0, agreement=1.0)
    strict.look(batches)
    strict.step(batches[0])
    assert strict.record.outcome == "skipped"
    assert 0.0 < strict.record.cosine < 1.0


@pytest.mark.parametrize("refresh", [1, 2])
def test_the_global_gradient_is_refreshed_after_accepted_steps(refresh: int) -> None:
    net, batches = three_batches()
    optimizer = NewtonKrylov(net, "gauss-newton", damping=1.0, refresh=refresh, agreement=-1.0)
    optimizer.look(batches)
    for step in range(1, 5):
        old = optimizer._global_gradient()
        optimizer.step(batches[step % 3])
        assert optimizer.record.outcome == "accepted"
        due = step % refresh == 0
        assert optimizer.record.spent.gradients == (4 if due else 1)
        assert torch.equal(optimizer._global_gradient(), old) is not due
    now = sum(b.size / 60 * gradient(b) for b in batches)
    torch.testing.assert_close(optimizer._global_gradient(), now)


# ---------------------------------------------------------------- records and state


@pytest.mark.parametrize("curvature", ["hessian", "gauss-newton"])
@pytest.mark.parametrize("batch_norm", [False, True])
def test_record_counts_are_the_real_counts(batch_norm: bool, curvature: str, monkeypatch) -> None:
    net = small_net()
    if batch_norm:
        net.insert(1, nn.BatchNorm1d(5).to(F64))
    batch, asked, passes, seen = classification(net), [], [], []
    for name in ("value", "gradient", "hvp", "gnvp"):
        real = getattr(Products, name)

        def watched(self, *args, name=name, real=real):
            asked.append(name)
            return real(self, *args)

        monkeypatch.setattr(Products, name, watched)
    net[-1].register_forward_hook(lambda *_: passes.append(torch.is_grad_enabled()))
    optimizer = NewtonKrylov(net, curvature, damping=0.1, report=seen.append)
    for _ in range(4):
        asked.clear(), passes.clear()
        optimizer.step(batch)
        record, spent = optimizer.record, optimizer.record.spent
        assert spent.gradients == asked.count("gradient") == passes.count(True) == 1
        # One more pass is for running statistics.
        assert spent.values == asked.count("value") + batch_norm == record.trials + batch_norm
        assert spent.products == asked.count("gnvp" if curvature == "gauss-newton" else "hvp")
        assert spent.products >= record.cg_iterations > 0
        assert spent.product_samples == spent.products * 30
        assert spent.value_samples == spent.values * 30
    assert [r.step for r in seen] == [1, 2, 3, 4]
    assert seen[-1] is optimizer.record
    assert sum((r.spent for r in seen), Spent()) == optimizer.spent


def test_records_are_json_and_frozen() -> None:
    net = small_net()
    optimizer = NewtonKrylov(net)
    optimizer.step(regression(net))
    told = json.loads(json.dumps(asdict(optimizer.record), allow_nan=False))
    assert set(told) == {f.name for f in fields(optimizer.record)}
    assert told["spent"]["gradients"] == 1
    with pytest.raises(AttributeError):
        optimizer.record.step = 7


def test_products_may_be_made_on_a_smaller_batch() -> None:
    net = small_net()
    big, small = classification(net, 60), classification(net, 10)
    optimizer = NewtonKrylov(net, "gauss-newton", damping=0.1)
    optimizer.step(big, curvature=small)
    spent = optimizer.record.spent
    assert spent.product_samples == 10 * spent.products
    assert spent.gradient_samples == 60
    assert spent.value_samples == 60 * spent.values
    assert optimizer.record.outcome == "accepted"


def test_the_preconditioner_is_the_running_mean_square_of_gradients() -> None:
    bends = torch.logspace(0, 3, 30, dtype=F64)
    iterations = []
    for precondition in (True, False):
        objective = on_vector(
            torch.ones(30, dtype=F64), lambda w: 0.5 * (bends * w * w).sum() + (w**4).sum()
        )
        optimizer = NewtonKrylov(
            objective.network, iterations=100, taylor=0.9, precondition=precondition
        )
        g = gradient(objective)
        optimizer.step(objective)
        iterations.append(optimizer.record.cg_iterations)
        if precondition:
            assert torch.equal(optimizer._kept("squares"), g * g)
            other = gradient(objective)
            optimizer.step(objective)
            wanted = 0.9 * g * g + 0.1 * other * other
            torch.testing.assert_close(optimizer._kept("squares"), wanted)
    assert 2 * iterations[0] < iterations[1]


@pytest.mark.parametrize("make", [NewtonKrylov, HessianFree])
def test_a_saved_state_goes_on_to_the_bit(make) -> None:
    def optimiser(net: nn.Module):
        if make is HessianFree:
            return HessianFree(net, damping=0.5)
        return NewtonKrylov(
            net, "gauss-newton", damping=0.5, adapt=True, refresh=2, precondition=True
        )

    net, batches = three_batches()
    one = optimiser(net)
    one.look(batches)
    for i in range(3):
        one.step(batches[i])
    saved, weights = copy.deepcopy(one.state_dict()), copy.deepcopy(net.state_dict())
    for i in range(3):
        one.step(batches[i])
    again, others = three_batches()
    again.load_state_dict(weights)
    two = optimiser(again)
    two.load_state_dict(saved)
    if make is NewtonKrylov:
        with pytest.raises(InputError, match=r"look\(batches, now=False\)"):
            two.step(others[0])
    two.look(others, now=False)
    for i in range(3):
        two.step(others[i])
    assert torch.equal(flat(net), flat(again))
    assert two.record.step == one.record.step == 6
    assert two.record.damping == one.record.damping


# ---------------------------------------------------------------- what is refused, what is restored


@pytest.mark.parametrize("make", [NewtonKrylov, HessianFree])
@pytest.mark.parametrize("error", [KeyboardInterrupt, RuntimeError])
@pytest.mark.parametrize("place", ["value", "hvp", "write", "statistics", "refresh"])
def test_whatever_is_raised_parameters_are_as_they_were(make, error, place, monkeypatch) -> None:
    net = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Tanh(), nn.Linear(4, 2)).to(F64)
    batch = classification(net)
    optimizer = make(net, damping=0.5)
    optimizer.look([batch])
    optimizer.step(batch)
    before = copy.deepcopy(net.state_dict())
    steps = optimizer.record.step

    def interrupt(*args, **kwargs):
        raise error("now")

    def half(self, vector) -> None:
        for p in list(net.parameters())[:2]:
            p.zero_()
        raise error("now")

    if place == "write":
        monkeypatch.setattr(make, "_write", half)
    elif place == "statistics":
        real = batch.advance

        def late() -> bool:
            real()
            raise error("now")

        monkeypatch.setattr(batch, "advance", late)
    elif place == "refresh":
        monkeypatch.setattr(make, "_learn", interrupt)
    else:
        name = "gnvp" if place == "hvp" and make is HessianFree else place
        monkeypatch.setattr(Products, name, interrupt)
    with pytest.raises(error, match="now"):
        optimizer.step(batch)
    for key, kept in before.items():
        assert torch.equal(net.state_dict()[key], kept), key
    monkeypatch.undo()
    optimizer.step(batch)
    assert optimizer.record.step == steps + 1


class Unknown(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return torch.special.i0(x)


@pytest.mark.parametrize(
    "make", [NewtonKrylov, lambda p: NewtonKrylov(p, "gauss-newton"), HessianFree]
)
def test_an_unsupported_layer_is_named_before_anything_moves(make) -> None:
    net = nn.Sequential(nn.Linear(3, 4), Unknown(), nn.Linear(4, 2)).to(F64)
    before = flat(net)
    with pytest.raises(UnknownRuleError, match="i0"):
        make(net).step(classification(net))
    assert torch.equal(flat(net), before)


class Idle(nn.Module):
    """A network with a layer that it does not use."""

    def __init__(self) -> None:
        super().__init__()
        self.used, self.extra = small_net(), nn.Linear(2, 2).to(F64)

    def forward(self, x: Tensor) -> Tensor:
        return self.used(x)


@pytest.mark.parametrize("make", [NewtonKrylov, HessianFree])
def test_bad_steps_are_named(make) -> None:
    net = small_net()
    batch = regression(net)
    optimizer = make(net)
    before = flat(net)
    with pytest.raises(InputError, match="expected a Batch or an Objective, got function"):
        optimizer.step(lambda: 0.0)
    with pytest.raises(InputError, match="all 4 parameters of the optimiser, 4 are not in it"):
        optimizer.step(regression(small_net()))
    batch.y[0] = float("nan")
    with pytest.raises(InputError, match="loss: expected a finite number, got nan at the present"):
        optimizer.step(batch)
    assert torch.equal(flat(net), before)
    batch.y[0] = 0.0
    dropping = nn.Sequential(nn.Linear(3, 2), nn.Dropout()).to(F64).eval()
    later = regression(dropping)
    dropping.train()
    with pytest.raises(InputError, match="active dropout in 1"):
        make(dropping).step(later)
    idle = Idle()
    with pytest.raises(InputError, match=r"does not depend on extra.weight, extra.bias; leave"):
        make(idle).step(regression(idle))
    with pytest.raises(InputError, match="at least one that requires a gradient"):
        make(small_net().requires_grad_(False)).step(batch)
    with pytest.raises(InputError, match="batches: expected at least one"):
        optimizer.look([])


@pytest.mark.parametrize(
    ("make", "told"),
    [
        (lambda: NewtonKrylov([]), "at least one parameter, got an empty list"),
        (lambda: NewtonKrylov(small_net(), "fisher"), "curvature: expected one of hessian"),
        (lambda: NewtonKrylov(small_net(), damping=-1.0), "damping of group 0: expected a number"),
        (lambda: NewtonKrylov(small_net(), damping=float("nan")), "damping of group 0"),
        (lambda: NewtonKrylov(small_net(), adapt=True), "damping: expected above 0"),
        (lambda: NewtonKrylov(small_net(), iterations=0), "iterations: expected a number of at"),
        (lambda: NewtonKrylov(small_net(), trials=0), "trials"),
        (lambda: NewtonKrylov(small_net(), refresh=0), "refresh"),
        (lambda: NewtonKrylov(small_net(), taylor="x"), "taylor: .* got 'x'"),
        (lambda: HessianFree([]), "at least one parameter"),
        (lambda: HessianFree(small_net(), damping=0.0), "damping: expected above 0"),
        (lambda: HessianFree(small_net(), progress=-1.0), "progress"),
    ],
)
def test_bad_settings_are_named(make, told: str) -> None:
    with pytest.raises(InputError, match=told):
        make()


def test_a_zero_gradient_is_said() -> None:
    free = Free(torch.zeros(2, dtype=F64))
    optimizer = NewtonKrylov(free)
    optimizer.step(Objective(free, lambda: (free.w**2).sum()))
    assert optimizer.record.outcome == "skipped"
    assert optimizer.record.why == "the gradient is zero"


def test_float32_networks_train_in_float32() -> None:
    net = small_net(dtype=torch.float32)
    optimizer = NewtonKrylov(net, "gauss-newton", damping=0.01, adapt=True)
    batch = classification(net)
    losses = [optimizer.step(batch) for _ in range(12)]
    assert losses == sorted(losses, reverse=True)
    assert losses[-1] < 0.7 * losses[0]
    assert all(p.dtype is torch.float32 for p in net.parameters())
    assert normal(1).dtype is F64
