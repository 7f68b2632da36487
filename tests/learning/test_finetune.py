"""Finetuning: the budget's account, checkpoints, resuming, sweeps, divergence."""

from __future__ import annotations

import itertools
import json
import math
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from finetuning import COSTS, START, images, net, normalised, problem, still
from torch import nn
from torch.nn import functional

from hodsim.errors import InputError
from hodsim.learning.finetune import (
    METHODS,
    Job,
    Plan,
    Problem,
    Result,
    Run,
    Start,
    Store,
    checkpoint,
    evaluate,
    measure_costs,
    problem_of,
    run,
    shortened,
    study,
)
from hodsim.learning.finetune.steppers import Curved, Plain
from hodsim.optimizers import Spent

SETTINGS = {
    "newton-krylov": {"damping": 0.1, "style": "paper"},
    "newton-krylov-gn": {"damping": 0.1, "style": "inexact"},
    "hessian-free": {"damping": 0.1, "style": "all"},
    "adam": {"rate": 1e-2, "decay": "cosine"},
    "adagrad": {"rate": 1e-2, "decay": "constant"},
    "sgd": {"rate": 1e-1, "decay": "cosine"},
    "l-bfgs": {"rate": 0.3, "wide": 0},
}
PACKAGED = {
    "shampoo": {"rate": 1e-2, "decay": "cosine"},
    "soap": {"rate": 1e-3, "decay": "constant"},
}


def ran(method: str, setting=None, budget: float = 200.0, points: int = 4, **options) -> Run:
    task = problem()
    job = Job(method, setting or (SETTINGS | PACKAGED)[method], 0, budget, points)
    return run(task, checkpoint(task, START), job, COSTS, clock=still, **options)


@pytest.fixture
def given(monkeypatch: pytest.MonkeyPatch) -> None:
    """Studies take the costs that are given here and measure none."""
    monkeypatch.setattr("hodsim.learning.finetune.studies.measure_costs", lambda *_: COSTS)


# ---------------------------------------------------------------- the budget


@pytest.mark.parametrize("method", [*SETTINGS, *PACKAGED])
def test_what_is_charged_is_counts_times_costs_and_stays_in_the_budget(method: str) -> None:
    if method in PACKAGED:
        pytest.importorskip("pytorch_optimizer")
    done = ran(method)
    s = done.spent
    product = COSTS.hessian if method == "newton-krylov" else COSTS.gauss_newton
    gradient = COSTS.flat_gradient if METHODS[method].curved else COSTS.gradient
    wanted = (
        gradient * s.gradient_samples + COSTS.value * s.value_samples + product * s.product_samples
    ) / (COSTS.batch * COSTS.gradient)
    assert done.curve[-1].gradients == pytest.approx(wanted, rel=1e-12)
    assert 0.0 < wanted <= done.job.budget
    assert done.curve[-1].step > 0
    assert (s.products > 0) == METHODS[method].curved
    assert done.loss < done.curve[0].loss
    assert not done.diverged


def test_a_gradient_s_share_of_a_first_order_budget_is_all_of_it() -> None:
    done = ran("adam", budget=50.0, points=5)
    assert done.spent == Spent(0, 50, 0, 0, 50 * 16, 0)
    assert [p.gradients for p in done.curve] == [0.0, 10.0, 20.0, 30.0, 40.0, 50.0]
    assert [p.epoch for p in done.curve] == [0.0, 2.5, 5.0, 7.5, 10.0, 12.5]


def test_an_optimiser_s_own_work_is_charged_by_the_clock() -> None:
    # Each look at the clock is 0.25 s after the last: a closure takes one of them, a step two more.
    ticks = itertools.count()
    task = problem()
    job = Job("adam", SETTINGS["adam"], 0, 30.0)
    done = run(task, checkpoint(task, START), job, COSTS, clock=lambda: 0.25 * next(ticks))
    steps = done.curve[-1].step
    assert done.own == pytest.approx(0.5 * steps)
    assert done.curve[-1].gradients == pytest.approx(1.5 * steps)
    assert steps == 20
    assert done.curve[-1].seconds == pytest.approx(1.25 * steps)


def test_a_step_beyond_the_budget_is_undone() -> None:
    whole = ran("newton-krylov", budget=1000.0, points=100)
    first = whole.curve[1]
    assert first.step == 1
    short = ran("newton-krylov", budget=first.gradients * 1.001)
    assert short.curve[-1].loss == first.loss
    none = ran("newton-krylov", budget=first.gradients * 0.999)
    assert none.curve == short.curve[:1]
    assert none.spent == Spent()


def test_what_was_undone_is_not_what_is_evaluated() -> None:
    # Steps cost 1 each, and no point is due before the end: it is of the last one afforded.
    constant = {"rate": 0.1, "decay": "constant"}
    short = ran("sgd", constant, budget=10.5, points=1)
    assert [p.step for p in short.curve] == [0, 10]
    assert short.curve[-1].loss == ran("sgd", constant, budget=10.0, points=1).curve[-1].loss


def test_epochs_are_drawn_one_after_another(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[int, int, int]] = []
    epoch = Problem.epoch

    def told(self, network, size, seed, number):
        asked.append((size, seed, number))
        return epoch(self, network, size, seed, number)

    monkeypatch.setattr(Problem, "epoch", told)
    task = problem()
    start, job = checkpoint(task, START), Job("adam", SETTINGS["adam"], 5, 10.0)
    asked.clear()
    run(task, start, job, COSTS, clock=still)
    assert asked == [(16, 5, 0), (16, 5, 1), (16, 5, 2)]
    one, other = ([b.y.tolist() for b in task.epoch(net(), 16, 5, k)] for k in (0, 1))
    assert one != other


def test_what_belongs_to_one_batch_is_forgotten_with_it() -> None:
    for forget in (True, False):
        task = problem()
        network = task.drawn(0)
        optimizer = torch.optim.LBFGS(network.parameters(), 0.1, max_iter=3, max_eval=9)
        plain = Plain(optimizer, 16, still, 0.1, forget=forget)
        counts = []
        for batch in task.epoch(network, 16, 0, 0):
            plain.step(batch, 0.0)
            counts.append(optimizer.state_dict()["state"][0]["n_iter"])
        assert counts == ([3, 3, 3, 3] if forget else [3, 6, 9, 12])


def test_a_curvature_optimiser_bends_over_the_first_images_and_looks_everywhere_once() -> None:
    task = problem()
    network = task.drawn(0)
    setting = {"damping": 0.1, "style": "inexact"}
    stepper = METHODS["newton-krylov-gn"].start(task, network, setting, 8, still)
    assert isinstance(stepper, Curved)
    stepper.narrow = 4
    optimizer, given, looks = stepper.optimizer, [], []
    step, look = optimizer.step, optimizer.look
    optimizer.step = lambda batch, bent: given.append((batch, bent)) or step(batch, bent)
    optimizer.look = lambda batches: looks.append(len(batches)) or look(batches)
    told = [stepper.step(batch, 0.0).spent for batch in task.epoch(network, 16, 0, 0)]
    assert looks[0] == 8  # batches of 8 images; later ones are the optimiser's own
    assert len(looks) == 1
    assert sum(told, Spent()) == optimizer.spent
    for batch, bent in given:
        assert (batch.size, bent.size) == (16, 4)
        assert torch.equal(bent.x, batch.x[:4])
        assert torch.equal(bent.y, batch.y[:4])


def test_the_global_gradient_is_charged() -> None:
    first = ran("newton-krylov", budget=1000.0, points=1000).curve[1]
    record = ran("newton-krylov", budget=first.gradients)
    # A look over the 64 images is 4 gradients, the step's own 1, the look after it 4 again.
    assert record.spent.gradients == 9
    assert record.spent.gradient_samples == 9 * 16
    assert record.steps["gradients"] == [record.curve[-1].gradients]


def test_measured_costs_are_of_the_clock() -> None:
    task = problem()
    batch = task.batch(task.drawn(0), task.images.train_x[:16], task.images.train_y[:16])
    ticks = itertools.count()
    costs = measure_costs(batch, lambda: float(next(ticks)))
    # Each kind took one tick; eight products, and as many of conjugate gradients' iterations.
    assert (costs.batch, costs.value, costs.gradient) == (16, 1.0, 1.0)
    assert costs.hessian == costs.gauss_newton == 2.0 / 8.0
    real = measure_costs(batch)
    assert 0.0 < real.value < real.hessian


# ---------------------------------------------------------------- the rates


def test_cosine_ends_at_no_rate_and_constant_does_not() -> None:
    last = {}
    for decay in ("cosine", "constant"):
        task = problem()
        start = checkpoint(task, START)
        job = Job("sgd", {"rate": 0.1, "decay": decay}, 0, 40.0)
        rates = []
        network_step = torch.optim.SGD.step

        def step(self, closure, rates=rates, network_step=network_step):
            rates.append(self.param_groups[0]["lr"])
            return network_step(self, closure)

        with pytest.MonkeyPatch.context() as patched:
            patched.setattr(torch.optim.SGD, "step", step)
            run(task, start, job, COSTS, clock=still)
        last[decay] = rates
    assert last["constant"] == [0.1] * len(last["constant"])
    wanted = [0.05 * (1.0 + math.cos(math.pi * k / 40)) for k in range(40)]
    assert last["cosine"][:40] == pytest.approx(wanted)


@pytest.mark.parametrize(("large", "wanted"), [(10**6, [10, 20, 30]), (10, [10, 100])])
def test_shampoo_s_roots(large: int, wanted: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
    module = pytest.importorskip("pytorch_optimizer.optimizer.shampoo")
    monkeypatch.setattr("hodsim.learning.finetune.methods._LARGE", large)
    taken: list[int] = []
    power = module.compute_power_svd
    task = problem()
    network = task.drawn(0)
    stepper = METHODS["shampoo"].start(task, network, PACKAGED["shampoo"], 16, still)
    x, y = task.images.train_x[:16], task.images.train_y[:16]
    batch = task.batch(network, x, y)

    def counted(*arguments):
        taken.append(steps)
        return power(*arguments)

    monkeypatch.setattr(module, "compute_power_svd", counted)
    for steps in range(1, wanted[-1] + 6):
        before = [p.detach().clone() for p in network.parameters()]
        stepper.step(batch, 0.0)
        moved = any(
            not torch.equal(p, q) for p, q in zip(before, network.parameters(), strict=True)
        )
        assert moved == (steps >= 10)
    assert sorted(set(taken)) == wanted


# ---------------------------------------------------------------- checkpoints and evaluation


def test_all_start_at_the_same_checkpoint_and_seeds_at_their_own(
    tmp_path: Path, given: None
) -> None:
    plan = Plan(("adam", "sgd", "newton-krylov"), 60.0, 2, 0.5, 1, 2, START)
    done = study(problem(), plan, Store(tmp_path), clock=still)
    starts = [[r.checkpoint for r in result.runs] for result in done.results]
    assert starts[0] == starts[1] == starts[2]
    assert starts[0][0] != starts[0][1]
    firsts = [[r.curve[0].loss for r in result.runs] for result in done.results]
    assert firsts[0] == firsts[1] == firsts[2]
    assert len(list((tmp_path / "checkpoints").glob("*.safetensors"))) == 2


def test_a_checkpoint_is_read_again_and_a_damaged_one_made_again(tmp_path: Path) -> None:
    task = problem()
    made = checkpoint(task, START, tmp_path)
    (path,) = tmp_path.iterdir()
    assert not any(torch.equal(made.tensors[k], t) for k, t in net().state_dict().items())
    told: list[int] = []
    again = checkpoint(task, START, tmp_path, lambda done, total: told.append(done))
    assert (again.digest, told) == (made.digest, [])
    path.write_bytes(path.read_bytes()[:-8])
    repaired = checkpoint(task, START, tmp_path, lambda done, total: told.append(done))
    assert (repaired.digest, told) == (made.digest, [0, 1, 2])
    assert checkpoint(task, replace(START, seed=1), tmp_path).digest != made.digest


def test_adam_s_own_divergence_is_said() -> None:
    with pytest.raises(InputError, match="expected a finite loss, got nan in epoch 1"):
        checkpoint(problem(loss=lambda z, y: functional.cross_entropy(z, y) * math.nan), START)


def test_normalisation_is_evaluated_with_the_training_part_s_statistics() -> None:
    task = problem(normalised)
    network, images = task.drawn(0), task.images
    with torch.no_grad():
        # All 64 images are one batch here: as in training, but for a variance over n - 1, not n.
        wanted = float(functional.cross_entropy(network(images.train_x), images.train_y))
        network[1].running_mean += 5.0  # what a running mean remembers does not matter
    weights = [p.detach().clone() for p in network.parameters()]
    found = evaluate(task, network)
    n = images.train_x.numel()
    assert found["loss"] == pytest.approx(wanted, rel=2.0 / n)
    assert network.training
    assert network[1].momentum == 0.1
    assert evaluate(task, network) == found
    assert all(torch.equal(p, q) for p, q in zip(network.parameters(), weights, strict=True))


@pytest.mark.parametrize("method", ["newton-krylov", "adam"])
def test_a_normalised_network_is_finetuned(method: str) -> None:
    task = problem(normalised)
    done = run(
        task, checkpoint(task, START), Job(method, SETTINGS[method], 0, 100.0), COSTS, clock=still
    )
    assert done.loss < done.curve[0].loss


def test_errors_are_shares_and_losses_means() -> None:
    task = problem()
    network = task.drawn(2)
    found = evaluate(task, network)
    with torch.no_grad():
        z = network(task.images.test_x)
    assert found["held_out_loss"] == pytest.approx(
        float(functional.cross_entropy(z, task.images.test_y)), rel=1e-6
    )
    wrong = sum(int(z[k].argmax()) != int(task.images.test_y[k]) for k in range(24))
    assert found["held_out_error"] == pytest.approx(wrong / 24)


# ---------------------------------------------------------------- resuming


def test_a_study_that_was_stopped_goes_on_to_the_same_result(tmp_path: Path, given: None) -> None:
    plan = Plan(("adam", "newton-krylov"), 60.0, 2, 0.5, 2, 2, START)
    task = problem()
    with pytest.MonkeyPatch.context() as patched:
        whole = study(task, plan, Store(tmp_path / "a"), clock=still)
        made: list[Job] = []

        def counted(problem, start, job, *rest):
            if len(made) == 5:
                raise KeyboardInterrupt
            made.append(job)
            return run(problem, start, job, *rest)

        patched.setattr("hodsim.learning.finetune.studies.run", counted)
        with pytest.raises(KeyboardInterrupt):
            study(task, plan, Store(tmp_path / "b"), clock=still)
        first, made[:] = list(made), []
        again = study(task, plan, Store(tmp_path / "b"), clock=still)
        assert len(made) == 8 - len(first)
        assert not [job for job in made if job in first]
        made[:] = []
        study(task, plan, Store(tmp_path / "b"), clock=still)
        assert not made
    assert json.dumps(again.to_dict()) == json.dumps(whole.to_dict())


def test_a_stored_run_comes_back_and_another_does_not(tmp_path: Path) -> None:
    task, store = problem(), Store(tmp_path)
    start = checkpoint(task, START)
    done = ran("newton-krylov")
    store.write(task, start, done.job, COSTS, done)
    assert store.read(task, start, done.job, COSTS) == done
    assert store.read(task, start, replace(done.job, seed=1), COSTS) is None
    assert store.read(task, start, done.job, replace(COSTS, hessian=5.0)) is None
    other = checkpoint(task, replace(START, seed=1))
    assert store.read(task, other, done.job, COSTS) is None
    (path,) = (tmp_path / "runs").iterdir()
    path.write_text(path.read_text()[:-9])
    assert store.read(task, start, done.job, COSTS) is None


def test_costs_are_measured_once(tmp_path: Path) -> None:
    store = Store(tmp_path)
    assert store.costs(problem(), 16, lambda: COSTS) == COSTS
    assert store.costs(problem(), 16, lambda: replace(COSTS, value=9.0)) == COSTS
    assert store.costs(problem(), 8, lambda: replace(COSTS, value=9.0)).value == 9.0


# ---------------------------------------------------------------- sweeps and divergence


def test_the_sweep_is_recorded_and_its_best_is_run(given: None) -> None:
    done = study(problem(), Plan(("sgd",), 60.0, 1, 0.5, 8, 5, START), clock=still)
    (result,) = done.results
    tried = [dict(r.job.setting) for r in result.sweep]
    assert tried == [dict(s) for s in METHODS["sgd"].settings(problem())]
    assert len(tried) == 8
    assert {r.job.budget for r in result.sweep} == {30.0}
    losses = [r.loss for r in result.sweep]
    assert result.best == tried[losses.index(min(losses))]
    assert result.edge == (result.best["rate"] in (1e-2, 3e-1))
    told = done.to_dict()["results"][0]
    assert [s["job"]["setting"] for s in told["sweep"]] == tried
    assert [r["job"]["setting"] for r in told["runs"]] == [result.best]


def test_a_shorter_sweep_is_spread_over_its_settings_from_the_first_checkpoint(
    given: None,
) -> None:
    done = study(problem(), Plan(("sgd",), 20.0, 2, 0.5, 4, 2, START), clock=still)
    (result,) = done.results
    every = [dict(s) for s in METHODS["sgd"].settings(problem())]
    assert [dict(r.job.setting) for r in result.sweep] == every[::2]
    first, second = (r.checkpoint for r in result.runs)
    assert {r.checkpoint for r in result.sweep} == {first}
    assert first != second


def test_there_is_no_mean_where_a_run_has_no_value() -> None:
    good = ran("sgd")
    loss = good.curve[-1].loss
    assert Result("sgd", (), {}, False, (good, good)).mean("loss") == (loss, 0.0)
    lost = replace(good, diverged="the loss is nan at step 3")
    assert Result("sgd", (), {}, False, (good, lost)).mean("loss") is None
    blind = replace(good, curve=(replace(good.curve[-1], held_out_loss=None),))
    assert Result("sgd", (), {}, False, (good, blind)).mean("held_out_loss") is None
    assert Result("sgd", (), None, False, ()).mean("loss") is None


def test_sweeps_are_of_one_size_for_all() -> None:
    assert {len(m.settings(problem())) for m in METHODS.values()} == {8}


def test_a_run_that_diverges_is_recorded_as_such() -> None:
    done = ran("sgd", {"rate": 1e38, "decay": "constant"})
    assert "the loss is" in done.diverged or "not finite" in done.diverged
    assert math.isinf(done.loss)
    assert done.curve[-1].loss is None
    # One that gave up at good parameters did not get to the end, either.
    assert math.isinf(replace(ran("sgd"), diverged="the optimiser failed").loss)
    text = json.dumps(done.to_dict(), allow_nan=False)
    assert Run.from_dict(json.loads(text)) == replace(done, curve=done.curve)


def test_where_all_settings_diverge_none_is_best(given: None) -> None:
    plan = Plan(("sgd",), 40.0, 2, 0.5, 2, 2, START)
    rates = [{"rate": 1e38, "decay": "constant"}, {"rate": 1e37, "decay": "constant"}]
    task = problem()
    with pytest.MonkeyPatch.context() as patched:
        method = replace(METHODS["sgd"], settings=lambda _: rates)
        patched.setattr("hodsim.learning.finetune.studies.methods_of", lambda _: [method])
        (result,) = study(task, plan, clock=still).results
    assert (result.best, result.runs) == (None, ())
    assert result.mean("loss") is None
    assert all(r.diverged for r in result.sweep)


def test_a_step_that_ends_at_no_finite_loss_diverged() -> None:
    class Leap(torch.optim.SGD):
        def step(self, closure):
            first = closure()
            with torch.no_grad():
                for p in self.param_groups[0]["params"]:
                    p.mul_(self.param_groups[0]["lr"])
            closure()
            return first

    task = problem()
    for rate, wanted in ((1.0, True), (math.inf, False)):
        network = task.drawn(0)
        (batch, *_) = task.epoch(network, 16, 0, 0)
        made = Plain(Leap(network.parameters(), 1.0), 16, still, rate).step(batch, 0.0)
        assert math.isfinite(made.loss) == wanted
        assert made.spent.gradients == 2


def test_what_an_optimiser_refuses_is_no_divergence_where_the_loss_is_finite() -> None:
    def refuse(*_):
        raise InputError("curvature: no")

    for factor in (1.0, math.nan):
        task = problem(loss=lambda z, y, f=factor: f * functional.cross_entropy(z, y))
        network = task.drawn(0)
        stepper = METHODS["hessian-free"].start(task, network, SETTINGS["hessian-free"], 16, still)
        stepper.optimizer.step = refuse
        (batch, *_) = task.epoch(network, 16, 0, 0)
        if math.isnan(factor):
            assert math.isnan(stepper.step(batch, 0.0).loss)
        else:
            with pytest.raises(InputError, match="curvature: no"):
                stepper.step(batch, 0.0)


# ---------------------------------------------------------------- what is refused


def test_a_layer_without_a_rule_is_named_before_anything_is_trained() -> None:
    class Odd(nn.Module):
        def forward(self, x):
            return torch.sinc(x)

    task = problem(lambda: nn.Sequential(nn.Flatten(), nn.Linear(16, 4), Odd()))
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("hodsim.learning.finetune.studies.checkpoint", None)  # not called
        with pytest.raises(InputError, match="sinc") as caught:
            study(task, Plan(("newton-krylov",), start=START))
    assert "\n" not in str(caught.value)


def test_a_missing_package_is_named() -> None:
    with pytest.MonkeyPatch.context() as patched:
        patched.setitem(sys.modules, "pytorch_optimizer", None)
        with pytest.raises(InputError, match=r"soap: expected the package pytorch-optimizer"):
            study(problem(), Plan(("adam", "soap"), start=START))


def test_bad_plans_are_refused() -> None:
    for bad, told in (
        (lambda: Plan(budget=0.0), "budget"),
        (lambda: Plan(budget=math.nan), "budget"),
        (lambda: Plan(share=0.0), "share"),
        (lambda: Plan(seeds=0), "seeds"),
        (lambda: Start(epochs=-1), "epochs"),
        (lambda: Start(rate=0.0), "rate"),
        (lambda: Job("sgdd", {}, 0, 1.0), "optimizers: expected some of"),
        (lambda: study(problem(), Plan(())), "optimizers"),
        (lambda: study(problem(), Plan(("nonsense",))), "got 'nonsense'"),
        (lambda: study(problem(), Plan(("adam",), start=Start(batch=65))), "at most the 64"),
        (lambda: problem_of("lenet", images()), "network: expected one of"),
        (lambda: problem_of("lenet5", images()), "28 or 32"),
        (lambda: problem_of("lenet5", images(), 0.5), "one width"),
        (lambda: problem_of("autoencoder", images(), math.nan), "width"),
        (lambda: problem_of("vgg11", images()), "3 x 32 x 32 pixels, got 1 x 4 x 4"),
        (lambda: problem_of("resnet20", images()), "3 channels, got 1 x 4 x 4"),
        (lambda: shortened(images(), 0, 1), "training images"),
    ):
        with pytest.raises(InputError, match=told) as caught:
            bad()
        assert "\n" not in str(caught.value)


def test_no_evaluation_takes_more_images_than_a_problem_lets_it() -> None:
    task = replace(problem(), most=40)
    network = task.drawn(0)
    for method, setting, wanted in (
        ("newton-krylov", {"damping": 0.1, "style": "whole"}, 40),
        ("hessian-free", {"damping": 0.1, "style": "wide"}, 40),
        ("l-bfgs", {"rate": 0.1, "wide": 0}, 40),
        ("adam", SETTINGS["adam"], 16),
    ):
        assert METHODS[method].start(task, network, setting, 16, still).size == wanted


def test_shortened_sets_keep_their_classes() -> None:
    some = shortened(images(), 16, 100)
    assert len(some.train_x) == 16
    assert len(some.test_x) == 24
    sorted_ = replace(images(), train_y=images().train_y.sort().values)
    assert shortened(sorted_, 8, 8).train_y.tolist() == [0, 0, 1, 1, 2, 2, 3, 3]


def test_the_autoencoder_s_loss_is_its_pixels_and_so_is_its_error() -> None:
    task = problem_of("autoencoder", images(), 0.01)
    network = task.drawn(0)
    x, y = task.images.train_x[:3], task.images.train_y[:3]
    with torch.no_grad():
        z = network(x)
    batch = task.batch(network, x, y)
    assert float(batch().detach()) == pytest.approx(float(((z - x.flatten(1)) ** 2).mean()), 1e-6)
    wanted = ((z > 0.5) != (x.flatten(1) > 0.5)).double().mean(1)
    assert task.wrong(z, x.flatten(1)).tolist() == pytest.approx(wanted.tolist())
