"""The command line: what it writes, and one line for what it cannot use."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import h5py
import meshio
import numpy as np
import pytest
from small import SCENE, Run

import hodsim
from hodsim.cubature import load_cubatures
from hodsim.dynamics import FullSpace, simulate
from hodsim.fem import Loads, body_of
from hodsim.networks import HoDNet, Shape
from hodsim.scene import read_scene
from hodsim.snapshots import origin_of
from hodsim.subspaces import Model, fit_pca, fit_quadratic, save_model

COMMANDS = (
    "demo",
    "init",
    "run",
    "simulate",
    "film",
    "view",
    "train",
    "cubature",
    "compare",
    "info",
)
STEPS = 8


@pytest.fixture(scope="session")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a small scene and a model for it; tests write elsewhere."""
    folder = tmp_path_factory.mktemp("home")
    path = folder / "small.toml"
    path.write_text(SCENE)
    scene = read_scene(path)
    body = body_of(scene)
    full = FullSpace(body, Loads(body, scene.loads), scene.time.step)
    u = simulate(full, 40).z
    pca, quadratic = fit_pca(u, 4), fit_quadratic(u, 2)
    network = HoDNet(Shape(body.n_dofs, 2, (5,), (5,), 6)).double()
    card = {"origin": origin_of(body), "made_by": "tests/test_cli.py"}
    save_model(folder / "model", Model(network, pca.basis, quadratic.basis[:, 2:], card))
    return folder


def files_in(folder: Path) -> set[Path]:
    return set(folder.rglob("*"))


# Help


@pytest.mark.parametrize("command", COMMANDS)
def test_help_of_every_command(run: Run, command: str) -> None:
    code, out, err = run(command, "--help")
    assert (code, err) == (0, "")
    assert f"Usage: hodsim {command}" in out
    assert "--json FILE" in out


def test_help_and_version(run: Run) -> None:
    code, out, _ = run("--help")
    assert code == 0
    assert all(command in out for command in COMMANDS)
    assert run()[:2] == (0, out)
    assert run("--version") == (0, hodsim.__version__ + "\n", "")


def test_help_is_quick() -> None:
    # Quick is measured by what gets imported, not by a clock, which a busy machine would fail.
    code = (
        "import sys, hodsim.cli\n"
        "try: hodsim.cli.main(['simulate', '--help'])\n"
        "except SystemExit: pass\n"
        "heavy = 'numpy scipy torch warp meshio h5py matplotlib'.split()\n"
        "print([m for m in heavy if m in sys.modules], file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stderr.strip() == "[]"


# Bad input


def _replace(old: str, new: str) -> Callable[[str], str]:
    def change(text: str) -> str:
        assert old in text
        return text.replace(old, new)

    return change


def _folded(folder: Path) -> None:
    """Two tets on the same side of the face that they share: one of them is inverted."""
    points = np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0], [0.2, 0.2, 1], [0.3, 0.3, 0.5]], float)
    cells = [("tetra", np.array([[0, 1, 2, 3], [0, 1, 2, 4]]))]
    meshio.Mesh(points, cells).write(folder / "folded.vtu")


MESH = "beam = { cells = [3, 1, 1], size = [0.6, 0.2, 0.2] }"
CLAMP = "[[clamp]]\nbox = { min = [-1e-6, -1, -1], max = [1e-6, 1, 1] }"
BAD_SCENES = {
    "missing key": (_replace("young = 5e4\n", ""), "material.young: missing"),
    "unknown key": (_replace("young", "yuong"), "yuong: unknown key"),
    "malformed TOML": (_replace("[material]", "[material"), "expected TOML"),
    "missing mesh": (_replace(MESH, 'file = "no.vtu"'), "no.vtu: expected a mesh file"),
    "inverted tet": (_replace(MESH, 'file = "folded.vtu"'), "is inverted"),
    "NaN load": (_replace("[0, 4, 9]", "[0, nan, 9]"), "load[0].values[1][1]: expected a finite"),
    "nothing clamped and no mass": (
        lambda text: text.replace("density = 1000.0", "density = 0.0").replace(CLAMP, ""),
        "nothing clamped",
    ),
    "missing model": (_replace('model = "model"', 'model = "none"'), "expected a model's folder"),
    "model of another mesh": (_replace("[3, 1, 1]", "[4, 1, 1]"), "trained for this body"),
    "model of another material": (_replace("5e4", "6e4"), "different material"),
}


@pytest.mark.parametrize("what", BAD_SCENES)
def test_bad_scene(run: Run, home: Path, tmp_path: Path, what: str) -> None:
    change, told = BAD_SCENES[what]
    _folded(tmp_path)
    (tmp_path / "model").symlink_to(home / "model")
    scene = tmp_path / "scene.toml"
    scene.write_text(change(SCENE))
    before = files_in(tmp_path)
    out, report = tmp_path / "out" / "motion.h5", tmp_path / "report.json"
    for arguments in (
        ("simulate", scene, "--subspace", "hod", "--out", out, "--json", report),
        ("compare", scene, "--subspaces", "pca-2", "--out", tmp_path / "out", "--json", report),
    ):
        refused(run(*arguments), told)
        assert files_in(tmp_path) == before


def refused(result: tuple[int, str, str], told: str) -> None:
    code, out, err = result
    assert code == 2
    assert out == ""
    assert err.startswith("hodsim: ")
    assert err.count("\n") == 1
    assert err.endswith("\n")
    assert told in err


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("simulate", "{tmp}/none.toml"), "expected a scene file that can be read"),
        (("simulate", "{scene}", "--subspace", "pca"), None),
        (("simulate", "{scene}", "--subspace", "pac-2"), "expected one of full, hod"),
        (("simulate", "{scene}", "--subspace", "pca-9"), "expected 1 to 4 for pca"),
        (("simulate", "{scene}", "--subspace", "hod-9"), "the rank of this hod model"),
        (("simulate", "{scene}", "--formulation", "implicit"), "formulation: expected"),
        (("simulate", "{scene}", "--subspace", "full", "--no-third"), "of a subspace"),
        (("simulate", "{scene}", "--model", "{tmp}/none"), "expected a model's folder"),
        (("simulate", "{scene}", "--out", "{tmp}/motion.csv"), "expected a name ending in .h5"),
        (("simulate", "{scene}", "--out", "{tmp}"), "given a folder"),
        (("simulate", "{scene}", "--json", "{scene}/report.json"), "is a file"),
        (("simulate", "{scene}", "--steps", "0"), "--steps"),
        (("simulate", "{scene}", "--steps", "many"), "--steps"),
        (("simulate", "{scene}", "--subspace", "full", "--solver", "lu"), "solver: expected auto"),
        (("simulate",), "argument"),
        (("simulate", "{scene}", "--fast"), "--fast"),
        (("bend",), "bend"),
        (("compare", "{scene}", "--subspaces", "full"), "at least one besides full"),
        (("compare", "{scene}", "--subspaces", "pca-2,pca-2x"), "given 'pca-2x'"),
        (("compare", "{tmp}/none.toml"), "expected a scene file"),
        (("demo", "--out", "{scene}"), "is a file"),
        (("demo", "--model", "{tmp}/none", "--out", "{tmp}/demo"), "expected a model's folder"),
        (("demo", "--model", "{home}/model", "--out", "{tmp}/demo"), "trained for this body"),
        (("info", "{tmp}/none.toml"), "expected a scene file"),
        (("info", "--model", "{tmp}"), "expected a model's folder"),
        (("train", "{tmp}/none.toml", "--out", "{tmp}/trained"), "expected a scene file"),
        (("train", "{scene}"), "--out"),
        (("train", "{scene}", "--out", "{tmp}/trained", "--init", "zero"), "init: expected pca"),
        (("train", "{scene}", "--out", "{tmp}/trained", "--decoder", "8,x"), "given '8,x'"),
    ],
)
def test_bad_arguments(
    run: Run, home: Path, tmp_path: Path, arguments: tuple[str, ...], told: str | None
) -> None:
    places = {"tmp": tmp_path, "home": home, "scene": home / "small.toml"}
    before = files_in(tmp_path) | files_in(home)
    result = run(*(argument.format(**places) for argument in arguments))
    if told is None:  # pca without a rank takes the network's
        assert result[0] == 0
    else:
        refused(result, told)
    assert files_in(tmp_path) | files_in(home) == before


def start(folder: Path, *arguments: str) -> subprocess.Popen[str]:
    """The command line in a process of its own."""
    return subprocess.Popen(
        [sys.executable, "-m", "hodsim.cli", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(Path(hodsim.__file__).parents[1])},
    )


def test_a_real_process_says_one_line(tmp_path: Path) -> None:
    (tmp_path / "bad.toml").write_text(SCENE.replace("9]]", "inf]]"))
    with start(tmp_path, "simulate", "bad.toml", "--out", "motion.h5") as process:
        out, err = process.communicate()
    refused((process.returncode, out, err), "expected a finite number")
    assert [path.name for path in tmp_path.iterdir()] == ["bad.toml"]


def _processor_seconds(process: subprocess.Popen[str]) -> float:
    ticks = Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()[11:13]
    return sum(map(int, ticks)) / os.sysconf("SC_CLK_TCK")


def test_a_real_ctrl_c_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "long.toml").write_text(SCENE.replace("steps = 8", "steps = 1_000_000"))
    arguments = ("long.toml", "--subspace", "full", "--out", "motion.h5", "--verbose")
    with start(tmp_path, "simulate", *arguments) as process:
        # Long enough to be at work, which processor time tells on a busy machine; in an import
        # Python would end itself by the signal in place of 130. It would run for an hour.
        while _processor_seconds(process) < 5.0:
            with pytest.raises(subprocess.TimeoutExpired):
                process.wait(0.5)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate()
    assert (process.returncode, out, err.strip()) == (130, "", "hodsim: stopped")
    assert [path.name for path in tmp_path.iterdir()] == ["long.toml"]


# What the commands do


@pytest.mark.parametrize("subspace", ["full", "hod", "hod-2", "pca-3", "quadratic-2"])
def test_simulate(run: Run, home: Path, tmp_path: Path, subspace: str) -> None:
    motion, report = tmp_path / "motion.h5", tmp_path / "report.json"
    code, out, err = run(
        "simulate", home / "small.toml", "--subspace", subspace, "--out", motion, "--json", report
    )
    assert (code, err) == (0, "")
    assert f"{STEPS} of {STEPS} steps" in out
    told = json.loads(report.read_text())
    assert told["subspace"] == subspace.split("-")[0]
    assert told["converged"] is True
    assert told["iterations"] == [len(r) - 1 for r in told["residuals"]]
    assert told["status"] == ["converged"] * STEPS
    with h5py.File(motion) as file:
        body = body_of(read_scene(home / "small.toml"))
        u, v, t = (file[name][()] for name in ("displacement", "velocity", "times"))
        assert u.shape == v.shape == (STEPS + 1, body.mesh.n_vertices, 3)
        assert t == pytest.approx(0.02 * np.arange(STEPS + 1))
        assert ("latent" in file) == (subspace != "full")
        assert file["iterations"][()].tolist() == told["iterations"]
        tip = body.mesh.vertices[:, 0] > 0.599
        assert np.linalg.norm(u[:, tip].mean(axis=1), axis=1).max() == pytest.approx(
            told["peak_tip_travel"]
        )
        if subspace == "full":  # implicit Euler: v = (u - u_before) / h
            assert np.diff(u, axis=0) / 0.02 == pytest.approx(v[1:])


def test_simulate_takes_the_scenes_model_unless_told(run: Run, home: Path, tmp_path: Path) -> None:
    assert "small in hod:" in run("simulate", home / "small.toml")[1]
    bare = tmp_path / "bare.toml"
    bare.write_text(SCENE.replace('[subspace]\nmodel = "model"\n', ""))
    assert "small in full:" in run("simulate", bare)[1]
    assert "small in hod:" in run("simulate", bare, "--model", home / "model")[1]
    refused(run("simulate", bare, "--subspace", "pca-2"), "expected the folder of a trained model")


def test_simulate_terms_steps_and_verbose(run: Run, home: Path) -> None:
    scene = home / "small.toml"
    form = ("--formulation", "lagrangian")
    out = run("simulate", scene, "--steps", 3, *form, "--no-second", "--no-third", "--verbose")[1]
    assert "small in hod lagrangian without second and third: 3 of 3 steps" in out
    lines = [line for line in out.splitlines() if line.startswith("step ")]
    assert len(lines) == 3
    assert all("converged" in line and "residuals 1.0e+00, " in line for line in lines[:1])
    assert "small in hod: 8 of 8 steps" in run("simulate", scene)[1]
    code, _, err = run("simulate", scene, "--no-third")
    assert code == 2
    assert err.startswith("hodsim: simulate: --no-third is of the lagrangian formulation")


def test_a_guarded_body_says_when_it_was_in_full_space(run: Run, tmp_path: Path) -> None:
    report, motion = tmp_path / "report.json", tmp_path / "motion.npz"
    scene, steps = "other/other-1", 30
    code, out, _ = run(
        *("simulate", scene, "--guard", 1, "--steps", steps, "--json", report, "--out", motion)
    )
    assert code == 0
    told = json.loads(report.read_text())
    away = [bool(why) for why in told["guard"]["why"]]
    assert told["guard"]["limit"] == 1.0
    assert 0 < sum(away) < len(away) == steps
    assert f"guard: {sum(away)} of {steps} steps in full space: outside the training range" in out
    assert (told["subspace"], told["rank"]) == ("hod", 6)
    with np.load(motion) as file:
        assert "latent" not in file
        assert file["displacement"].shape == (steps + 1, 514, 3)
    refused(run("simulate", scene, "--guard", 0), "limit: expected a number above 0")
    refused(run("simulate", scene, "--guard", 1, "--subspace", "full"), "given full")


def test_simulate_that_does_not_converge(run: Run, home: Path, tmp_path: Path) -> None:
    scene = tmp_path / "hard.toml"
    scene.write_text(SCENE + "[newton]\ntolerance = 1e-12\nmax_iterations = 1\n")
    motion, report = tmp_path / "motion.npz", tmp_path / "report.json"
    code, out, err = run("simulate", scene, "--subspace", "full", "--out", motion, "--json", report)
    assert code == 3
    assert "0 of 8 steps" in out
    assert err.startswith("hodsim: small in full: step 1 (t = 0.02 s): max_iterations")
    assert err.count("\n") == 1
    told = json.loads(report.read_text())
    assert told["converged"] is False
    assert told["status"] == ["max_iterations"]
    with np.load(motion) as file:
        assert file["displacement"].shape[0] == 1
        assert json.loads(str(file["about"]))["converged"] is False


def test_info(run: Run, home: Path, tmp_path: Path) -> None:
    code, out, err = run("info", home / "small.toml", "--json", tmp_path / "i.json")
    assert (code, err) == (0, "")
    told = json.loads((tmp_path / "i.json").read_text())
    assert told["solver"].split()[0] in ("pardiso", "superlu")
    assert told["versions"]["numpy"] == np.__version__
    assert told["scene"]["mass [kg]"] == pytest.approx(0.6 * 0.2 * 0.2 * 1000.0)
    assert "free degrees of freedom" in out
    code, out, _ = run("info", "--model", home / "model")
    assert code == 0
    assert "made_by: tests/test_cli.py" in out


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs Linux's /dev/full")
def test_output_that_cannot_be_written_is_told_in_one_line() -> None:
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "hodsim.cli", "info"],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    assert done.returncode == 2
    assert done.stderr == "hodsim: output: cannot be read or written (No space left on device)\n"


@pytest.mark.slow
def test_train_then_simulate(run: Run, tmp_path: Path) -> None:
    scene = tmp_path / "small.toml"
    # More vertices and motions than a network's outer layers are wide.
    scene.write_text(SCENE.replace("[3, 1, 1]", "[6, 1, 1]"))
    report = tmp_path / "report.json"
    options = ("--trajectories", 12, "--rank", 2, "--epochs", 3, "--workers", 1, "--seed", 5)
    options += ("--decoder", "12,9,7")
    code, out, err = run("train", scene, "--out", tmp_path / "model", *options, "--json", report)
    assert (code, err) == (0, "")
    assert "reconstruction error" in out
    card = json.loads((tmp_path / "model" / "model.json").read_text())
    assert card["command"].startswith(f"hodsim train {scene} --out")
    assert card["options"]["seed"] == card["options"]["fit"]["seed"] == 5
    assert card["options"]["fit"]["rank"] == 2
    assert card["options"]["fit"]["decoder"] == [12, 9, 7]
    assert "--decoder 12,9,7" in card["command"]
    assert json.loads(report.read_text())["card"]["command"] == card["command"]
    assert card["options"]["fit"]["batch"] == 512
    assert "--quick" not in card["command"]
    assert "small in hod: 2 of 2 steps" in run("simulate", scene, "--steps", 2)[1]
    again = ("--out", tmp_path / "quick", "--quick", "--rank", 2, "--epochs", 2, "--seed", 5)
    kept = ("--snapshots", tmp_path / "model" / "snapshots", "--workers", 1)
    assert run("train", scene, *again, *kept)[0] == 0
    card = json.loads((tmp_path / "quick" / "model.json").read_text())
    assert card["options"]["trajectories"] == 12
    assert (card["options"]["fit"]["batch"], card["options"]["fit"]["epochs"]) == (64, 2)
    assert card["command"].endswith("--epochs 2 --quick")
    assert sorted(load_cubatures(tmp_path / "quick")) == ["hod-2", "pca-2", "quadratic-2"]


@pytest.mark.slow
def test_demo_of_the_shipped_model(run: Run, tmp_path: Path) -> None:
    code, out, err = run(
        "demo", "--quick", "--out", tmp_path / "demo", "--json", tmp_path / "r.json"
    )
    assert (code, err) == (0, "")
    names = sorted(path.name for path in (tmp_path / "demo").iterdir())
    assert names == ["error.png", "report.json", "side_by_side.png"]
    told = json.loads((tmp_path / "demo" / "report.json").read_text())
    assert told == json.loads((tmp_path / "r.json").read_text())
    runs = told["runs"]
    assert [(r["scene"], r["subspace"], r["rank"]) for r in runs] == [
        (scene, subspace, rank)
        for scene in ("bend-1", "twist-1", "swing-1")
        for subspace, rank in (("full", None), ("pca", 6), ("pca", 12), ("hod", 6))
    ]
    for r in runs:
        assert r["converged"] is True
        assert r["step_ms"] > 0.0
        assert r["speedup"] > 0.0
        assert 1.0 <= r["newton_iterations"] < 10.0
        assert r["tip_velocity_error"] >= 0.0
        assert r["scene"] in out
    # The claim that the demo is there to show; margins are for `hodsim compare`.
    for k in range(0, 12, 4):
        _, pca6, pca12, hod = (r["tip_position_error"] for r in runs[k : k + 4])
        assert hod < pca12 < pca6
