"""Training lowers errors, goes on to the bit, and keeps good weights when a loss is nan."""

from __future__ import annotations

import itertools
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
from hodsim.learning.pinn.gauss_newton import _RIDGE, GaussNewton
from hodsim.learning.pinn.rivals import JacobianRows
from hodsim.learning.pinn.rows import Rows, linear_layers
from hodsim.learning.pinn.run import _Run

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
    return flat_of(done.network)


def flat_of(network: nn.Module) -> Tensor:
    return torch.cat([p.detach().flatten() for p in network.parameters()])


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
    missed = torch.linalg.vector_norm(done(x) - torch.sin(x))
    assert float(missed / torch.linalg.vector_norm(torch.sin(x))) < 1.5 * error
    with pytest.raises(InputError, match=r"x: expected points between .* 1 of 50 outside"):
        done(x + 1e-3)


def test_a_rate_has_fallen_when_the_seconds_are_spent() -> None:
    """Steps of a second each, 10 of 1000: the last begins at 9 / 10 of the cosine."""
    rates: list[float] = []

    class Watched(torch.optim.Adam):
        def step(self, *_: object) -> None:
            rates.append(self.param_groups[0]["lr"])

    ticks = itertools.count()
    plan = Plan((Stage("adam", 1000, 8, 2, rate=1.0),), hidden=(4,), seconds=10.0)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch.optim, "Adam", Watched)
        done = train(sine(), plan, clock=lambda: float(next(ticks)))
    assert done.stopped == "10 s of CPU time are spent"
    fallen = [0.02 + 0.98 * 0.5 * (1.0 + math.cos(math.pi * k / 10.0)) for k in range(10)]
    assert rates == pytest.approx(fallen, rel=1e-12)


def test_gain_is_of_the_first_layer_s_weights_alone() -> None:
    plain, wider = (tanh_network(sine(), 3, (6, 5), gain) for gain in (1.0, 2.5))
    pairs = list(zip(plain.parameters(), wider.parameters(), strict=True))
    assert torch.allclose(2.5 * pairs[0][0], pairs[0][1], rtol=1e-14)
    assert all(torch.equal(a, b) for a, b in pairs[1:])
    with pytest.raises(InputError, match="gain"):
        replace(SMALL, gain=0.0)
    done = train(sine(), replace(SMALL, stages=(Stage("adam", 1, 4, 2, rate=1e-12),), gain=2.0))
    first = next(done.network.parameters())
    assert torch.allclose(first, 2.0 * next(tanh_network(sine(), 1, (8, 8)).parameters()))


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
    # A source that differs on a 30th of the domain.
    patch = replace(
        sine(), residual=lambda u, x: laplacian(u, x) + torch.sin(x) + ((x > 2.0) & (x < 2.1))
    )
    assert count(patch, SMALL) == 22
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


@pytest.mark.parametrize("method", ["adam", "lbfgs"])
def test_a_last_step_to_nan_is_taken_back(method: str) -> None:
    """sqrt has a value at 0 and no slope: the loss is finite, what the step makes is not."""
    problem = replace(sine(), residual=lambda u, x: laplacian(u, x) + torch.sqrt(0.0 * u(x)))
    done = train(problem, replace(SMALL, stages=(Stage(method, 1, 8, 2),)))
    assert f"weights are not finite after step 1 of {method}" in done.stopped
    assert torch.equal(weights(done), flat_of(tanh_network(problem, SMALL.seed, SMALL.hidden)))


def test_a_loss_that_is_nan_right_after_going_on_leaves_the_same_weights(tmp_path: Path) -> None:
    plan = replace(SMALL, stages=(Stage("adam", 20, 8, 2, rate=1e-2),))

    def until(steps: int) -> Problem:
        calls = -2  # of the trial

        def residual(u: Field, x: Tensor) -> Tensor:
            nonlocal calls
            calls += 1
            return laplacian(u, x) + torch.sin(x) + (math.nan if calls > steps else 0.0)

        return replace(sine(), residual=residual)

    whole = train(until(10), plan)
    path, ticks = tmp_path / "run.safetensors", iter(float(20 * i) for i in range(1000))

    def halt(_: str, made: int, of: int, word: str) -> None:
        if made == 11:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(until(99), plan, path, halt, clock=lambda: next(ticks))
    again = train(until(0), plan, path)
    assert "the loss is nan at step 11 of adam" in whole.stopped
    assert again.stopped == whole.stopped
    assert torch.equal(weights(again), weights(whole))


def test_a_stage_that_ends_early_tells_the_steps_it_made() -> None:
    plan = Plan((Stage("gauss-newton", 400, 8, 2, every=0),), hidden=(6, 6))
    seen: list[int] = []
    done = train(sine(), plan, None, lambda _, made, of, word: seen.append(made))
    assert done.idle == 1
    assert done.curve[-1].step == len(seen) < 400


def test_errors_are_not_taken_at_points_that_were_trained_on() -> None:
    problem, plan = example("poisson10"), plan_of("poisson10")
    network = tanh_network(problem, 0, (4,))
    places = _Run(problem, plan, network, lambda: 0.0).places
    stepper = GaussNewton(problem, LaneField(network), plan.stages[-1], 0)
    for step in range(plan.stages[-1].steps):
        for trained in (stepper.points(step)[0], stepper.many(step)[0]):
            assert not bool(torch.isin(trained[:, 0], places[:, 0]).any())


def test_points_that_are_kept_are_kept_for_the_last_layer_too() -> None:
    problem = sine()
    u = LaneField(tanh_network(problem, 0, (4,)))
    for every, same in ((0, True), (1, False), (5, True)):
        stepper = GaussNewton(problem, u, Stage("gauss-newton", 5, 8, 4, every, outer=16), 0)
        for first, later in (
            (stepper.points(0), stepper.points(3)),
            (stepper.many(0), stepper.many(3)),
        ):
            assert torch.equal(first[0], later[0]) == same


def test_time_ends_a_run() -> None:
    ticks = iter(float(i) for i in range(1000))
    done = train(sine(), replace(SMALL, seconds=5.0), clock=lambda: next(ticks))
    assert done.stopped == "5 s of CPU time are spent"
    assert done.curve[-1].seconds == 5.0


def test_the_last_layer_is_at_its_optimum_after_a_step(monkeypatch: pytest.MonkeyPatch) -> None:
    """With A the rows by the last layer, p its parameters and d what they moved by, A^T r is
    mu^2 d, mu the ridge; and what rounding of a QR factorisation (Higham 2002, 20.2) and of r
    itself leaves, m n u |A|_F times the norms of what they are made of."""
    problem, plan = sine(), replace(SMALL, hidden=(12, 12))
    errors, moved = {}, []
    real = GaussNewton._outer

    def outer(stepper: GaussNewton, points: tuple[Tensor, Tensor]) -> None:
        before = flat_of(stepper.layers[-1])
        real(stepper, points)
        moved.append(float((flat_of(stepper.layers[-1]) - before).norm()))

    monkeypatch.setattr(GaussNewton, "_outer", outer)
    for outer in (0, 64):
        stage = Stage("gauss-newton", 6, 16, 8, outer=outer)
        done = train(problem, replace(plan, stages=(stage,)))
        assert done.idle == 0
        errors[outer] = max(done.curve[-1].errors)
    points = GaussNewton(problem, LaneField(done.network), stage, plan.seed).many(5)
    loss = problem.loss(LaneField(done.network), *points)
    last = list(done.network.parameters())[-2:]
    slopes = torch.cat([s.flatten() for s in torch.autograd.grad(loss, last)])
    r = torch.cat([part().flatten() for part in problem.parts(LaneField(done.network), *points)])
    A = torch.stack(
        [
            torch.cat([g.flatten() for g in torch.autograd.grad(v, last, retain_graph=True)])
            for v in r
        ]
    )
    p, d = flat_of(done.network)[-A.shape[1] :], moved[-1]
    size, source = float(A.norm()), float((r.detach() - A @ p).norm())
    rounded = (sum(A.shape)) * A.shape[1] * 2.0**-53
    left = (_RIDGE * float(A.norm(dim=0).max())) ** 2 * d
    left += rounded * size * (size * (float(p.norm()) + d) + source)
    assert float(slopes.norm()) < 2.0 * left
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
