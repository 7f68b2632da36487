"""The tip taken with the mouse in real windows on a real simulation: it follows, and comes back."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parent))

from living import HELD, LABELS, SCENES, LivePresenter
from test_browser import Looker, Served, chromium, look, press_and_pull, until
from test_window import HERE, ROOT, Display, Reader, tool

from hodsim.cubature import load_cubatures
from hodsim.dynamics import parse_spec, simulate
from hodsim.session import Driven, Replay, Session, load_recording
from hodsim.subspaces import load_model
from hodsim.viewer.live import browser

__all__ = ["chromium"]  # a fixture


def replayed(session_body: Any, scene: Any, path: Path, steps: int) -> np.ndarray:
    """z of HoD-6 at every step of a recording, played again."""
    model, cubatures = load_model(scene.model), load_cubatures(scene.model)
    driven = Driven(scene, session_body, parse_spec(HELD), model, cubatures)
    return simulate(Replay(driven, load_recording(path)), steps).z


def test_without_a_display(tmp_path: Path) -> None:
    environment = {k: v for k, v in os.environ.items() if k not in ("DISPLAY", "WAYLAND_DISPLAY")}
    done = subprocess.run(
        [sys.executable, str(HERE.parent / "living.py"), str(tmp_path), "--headless"],
        cwd=tmp_path,
        env={**environment, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    import json

    lines = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("[")]
    pulled, back = (np.array(line[1]) for line in lines if line[0] == "state")
    [target] = [np.array(line[1]) for line in lines if line[0] == "target"]
    way = np.linalg.norm(target)
    assert way > 0.1
    assert pulled @ target / way > 0.3 * way, "towards the cursor"
    assert np.linalg.norm(back) < 0.02, "and back"
    # What was done is played again to the last bit.
    from hodsim.fem import body_of
    from hodsim.scene import read_scene

    kept = np.load(tmp_path / "frames.npz")
    [path] = tmp_path.glob("hodsim-recording-*.json")
    scene = read_scene(SCENES["beam"])
    steps = min(load_recording(path).steps, int(kept["steps"][-1]))
    z = replayed(body_of(scene), scene, path, steps)
    known = kept["steps"] <= steps
    assert known.sum() > 300
    assert np.array_equal(z[kept["steps"][known]], kept["z"][known])


def test_after_a_reset_plots_begin_anew(tmp_path: Path) -> None:
    """Also where nothing was drawn until the new run had come as far as the old one."""
    with Session(SCENES, labels=(HELD,)) as session:
        presenter = LivePresenter(session, tmp_path)
        until(lambda: presenter.picture().bodies, "the body is there")

        def drawn() -> list[np.ndarray]:
            return [plot.series[0].x for plot in presenter.picture().plots]

        def reached() -> int:
            frame = session.latest(HELD)
            return -1 if frame is None else frame.step

        presenter.press_button("reset")
        until(lambda: session.status().clock < reached() + 2 and reached() > 5, "it runs")
        assert max(len(x) for x in drawn()) > 5
        presenter.press_button("pause")
        until(lambda: not session.status().playing, "it stops")
        presenter.press_button("reset")
        assert all(len(x) <= 1 for x in drawn()), "not even before the simulation hears of it"
        session.advance(40)
        until(lambda: reached() == 40, "the new run is longer")
        times = drawn()
        for x in times[:1] + times[2:]:  # energy is known where it was drawn
            np.testing.assert_allclose(x, 0.02 * np.arange(41))
        assert (np.diff(times[1]) > 0.0).all()


def test_a_real_mouse_in_a_real_window(tmp_path: Path) -> None:
    xdotool = tool("xdotool", "xdotool")
    with Display() as display:
        environment = {**os.environ, "DISPLAY": display, "PYTHONPATH": str(ROOT)}

        def hand(*words: object) -> str:
            command = [xdotool, *map(str, words)]
            return subprocess.run(
                command, env=environment, capture_output=True, text=True, timeout=30, check=True
            ).stdout

        process = subprocess.Popen(
            [sys.executable, str(HERE.parent / "living.py"), str(tmp_path)],
            cwd=tmp_path,
            env=environment,
            stdout=subprocess.PIPE,
            text=True,
        )
        try:
            reader = Reader(process)
            x, y = reader.until("state")[4:]
            window = hand("search", "--name", "^hodsim$").split()[0]
            shell = hand("getwindowgeometry", "--shell", window)
            where = re.search(r"X=(-?\d+)\s+Y=(-?\d+)", shell)
            assert where is not None
            left, top = int(where[1]) + round(x) - 5, int(where[2]) + round(y)
            hand("mousemove", left, top)
            time.sleep(0.3)
            hand("mousedown", 1)
            state = reader.until("state")
            while not state[3]:
                state = reader.until("state")
            assert state[3][0] == HELD
            for k in range(1, 16):
                hand("mousemove", left, top - 8 * k)
                time.sleep(0.05)
            step = reader.until("state")[2]
            state = reader.until("state")
            while state[2] < step + 60:
                state = reader.until("state")
            pulled = np.array(state[1])
            assert pulled[2] > 0.05, "up with the cursor"
            hand("mouseup", 1)
            while state[3] or state[2] < step + 400:
                state = reader.until("state")
            assert np.linalg.norm(state[1]) < 0.5 * np.linalg.norm(pulled), "and back"
        finally:
            process.kill()
            process.wait()


@pytest.fixture
def served(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Served]:
    servers, urls, ready, stop = [], [], threading.Event(), threading.Event()

    class Page(browser.Page):
        def __init__(self, server: Any, presenter: Any) -> None:
            servers.append(server)
            super().__init__(server, presenter)

    monkeypatch.setattr(browser, "Page", Page)
    with Session(SCENES, labels=LABELS) as session:
        presenter = LivePresenter(session, tmp_path)
        presenter.wait_for_bodies()

        def tell(url: str) -> None:
            urls.append(url)
            ready.set()

        thread = threading.Thread(
            # Fewer frames than Chromium's software can draw on a busy machine: one that falls
            # behind takes no picture at all.
            target=lambda: browser.serve(
                presenter, port=0, frames_per_second=8.0, ready=tell, stop=stop
            )
        )
        thread.start()
        assert ready.wait(30.0)
        yield Served(presenter, urls[0], servers[0], thread, stop)  # type: ignore[arg-type]
        stop.set()
        thread.join(30.0)
        assert not thread.is_alive()


def test_in_a_browser(chromium: Any, served: Served, tmp_path: Path) -> None:
    looker: Looker = look(chromium, served)
    presenter: Any = served.presenter
    tip = presenter.tip(HELD)
    rest = presenter.session.body.mesh.vertices[tip]

    def moved() -> np.ndarray:
        return presenter.positions(HELD)[tip] - presenter.offset(HELD) - rest

    x = presenter.positions(HELD)
    start = looker.project(0.97 * x[tip] + 0.03 * presenter.offset(HELD))
    press_and_pull(looker, start, [np.array([0.0, -40.0]), np.array([0.0, -90.0])])
    until(lambda: presenter.named("grab"), "the tip is taken")
    assert presenter.named("grab")[0][0] == HELD
    until(lambda: moved()[2] > 0.05, "the tip goes up with the cursor")
    pulled = np.linalg.norm(moved())
    looker.page.mouse.up()
    until(lambda: presenter.named("drop"), "it is let go")
    presenter.set("damping mass", 8.0)
    until(lambda: np.linalg.norm(moved()) < 0.2 * pulled, "the tip is back")
    assert looker.errors == []
    presenter.press_button("pause")
    until(lambda: not presenter.session.status().playing, "it stops")
    clock = presenter.session.status().clock
    until(lambda: presenter.session.latest(HELD).step == clock, "the last step is taken")
    presenter.press_button("save recording")
    until(lambda: list(tmp_path.glob("hodsim-recording-*.json")), "it is saved")
    [path] = tmp_path.glob("hodsim-recording-*.json")
    frames = presenter.session.recent(HELD, 0)
    z = replayed(presenter.session.body, presenter.session.scene, path, clock)
    assert np.array_equal(z[[f.step for f in frames]], [f.z for f in frames])
