"""Exact elastic forces by the name `pca-3:polynomial` in the commands that take subspaces."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from small import SCENE as NEO_HOOKEAN
from small import Run

from hodsim.cubature import POLYNOMIALS, load_schemes
from hodsim.dynamics import FullSpace, simulate
from hodsim.fem import Loads, body_of
from hodsim.networks import HoDNet, Shape
from hodsim.scene import read_scene
from hodsim.snapshots import origin_of
from hodsim.subspaces import Model, fit_pca, fit_quadratic, save_model


def make_home(folder: Path, law: str) -> Path:
    path = folder / "small.toml"
    path.write_text(NEO_HOOKEAN.replace("neo-hookean", law))
    scene = read_scene(path)
    body = body_of(scene)
    u = simulate(FullSpace(body, Loads(body, scene.loads), scene.time.step), 40).z
    pca, quadratic = fit_pca(u, 4), fit_quadratic(u, 2)
    network = HoDNet(Shape(body.n_dofs, 2, (5,), (5,), 6)).double()
    card = {"origin": origin_of(body), "scenes": ["small"]}
    save_model(folder / "model", Model(network, pca.basis, quadratic.basis[:, 2:], card))
    return path


@pytest.fixture
def scene(tmp_path: Path) -> Path:
    return make_home(tmp_path, "stvk")


def test_stored_and_taken_up(run: Run, scene: Path) -> None:
    report, model = scene.parent / "r.json", scene.parent / "model"
    names = "pca-3:polynomial,hod:polynomial"
    code, out, err = run("cubature", scene, "--subspaces", names, "--json", report)
    assert (code, err) == (0, "")
    told = json.loads(report.read_text())["polynomials"]
    # 3 features: 6 + 10 + 15 coefficients; 6 of the network: 21 + 56 + 126.
    assert {name: facts["coefficients"] for name, facts in told.items()} == {
        "pca-3": 31,
        "hod-2": 203,
    }
    assert "pca-3: 31 coefficients of 3 features" in out
    assert sorted(load_schemes(model)) == ["hod-2 polynomial", "pca-3 polynomial"]
    assert not (model / "cubature.safetensors").exists()
    motion = scene.parent / "m.npz"
    options = ("--json", report, "--out", motion)
    code, out, err = run("simulate", scene, "--subspace", "pca-3:polynomial", *options)
    assert (code, err) == (0, "")
    assert "no cubature" not in out
    told = json.loads(report.read_text())
    assert (told["label"], told["engine"], told["tets"]) == ("pca-3 polynomial", "compiled", 0)
    exact = np.load(motion)["displacement"]
    for name, extra in (("pca-3", ()), ("pca-3:polynomial", ("--reference",))):
        code, _, _ = run("simulate", scene, "--subspace", name, *extra, *options)
        assert code == 0
        other = np.load(motion)["displacement"]
        assert np.abs(other - exact).max() <= 1e-9 * np.abs(exact).max()
    # The file is what was used: one of another body is refused.
    place = model / POLYNOMIALS / "pca-3.safetensors"
    place.write_bytes(place.read_bytes()[:-8])
    code, out, err = run("simulate", scene, "--subspace", "pca-3:polynomial")
    assert (code, out) == (2, "")
    assert "cannot read it" in err


def test_compared_beside_all_tets(run: Run, scene: Path) -> None:
    out = scene.parent / "out"
    names = "pca-2..3,pca-2..3:polynomial,quadratic-2:polynomial,hod-2"
    code, printed, err = run("compare", scene, "--subspaces", names, "--out", out)
    assert (code, err) == (0, "")
    rows = {row["label"]: row for row in json.loads((out / "results.json").read_text())["rows"]}
    assert list(rows) == [
        "full", "pca-2", "pca-3", "pca-2 polynomial", "pca-3 polynomial",
        "quadratic-2 polynomial", "hod-2",
    ]  # fmt: skip
    for name in ("pca-2", "pca-3"):
        exact, whole = rows[f"{name} polynomial"], rows[name]
        assert exact["tets"] == 0
        for error in ("tip_position_error", "velocity_error"):
            assert exact[error] == pytest.approx(whole[error], rel=1e-6)
    assert "no cubature for pca-2, pca-3, hod-2" in printed


def test_ranks_are_matched_by_one_elasticity(run: Run, scene: Path) -> None:
    out = scene.parent / "out"
    names = "pca-2,pca-4:polynomial,hod-2"
    code, _, err = run("compare", scene, "--subspaces", names, "--out", out)
    assert (code, err) == (0, "")
    (match,) = json.loads((out / "results.json").read_text())["summary"]["matches"]
    assert match["up_to"] == 2  # not 4: that has other forces


@pytest.mark.parametrize("law", ["neo-hookean", "corotational"])
def test_another_material_is_one_line(run: Run, tmp_path: Path, law: str) -> None:
    scene = make_home(tmp_path, law)
    for command in ("cubature", "compare"):
        code, _, err = run(command, scene, "--subspaces", "pca-2:polynomial")
        assert code == 2
        assert f"expected the material law stvk, whose energy is one, given '{law}'" in err
        assert err.count("\n") == 1
    code, _, err = run("simulate", scene, "--subspace", "full:polynomial")
    assert code == 2
    assert "expected a subspace such as pca-12, given full" in err
