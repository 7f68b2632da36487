"""Contractive autoencoders: training that resumes and fails well, ratios and classifiers known."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from finetuning import images
from torch import Tensor, nn

from hodsim.errors import InputError
from hodsim.learning import Images, parted
from hodsim.learning.contractive import (
    METHODS,
    Classifier,
    Job,
    Measured,
    Measures,
    Noise,
    Plan,
    Shape,
    Store,
    classify,
    contractive_ratio,
    counted,
    drawn,
    hessian_diagonal_norm2,
    jacobian_norm2,
    reconstruction,
    study,
    train,
)
from hodsim.learning.contractive.methods import check_encoder
from hodsim.learning.contractive.runs import trained
from hodsim.learning.contractive.studies import _at_edge

SHAPE = Shape((7, 6), 5, "tanh")
JOB = Job("vanilla", epochs=3, batch=16, rate=1e-2, shape=SHAPE)
PARTS = parted(images(96, 24), 64, 16, 24)
WEIGHTS = {"vanilla": (0.0, 0.0), "cae": (1e-2, 0.0), "hod": (1e-2, 1e-1)}
WEIGHTS["stochastic"] = (1e-2, 1e-1)


def job(method: str, **others) -> Job:
    alpha, beta = WEIGHTS[method]
    return replace(JOB, method=method, alpha=alpha, beta=beta, **others)


def weights(network: nn.Module) -> list[Tensor]:
    return [p.detach().clone() for p in network.parameters()]


def same(a: nn.Module, b: nn.Module) -> bool:
    return all(torch.equal(p, q) for p, q in zip(weights(a), weights(b), strict=True))


# ---------------------------------------------------------------- networks


def test_the_paper_s_encoder_and_its_mirror() -> None:
    network = drawn(Shape((20, 30, 40), 400), 784, 0)
    linear = [m for m in network.modules() if isinstance(m, nn.Linear)]
    ins = [(m.in_features, m.out_features) for m in linear]
    assert ins == [
        *((784, 20), (20, 30), (30, 40), (40, 400)),
        *((400, 40), (40, 30), (30, 20), (20, 784)),
    ]
    assert sum(isinstance(m, nn.ELU) for m in network.encoder.modules()) == 3
    network.requires_grad_(False)
    x = torch.rand(2, 1, 28, 28)
    assert network.encoder(x).shape == (2, 400)
    assert network(x).shape == (2, 784)
    assert 0.0 < float(network(x).min()) < float(network(x).max()) < 1.0
    assert same(network, drawn(Shape((20, 30, 40), 400), 784, 0))
    assert not same(network, drawn(Shape((20, 30, 40), 400), 784, 1))


def test_counted_costs() -> None:
    told = counted(Shape((10, 20), 30), 50)
    assert told["autoencoder"] == 2 * (50 * 10 + 10 * 20 + 20 * 30)
    # 30 adjoint rows, which begin as the last layer's own; 50 lanes would cost 40,000.
    assert told["jacobian"] == 30 * (10 * 20 + 50 * 10)
    assert told["curvature"] == 2 * 50 * (10 * 20 + 20 * 30)
    # 10 lanes past the first layer, at two places; then A (W W^T).
    assert told["stochastic"] == 2 * 10 * (20 * 30) + 30 * 10 * 10


# ---------------------------------------------------------------- training


@pytest.mark.parametrize("method", METHODS)
def test_a_training_that_was_stopped_goes_on_to_the_same_bits(method: str, tmp_path: Path) -> None:
    whole = train(job(method), PARTS)
    steps: list[int] = []

    def stop(done: int, total: int) -> None:
        assert total == 12
        steps.append(done)
        if done == 7:
            raise KeyboardInterrupt

    path = tmp_path / "a.safetensors"
    with pytest.raises(KeyboardInterrupt):
        train(job(method), PARTS, path, stop)
    steps.clear()
    again = train(job(method), PARTS, path, lambda done, total: steps.append(done))
    assert steps[0] == 5  # the epoch that was stopped begins anew, the one before does not
    assert same(whole.network, again.network)
    for a, b in zip(whole.history, again.history, strict=True):
        assert {k: v for k, v in a.items() if k != "seconds"} == {
            k: v for k, v in b.items() if k != "seconds"
        }
    steps.clear()
    assert same(train(job(method), PARTS, path, stop).network, whole.network)
    assert not steps
    # Another training does not go on from it, nor does one whose file is damaged.
    assert trained(job(method, seed=1), PARTS, path) is None
    path.write_bytes(path.read_bytes()[:-8])
    assert trained(job(method), PARTS, path) is None


def test_training_minimises_what_it_says() -> None:
    """With weights of 0 second order is the vanilla one; each penalty lowers what it is of."""
    plain = train(JOB, PARTS).network
    free = train(replace(JOB, method="hod"), PARTS).network
    for p, q in zip(plain.parameters(), free.parameters(), strict=True):
        torch.testing.assert_close(p, q)
    x = PARTS.images.test_x
    found = {
        name: train(replace(JOB, method=name, alpha=a, beta=b, epochs=12), PARTS).network
        for name, a, b in (("vanilla", 0, 0), ("cae", 1e-2, 0), ("hod", 1e-2, 10.0))
    }
    J = {name: float(jacobian_norm2(n.encoder, x).mean()) for name, n in found.items()}
    H = {name: float(hessian_diagonal_norm2(n.encoder, x).mean()) for name, n in found.items()}
    assert J["cae"] < 0.5 * J["vanilla"]
    assert H["hod"] < 0.5 * H["cae"]
    assert reconstruction(found["vanilla"], x) < reconstruction(drawn(SHAPE, 16, 0), x)


def test_the_first_step_is_adam_s_on_the_loss() -> None:
    """Adam's first step is rate times the gradient's sign; the gradient by differences."""
    wanted = job("hod", epochs=1, batch=64)
    before, after = drawn(SHAPE, 16, 0), train(wanted, PARTS).network
    x = PARTS.images.train_x

    def loss(network: nn.Module) -> float:
        with torch.no_grad():
            mse = (network(x) - x.flatten(1)).square().mean()
            J, H = jacobian_norm2(network.encoder, x), hessian_diagonal_norm2(network.encoder, x)
            return float(mse + wanted.alpha * J.mean() + wanted.beta * H.mean())

    move = after.encoder[1].weight - before.encoder[1].weight.detach()
    assert move.abs().flatten().tolist() == pytest.approx([wanted.rate] * move.numel(), rel=1e-3)
    exact = before.double()
    x = x.double()
    weight = exact.encoder[1].weight
    for i, j in ((0, 0), (3, 5), (6, 15), (2, 9)):
        sides = []
        for h in (1e-5, -2e-5):
            with torch.no_grad():
                weight[i, j] += h
            sides.append(loss(exact))
        with torch.no_grad():
            weight[i, j] += 1e-5
        assert math.copysign(1.0, sides[1] - sides[0]) == math.copysign(1.0, float(move[i, j]))


@pytest.mark.parametrize(
    ("steps", "told"),
    [(6, "the loss is nan at step 7, in epoch 2"), (4, "the loss is nan after epoch 1")],
)
def test_a_loss_that_is_not_finite_is_named_and_the_last_good_weights_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, steps: int, told: str
) -> None:
    seen: list[list[Tensor]] = []
    mse = nn.functional.mse_loss

    def poisoned(found: Tensor, wanted: Tensor) -> Tensor:
        return mse(found, wanted) * (math.nan if len(seen) == steps else 1.0)

    class Watched(torch.optim.Adam):
        def step(self, closure=None):
            super().step(closure)
            seen.append([p.detach().clone() for p in self.param_groups[0]["params"]])

    monkeypatch.setattr(nn.functional, "mse_loss", poisoned)
    monkeypatch.setattr(torch.optim, "Adam", Watched)
    path = tmp_path / "a.safetensors"
    done = train(JOB, PARTS, path)
    assert done.diverged == told
    # After one step less the loss was finite.
    good = seen[steps - 2]
    assert all(torch.equal(p, q) for p, q in zip(good, done.network.parameters(), strict=True))
    assert len(done.history) == (2 if steps == 6 else 1)
    json.dumps(done.history, allow_nan=False)
    again = train(JOB, PARTS, path, lambda *_: pytest.fail("it is known to diverge"))
    assert again.diverged == done.diverged
    assert same(again.network, done.network)


def test_a_weight_that_overflows_leaves_the_network_as_it_was_drawn() -> None:
    done = train(replace(JOB, method="hod", beta=1e300), PARTS)
    assert done.diverged == "the loss is inf at step 1, in epoch 1"
    assert same(done.network, drawn(SHAPE, 16, 0))


def test_weights_that_the_last_step_spoils_are_not_kept() -> None:
    class Poisoned(torch.optim.Adam):
        def step(self, closure=None):
            super().step(closure)
            with torch.no_grad():
                self.param_groups[0]["params"][0][0, 0] = math.nan

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(torch.optim, "Adam", Poisoned)
        done = train(replace(JOB, epochs=1, batch=64), PARTS)
    assert done.diverged == "the loss is nan after epoch 1"
    assert same(done.network, drawn(SHAPE, 16, 0))


def test_a_layer_without_a_rule_is_named_before_anything_is_trained(tmp_path: Path) -> None:
    class Odd(nn.Module):
        def forward(self, x):
            return torch.sinc(x)

    encoder = nn.Sequential(nn.Flatten(), nn.Linear(16, 5), Odd())
    for name in ("cae", "hod", "stochastic"):
        with pytest.raises(InputError, match=r"^encoder: .*sinc") as caught:
            check_encoder(METHODS[name], encoder, PARTS.images.train_x[:1])
        assert "\n" not in str(caught.value)
    odd = drawn(SHAPE, 16, 0)
    odd.encoder = encoder
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("hodsim.learning.contractive.studies.drawn", lambda *_: odd)
        patched.setattr("hodsim.learning.contractive.studies.train", None)  # not called
        with pytest.raises(InputError, match="sinc"):
            study(PARTS, plan(), Store(tmp_path))
    assert not list(tmp_path.iterdir())


# ---------------------------------------------------------------- ratios


def test_the_ratio_of_a_scaled_rotation_is_its_scale() -> None:
    Q = torch.linalg.qr(torch.randn(16, 16, generator=torch.Generator().manual_seed(1)))[0]
    f = nn.Sequential(nn.Flatten(), nn.Linear(16, 16))
    with torch.no_grad():
        f[1].weight.copy_(3.0 * Q)
    found = contractive_ratio(f, PARTS.images.test_x, (0.1, 0.5, 1.0), 3)
    assert found.ratio == pytest.approx([3.0] * 3, rel=1e-4)
    assert found.relative == pytest.approx([1.0] * 3, rel=1e-4)
    assert found.scale == pytest.approx(3.0, rel=1e-4)
    x = PARTS.images.test_x.flatten(1).double()
    square = torch.cdist(x, x).square().sum() / (len(x) * (len(x) - 1))
    assert found.radii == pytest.approx([r * float(square.sqrt()) for r in (0.1, 0.5, 1.0)])


def test_the_ratio_of_one_pixel_is_a_direction_s_mean_entry() -> None:
    """E |u_1| over the unit sphere of R^n is Gamma(n/2) / (sqrt(pi) Gamma((n+1)/2))."""
    f = nn.Sequential(nn.Flatten(), nn.Linear(16, 1))
    with torch.no_grad():
        f[1].weight.zero_()[0, 3] = 1.0
    x = PARTS.images.test_x
    found = contractive_ratio(f, x, (0.5,), 400)
    mean = math.gamma(8) / (math.sqrt(math.pi) * math.gamma(8.5))
    spread = math.sqrt(1 / 16 - mean**2) / math.sqrt(400 * len(x))
    assert found.ratio[0] == pytest.approx(mean, abs=4 * spread)
    assert found.relative[0] == pytest.approx(found.ratio[0] / found.scale)


def test_the_relative_ratio_does_not_see_the_features_scale() -> None:
    f = drawn(SHAPE, 16, 3).encoder
    small = drawn(SHAPE, 16, 3).encoder
    with torch.no_grad():
        small[-1].weight.mul_(0.125)
        small[-1].bias.mul_(0.125)
    a, b = (contractive_ratio(net, PARTS.images.test_x, directions=2) for net in (f, small))
    assert b.ratio == pytest.approx([0.125 * r for r in a.ratio], rel=1e-6)
    assert b.relative == pytest.approx(a.relative, rel=1e-6)
    other = contractive_ratio(f, PARTS.images.test_x, directions=2, seed=1)
    assert other.ratio != a.ratio
    assert contractive_ratio(f, PARTS.images.test_x, directions=2) == a


# ---------------------------------------------------------------- classifiers


def test_classifiers_learn_and_leave_the_encoder_as_it_is() -> None:
    encoder = drawn(SHAPE, 16, 0).encoder
    before = weights(encoder)
    how = Classifier(8, 30, 16, 1e-2)
    frozen, tuned = (classify(encoder, PARTS, how, 0, finetuned) for finetuned in (False, True))
    assert tuned.test_error < 0.1
    assert frozen.test_error < 0.5
    assert frozen != tuned
    assert all(torch.equal(p, q) for p, q in zip(before, encoder.parameters(), strict=True))
    assert classify(encoder, PARTS, how, 0, True) == tuned
    assert classify(encoder, PARTS, how, 1, True) != tuned


def test_a_frozen_classifier_does_not_see_the_features_scale() -> None:
    encoder, small = drawn(SHAPE, 16, 0).encoder, drawn(SHAPE, 16, 0).encoder
    with torch.no_grad():
        small[-1].weight.mul_(2.0**-10)
        small[-1].bias.mul_(2.0**-10)
    how = Classifier(8, 3)
    assert classify(encoder, PARTS, how, 0, False) == classify(small, PARTS, how, 0, False)


def test_errors_are_counted_on_their_own_part() -> None:
    """Where test classes are none of those trained on, all are wrong; validation is not."""
    there = PARTS.images
    odd = Images(there.train_x, there.train_y, there.test_x, there.test_y + 5, "odd")
    how = Classifier(8, 20, 16, 1e-2)
    found = classify(drawn(SHAPE, 16, 0).encoder, replace(PARTS, images=odd), how, 0, True)
    assert found.test_error == 1.0
    assert found.validation_error < 0.2


def test_constant_features_are_no_division_by_zero() -> None:
    encoder = drawn(SHAPE, 16, 0).encoder
    with torch.no_grad():
        encoder[-1].weight.zero_()
    found = classify(encoder, PARTS, Classifier(8, 1), 0, False)
    assert math.isfinite(found.validation_loss)


# ---------------------------------------------------------------- studies


def plan(**others) -> Plan:
    told = {
        "alphas": (1e-3, 1e-2),
        "betas": (1e-3, 1e-2, 1e-1),
        "sweep_epochs": 1,
        "seeds": 2,
        "job": JOB,
        "measures": Measures(Classifier(8, 2), (0.1, 0.5), 10, 2),
    }
    return Plan(**{**told, **others})


def plain(done) -> str:
    """All of a study but times."""

    def without(told):
        if isinstance(told, dict):
            return {k: without(v) for k, v in told.items() if k != "seconds"}
        return [without(v) for v in told] if isinstance(told, list | tuple) else told

    return json.dumps(without(done.to_dict()), allow_nan=False)


def test_a_study_that_was_stopped_goes_on_to_the_same_result(tmp_path: Path) -> None:
    whole = study(PARTS, plan(), Store(tmp_path / "a"))
    trainings: list[str] = []

    def stop(what: str, done: int, total: int) -> None:
        if not trainings or trainings[-1] != what:
            trainings.append(what)
        if what.startswith("hod, seed 2"):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        study(PARTS, plan(), Store(tmp_path / "b"), stop)
    assert trainings[0] == "vanilla, seed 1 of 2"
    before = len(trainings)
    trainings.clear()
    rest = lambda what, *_: trainings.append(what)  # noqa: E731
    again = study(PARTS, plan(), Store(tmp_path / "b"), rest)
    assert trainings[0] == "hod, seed 2 of 2"
    assert before > 8
    assert plain(again) == plain(whole)
    trainings.clear()
    last = study(PARTS, plan(), Store(tmp_path / "b"), rest)
    assert not trainings
    assert last.to_dict() == again.to_dict()


def test_weights_are_chosen_by_the_validation_part_and_first_order_s_alpha_is_kept() -> None:
    done = study(PARTS, plan())
    by = {r.method: r for r in done.results}
    assert list(by) == list(METHODS)
    assert not by["vanilla"].sweep
    tried = by["cae"].sweep
    assert [s.alpha for s in tried] == [1e-3, 1e-2]
    alpha = min(tried, key=lambda s: s.validation_loss).alpha
    for name, over in (("hod", 1), ("stochastic", 16)):
        betas = [beta / over for beta in (1e-3, 1e-2, 1e-1)]
        assert [(s.alpha, s.beta) for s in by[name].sweep] == [(alpha, beta) for beta in betas]
        beta = min(by[name].sweep, key=lambda s: s.validation_loss).beta
        assert {(r.job["alpha"], r.job["beta"]) for r in by[name].runs} == {(alpha, beta)}
        # Of two alphas the better one is at an edge always.
        assert by[name].edge
    wide = study(PARTS, replace(plan(), alphas=(1e-9, 1e-3, 1e3), seeds=1))
    for r in wide.results[1:]:
        job = r.runs[0].job
        beta_edge = r.method != "cae" and job["beta"] in (r.sweep[0].beta, r.sweep[-1].beta)
        assert r.edge == (job["alpha"] != 1e-3 or beta_edge)
    assert not _at_edge(2.0, [1.0, 2.0, 3.0])
    assert _at_edge(3.0, [1.0, 2.0, 3.0])
    assert not _at_edge(3.0, [3.0])
    assert [r.job["seed"] for r in by["hod"].runs] == [0, 1]
    assert {r.job["epochs"] for result in done.results for r in result.runs} == {3}
    mean, spread = by["hod"].mean(lambda r: r.frozen.test_error)
    a, b = (r.frozen.test_error for r in by["hod"].runs)
    assert (mean, spread) == pytest.approx(((a + b) / 2, abs(a - b) / math.sqrt(2)))


def test_what_is_tried_is_judged_without_the_test_part() -> None:
    other = images(96, 24, seed=4)
    swapped = replace(PARTS.images, test_x=other.test_x, test_y=other.test_y)
    first, second = (study(p, plan(seeds=1)) for p in (PARTS, replace(PARTS, images=swapped)))
    for a, b in zip(first.results, second.results, strict=True):
        assert a.sweep == b.sweep
    assert plain(first) != plain(second)


def test_a_method_that_diverges_is_recorded_and_the_others_are_not_lost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wild = plan(betas=(1e300,), methods=("cae", "hod"), seeds=1)
    cae, hod = study(PARTS, wild, Store(tmp_path)).results
    assert cae.runs[0].finetuned is not None
    assert hod.runs == ()
    assert hod.sweep[0].diverged == "the loss is inf at step 1, in epoch 1"
    assert hod.mean(lambda r: r.seconds) is None
    monkeypatch.setattr(nn.functional, "mse_loss", lambda a, b: (a - b).sum() * math.nan)
    late = plan(methods=("vanilla",), seeds=1)
    done = study(PARTS, late, Store(tmp_path))
    (run,) = done.results[0].runs
    assert run.diverged == "the loss is nan at step 1, in epoch 1"
    assert run.ratio is None
    assert done.results[0].mean(lambda r: r.reconstruction) is None
    json.dumps(done.to_dict(), allow_nan=False)
    assert study(PARTS, late, Store(tmp_path)).to_dict() == done.to_dict()


def test_stored_runs_come_back_and_others_do_not(tmp_path: Path) -> None:
    one, store = plan(methods=("cae",), seeds=1), Store(tmp_path)
    (result,) = study(PARTS, one, store).results
    run = result.runs[0]
    made = Job.from_dict(run.job)
    assert store.measured(PARTS, made, one.measures) == run
    assert Measured.from_dict(json.loads(json.dumps(run.to_dict()))) == run
    assert store.measured(PARTS, replace(made, seed=5), one.measures) is None
    assert store.measured(PARTS, made, replace(one.measures, images=11)) is None
    network = store.network(PARTS, run)
    assert network is not None
    assert reconstruction(network, PARTS.images.test_x) == run.reconstruction
    (path,) = (tmp_path / "runs").iterdir()
    path.write_text(path.read_text()[:-9])
    assert store.measured(PARTS, made, one.measures) is None


def test_a_job_s_table_leaves_out_what_its_method_lacks() -> None:
    a = replace(JOB, alpha=1.0, beta=2.0, noise=Noise(0.7))
    assert a.to_dict() == JOB.to_dict()
    assert replace(a, method="cae").to_dict() == replace(JOB, method="cae", alpha=1.0).to_dict()
    full = replace(a, method="stochastic")
    assert Job.from_dict(json.loads(json.dumps(full.to_dict()))) == full


def test_bad_plans_are_refused() -> None:
    for bad, told in (
        (lambda: Shape(()), "sizes"),
        (lambda: Shape((3, 0)), "sizes"),
        (lambda: Shape(activation="elo"), "activation"),
        (lambda: replace(JOB, method="cea"), "methods: expected some of"),
        (lambda: replace(JOB, alpha=-1.0), "alpha"),
        (lambda: replace(JOB, beta=math.nan), "beta"),
        (lambda: replace(JOB, rate=0.0), "rate"),
        (lambda: replace(JOB, epochs=0), "epochs"),
        (lambda: Noise(0.0), "noise"),
        (lambda: Noise(draws=0), "draws"),
        (lambda: Classifier(epochs=0), "classifier"),
        (lambda: Measures(images=1), "two images"),
        (lambda: plan(methods=("cae", "cae")), "each once"),
        (lambda: plan(methods=()), "methods"),
        (lambda: plan(alphas=()), "alphas"),
        (lambda: plan(betas=(0.0,)), "betas"),
        (lambda: plan(seeds=0), "seeds"),
        (lambda: contractive_ratio(nn.Flatten(), PARTS.images.test_x, (0.0,)), "radii"),
        (lambda: contractive_ratio(nn.Flatten(), PARTS.images.test_x[:1]), "two images"),
    ):
        with pytest.raises(InputError, match=told) as caught:
            bad()
        assert "\n" not in str(caught.value)
