"""`hodsim cubature` and what `hodsim info` says of it, on a small model."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from small import SCENE as NEO_HOOKEAN
from small import Run
from started import held

from hodsim.cubature import CUBATURES, load_cubatures
from hodsim.dynamics import FullSpace, simulate
from hodsim.fem import Loads, body_of
from hodsim.networks import HoDNet, Shape
from hodsim.scene import read_scene
from hodsim.snapshots import Store, origin_of
from hodsim.subspaces import Model, fit_pca, fit_quadratic, save_model

SCENE = NEO_HOOKEAN.replace("neo-hookean", "stvk")


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A folder with a small scene and a model for it."""
    path = tmp_path / "small.toml"
    path.write_text(SCENE)
    scene = read_scene(path)
    body = body_of(scene)
    u = simulate(FullSpace(body, Loads(body, scene.loads), scene.time.step), 40).z
    pca, quadratic = fit_pca(u, 4), fit_quadratic(u, 2)
    network = HoDNet(Shape(body.n_dofs, 2, (5,), (5,), 6)).double()
    card = {"origin": origin_of(body), "scenes": ["small"], "options": {"seed": 7}}
    save_model(tmp_path / "model", Model(network, pca.basis, quadratic.basis[:, 2:], card))
    return tmp_path


@pytest.mark.parametrize("command", ["cubature", "peers"])
def test_another_run_is_kept_out_meanwhile(run: Run, home: Path, command: str) -> None:
    before = sorted(p.name for p in (home / "model").iterdir())
    with held(home / "model"):
        code, _, err = run(command, home / "small.toml", "--model", home / "model")
    assert code == 2
    assert "expected no other run that writes there" in err
    assert sorted(p.name for p in (home / "model").iterdir()) == [".lock", *before]


def test_fits_and_stores_and_draws(run: Run, home: Path) -> None:
    report, plot, kept = home / "r.json", home / "p.png", home / "kept"
    options = ("--trajectories", 12, "--workers", 1, "--tets", 6, "--snapshots", kept)
    code, out, err = run(
        "cubature", home / "small.toml", *options, "--json", report, "--plot", plot
    )
    assert (code, err) == (0, "")
    assert len(Store(kept).names()) == 12
    found = load_cubatures(home / "model")
    assert sorted(found) == ["hod-2", "pca-2", "quadratic-2"]
    told = json.loads(report.read_text())
    assert sorted(told["schemes"]) == sorted(found)
    for name, scheme in found.items():
        assert name in out
        facts = told["schemes"][name]
        assert facts["tets"] == scheme.tets.tolist()
        assert facts["weights"] == scheme.weights.tolist()
        assert facts["held_out_error"] == scheme.held_out_error
        assert len(scheme.tets) <= 6
        assert scheme.seed == 7  # the model's own
        assert scheme.command.startswith(f"hodsim cubature {home / 'small.toml'} --model")
        assert "--tets 6 --trajectories 12 --seed 7" in scheme.command
        kinds = facts["poses"]
        assert sorted(kinds) == ["displacement", "force", "stiffness"]
        assert {len(v) for v in kinds.values()} == {9}  # of the one motion held out
    with Image.open(plot) as image:
        assert min(image.size) > 400
    # Again, of one subspace alone, from the motions kept: the others stay.
    code, out, _ = run(
        "cubature", "--model", home / "model", home / "small.toml", "--snapshots", kept,
        "--subspaces", "pca-3", "--tolerance", "0.01",
    )  # fmt: skip
    assert code == 0
    assert "hod-2" not in out
    again = load_cubatures(home / "model")
    assert sorted(again) == ["hod-2", "pca-2", "pca-3", "quadratic-2"]
    np.testing.assert_array_equal(again["hod-2"].tets, found["hod-2"].tets)
    assert again["pca-3"].training_error <= 0.01
    code, out, _ = run("info", "--model", home / "model")
    assert code == 0
    c = again["pca-3"]
    assert f"pca-3: {len(c.tets)} of {c.n_tets} tets, held-out error" in out


def test_one_motion_is_measured_on_itself_and_goes_where_told(run: Run, home: Path) -> None:
    code, _, err = run(
        "cubature", home / "small.toml", "--trajectories", 1, "--workers", 1,
        "--subspaces", "hod", "--out", home / "other",
    )  # fmt: skip
    assert (code, err) == (0, "")
    assert not (home / "model" / CUBATURES).exists()
    (scheme,) = load_cubatures(home / "other").values()
    assert scheme.name == "hod-2"


def test_what_cannot_be_used(run: Run, home: Path) -> None:
    scene, model = home / "small.toml", home / "model"
    other = home / "stiff.toml"
    other.write_text(SCENE.replace("5e4", "6e4"))
    for arguments, told in (
        (("--model", model), "its card names no shipped ones; name their files"),
        ((other,), "one trained for this body"),
        ((scene, "--subspaces", "full"), "expected a kind such as hod"),
        ((scene, "--subspaces", "pca-9"), "expected 1 to 4 for pca"),
        ((scene, "--tets", 0), "--tets"),
        ((scene, "--plot", home), "name of a file"),
    ):
        code, out, err = run("cubature", *arguments)
        assert (code, out) == (2, "")
        assert told in err
        assert err.count("\n") == 1
    (home / "model" / CUBATURES).write_bytes(b"junk")
    code, _, err = run("info", "--model", model)
    assert code == 2
    assert "fit them again with `hodsim cubature`" in err
