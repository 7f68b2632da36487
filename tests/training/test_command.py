"""`hodsim peers` on a small model: what it fits, keeps, tells and refuses."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from small import SCENE, Run

from hodsim import load_model
from hodsim.cli.motions import scenes_of
from hodsim.cli.peers import _checked, _default
from hodsim.cubature import load_cubatures
from hodsim.dynamics import parse_specs
from hodsim.fem import body_of
from hodsim.files import data_dir
from hodsim.networks import HoDNet, Shape
from hodsim.sampling import make_snapshots
from hodsim.scene import read_scene
from hodsim.snapshots import Snapshots, Store, origin_of
from hodsim.subspaces import Model, fit_pca, fit_quadratic, save_model
from hodsim.training import held_out_of, pose_weights

FIT = {"rank": 2, "epochs": 4, "batch": 64, "rate": 0.01}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a small scene, motions of it and a model."""
    home = tmp_path_factory.mktemp("home")
    (home / "small.toml").write_text(SCENE)
    scene = read_scene(home / "small.toml")
    store = Store(home / "motions")
    make_snapshots([scene], 12, 7, store, 1)
    seen, _ = _split(home)
    torch.manual_seed(0)
    network = HoDNet(Shape(seen.u.shape[1], 2, (6,), (5,), 6)).double()
    card = {
        "origin": origin_of(body_of(scene)),
        "scenes": ["small"],
        "options": {"seed": 7, "fit": FIT},
        "trajectories_of_each_scene": 12,
        "poses": {"trained_on": len(seen.u), "sha256": seen.digest},
    }
    V, W = fit_pca(seen.u, 8).basis, fit_quadratic(seen.u, 2).basis[:, 2:]
    save_model(home / "model", Model(network, V, W, card))
    return home


@pytest.fixture
def home(made: Path, tmp_path: Path) -> Path:
    shutil.copytree(made, tmp_path / "home")
    return tmp_path / "home"


def _split(home: Path) -> tuple[Snapshots, Snapshots]:
    poses = Store(home / "motions").read()
    return poses.split(held_out_of(poses.names))


def _call(run: Run, home: Path, peers: str, *more: object) -> tuple[int, str, str]:
    return run(
        "peers", home / "small.toml", "--model", home / "model", "--snapshots", home / "motions",
        "--peers", peers, *more,
    )  # fmt: skip


def test_it_fits_measures_and_stores(run: Run, home: Path) -> None:
    report = home / "r.json"
    asked = "masspca,modal-3,quadratic-3,hod-3,hybrid,autoencoder-2"
    code, out, err = _call(run, home, asked, "--json", report)
    assert (code, err) == (0, "")
    assert "not the same data" not in out
    assert "other poses" not in out
    model, cubatures = load_model(home / "model"), load_cubatures(home / "model")
    assert sorted(model.peers) == [
        "autoencoder-2", "hod-3", "hybrid-2", "masspca", "modal", "quadratic-3"
    ]  # fmt: skip
    rows = {row["label"]: row for row in json.loads(report.read_text())["peers"]}
    # PCA's own ranks of the linear ones, or the one that was named.
    assert list(rows) == [
        "masspca-2", "masspca-6", "modal-3", "quadratic-3", "hod-3", "hybrid-2", "autoencoder-2"
    ]  # fmt: skip
    assert sorted(cubatures) == sorted(rows)
    body = body_of(read_scene(home / "small.toml"))
    _, unseen = _split(home)
    for label, row in rows.items():
        kind, rank = label.split("-")
        subspace, scheme = model.subspace(kind, int(rank)), cubatures[label]
        scheme.check(body, subspace)
        u = unseen.u.astype(float)
        square = ((subspace.reconstruct(u) - u) ** 2).sum(axis=1)
        wanted = np.sqrt(pose_weights(unseen, 1.0) @ square)
        assert row["held_out_error"] == pytest.approx(wanted, rel=1e-6)
        assert row["tets"] == len(scheme.tets)
        assert row["cubature_error"] == scheme.held_out_error
        assert row["seconds"] == model.training_seconds(kind, int(rank))
        assert label in out
    card = model.peers["hybrid-2"].facts
    assert (card["options"]["design"], card["options"]["linear"]) == ("hybrid", 1)
    assert (card["options"]["epochs"], card["options"]["batch"]) == (4, 64)  # the model's own
    assert (card["options"]["decoder"], card["options"]["seed"]) == ([6], 7)
    assert re.search(r"--peers \S*hybrid\S* --epochs 4 --seed 7$", card["command"])
    assert not list((home / "model").glob("peers/*/checkpoint*"))


def test_what_is_there_is_kept_unless_told(run: Run, home: Path) -> None:
    places = [home / "model" / "peers" / name for name in ("hybrid-3", "masspca.safetensors")]
    _call(run, home, "masspca-2,hybrid-3", "--epochs", 3)
    (home / "model" / "cubature.safetensors").unlink()

    def state() -> list[bytes]:
        return [places[0].joinpath("model.json").read_bytes(), places[1].read_bytes()]

    before = state()
    # Poses of before, and the network of three epochs: kept, which is said.
    code, out, _ = _call(run, home, "masspca-2,hybrid-3,quadratic-3", "--trajectories", 14)
    assert code == 0
    assert state() == before
    for name in ("masspca", "hybrid-3"):
        assert f"kept {name}, fitted to other poses" in out
    assert "kept hybrid-3, fitted with other epochs: --again fits it anew" in out
    assert "kept quadratic-3" not in out
    assert "the model was trained on 99 poses, the peers on 117: not the same data" in out
    assert sorted(load_cubatures(home / "model")) == ["hybrid-3", "masspca-2", "quadratic-3"]
    code, out, _ = _call(run, home, "hybrid-3", "--again", "--linear", 2)
    assert code == 0
    assert state()[0] != before[0]
    assert state()[1] == before[1]
    assert "kept hybrid-3" not in out
    options = load_model(home / "model").peers["hybrid-3"].facts["options"]
    assert (options["linear"], options["epochs"]) == (2, 4)
    # Its cubature is fitted anew, too, even where the peer comes out as it was.
    _call(run, home, "quadratic-3", "--again", "--seed", 9)
    schemes = load_cubatures(home / "model")
    assert (schemes["quadratic-3"].seed, schemes["hybrid-3"].seed) == (9, 7)


def test_stopped_it_goes_on_with_the_next(
    run: Run, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import hodsim.training.peers as room

    fit = room.fit

    def stop(*args: object, **kw: object) -> object:
        raise KeyboardInterrupt

    monkeypatch.setattr(room, "fit", stop)
    code, _, _ = _call(run, home, "masspca-2,quadratic-3,hod-3,quadratic-4")
    assert code == 130
    assert load_model(home / "model").labels()[-9:] == (
        "quadratic-3", *(f"masspca-{r}" for r in range(1, 9))
    )  # fmt: skip
    assert sorted(load_cubatures(home / "model")) == ["masspca-2", "quadratic-3"]
    first = (home / "model" / "peers" / "quadratic-3.safetensors").stat().st_mtime_ns
    monkeypatch.setattr(room, "fit", fit)
    code, out, _ = _call(run, home, "masspca-2,quadratic-3,hod-3,quadratic-4")
    assert code == 0
    assert "other poses" not in out
    assert (home / "model" / "peers" / "quadratic-3.safetensors").stat().st_mtime_ns == first
    assert sorted(load_cubatures(home / "model")) == [
        "hod-3", "masspca-2", "quadratic-3", "quadratic-4"
    ]  # fmt: skip


def test_missing_motions_are_made_and_those_of_others_refused(run: Run, home: Path) -> None:
    lost = home / "motions" / "small-0003.h5"
    before = Store(home / "motions").read()
    lost.unlink()
    code, out, _ = _call(run, home, "evenpca-2")
    assert (code, "not the same data" in out) == (0, False)
    assert Store(home / "motions").read().digest == before.digest
    seen, _ = _split(home)
    facts = load_model(home / "model").peers["evenpca"].facts
    assert facts["poses"] == {"trained_on": len(seen.u), "sha256": seen.digest}
    for name, told in (
        ("other-0000", "expected motions of small, found other-0000"),
        ("small-0002", "expected the motion that this scene and seed draw"),
    ):
        shutil.copy(lost, home / "motions" / f"{name}.h5")
        code, _, err = _call(run, home, "evenpca-2")
        assert (code, told in err) == (2, True), err
        (home / "motions" / f"{name}.h5").unlink()


def test_the_model_s_own_poses_of_a_folder_that_has_more(run: Run, home: Path) -> None:
    assert _call(run, home, "evenpca-2", "--trajectories", 13)[0] == 0
    code, out, _ = _call(run, home, "masspca-2")
    assert (code, "not the same data" in out) == (0, False)
    seen, _ = (
        Store(home / "motions").read([f"small-{k:04d}" for k in range(12)]).split(["small-0011"])
    )
    peers = load_model(home / "model").peers
    assert peers["masspca"].facts["poses"]["sha256"] == seen.digest
    assert peers["evenpca"].facts["poses"]["sha256"] != seen.digest
    # How poses weigh is an option of the even ones, and told like those of networks.
    path = home / "model" / "model.json"
    card = json.loads(path.read_text())
    card["options"]["fit"]["evenness"] = 0.5
    path.write_text(json.dumps(card))
    code, out, _ = _call(run, home, "evenpca-2,masspca-2", "--trajectories", 13)
    assert "kept evenpca, fitted with other evenness: --again fits it anew" in out
    assert "kept masspca, fitted with" not in out


def test_quick_makes_its_own_motions(run: Run, home: Path) -> None:
    code, out, err = run(
        "peers",
        home / "small.toml",
        "--model",
        home / "model",
        "--peers",
        "stiffpca",
        "--quick",
        "--workers",
        1,
    )
    assert (code, err) == (0, "")
    assert sorted(load_cubatures(home / "model")) == ["stiffpca-2"]
    assert "the peers on 36: not the same data" in out


def test_what_cannot_be_used(run: Run, home: Path) -> None:
    scene, model = home / "small.toml", ("--model", home / "model")
    other = home / "stiff.toml"
    other.write_text(SCENE.replace("5e4", "6e4"))
    for arguments, told in (
        (model, "its card names no shipped ones; name their files"),
        ((other, *model), "one trained for this body"),
        ((scene, *model, "--peers", "pca-3"), "expected others than full and pca, given pca-3"),
        ((scene, *model, "--peers", "hod"), "others than the model's own hod-2, given hod"),
        ((scene, *model, "--peers", "quadratic-2"), "the model's own quadratic-2"),
        ((scene, *model, "--peers", ","), "given none"),
        ((scene, *model, "--peers", "resnet-3"), "expected one of full, hod, pca"),
        ((scene, *model, "--snapshots", home / "motions", "--peers", "quadratic-9"), "1 to 8"),
        ((scene, *model, "--snapshots", home / "motions", "--peers", "hod-7"), "rank of at most"),
        (
            (scene, *model, "--snapshots", home / "motions", "--peers", "hybrid-2", "--linear", 2),
            "given 2 of 2 for hybrid",
        ),
        (
            (scene, *model, "--snapshots", home / "motions", "--peers", "modal-9"),
            "1 to 8 for modal",
        ),
    ):
        code, out, err = run("peers", *arguments)
        assert (code, out) == (2, "")
        assert told in err
        assert err.count("\n") == 1


def test_scenes_of_a_card_are_those_of_its_body() -> None:
    """All shipped bodies have a scene "bend"."""
    folder = data_dir("trained_models") / "torus"
    found = scenes_of(load_model(folder), folder)
    assert [scene.path for scene in found] == [
        data_dir("scenes") / "torus" / f"{name}.toml" for name in ("bend", "twist", "swing")
    ]


@pytest.mark.parametrize(("name", "own"), [("beam", 6), ("starfish", 8)])
def test_the_default_is_of_others_than_the_model_s_own(name: str, own: int) -> None:
    model = load_model(data_dir("trained_models") / name)
    specs = parse_specs(_default(model))
    assert [spec.kind for spec in specs][:4] == ["evenpca", "masspca", "stiffpca", "modal"]
    for spec in specs:
        _checked(spec, model)  # raises for what is the model's own
    assert {s.rank for s in specs if s.kind == "quadratic"} == {4, 6, 8} - {own}
    assert {s.rank for s in specs if s.kind == "evenquadratic"} == {4, 6, 8}
