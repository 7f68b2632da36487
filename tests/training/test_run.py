"""From scenes to a model's folder, end to end, on a body of 33 degrees of freedom."""

from __future__ import annotations

import json
import re
import shutil
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from started import held

import hodsim
from hodsim import InputError, load_model
from hodsim.cubature import fit_cubature, load_cubatures
from hodsim.fem import body_of
from hodsim.scene import (
    BeamSpec,
    Damping,
    Direction,
    MaterialSpec,
    MeshSpec,
    RandomLoad,
    Region,
    Scene,
    TimeSpec,
)
from hodsim.snapshots import Store, origin_of
from hodsim.subspaces import HoD, Linear, fit_weighted, moments
from hodsim.training import FitOptions, TrainOptions, add_reach, pose_weights, train

FIT = FitOptions(2, (8,), (8,), 5, epochs=20, whole_epochs=2, batch=16, seed=3)
OPTIONS = TrainOptions(12, seed=5, workers=1, fit=FIT)
SCENE = Scene(
    name="bend",
    mesh=MeshSpec(beam=BeamSpec((2, 1, 1), (1.0, 0.2, 0.2))),
    material=MaterialSpec("neo-hookean", 2e4, 0.3, 1000.0),
    time=TimeSpec(0.05, 8),
    damping=Damping(1.0),
    clamps=(Region("box", min=(-1, -1, -1), max=(0, 1, 1)),),
    sampling=(
        RandomLoad(
            "force",
            (5.0, 20.0),
            Direction("plane", (1, 0, 0)),
            (0.02, 0.05),
            (0.1, 0.3),
            Region("nearest", nearest=(1.0, 0.0, 0.0)),
        ),
    ),
)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[tuple[Any, ...]]]:
    folder = tmp_path_factory.mktemp("run") / "model"
    told: list[tuple[Any, ...]] = []
    train([SCENE], folder, OPTIONS, None, lambda *row: told.append(row), "hodsim train bend.toml")
    return folder, told


def test_another_run_is_kept_out_meanwhile(run: tuple[Path, list[tuple[Any, ...]]]) -> None:
    folder, _ = run
    before = {p: p.read_bytes() for p in folder.rglob("*") if p.is_file()}
    with held(folder), pytest.raises(InputError, match="no other run that writes there"):
        train([SCENE], folder, OPTIONS)
    assert {p: p.read_bytes() for p in folder.rglob("*") if p.is_file()} == before


def test_the_folder_is_a_model_for_the_body(run: tuple[Path, list[tuple[Any, ...]]]) -> None:
    folder, _ = run
    assert sorted(p.name for p in folder.iterdir()) == [
        ".lock",
        "README.md",
        "cubature.safetensors",
        "model.json",
        "peers",
        "reach.safetensors",
        "rivals.safetensors",
        "snapshots",
        "weights.safetensors",
    ]
    model = load_model(folder)
    model.check(body_of(SCENE))
    assert {model.subspace(kind).rank for kind in ("hod", "pca", "quadratic")} == {2}
    assert model.network.shape.decoder == (8,)
    assert model.subspace("pca", 5).rank == 5


def test_the_card(run: tuple[Path, list[tuple[Any, ...]]]) -> None:
    folder, _ = run
    card = json.loads((folder / "model.json").read_text())
    assert card["origin"] == origin_of(body_of(SCENE))
    assert card["scenes"] == ["bend"]
    assert card["command"] == "hodsim train bend.toml"
    seen, _ = Store(folder / "snapshots").read().split(["bend-0011"])
    assert card["poses"] == {"trained_on": 11 * 9, "held_out": 9, "sha256": seen.digest}
    assert card["stopped_early"] == []
    options = card["options"]
    assert (options["trajectories"], options["seed"], options["workers"]) == (12, 5, 1)
    assert options["fit"] == json.loads(json.dumps(asdict(FIT)))
    assert (options["fit"]["epochs"], options["fit"]["seed"]) == (20, 3)
    assert card["versions"]["hodsim"] == hodsim.__version__
    assert re.fullmatch(r"\d+\.\d+\.\d+", card["versions"]["torch"])
    assert card["history"][-1]["held_out_error"] == pytest.approx(
        card["reconstruction_error"]["held_out"], rel=1e-6
    )


def test_the_errors_told_are_those_of_the_model(
    run: tuple[Path, list[tuple[Any, ...]]],
) -> None:
    """Measured again from the files alone, in float64."""
    folder, _ = run
    model = load_model(folder)
    errors = model.card["reconstruction_error"]
    store = Store(folder / "snapshots")
    seen, unseen = store.read().split(["bend-0011"])

    def error(subspace: HoD | Linear, poses: Any) -> float:
        u = poses.u.astype(np.float64)
        square = ((subspace.reconstruct(u) - u) ** 2).sum(axis=1)
        return float(np.sqrt(pose_weights(poses, 1.0) @ square))

    hod = model.subspace("hod")
    assert errors["trained_on"] == pytest.approx(error(hod, seen), rel=1e-3)
    assert errors["held_out"] == pytest.approx(error(hod, unseen), rel=1e-3)
    assert errors["held_out_by_scene"] == {"bend": errors["held_out"]}
    linear = model.card["pca_reconstruction_error"]
    assert list(map(int, linear)) == [2, 3, 4, 5]
    for r, told in linear.items():
        assert told == pytest.approx(error(model.subspace("pca", int(r)), unseen), rel=1e-3)
    # Held out in earnest: the bases are of the other poses.
    np.testing.assert_allclose(
        np.abs(np.linalg.svd(seen.u.astype(float), full_matrices=False)[2][:2]).T,
        np.abs(model.subspace("pca").basis),
        atol=1e-5,
    )


def test_progress_is_told(run: tuple[Path, list[tuple[Any, ...]]]) -> None:
    _, told = run
    assert [row[:3] for row in told if row[0] == "snapshots"] == [
        ("snapshots", k, 12) for k in range(13)
    ]
    fits = [row for row in told if row[0] in ("inner", "whole")]
    assert [row[:3] for row in fits] == [
        *(("inner", k + 1, 20) for k in range(20)),
        *(("whole", k + 1, 2) for k in range(2)),
    ]
    assert fits[-1][3]["train_error"] > 0.0
    rest = told[told.index(fits[-1]) + 1 :]
    assert list(dict.fromkeys(row[0] for row in rest)) == [
        "cubature hod-2",
        "cubature quadratic-2",
        "cubature pca-2",
    ]
    assert rest[-1][1] == rest[-1][2]


def test_the_training_range_holds_every_pose_seen(
    run: tuple[Path, list[tuple[Any, ...]]],
) -> None:
    folder, _ = run
    model = load_model(folder)
    seen, _ = Store(folder / "snapshots").read().split(["bend-0011"])
    for kind, rank in (("hod", 2), ("quadratic", 2), *(("pca", r) for r in range(1, 6))):
        reach = model.reach(kind, rank)
        assert reach is not None
        q = model.subspace(kind, rank).encode(seen.u)
        np.testing.assert_allclose(reach.low, q.min(axis=0), rtol=1e-6)
        np.testing.assert_allclose(reach.high, q.max(axis=0), rtol=1e-6)
        assert max(reach.measure(pose) for pose in q) <= 1.0 + 1e-6
        assert reach.measure(3.0 * q[np.abs(q).max(axis=1).argmax()]) > 1.0


def test_a_model_of_before_gets_its_range_from_its_snapshots(
    run: tuple[Path, list[tuple[Any, ...]]], tmp_path: Path
) -> None:
    folder, _ = run
    old = tmp_path / "model"
    shutil.copytree(folder, old)
    (old / "reach.safetensors").unlink()
    assert load_model(old).reach("hod") is None
    add_reach(old, folder / "snapshots")
    assert (old / "reach.safetensors").read_bytes() == (folder / "reach.safetensors").read_bytes()
    (old / "snapshots" / "bend-0003.h5").unlink()
    with pytest.raises(InputError, match=r"expected the poses that .* was trained on") as caught:
        add_reach(old, old / "snapshots")
    assert "\n" not in str(caught.value)


def test_linear_peers_come_with_it(run: tuple[Path, list[tuple[Any, ...]]]) -> None:
    folder, _ = run
    model = load_model(folder)
    assert sorted(model.peers) == ["evenpca", "masspca", "modal", "stiffpca"]
    assert model.card["peers_left_out"] == {}
    body, seen = body_of(SCENE), Store(folder / "snapshots").read().split(["bend-0011"])[0]
    again = fit_weighted(moments(seen.u), body.mass, 5, "mass").subspace(3, "masspca")
    np.testing.assert_allclose(
        model.subspace("masspca", 3).reconstruct(seen.u), again.reconstruct(seen.u), atol=1e-6
    )
    facts = model.peers["masspca"].facts
    assert (facts["seed"], facts["command"]) == (5, "hodsim train bend.toml")
    assert facts["poses"]["trained_on"] == 11 * 9
    for kind in ("hod", "pca", "quadratic", "masspca", "modal"):
        seconds = model.training_seconds(kind)
        assert seconds is not None
        assert 0.0 <= seconds < 60.0


def test_a_body_that_nothing_holds_has_no_modes(tmp_path: Path) -> None:
    loose = replace(SCENE, clamps=())
    fit = replace(FIT, epochs=2, whole_epochs=1)
    model = train([loose], tmp_path, replace(OPTIONS, trajectories=2, fit=fit))
    assert sorted(model.card["peers_left_out"]) == ["modal", "stiffpca"]
    assert "clamp" in model.card["peers_left_out"]["modal"]
    assert list(load_model(tmp_path).peers) == ["evenpca", "masspca"]


def _same_files(one: Path, other: Path) -> list[str]:
    """Names of the files in `one`, which are to the last bit, but for times, those in `other`."""
    names = [path.name for path in one.iterdir() if path.is_file() and path.name != ".lock"]
    for name in names:
        if name == "model.json":
            cards = [json.loads((place / name).read_text()) for place in (one, other)]
            for card in cards:
                del card["seconds"], card["rivals_seconds"]
                for row in card["history"]:
                    del row["seconds"]
            assert cards[0] == cards[1]
        elif name == "README.md":
            pages = [(place / name).read_text().splitlines() for place in (one, other)]
            told = [[x for x in page if not x.startswith("| time to fit ")] for page in pages]
            assert [len(page) - 1 for page in pages] == [len(x) for x in told]
            assert told[0] == told[1]
        else:
            assert (one / name).read_bytes() == (other / name).read_bytes()
    return names


def test_cubatures_are_of_the_model_as_stored(run: tuple[Path, list[tuple[Any, ...]]]) -> None:
    folder, _ = run
    model, body = load_model(folder), body_of(SCENE)
    found = load_cubatures(folder)
    assert sorted(found) == ["hod-2", "pca-2", "quadratic-2"]
    seen, unseen = Store(folder / "snapshots").read().split(["bend-0011"])
    for scheme in found.values():
        subspace = model.subspace(scheme.subspace, scheme.rank)
        scheme.check(body, subspace)
        again = fit_cubature(body, subspace, seen.u, unseen.u, seed=5)
        np.testing.assert_array_equal(scheme.tets, again.tets)
        np.testing.assert_array_equal(scheme.weights, again.weights)
        assert scheme.command == "hodsim train bend.toml"


def test_stopped_among_cubatures_it_goes_on_there(
    run: tuple[Path, list[tuple[Any, ...]]], tmp_path: Path
) -> None:
    folder, _ = run

    def stop(stage: str, done: int, total: int, row: dict[str, Any]) -> None:
        if stage == "cubature pca-2":
            raise KeyboardInterrupt

    kept = folder / "snapshots"
    with pytest.raises(KeyboardInterrupt):
        train([SCENE], tmp_path, OPTIONS, kept, stop, "hodsim train bend.toml")
    assert sorted(load_cubatures(tmp_path)) == ["hod-2", "quadratic-2"]
    rows: list[str] = []
    train(
        [SCENE], tmp_path, OPTIONS, kept, lambda *row: rows.append(row[0]), "hodsim train bend.toml"
    )
    assert set(rows) == {"snapshots", "cubature pca-2"}
    assert len(_same_files(tmp_path, folder)) == 6
    assert not (tmp_path / "checkpoint.safetensors").exists()


def test_stopped_and_run_again_it_is_the_same_model(
    run: tuple[Path, list[tuple[Any, ...]]], tmp_path: Path
) -> None:
    """From the snapshots kept, the checkpoint of a stopped fit, and nothing else."""
    folder, _ = run

    def stop(stage: str, done: int, total: int, row: dict[str, Any]) -> None:
        if (stage, done) == ("inner", 13):
            raise KeyboardInterrupt

    kept = folder / "snapshots"
    with pytest.raises(KeyboardInterrupt):
        train([SCENE], tmp_path, OPTIONS, kept, stop, "hodsim train bend.toml")
    assert sorted(p.name for p in tmp_path.iterdir()) == [".lock", "checkpoint.safetensors"]
    with pytest.raises(InputError, match=r"found no model\.json"):
        load_model(tmp_path)
    rows: list[str] = []
    model = train(
        [SCENE], tmp_path, OPTIONS, kept, lambda *row: rows.append(row[0]), "hodsim train bend.toml"
    )
    assert rows.count("inner") == 8  # from 12: an epoch is told before it is saved
    assert len(_same_files(tmp_path, folder)) == 6
    for name, value in load_model(folder).network.state_dict().items():
        assert torch.equal(model.network.state_dict()[name], value)
    other = TrainOptions(12, seed=6, workers=1, fit=FIT)
    with pytest.raises(InputError, match="of other seed, loads"):
        train([SCENE], tmp_path / "other", other, kept)
    assert not (tmp_path / "other").exists()
