"""`hodsim init` and `hodsim run`: what they derive, write, take up again and refuse."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from small import Run

from hodsim import InputError, beam, load_model, read_mesh, read_scene, write_mesh
from hodsim.cli import run as command
from hodsim.cli.proposal import STEPS, propose
from hodsim.dynamics import FullSpace, simulate
from hodsim.fem import Loads, body_of
from hodsim.mesh import TetMesh, scaled, torus
from hodsim.sampling import draw_loads

BAR = beam((10, 2, 2), (2.0, 0.2, 0.2))


def test_a_slender_bar_is_as_the_beam_s_formulas_say() -> None:
    """Against Euler and Bernoulli: a bar is 10 times as long as thick, shear adds a few percent.

    Linear tets are stiffer than the bar, by some tenths here and by 2.7 times if half as fine: E,
    which makes up for it, is lower.
    """
    bar = beam((40, 4, 4), (2.0, 0.2, 0.2))
    p = propose(bar)
    assert (p.axis, p.length) == (0, 2.0)
    assert min(p.clamped, p.tipped) >= 5 * 5 + 4 * 4
    assert p.mass == pytest.approx(1000.0 * bar.volumes.sum())
    assert p.sag <= 0.15 * 2.0
    L, b, g, rho = 2.0, 0.2, 9.81, 1000.0
    inertia, area = b**4 / 12.0, b**2
    young = rho * area * g * L**4 / (8.0 * inertia * p.sag)
    assert 0.6 < p.young / young < 1.0
    # The ratio of frequency and sag is E's no more: omega^2 sag = 1.875^4 g / 8.
    assert (2 * np.pi / p.period) ** 2 * p.sag == pytest.approx(1.8751**4 * g / 8.0, rel=0.05)
    assert p.step == pytest.approx(p.period / 80, rel=0.05)
    # omega = 2 pi / period, a damping of 0.15 of critical.
    assert p.damping == pytest.approx(2 * 0.15 * 2 * np.pi / p.period, rel=0.05)
    # The same push that weighs like the bar sags by 8/3 of what its weight does.
    weight = p.mass * g
    assert p.force == pytest.approx(weight * (0.2 * L / p.sag) * 3.0 / 8.0, rel=0.15)


@pytest.mark.parametrize("factor", [1e-3, 1e3])
def test_a_proposal_follows_the_size(factor: float) -> None:
    """E goes with rho g L, times with sqrt(L / g): all else is a matter of shape."""
    p, q = propose(BAR), propose(scaled(BAR, factor))
    assert q.young == pytest.approx(factor * p.young, rel=0.06)
    assert q.period == pytest.approx(factor**0.5 * p.period, rel=0.06)
    assert q.force == pytest.approx(factor**3 * p.force, rel=0.06)
    assert (q.clamped, q.tipped) == (p.clamped, p.tipped)


@pytest.mark.parametrize("mesh", [BAR, torus(sections=14)], ids=["bar", "torus"])
def test_it_sags_and_does_not_collapse(run: Run, tmp_path: Path, mesh: TetMesh) -> None:
    write_mesh(mesh, tmp_path / "body.vtu")
    path = tmp_path / "scenes" / "body.toml"
    code, out, err = run("init", tmp_path / "body.vtu", "--out", path)
    assert (code, err) == (0, "")
    assert f"wrote {path}" in out
    scene = read_scene(path)
    assert scene.mesh.file is not None
    assert scene.mesh.file.resolve() == tmp_path / "body.vtu"
    body = body_of(scene)
    # Its own loads, and the first that training draws.
    for loads in (scene.loads, draw_loads(scene, np.random.default_rng(1))):
        full = FullSpace(
            body, Loads(body, loads), scene.time.step, scene.time.integrator, scene.newton
        )
        motion = simulate(full, STEPS // 2)
        assert motion.converged
        moved = body.expand(motion.displacements())
        length = np.ptp(mesh.vertices, axis=0).max()
        assert 0.02 * length < np.linalg.norm(moved, axis=2).max() < 0.8 * length
        x = mesh.vertices + moved
        corners = x[:, mesh.tets]
        sides = corners[:, :, 1:] - corners[:, :, :1]
        assert (np.linalg.det(sides) / (6.0 * mesh.volumes)).min() > 0.1


def test_the_file_s_unit(run: Run, tmp_path: Path) -> None:
    write_mesh(scaled(BAR, 1000.0), tmp_path / "mm.vtu")
    scene, told = tmp_path / "a.toml", tmp_path / "a.json"
    code, _, _ = run("init", tmp_path / "mm.vtu", "--out", scene, "--scale", 0.001, "--json", told)
    assert code == 0
    assert np.ptp(body_of(read_scene(scene)).mesh.vertices[:, 0]) == pytest.approx(2.0)
    assert json.loads(told.read_text())["proposal"]["length"] == pytest.approx(2.0)


def test_what_init_refuses(run: Run, tmp_path: Path) -> None:
    two = TetMesh(
        np.vstack([BAR.vertices, BAR.vertices + np.array([5.0, 0, 0])]),
        np.vstack([BAR.tets, BAR.tets + BAR.n_vertices]),
    )
    write_mesh(two, tmp_path / "two.vtu")
    write_mesh(BAR, tmp_path / "bar.vtu")
    # Every tet with vertices of its own, as some programs write them.
    own = np.arange(4 * BAR.n_tets).reshape(-1, 4)
    write_mesh(TetMesh(BAR.vertices[BAR.tets].reshape(-1, 3), own), tmp_path / "soup.vtu")
    again = 4 * BAR.n_tets - BAR.n_vertices
    scene = tmp_path / "s.toml"
    for arguments, told in (
        ((tmp_path / "two.vtu",), "two.vtu: expected one piece"),
        ((tmp_path / "two.vtu",), "1 pieces do not. Bridge the gaps"),
        ((tmp_path / "soup.vtu",), f"Merge the {again} vertices that lie where others do"),
        ((tmp_path / "none.vtu",), "expected a mesh file, but there is none"),
        ((tmp_path / "bar.vtu", "--edge", 0.1), "expected a surface for --edge"),
        ((tmp_path / "bar.vtu", "--scale", 0), "scale: expected a finite number > 0"),
    ):
        code, out, err = run("init", *arguments, "--out", scene)
        assert (code, out) == (2, "")
        assert told in err
        assert err.count("\n") == 1
        assert not scene.exists()
    scene.write_text("mine")
    code, _, err = run("init", tmp_path / "bar.vtu", "--out", scene)
    assert (code, scene.read_text()) == (2, "mine")
    assert "use --force" in err
    assert run("init", tmp_path / "bar.vtu", "--out", scene, "--force")[0] == 0


def test_init_writes_over_no_mesh_that_is_there(run: Run, tmp_path: Path) -> None:
    surface, tets = tmp_path / "a.stl", tmp_path / "b.vtu"
    surface.write_text("whatever it is, nobody looks at it")
    tets.write_text("mine")
    code, _, err = run("init", surface, "--out", tmp_path / "b.toml")
    assert (code, tets.read_text()) == (2, "mine")
    assert "b.vtu: is there already" in err


def test_a_name_that_no_scene_can_hold(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "a\udcff.vtu"
    try:
        path.write_bytes(b"")
    except (OSError, UnicodeError):
        pytest.skip("file names are text here")
    write_mesh(BAR, path)
    code, _, err = run("init", path, "--out", tmp_path / "s.toml")
    assert (code, "expected a name in UTF-8" in err) == (2, True)
    assert not (tmp_path / "s.toml").exists()


@pytest.mark.parametrize("scale", [0.0254000508, 1e-3, 1.0])
def test_the_scene_has_the_scale_that_was_asked_for(run: Run, tmp_path: Path, scale: float) -> None:
    write_mesh(BAR, tmp_path / "bar.vtu")
    scene = tmp_path / "s.toml"
    assert run("init", tmp_path / "bar.vtu", "--out", scene, "--scale", scale)[0] == 0
    assert read_scene(scene).mesh.scale == scale


def test_a_film_s_name_is_looked_at_first(run: Run, tmp_path: Path) -> None:
    write_mesh(BAR, tmp_path / "bar.vtu")
    code, out, err = run("run", tmp_path / "bar.vtu", "--video", "x.txt", "--out", tmp_path / "r")
    assert (code, out) == (2, "")
    assert err == "hodsim: x.txt: expected a name ending in .mp4, .gif, .png, given '.txt'\n"
    assert not (tmp_path / "r").exists()


def test_run_writes_over_no_scene_of_another(run: Run, tmp_path: Path) -> None:
    write_mesh(BAR, tmp_path / "bar.vtu")
    scene = tmp_path / "out" / "scene.toml"
    scene.parent.mkdir()
    scene.write_text("mine")
    code, _, err = run("run", tmp_path / "bar.vtu", "--out", scene.parent, "--quick", "--no-view")
    assert (code, scene.read_text()) == (2, "mine")
    assert "not made by hodsim run" in err


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("run")
    write_mesh(beam((4, 1, 1), (0.8, 0.2, 0.2)), folder / "bar.vtu")
    return folder


def _call(run: Run, small: Path, *more: object) -> tuple[int, str, str]:
    return run(
        "run", small / "bar.vtu", "--out", small / "out", "--quick", "--epochs", 3,
        "--trajectories", 2, "--rank", 2, "--workers", 1, "--no-view", *more,
    )  # fmt: skip


def test_it_goes_all_the_way_and_goes_on(
    run: Run, small: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Stopped while it compares, by Ctrl-C, it keeps scene, motions and model.
    compared = command._compared

    def stop(*args: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(command, "_compared", stop)
    assert _call(run, small)[0] == 130
    weights = small / "out" / "model" / "weights.safetensors"
    scene = (small / "out" / "scene.toml").read_bytes()
    before = weights.stat().st_mtime_ns
    monkeypatch.setattr(command, "_compared", compared)
    code, out, err = _call(run, small, "--json", small / "r.json")
    assert (code, err) == (0, "")
    assert "going on with" in out
    assert weights.stat().st_mtime_ns == before
    assert (small / "out" / "scene.toml").read_bytes() == scene
    told = json.loads((small / "r.json").read_text())
    assert told["run"]["seconds"]["training"] == 0.0
    assert told["run"]["rank"] == 2
    card = json.loads((small / "out" / "model" / "model.json").read_text())
    assert card["options"]["fit"]["batch"] == 64
    assert card["command"].endswith("--epochs 3 --quick")
    labels = [row["label"] for row in told["rows"]]
    assert labels == ["full", "pca-2", "quadratic-2", "hod-2"]
    # The loads are drawn like those of training, and are none of them.
    opened = read_scene(small / "out" / "scene.toml")
    (case,) = command._held_out(opened, 1, 2)
    assert case.loads != opened.loads
    assert case.loads == replace(case, loads=command._held_out(opened, 2, 2)[0].loads).loads
    for name in ("report.html", "run.json", "results.csv"):
        assert (small / "out" / name).is_file()
    # The scene names its model: other commands need no more.
    assert opened.model is not None
    assert load_model(opened.model).card["scenes"] == ["bar"]
    # A scene in place of a mesh, and other options for a model that is there.
    code, _, err = run("run", small / "out" / "scene.toml", "--edge", 1.0, "--out", small / "b")
    assert (code, "given a scene" in err) == (2, True)
    code, _, err = _call(run, small, "--seed", 5)
    assert (code, "one of other seed" in err) == (2, True)
    code, _, err = _call(run, small, "--scale", 2.0)
    assert (code, "with the same --edge, --mend, --join and --scale" in err) == (2, True)
    assert read_mesh(small / "bar.vtu").n_vertices == body_of(opened).mesh.n_vertices
    # A scene that was changed since draws other motions than the model has seen.
    path = small / "out" / "scene.toml"
    path.write_text(scene.decode().replace("probability = 0.6", "probability = 1.0"))
    code, _, err = _call(run, small)
    assert (code, "expected the motion that this scene and seed draw" in err) == (2, True)
    path.write_bytes(scene)


def test_without_a_display_it_says_how_to_view_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def none(*args: object, **options: object) -> None:
        raise InputError("window: no display")

    monkeypatch.setattr(command.view, "view", none)
    command._view(tmp_path / "a b.toml", tmp_path, web=False, quick=False, solver="auto")
    told = capsys.readouterr().out.splitlines()
    assert told[0] == "no viewer: window: no display"
    assert told[1] == f"later: hodsim view '{tmp_path}/a b.toml' --model {tmp_path}/model"
