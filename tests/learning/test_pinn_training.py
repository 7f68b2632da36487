"""Training lowers errors, goes on to the bit, and keeps good weights when a loss is nan."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from hodsim.errors import InputError
from hodsim.learning.pinn import (
    EXAMPLES,
    METHODS,
    Box,
    Field,
    LaneField,
    Plan,
    Problem,
    Stage,
    Trained,
    example,
    laplacian,
    plan_of,
    tanh_network,
    train,
)
from hodsim.learning.pinn.gauss_newton import GaussNewton
from hodsim.learning.pinn.rivals import JacobianRows
from hodsim.learning.pinn.rows import Rows, linear_layers

STAGES = (
    Stage("adam", 12, 16, 8, rate=3e-3),
    Stage("lbfgs", 6, 16, 8, every=4),
    Stage("gauss-newton", 4, 12, 8, every=2, outer=20),
)
SMALL = Plan(STAGES, seed=1, hidden=(8, 8), looks=5)


def sine() -> Problem:
    """u'' = -sin on 0..pi, u = 0 at both ends."""
    return Problem(
        residual=lambda u, x: laplacian(u, x) + torch.sin(x),
        boundary=lambda u, x: u(x),
        domain=Box((0.0,), (math.pi,)),
        truth=torch.sin,
        name="sine",
    )


def weights(done: Trained) -> Tensor:
    return torch.cat([p.detach().flatten() for p in done.network.parameters()])


@pytest.mark.parametrize("method", ["adam", "lbfgs", "gauss-newton"])
@pytest.mark.parametrize("derivatives", ["lanes", "autograd"])
def test_each_method_solves_an_equation(method: str, derivatives: str) -> None:
    steps, error = {"adam": (400, 0.1), "lbfgs": (60, 2e-3), "gauss-newton": (45, 1e-4)}[method]
    every = 1 if method == "adam" else 0
    stage = Stage(method, steps, 24, 2, every=every, rate=5e-3, outer=30)
    plan = Plan((stage,), hidden=(10, 10), derivatives=derivatives, looks=3)
    done = train(sine(), plan)
    assert done.stopped == ""
    first, *_, last = done.curve
    assert first.errors[0] > 0.3
    assert last.errors[0] < error
    assert last.step == steps or done.idle == 1
    x = torch.linspace(0.0, math.pi, 50, dtype=torch.float64).unsqueeze(1)
    missed = torch.linalg.vector_norm(done.network(x) - torch.sin(x))
    assert float(missed.detach() / torch.linalg.vector_norm(torch.sin(x))) < 1.5 * error


@pytest.mark.parametrize("stop", [5, 14, 17, 20])
def test_a_stopped_run_goes_on_to_the_same_bits(tmp_path: Path, stop: int) -> None:
    problem = example("eq13")
    whole = train(problem, SMALL)
    path = tmp_path / "run.safetensors"

    def halt(_: str, made: int, of: int, word: str) -> None:
        if made == stop:
            raise KeyboardInterrupt

    # A clock that leaps has every step kept.
    ticks = iter(float(20 * i) for i in range(1000))
    with pytest.raises(KeyboardInterrupt):
        train(problem, SMALL, path, halt, clock=lambda: next(ticks))
    seen = []
    again = train(problem, SMALL, path, lambda _, made, of, word: seen.append(made))
    assert seen[0] == stop
    assert torch.equal(weights(again), weights(whole))
    assert [(p.step, p.loss, p.errors) for p in again.curve] == [
        (p.step, p.loss, p.errors) for p in whole.curve
    ]
    seen.clear()
    last = train(problem, SMALL, path, lambda _, made, of, word: seen.append(made))
    assert not seen  # nothing is done twice
    assert torch.equal(weights(last), weights(whole))


def test_another_plan_or_problem_does_not_go_on_from_a_file(tmp_path: Path) -> None:
    path = tmp_path / "run.safetensors"
    train(sine(), SMALL, path)

    def count(problem: Problem, plan: Plan) -> int:
        seen: list[int] = []
        train(problem, plan, path, lambda _, made, of, word: seen.append(made))
        return len(seen)

    assert count(sine(), SMALL) == 0
    changed = replace(sine(), residual=lambda u, x: laplacian(u, x) + torch.cos(x))
    assert count(changed, SMALL) == 22
    assert count(changed, replace(SMALL, seed=2)) == 22
    path.write_bytes(b"damaged")
    assert count(changed, replace(SMALL, seed=2)) == 22


@pytest.mark.parametrize("method", ["adam", "lbfgs", "gauss-newton"])
def test_a_loss_that_is_nan_is_named_and_good_weights_are_kept(method: str, tmp_path: Path) -> None:
    calls = 0

    def poisoned(u: Field, x: Tensor) -> Tensor:
        nonlocal calls
        calls += 1
        return laplacian(u, x) + torch.sin(x) + (math.nan if calls > 12 else 0.0)

    problem = replace(sine(), residual=poisoned)
    plan = replace(SMALL, stages=(Stage(method, 40, 16, 2),))
    path = tmp_path / "run.safetensors"
    done = train(problem, plan, path)
    assert f"of {method}; kept are the last weights" in done.stopped
    assert "the loss is nan at step" in done.stopped
    assert bool(torch.isfinite(weights(done)).all())
    x = problem.domain.interior(8, 0)
    assert math.isfinite(float(sine().loss(LaneField(done.network), x, x).detach()))
    assert done.curve[-1].step < 40
    assert math.isfinite(done.curve[-1].errors[0])


def test_time_ends_a_run() -> None:
    ticks = iter(float(i) for i in range(1000))
    done = train(sine(), replace(SMALL, seconds=5.0), clock=lambda: next(ticks))
    assert done.stopped == "5 s of CPU time are spent"
    assert done.curve[-1].seconds == 5.0


def test_the_last_layer_is_at_its_optimum_after_a_step() -> None:
    problem, plan = sine(), replace(SMALL, hidden=(12, 12))
    errors = {}
    for outer in (0, 64):
        stage = Stage("gauss-newton", 6, 16, 8, outer=outer)
        done = train(problem, replace(plan, stages=(stage,)))
        assert done.idle == 0
        errors[outer] = max(done.curve[-1].errors)
    points = GaussNewton(problem, LaneField(done.network), stage, plan.seed).many(5)
    loss = problem.loss(LaneField(done.network), *points)
    last = list(done.network.parameters())[-2:]
    slopes = torch.autograd.grad(loss, last)
    assert max(float(s.abs().max()) for s in slopes) < 1e-9 * float(loss.detach()) ** 0.5
    assert errors[64] < 0.5 * errors[0]


@pytest.mark.parametrize("name", ["plate", "eq13"])
def test_rows_of_torch_func_equal_ours(name: str) -> None:
    problem = example(name)
    network = tanh_network(problem, 3, (6, 5))
    points = (problem.domain.interior(5, 0), problem.domain.boundary(8, 0))
    ours = Rows(linear_layers(network), problem.parts(LaneField(network), *points))
    theirs = JacobianRows(network, problem, points)
    torch.testing.assert_close(ours.residual, theirs.residual, rtol=1e-10, atol=1e-10)
    scale = float(theirs.gram().abs().max())
    torch.testing.assert_close(ours.gram(), theirs.gram(), rtol=1e-9, atol=1e-11 * scale)
    last = linear_layers(network)[-1:]
    pairs = zip(
        Rows(last, problem.parts(LaneField(network), *points)).outputs(),
        JacobianRows(network, problem, points, last).outputs(),
        strict=True,
    )
    for a, b in pairs:
        torch.testing.assert_close(a.T @ a, b.T @ b, rtol=1e-9, atol=1e-9)
    w = torch.linspace(-1.0, 1.0, len(ours.residual), dtype=torch.float64)
    for a, b in zip(ours.pull(w), theirs.pull(w), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-9, atol=1e-9 * math.sqrt(scale))


@pytest.mark.parametrize(
    ("make", "told"),
    [
        (lambda: Stage("newton", 1, 1, 1), "method: expected one of"),
        (lambda: Stage("adam", -1, 1, 1), "steps"),
        (lambda: Stage("adam", 1, 0, 1), "inside"),
        (lambda: Stage("adam", 1, 1, 1, rate=0.0), "rate"),
        (lambda: Plan(()), "stages"),
        (lambda: replace(SMALL, derivatives="complex"), "derivatives"),
        (lambda: replace(SMALL, seconds=math.nan), "seconds"),
        (lambda: example("eq14"), "problem: expected one of eq13"),
        (lambda: tanh_network(sine(), hidden=(0,)), "hidden"),
    ],
)
def test_bad_plans_are_told(make: object, told: str) -> None:
    with pytest.raises(InputError, match=told):
        make()  # type: ignore[operator]


def test_every_example_has_a_plan_for_every_method() -> None:
    for name in EXAMPLES:
        for method in METHODS:
            plan, quick = plan_of(name, method, 3), plan_of(name, method, 3, quick=True)
            assert plan.stages[-1].method == method
            assert plan.seed == quick.seed == 3
            assert 0 < 4 * quick.steps < plan.steps
    with pytest.raises(InputError, match="problem: expected one of eq13"):
        plan_of("eq14")
    with pytest.raises(InputError, match="method: expected one of"):
        plan_of("eq13", "newton")


def test_a_layer_that_a_stage_cannot_train_is_named_before_training() -> None:
    network = nn.Sequential(nn.Linear(1, 4), nn.LayerNorm(4), nn.Tanh(), nn.Linear(4, 1)).double()
    before = [p.detach().clone() for p in network.parameters()]
    with pytest.raises(InputError, match="weight, bias of LayerNorm 1"):
        train(sine(), SMALL, network=network)
    assert all(torch.equal(a, b) for a, b in zip(before, network.parameters(), strict=True))
