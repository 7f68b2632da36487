"""`hodsim film` as a user calls it."""

from __future__ import annotations

import json
from pathlib import Path

import imageio_ffmpeg
import numpy as np
import pytest
from PIL import Image
from small import SCENE, Run

import hodsim.viewer
from hodsim.dynamics import FullSpace, simulate
from hodsim.errors import InputError
from hodsim.fem import Loads, body_of
from hodsim.networks import HoDNet, Shape
from hodsim.scene import read_scene
from hodsim.snapshots import origin_of
from hodsim.subspaces import Model, fit_pca, fit_quadratic, save_model


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small scene with a model of rank 2 for it."""
    path = tmp_path_factory.mktemp("home") / "small.toml"
    path.write_text(SCENE)
    read = read_scene(path)
    body = body_of(read)
    u = simulate(FullSpace(body, Loads(body, read.loads), read.time.step), 40).z
    pca, quadratic = fit_pca(u, 4), fit_quadratic(u, 2)
    network = HoDNet(Shape(body.n_dofs, 2, (5,), (5,), 6)).double()
    card = {"origin": origin_of(body), "made_by": "tests/viewer/test_film.py"}
    save_model(path.parent / "model", Model(network, pca.basis, quadratic.basis[:, 2:], card))
    return path


def test_film_of_a_scene(run: Run, scene: Path, tmp_path: Path) -> None:
    path, report = tmp_path / "out" / "film.mp4", tmp_path / "report.json"
    code, out, err = run("film", scene, "--out", path, "--json", report)
    assert (code, err) == (0, "")
    assert f"wrote {path}" in out
    assert imageio_ffmpeg.count_frames_and_secs(str(path))[0] == 5  # 8 steps of 20 ms, 25 a second
    told = json.loads(report.read_text())
    assert told["shown"] == ["full", "pca-2", "hod-2"]
    assert told["times"] == pytest.approx([0.0, 0.04, 0.08, 0.12, 0.16])
    assert told["frames"] == 5
    assert [r["label"] for r in told["runs"]] == told["shown"]


@pytest.mark.parametrize("colour", ["displacement", "stress", "error"])
def test_picture_in_every_colour(run: Run, scene: Path, tmp_path: Path, colour: str) -> None:
    path, report = tmp_path / "a.png", tmp_path / "a.json"
    arguments = ("--subspaces", "pca-2,full", "--colour", colour, "--time", "0.1")
    code, _, err = run("film", scene, "--out", path, "--json", report, *arguments)
    assert (code, err) == (0, "")
    told = json.loads(report.read_text())
    assert told["shown"] == ["full", "pca-2"]
    assert told["times"] == pytest.approx([0.1])
    top = told["colour_top"]
    size = {"displacement": (1e-3, 1.0), "stress": (10.0, 1e5), "error": (1e-6, 0.3)}[colour]
    assert size[0] < top < size[1]
    image = np.asarray(Image.open(path))
    assert all((image[60:-60, 480 * k : 480 * k + 480].min(axis=2) < 250).any() for k in range(2))


def test_gif_of_full_space_needs_no_model(run: Run, tmp_path: Path) -> None:
    path, film = tmp_path / "bare.toml", tmp_path / "a.gif"
    path.write_text(SCENE.replace('[subspace]\nmodel = "model"\n', ""))
    code, out, err = run("film", path, "--out", film, "--fps", "50", "--quick")
    assert (code, err) == (0, "")
    assert "full" in out
    with Image.open(film) as found:
        assert found.n_frames == 9


def test_help(run: Run) -> None:
    code, out, _ = run("film", "--help")
    assert code == 0
    options = (
        "--subspaces",
        "--model",
        "--out",
        "--fps",
        "--colour",
        "--quick",
        "--json",
        "--time",
    )
    assert all(option in out for option in options)


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("--out", "{tmp}/a.avi"), "expected a name ending in .mp4, .gif, .png"),
        (("--out", "{tmp}"), "given a folder"),
        (("--out", "{scene}/a.mp4"), "is a file"),
        (("--json", "{scene}/a.json"), "is a file"),
        (("--fps", "0"), "expected 1 to 100 frames a second"),
        (("--colour", "red"), "expected one of displacement, stress, error"),
        (("--time", "0.1"), "--time is of a picture"),
        (("--out", "{tmp}/a.png", "--time", "0.5"), "expected 0 to 0.16 s"),
        (("--out", "{tmp}/a.png", "--time", "nan"), "expected 0 to 0.16 s"),
        (("--subspaces", "pac-2"), "expected one of full, hod"),
        (("--subspaces", ","), "expected at least one"),
        (("--subspaces", "pca-9"), "expected 1 to 4 for pca"),
        (("--model", "{tmp}/none"), "expected a model's folder"),
    ],
)
def test_bad_input_is_refused_before_simulating(
    run: Run, scene: Path, tmp_path: Path, arguments: tuple[str, ...], told: str
) -> None:
    given = [a.format(tmp=tmp_path, scene=scene) for a in arguments]
    if "--out" not in given:
        given += ["--out", str(tmp_path / "a.mp4")]
    code, out, err = run("film", scene, *given)
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert told in err
    assert not list(tmp_path.iterdir())


def test_no_opengl_is_told_before_simulating(
    run: Run, scene: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse() -> None:
        raise InputError("no OpenGL; apt install libosmesa6")

    monkeypatch.setattr(hodsim.viewer, "check_drawing", refuse)
    monkeypatch.setattr("hodsim.comparison.play", None)
    code, out, err = run("film", scene, "--out", tmp_path / "a.png")
    assert (code, out, err) == (2, "", "hodsim: no OpenGL; apt install libosmesa6\n")
    assert not list(tmp_path.iterdir())
