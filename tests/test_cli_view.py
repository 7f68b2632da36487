"""`hodsim view` without a hand on it: refusals, its picture, Ctrl-C; and recordings played again.

Needs libegl1 and what comes with it, as `hodsim view --picture` does.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from small import SCENE, Run

import hodsim
from hodsim.dynamics import FullSpace, simulate
from hodsim.fem import Loads, body_of
from hodsim.networks import HoDNet, Shape
from hodsim.scene import read_scene
from hodsim.session import Session
from hodsim.snapshots import origin_of
from hodsim.subspaces import Model, fit_pca, fit_quadratic, save_model

LABELS = ("full", "pca-2", "hod-2")
PATIENCE = 60.0


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
    card = {"origin": origin_of(body), "made_by": "tests/test_cli_view.py"}
    save_model(path.parent / "model", Model(network, pca.basis, quadratic.basis[:, 2:], card))
    (path.parent / "bare.toml").write_text(SCENE.replace('[subspace]\nmodel = "model"\n', ""))
    return path


def refused(result: tuple[int, str, str], told: str) -> None:
    code, out, err = result
    assert (code, out) == (2, "")
    assert err.startswith("hodsim: ")
    assert err.count("\n") == 1
    assert err.endswith("\n")
    assert told in err


def until(done: Callable[[], object], what: str) -> None:
    end = time.monotonic() + PATIENCE
    while not done():
        assert time.monotonic() < end, what
        time.sleep(0.02)


# What cannot be used.


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("{scene}",), "no display"),
        (("{scene}", "--subspaces", "full,pca-1,pca-2,hod-2"), "one to three, given 4"),
        (("{scene}", "--subspaces", ","), "expected"),
        (("{scene}", "--subspaces", "pac-2"), "expected one of full, hod"),
        (("{tmp}/none.toml", "--picture", "{tmp}/a.png"), "expected a scene file"),
        (("nosuch", "--picture", "{tmp}/a.png"), "expected a scene file"),
        (("{bare}", "--subspaces", "hod-2", "--picture", "{tmp}/a.png"), "has no trained model"),
        (("{scene}", "--subspaces", "pca-9", "--picture", "{tmp}/a.png"), "given pca-9"),
        (("{scene}", "--model", "{tmp}", "--picture", "{tmp}/a.png"), "expected a model's folder"),
        (("{scene}", "--picture", "{tmp}/a.jpg"), "a name that ends in .png"),
        (("{scene}", "--picture", "{tmp}"), "a name that ends in .png"),
        (("{scene}", "--picture", "{scene}/a.png"), "is a file"),
        (("{scene}", "--picture", "{tmp}/a.png", "--web"), "leave one out"),
        (("{scene}", "--folder", "{scene}/deep"), "is a file"),
        (("{scene}", "--json", "{tmp}"), "given a folder"),
        (("{scene}", "--web", "--port", "65536"), "--port"),
        (("{scene}", "--web", "--host", "no.such.host.invalid"), "no.such.host.invalid"),
        (("{scene}", "--seconds", "-1"), "--seconds"),
    ],
)
def test_bad_arguments(
    run: Run,
    scene: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    arguments: tuple[str, ...],
    told: str,
) -> None:
    for name in ("DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)
    places = {"tmp": tmp_path, "scene": scene, "bare": scene.parent / "bare.toml"}
    before = set(scene.parent.rglob("*"))
    refused(run("view", *(argument.format(**places) for argument in arguments)), told)
    assert list(tmp_path.iterdir()) == []
    assert set(scene.parent.rglob("*")) == before


def test_a_port_that_is_taken(run: Run, scene: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        refused(run("view", scene, "--web", "--port", port), f"127.0.0.1:{port}, but: Address")


# Without a display.


def start(folder: Path, *arguments: object) -> subprocess.Popen[str]:
    """The command in a process of its own, which hears Ctrl-C as one from a terminal does."""
    environment = {k: v for k, v in os.environ.items() if k not in ("DISPLAY", "WAYLAND_DISPLAY")}
    return subprocess.Popen(
        [sys.executable, "-m", "hodsim.cli", "view", *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=folder,
        env={**environment, "PYTHONPATH": str(Path(hodsim.__file__).parents[1])},
        start_new_session=True,
        # A shell starts what runs in the background deaf to this signal.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )


def of_session(leader: int) -> list[int]:
    """The processes that a command started, and those that they started."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            state, _, _, session = stat.read_text().rpartition(")")[2].split()[:4]
        except OSError:  # it has gone meanwhile
            continue
        if int(session) == leader and state != "Z":
            found.append(int(stat.parent.name))
    return found


def test_a_picture(scene: Path, tmp_path: Path) -> None:
    arguments = (scene, "--picture", "a.png", "--seconds", "1", "--json", "a.json")
    with start(tmp_path, *arguments) as process:
        out, err = process.communicate(timeout=PATIENCE)
    assert process.returncode == 0, err
    assert "saved a.png" in out
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.json", "a.png"]
    image = np.asarray(Image.open(tmp_path / "a.png").convert("RGB")).astype(int)
    assert image.shape == (900, 1440, 3)
    # Bodies stand between the controls on the left and the plots below: cividis begins dark blue.
    red, green, blue = np.moveaxis(image[150:700, 360:], 2, 0)
    where = np.flatnonzero(((blue - red > 40) & (green < 90)).any(axis=0))
    assert len(where) > 200, "there are bodies"
    assert (np.diff(where) > 20).sum() == 2, "and there are three of them"
    assert of_session(process.pid) == []


@pytest.mark.parametrize("how", ["to all", "to it alone"])
def test_ctrl_c_ends_the_page_and_its_simulation(scene: Path, tmp_path: Path, how: str) -> None:
    with start(tmp_path, scene, "--web", "--port", "0") as process:
        assert process.stdout is not None
        assert process.stdout.readline().startswith("hodsim is at http://127.0.0.1:")
        until(lambda: len(of_session(process.pid)) > 1, "the simulation runs beside it")
        began = time.monotonic()
        # A terminal tells the whole group, `kill` one process.
        (os.killpg if how == "to all" else os.kill)(process.pid, signal.SIGINT)
        _, err = process.communicate(timeout=PATIENCE)
        took = time.monotonic() - began
    assert process.returncode in (0, 130)
    assert "Traceback" not in err
    assert took < 10.0
    until(lambda: of_session(process.pid) == [], "no process is left")
    assert list(tmp_path.iterdir()) == []


# What was recorded.


@pytest.fixture(scope="module")
def recorded(
    scene: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, dict[str, tuple[np.ndarray, ...]]]:
    """A recording, and u, du/dt, times and q of every step as they were seen, by label."""
    path = tmp_path_factory.mktemp("recorded") / "grab.json"
    with Session({"small": scene}, labels=LABELS) as session:

        def walk(count: int) -> None:
            goal = session.status().clock + count
            session.advance(count)
            wait(lambda: all(reached(x) == goal for x in LABELS))

        def reached(label: str) -> int:
            frame = session.latest(label)
            return -1 if frame is None else frame.step

        def wait(done: Callable[[], bool]) -> None:
            def polled() -> bool:
                session.poll()
                return done()

            until(polled, str(session.status()))

        wait(lambda: len(session.lanes) == len(LABELS))
        session.pause()
        wait(lambda: not session.status().playing)
        session.reset()
        wait(lambda: session.status().clock == 0 and all(reached(x) == 0 for x in LABELS))
        vertex = int(session.body.free_vertices[-1])
        for k in range(6):
            session.drag(vertex, session.body.mesh.vertices[vertex] + [0.0, 0.01 * k, 0.03], 30.0)
            walk(2)
        session.set_gravity(np.array([0.0, 1 / 3, -2.0]))
        session.set_time_step(0.01)
        session.release()
        walk(8)
        seen = {}
        for label in LABELS:
            frames, lane = session.recent(label, 0), session.lanes[label]
            assert [frame.step for frame in frames] == list(range(1, 21))
            u, v = (
                session.body.expand(lane.displacement(np.array(z)))
                for z in ([f.z for f in frames], [f.dz for f in frames])
            )
            seen[label] = u, v, np.array([f.t for f in frames]), np.array([f.q for f in frames])
        session.save_recording(path)
    return path, seen


@pytest.mark.parametrize("label", LABELS)
def test_simulate_plays_a_recording_again_to_the_last_bit(
    run: Run,
    scene: Path,
    tmp_path: Path,
    recorded: tuple[Path, dict[str, tuple[np.ndarray, ...]]],
    label: str,
) -> None:
    path, seen = recorded
    out = tmp_path / "motion.npz"
    code, told, err = run("simulate", scene, "--subspace", label, "--inputs", path, "--out", out)
    assert (code, err) == (0, "")
    assert "20 of 20 steps" in told
    u, v, times, q = seen[label]
    motion = np.load(out)
    assert np.abs(u).max() > 1e-5
    assert np.array_equal(motion["times"][1:], times)
    assert np.array_equal(motion["displacement"][1:], u)
    assert np.array_equal(motion["velocity"][1:], v)
    assert ("latent" in motion) == (label != "full")
    if label != "full":
        assert np.array_equal(motion["latent"][1:], q)
    # Without it the scene moves as it says itself.
    code, *_ = run("simulate", scene, "--subspace", label, "--out", out)
    assert code == 0
    assert not np.array_equal(np.load(out)["displacement"][1:9], u[:8])


@pytest.mark.parametrize("what", ["another body", "broken", "of something else", "gone", "folder"])
def test_recordings_that_cannot_be_played(
    run: Run,
    scene: Path,
    tmp_path: Path,
    recorded: tuple[Path, dict[str, tuple[np.ndarray, ...]]],
    what: str,
) -> None:
    path = tmp_path / "grab.json"
    played, subspace, told = scene, "hod-2", "grab.json"
    if what == "another body":
        shutil.copy(recorded[0], path)
        played, subspace = tmp_path / "longer.toml", "full"
        text = (scene.parent / "bare.toml").read_text()
        played.write_text(text.replace("cells = [3, 1, 1]", "cells = [4, 1, 1]"))
        told = "expected one of this body, given one of scene small"
    elif what == "broken":
        path.write_text(recorded[0].read_text()[:-20])
    elif what == "of something else":
        path.write_text('{"steps": 3}')
    elif what == "folder":
        path.mkdir()
    before = set(tmp_path.rglob("*"))
    out = tmp_path / "motion.npz"
    arguments = ("simulate", played, "--subspace", subspace, "--inputs", path, "--out", out)
    refused(run(*arguments), told)
    assert set(tmp_path.rglob("*")) == before


class Dying(Session):
    """A session whose process is killed as soon as it has begun."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        assert self.process_id is not None
        os.kill(self.process_id, signal.SIGKILL)


def test_a_simulation_that_dies_is_told(
    run: Run, scene: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hodsim.session.Session", Dying)
    refused(run("view", scene, "--picture", tmp_path / "a.png"), "process has ended (exit code -9)")
    assert not (tmp_path / "a.png").exists()


def test_full_space_is_shown_where_no_model_is_there_yet(
    run: Run, scene: Path, tmp_path: Path
) -> None:
    path = scene.parent / "untrained.toml"
    path.write_text(SCENE.replace('model = "model"', 'model = "not-there"'))
    out = tmp_path / "a.png"
    options = ("--picture", out, "--seconds", "0.2", "--json", tmp_path / "a.json")
    code, _, err = run("view", path, *options)
    assert (code, err) == (0, "")
    assert list(json.loads((tmp_path / "a.json").read_text())["bodies"]) == ["full"]
    asked = run("view", path, "--subspaces", "pca-2", *options)
    refused(asked, "has no trained model, given pca-2")
