"""The fit: better than PCA on a curve, the same when stopped and resumed, honest when lost."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from hodsim import ConvergenceError, InputError
from hodsim.networks import HoDNet
from hodsim.snapshots import Snapshots
from hodsim.subspaces import HoD, fit_pca
from hodsim.training import FitOptions, fit, pose_weights
from hodsim.training.checkpoint import load_checkpoint, save_checkpoint

OPTIONS = FitOptions(
    rank=1,
    decoder=(16,),
    encoder=(16,),
    projected=6,
    epochs=40,
    whole_epochs=6,
    batch=16,
    rate=1e-2,
    seed=1,
)


def _curved(n: int = 120, dofs: int = 30) -> Snapshots:
    """One motion around a bend, as two trajectories of different size: u = sum a_k(t) e_k."""
    t = np.linspace(-1.5, 1.5, n)
    a = np.stack([np.sin(t), 1 - np.cos(t), np.sin(2 * t) / 8, np.sin(t) ** 3 / 9, t**4 / 50])
    a = np.concatenate([a, np.stack([np.cos(5 * t) - 1, np.sin(7 * t)]) / 400])
    E = np.linalg.qr(np.random.default_rng(0).standard_normal((dofs, len(a))))[0]
    u = (0.3 * a.T @ E.T).astype(np.float32)
    return Snapshots(u, np.repeat([0, 1], n // 2), ("bend-0", "bend-1"), {})


def _error(network: HoDNet, poses: Snapshots) -> float:
    u = poses.u.astype(np.float64)
    return float(np.linalg.norm(HoD(network).reconstruct(u) - u) / np.linalg.norm(u))


def _same(a: HoDNet, b: HoDNet) -> bool:
    return all(
        torch.equal(x, y)
        for x, y in zip(a.state_dict().values(), b.state_dict().values(), strict=True)
    )


def test_a_curve_is_learnt_and_rest_stays_rest() -> None:
    poses = _curved()
    network, history = fit(poses, replace(OPTIONS, epochs=150, evenness=0.0))
    u = poses.u.astype(np.float64)
    pca = np.linalg.norm(fit_pca(u, 1).reconstruct(u) - u) / np.linalg.norm(u)
    reached = _error(network, poses)
    print(f"PCA {pca:.3f}, network {reached:.4f}")
    assert pca > 0.2
    assert reached < pca / 5
    # It starts at PCA's error, its nonlinear parts small, and the history tells what was reached.
    assert history[0]["train_error"] == pytest.approx(pca, rel=0.2)
    assert history[-1]["train_error"] == pytest.approx(reached, rel=0.2)
    assert not network(torch.zeros(5, 30, dtype=torch.float64)).any()
    assert all(p.dtype == torch.float64 for p in network.parameters())
    assert not any(p.requires_grad for p in network.parameters())


def test_no_training_is_pca_with_a_little_noise() -> None:
    """Zero epochs: outer layers and skips at the principal directions."""
    poses = _curved()
    network, history = fit(poses, replace(OPTIONS, rank=3, epochs=0, whole_epochs=0))
    assert history == []
    u = poses.u.astype(np.float64)
    with torch.no_grad():
        network.encoder.head.weight.zero_()
        network.decoder.mix.weight[:, :-3].zero_()
    # The weights are float32's.
    np.testing.assert_allclose(HoD(network).reconstruct(u), fit_pca(u, 3).reconstruct(u), atol=1e-6)


def test_poses_that_span_less_than_the_network_projects_to() -> None:
    poses = _curved()
    few = replace(poses, u=poses.u[:4], trajectory=poses.trajectory[:4], names=poses.names[:1])
    network, _ = fit(few, replace(OPTIONS, epochs=2))
    assert network.shape.projected == 4
    with pytest.raises(InputError, match="expected 1 to 4, the directions that 4 poses span"):
        fit(few, replace(OPTIONS, rank=5, epochs=2))


def test_random_initial_weights() -> None:
    """No principal direction goes in; what comes out is learnt all the same, in one stage."""
    poses = _curved()
    options = replace(OPTIONS, init="random", epochs=150, evenness=0.0)
    before, _ = fit(poses, replace(options, epochs=0))
    V = fit_pca(poses.u, 6).basis
    along = np.linalg.norm(before.decoder.out.weight.numpy().T @ V, axis=1)
    assert (along < 0.9 * np.linalg.norm(before.decoder.out.weight.numpy(), axis=0)).all()
    network, history = fit(poses, options)
    print(f"random: {_error(before, poses):.3f} to {_error(network, poses):.4f}")
    assert {row["stage"] for row in history} == {"whole"}
    assert _error(network, poses) < 0.1 < _error(before, poses)


def _timeless(history: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Without the time that it took."""
    return [{k: v for k, v in row.items() if k != "seconds"} for row in history]


class Stopped(Exception):
    pass


@pytest.mark.parametrize(
    ("stage", "epoch"), [("inner", 1), ("inner", 7), ("inner", 40), ("whole", 1), ("whole", 4)]
)
@pytest.mark.parametrize("init", ["pca", "random"])
def test_a_stopped_fit_goes_on_to_the_same_end(
    tmp_path: Path, stage: str, epoch: int, init: str
) -> None:
    if init == "random":
        stage = "whole"
    poses, options = _curved(), replace(OPTIONS, init=init)
    path = tmp_path / "checkpoint.safetensors"
    undisturbed, history = fit(poses, options, poses)
    told: list[dict[str, Any]] = []

    def report(row: dict[str, Any]) -> None:
        told.append(row)
        if (row["stage"], row["epoch"]) == (stage, epoch):
            raise Stopped

    with pytest.raises(Stopped):
        fit(poses, options, poses, path, report)
    assert path.is_file() == (epoch > 2 or (stage, init) == ("whole", "pca"))
    again: list[dict[str, Any]] = []
    resumed, told_at_last = fit(poses, options, poses, path, again.append)
    assert _same(resumed, undisturbed)
    assert _timeless(told_at_last) == _timeless(history)
    seconds = [row["seconds"] for row in told_at_last]
    assert seconds == sorted(seconds)  # what the stopped run took counts
    # It did go on rather than begin again, from at most one twentieth of a stage before.
    assert len(told) + len(again) <= len(history) + 2
    # Nothing half-written; the caller removes the checkpoint once the network is safe.
    assert [p.name for p in tmp_path.iterdir()] == ["checkpoint.safetensors"]


@pytest.mark.parametrize("what", ["options", "poses", "cut", "flip"])
def test_a_checkpoint_of_another_fit_is_not_used(tmp_path: Path, what: str) -> None:
    poses, options, path = _curved(), OPTIONS, tmp_path / "checkpoint.safetensors"

    def report(row: dict[str, Any]) -> None:
        if row["epoch"] == 30:
            raise Stopped

    with pytest.raises(Stopped):
        fit(poses, options, None, path, report)
    if what == "options":
        options = replace(options, rate=5e-3)
    elif what == "poses":
        poses = replace(poses, u=poses.u * np.float32(1.01))
    elif what == "cut":
        path.write_bytes(path.read_bytes()[:-50])
    else:  # one bit of a weight, which every reader of the format takes for sound
        data = bytearray(path.read_bytes())
        data[-3] ^= 1
        path.write_bytes(data)
    rows: list[dict[str, Any]] = []
    network, _ = fit(poses, options, None, path, rows.append)
    assert rows[0]["epoch"] == 1
    assert _same(network, fit(poses, options)[0])


def test_a_checkpoint_made_up_for_other_weights_is_not_used(tmp_path: Path) -> None:
    """With a digest and a key that fit, but names, shapes or facts of another kind."""
    path, key = tmp_path / "checkpoint.safetensors", {"fit": 1}
    own = torch.nn.Linear(2, 3)
    before = own.weight.clone()
    others: list[torch.nn.Module] = [torch.nn.Linear(2, 4), torch.nn.Bilinear(2, 2, 3)]
    for other in others:
        save_checkpoint(path, key, other, 0, 1, [], {})
        assert load_checkpoint(path, key, own) is None
    save_checkpoint(path, key, own, 0, 1, [], {0: {"exp.avg": torch.ones(1)}})
    assert load_checkpoint(path, key, own) is None
    assert torch.equal(own.weight, before)
    save_checkpoint(path, key, own, 0, 1, [{"a": 1}], {0: {"step": torch.tensor(2.0)}})
    found = load_checkpoint(path, key, own)
    assert found is not None
    assert found[:3] == (0, 1, [{"a": 1}])
    assert found[3][0]["step"] == 2.0


def test_the_seed_decides() -> None:
    poses, options = _curved(), replace(OPTIONS, epochs=5, whole_epochs=1)
    torch.manual_seed(123)  # nothing outside does
    first, history = fit(poses, options)
    torch.manual_seed(456)
    second, again = fit(poses, options)
    assert _same(first, second)
    assert _timeless(history) == _timeless(again)
    assert not _same(first, fit(poses, replace(options, seed=2))[0])


def test_every_epoch_takes_the_poses_in_another_order(monkeypatch: pytest.MonkeyPatch) -> None:
    """And so those that one epoch leaves over, 120 being no multiple of 50, come in another."""
    orders, draw = [], torch.randperm

    def record(*args: Any, **kw: Any) -> torch.Tensor:
        orders.append(draw(*args, **kw))
        return orders[-1]

    monkeypatch.setattr(torch, "randperm", record)
    fit(_curved(), replace(OPTIONS, epochs=4, whole_epochs=4, batch=50))
    assert len({tuple(order.tolist()) for order in orders}) == len(orders) == 8
    assert all(sorted(order.tolist()) == list(range(120)) for order in orders)


def test_history() -> None:
    poses = _curved()
    rows: list[dict[str, Any]] = []
    network, history = fit(poses, OPTIONS, poses, report=rows.append)
    assert rows == history
    assert [(r["stage"], r["epoch"]) for r in history] == [
        *(("inner", k + 1) for k in range(40)),
        *(("whole", k + 1) for k in range(6)),
    ]
    # 20 times a stage, and always at its end.
    assert [r["epoch"] for r in history[:40] if "held_out_error" in r] == list(range(2, 41, 2))
    u = poses.u.astype(np.float64)
    square = ((HoD(network).reconstruct(u) - u) ** 2).sum(axis=1)
    wanted = np.sqrt(pose_weights(poses, 1.0) @ square)
    assert history[-1]["held_out_error"] == pytest.approx(wanted, rel=1e-3)
    # A last epoch measures both on nearly one network, apart from the weights of trajectories.
    assert history[-1]["train_error"] == pytest.approx(wanted, rel=0.3)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_poses_that_are_not_finite(bad: float) -> None:
    poses = _curved()
    poses.u[3, 4] = bad
    with pytest.raises(InputError, match="finite displacements"):
        fit(poses, OPTIONS)


def test_poses_that_say_nothing() -> None:
    poses = _curved()
    with pytest.raises(InputError, match="rest alone"):
        fit(replace(poses, u=0 * poses.u), OPTIONS)


def test_a_loss_that_blows_up_is_told(tmp_path: Path) -> None:
    path = tmp_path / "checkpoint.safetensors"
    with pytest.raises(ConvergenceError, match=r"not finite in epoch .* stage inner; lower"):
        fit(_curved(), replace(OPTIONS, rate=1e30), None, path)
    assert not path.exists()


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"init": "ones"}, "given 'ones'"),
        ({"epochs": -1}, "at least 0"),
        ({"whole_epochs": -1}, "at least 0"),
        ({"batch": 0}, "at least 0 and 1"),
    ],
)
def test_options_that_make_no_fit(given: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        FitOptions(**given)


@settings(deadline=None)  # a busy machine is no failure
@given(
    st.floats(0.0, 1.0), st.lists(st.integers(1, 6), min_size=1, max_size=5), st.integers(0, 999)
)
def test_pose_weights(evenness: float, lengths: list[int], seed: int) -> None:
    rng = np.random.default_rng(seed)
    trajectory = np.repeat(np.arange(len(lengths)) * 2, lengths)  # numbers left out by a split
    size = 10.0 ** rng.uniform(-2, 2, len(lengths))  # within what the floor of 1e-12 leaves alone
    u = np.repeat(size, lengths)[:, None] * rng.standard_normal((len(trajectory), 4))
    poses = Snapshots(u, trajectory, (), {})
    w, square = pose_weights(poses, evenness), (u**2).sum(axis=1)
    assert (w > 0).all()
    assert w @ square == pytest.approx(1.0)
    mean = np.array([square[trajectory == k].mean() for k in trajectory])
    np.testing.assert_allclose(w * mean**evenness, w[0] * mean[0] ** evenness)
    # In larger units nothing changes but the unit.
    bigger = pose_weights(replace(poses, u=100 * u), evenness)
    np.testing.assert_allclose(bigger * 1e4, w)


def test_pose_weights_at_the_ends() -> None:
    u = np.ones((5, 4)) * np.array([1, 2, 3, 0.1, 0.2])[:, None]
    poses = Snapshots(u, np.array([0, 0, 0, 1, 1]), (), {})
    np.testing.assert_allclose(pose_weights(poses, 0.0), 1 / (u**2).sum())
    w = pose_weights(poses, 1.0)
    share = w * (u**2).sum(axis=1)
    assert share[:3].mean() == pytest.approx(share[3:].mean())
    # A trajectory that rests throughout weighs finitely.
    u[3:] = 0.0
    assert np.isfinite(pose_weights(poses, 1.0)).all()
