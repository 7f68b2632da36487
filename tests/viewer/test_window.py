"""The window with injected mouse events, drawn into memory, and once on a real X server.

Polyscope is one of a process, so that each play below runs in a process of its own: this file is
also a script, `python test_window.py PLAY`.
"""

from __future__ import annotations

import ctypes
import json
import os
import queue
import re
import select
import shutil
import signal
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

from fakes import HIGH_COLOUR, LABELS, LOW_COLOUR, FakePresenter

from hodsim.scene import Obstacle, Shape
from hodsim.viewer.live.filming import Film
from hodsim.viewer.live.window import Window, run_window
from hodsim.viewer.obstacles import surface_of

HERE = Path(__file__).resolve()
ROOT = HERE.parents[2]
Steps = Iterator[None]


def at_tip(window: Window, presenter: FakePresenter, label: str) -> np.ndarray:
    """Where the tip of a body is seen, (2,), a little inside of its outline, in whole pixels, as
    cursors are."""
    x = presenter.positions(label)
    tip, root = x[presenter.tip(label)], presenter.offset(label)
    return np.round(window.view.project((0.97 * tip + 0.03 * root)[None])[0])


def point_at(pixel: np.ndarray) -> None:
    import polyscope.imgui as psim

    psim.GetIO().AddMousePosEvent(float(pixel[0]), float(pixel[1]))


def button(down: bool) -> None:
    import polyscope.imgui as psim

    psim.GetIO().AddMouseButtonEvent(0, down)


def key(name: str) -> None:
    import polyscope.imgui as psim

    for down in (True, False):
        psim.GetIO().AddKeyEvent(getattr(psim, f"ImGuiKey_{name}"), down)


def press(pixel: np.ndarray) -> Steps:
    """The cursor goes there, and the button down, each in a frame of its own."""
    point_at(pixel)
    yield
    yield
    button(True)
    yield
    yield


def release() -> Steps:
    button(False)
    yield
    yield


def click(pixel: np.ndarray) -> Steps:
    yield from press(pixel)
    yield from release()


def from_ray(pixel: np.ndarray, point: np.ndarray) -> float:
    """Distance [m] of a point from what polyscope says is seen at a pixel."""
    import polyscope as ps

    eye = np.linalg.inv(np.asarray(ps.get_camera_view_matrix()))[:3, 3]
    ray = ps.screen_coords_to_world_ray(tuple(pixel))
    ray /= np.linalg.norm(ray)
    return float(np.linalg.norm(np.cross(point - eye, ray)))


def play_drag(window: Window, presenter: FakePresenter) -> Steps:
    """Pull the tip of each body, once it has been let go by Escape."""
    yield
    for label in LABELS:
        presenter.events.clear()
        before = window.view.matrix
        tip = at_tip(window, presenter, label)
        yield from press(tip)
        [(held, vertex, by)] = presenter.named("grab")
        assert (held, by) == (label, "window")
        x = presenter.positions(label)
        near = x[vertex] - x[presenter.tip(label)]
        assert np.linalg.norm(near) < 0.12, "a vertex at the tip's end of the body"
        cursors = [tip + np.array([3.0 * k, -17.0 * k]) for k in range(1, 6)]
        for cursor in cursors:
            point_at(cursor)
            yield
        place = x[vertex]
        ends = window.view.project(np.array([place, place + np.array([0.0, 0.0, 1.0])]))
        metre = float(np.linalg.norm(ends[1] - ends[0]))
        moves = presenter.named("move")
        assert len(moves) == len(cursors)
        for cursor, (point, _) in zip(cursors, moves, strict=True):
            assert from_ray(cursor, point) * metre < 1.0, "less than a pixel from the cursor"
        depth = window.view.matrix[2, :3] @ (np.array([p for p, _ in moves]) - place).T
        assert np.abs(depth).max() < 1e-3, "in the plane that faces the camera"
        assert not presenter.named("drop")
        if label == "hod-6":
            key("Escape")
            yield
            yield
            assert len(presenter.named("drop")) == 1
            point_at(tip + np.array([60.0, 0.0]))
            yield
            assert len(presenter.named("move")) == len(cursors), "let go is let go"
        yield from release()
        assert presenter.named("drop") == [("window",)]
        assert np.allclose(window.view.matrix, before), "the camera stood still"


def all_in_sight(window: Window, presenter: FakePresenter) -> bool:
    """Whether controls, plots and texts leave all bodies free, with room to swing."""
    for label in presenter.labels:
        for up in (0.3, 0.0, -0.3):
            x, y = window.view.project(presenter.positions(label) + np.array([0.0, 0.0, up])).T
            if x.min() < 360 or x.max() > 1430 or y.min() < 100 or y.max() > 700:
                return False
    return True


def play_centre(window: Window, presenter: FakePresenter) -> Steps:
    """All bodies are seen, at first, when others come, and after the button."""
    import polyscope.imgui as psim

    assert all_in_sight(window, presenter)
    yield
    for labels in (LABELS[:1], LABELS[:2], (), LABELS):
        presenter.labels = labels
        yield
        assert all_in_sight(window, presenter)
    psim.GetIO().AddMousePosEvent(720.0, 620.0)
    for _ in range(4):
        psim.GetIO().AddMouseWheelEvent(0.0, 3.0)
        yield
    yield
    assert not all_in_sight(window, presenter)
    yield from click(np.array([40.0, 48.0]))
    assert all_in_sight(window, presenter)


def play_still(window: Window, presenter: FakePresenter) -> Steps:
    """What stays as it is asks for no new drawing, and what moves does."""
    import polyscope as ps

    for _ in range(3):
        yield
    asked = []
    show = window._world.show

    def watched(picture: Any) -> bool:
        fresh = show(picture)
        asked.append(ps.get_redraw_requested())
        return fresh

    window._world.show = watched  # type: ignore[method-assign]
    yield
    yield
    presenter.bend = 0.3
    yield
    yield
    assert asked == [False, False, True, False]


def play_front(window: Window, presenter: FakePresenter) -> Steps:
    """A body can be taken where an arrow or the dot of a clamped vertex is drawn in front of it."""
    import polyscope as ps

    yield
    x = presenter.positions("full")
    tip = x[presenter.tip("full")]
    presenter.grab("full", presenter.tip("full"), by="another")
    presenter.move(0.4 * tip + np.array([0.0, -0.3, 0.0]), by="another")
    yield
    _, _, target = presenter.held["another"]
    on_arrow = np.round(window.view.project((0.6 * tip + 0.4 * target)[None])[0])
    dots = np.round(window.view.project(x[presenter.clamped]))
    on_dot = next(d for d in dots if ps.pick(screen_coords=d).structure_name.startswith("clamped"))
    for pixel in (on_arrow, on_dot):
        presenter.events.clear()
        yield from click(pixel)
        assert [label for label, _, _ in presenter.named("grab")] == ["full"]
    presenter.drop("another")


def play_obstacle(window: Window, presenter: FakePresenter) -> Steps:
    """A ball before the tip of each body is seen, and the tip behind it can be taken; without it
    all is as before."""
    import polyscope as ps

    yield
    eye = -np.linalg.inv(window.view.matrix[:3, :3]) @ window.view.matrix[:3, 3]
    x = presenter.positions("full")
    tip = x[presenter.tip("full")]
    before = tip + 0.2 * (eye - tip) / np.linalg.norm(eye - tip)
    ball = Shape("sphere", center=tuple(before), radius=0.12)
    presenter.obstacles = (surface_of(Obstacle(ball, 1.0), x.min(axis=0), x.max(axis=0)),)
    yield
    yield
    pixel = at_tip(window, presenter, "full")
    assert ps.pick(screen_coords=pixel).structure_name == "obstacle 0 full"
    assert ps.has_surface_mesh("obstacle 0 hod-6")
    presenter.events.clear()
    yield from click(pixel)
    assert [label for label, _, _ in presenter.named("grab")] == ["full"]
    assert ps.pick(screen_coords=pixel).structure_name == "obstacle 0 full"
    presenter.obstacles = ()
    yield
    yield
    assert not ps.has_surface_mesh("obstacle 0 full")


def play_beside(window: Window, presenter: FakePresenter) -> Steps:
    """A press beside the bodies turns the camera, and on the controls nothing in the world."""
    yield
    before = window.view.matrix
    yield from press(np.array([720.0, 620.0]))
    for k in range(1, 6):
        point_at(np.array([720.0 + 20 * k, 620.0]))
        yield
    yield from release()
    assert not presenter.named("grab")
    assert not np.allclose(window.view.matrix, before, atol=1e-3)
    import polyscope as ps

    # After a drag of a body the camera turns again.
    yield from click(at_tip(window, presenter, "full"))
    assert len(presenter.named("grab")) == 1
    turned = window.view.matrix
    yield from press(np.array([720.0, 620.0]))
    for k in range(1, 6):
        point_at(np.array([720.0 + 20 * k, 620.0]))
        yield
    yield from release()
    assert not np.allclose(window.view.matrix, turned, atol=1e-3)
    assert not ps.have_selection()


def play_clamped(window: Window, presenter: FakePresenter) -> Steps:
    """What the presenter does not give is not held: no move, no drop."""
    presenter.grab = lambda label, vertex, by="window": False  # type: ignore[method-assign]
    yield
    before = window.view.matrix
    tip = at_tip(window, presenter, "full")
    yield from press(tip)
    point_at(tip + np.array([40.0, 0.0]))
    yield
    yield from release()
    assert not presenter.events
    assert np.allclose(window.view.matrix, before)


def play_controls(window: Window, presenter: FakePresenter) -> Steps:
    """Sliders, menus, buttons and keys reach the presenter, each once."""
    yield
    # The controls stand in rows: the first slider is dragged to its right end.
    yield from press(np.array([80.0, 192.0]))
    point_at(np.array([160.0, 192.0]))
    yield
    yield
    yield from release()
    names = {name for name, _ in presenter.named("set")}
    assert names == {"stiffness"}, presenter.events
    assert 500.0 < presenter.named("set")[-1][1] <= 1000.0
    yield from click(np.array([70.0, 81.0]))
    yield from click(np.array([60.0, 122.0]))  # the second of two scenes
    assert presenter.named("choose") == [("scene", "twist")], presenter.events
    presenter.events.clear()
    yield from click(np.array([35.0, 20.0]))
    yield from click(np.array([35.0, 20.0]))
    yield from click(np.array([95.0, 20.0]))
    for name in ("Space", "RightArrow", "R"):
        key(name)
        yield
        yield
        yield
    pressed = [name for (name,) in presenter.named("press_button")]
    assert pressed == ["pause", "play", "step", "pause", "step", "reset"]


def play_others(window: Window, presenter: FakePresenter) -> Steps:
    """Bodies and scenes come and go; what a window cannot do is a note."""
    import polyscope as ps

    from hodsim.mesh import beam

    yield
    presenter.labels = ("full", "hod-6")
    yield
    assert ps.has_surface_mesh("hod-6")
    assert not ps.has_surface_mesh("pca-6")
    assert not ps.has_point_cloud("clamped pca-6")
    tip = at_tip(window, presenter, "hod-6")
    yield from click(tip)
    assert presenter.named("grab")[0][0] == "hod-6", "picked where it is now"
    presenter.mesh = beam((6, 1, 1), (0.5, 0.1, 0.1))
    x = presenter.mesh.vertices
    presenter.clamped = np.flatnonzero(x[:, 0] <= x[:, 0].min() + 1e-9)
    presenter.free = np.setdiff1d(np.arange(len(x)), presenter.clamped)
    yield
    assert ps.get_surface_mesh("full").n_faces() == len(presenter.mesh.surface)
    presenter.labels = ()
    yield
    assert not ps.has_surface_mesh("full")
    presenter.labels = ("hod-6",)
    yield
    window._act(("slider", "no such", 1.0))
    assert "no such" in window._note


def play_pictures(window: Window, presenter: FakePresenter) -> Steps:
    """A picture shows the bodies in their colours; taking it asks the presenter for nothing."""
    from PIL import Image

    yield
    before = presenter.pictures
    window.save_picture(Path("view.png"))
    assert presenter.pictures == before
    image = np.asarray(Image.open("view.png").convert("RGB")).astype(float) / 255
    assert image.shape == (900, 1440, 3)
    mesh = presenter.mesh
    front = mesh.vertices[:, 1] <= mesh.vertices[:, 1].min() + 1e-9
    along = (mesh.vertices[:, 0] - mesh.vertices[:, 0].min()) / np.ptp(mesh.vertices[:, 0])
    for label in LABELS:
        for start in (0.1, 0.45, 0.85):
            near = front & (np.abs(along - start) < 0.1)
            u, v = window.view.project(presenter.positions(label)[near].mean(axis=0)[None])[0]
            part = image[int(v) - 12 : int(v) + 12, int(u) - 12 : int(u) + 12].reshape(-1, 3)
            colour = LOW_COLOUR + along[near].mean() ** 2 * (HIGH_COLOUR - LOW_COLOUR)
            close = np.abs(part - colour).max(axis=1) < 0.1
            assert close.mean() > 0.25, (label, start, colour, np.median(part, axis=0))
    for _ in range(2):
        yield from click(np.array([110.0, 48.0]))
    assert sorted(p.name for p in Path().glob("*.png")) == [
        "hodsim-view-001.png",
        "hodsim-view-002.png",
        "view.png",
    ]


def play_film(window: Window, presenter: FakePresenter) -> Steps:
    """A film lasts as long as what it shows, and a step that is clicked meanwhile counts once."""
    yield
    button_at = np.array([172.0, 48.0])
    yield from press(button_at)
    start = time.monotonic()
    yield from release()
    while time.monotonic() - start < 1.0:
        yield
    assert not list(Path().glob("[!.]*.mp4")), "no half film is seen"
    yield from click(np.array([95.0, 20.0]))
    tip = at_tip(window, presenter, "full")
    yield from press(tip)
    point_at(tip + np.array([0.0, -30.0]))
    yield
    yield from release()
    assert [len(presenter.named(x)) for x in ("grab", "move", "drop")] == [1, 1, 1]
    filmed = time.monotonic() - start
    yield from click(button_at)
    ended = time.monotonic() - start  # with the rest of the encoding
    assert presenter.named("press_button") == [("step",)]
    count, seconds = film_length(Path("hodsim-film-001.mp4"))
    assert count == pytest.approx(30 * seconds, abs=2)
    assert filmed - 0.5 < seconds < ended + 0.5
    # Left running, the next is ended with the window.
    yield from click(button_at)
    for _ in range(10):
        yield


def play_interrupt(window: Window, presenter: FakePresenter) -> Steps:
    """Ctrl-C in the middle of a film."""
    yield
    yield from click(np.array([172.0, 48.0]))
    for _ in range(10):
        yield
    os.kill(os.getpid(), signal.SIGINT)
    yield
    raise AssertionError("the window went on")


PLAYS = {
    name.removeprefix("play_"): play
    for name, play in dict(globals()).items()
    if name.startswith("play_")
}


def film_length(path: Path) -> tuple[int, float]:
    import imageio_ffmpeg

    count, seconds = imageio_ffmpeg.count_frames_and_secs(str(path))
    return int(count), float(seconds)


def perform(name: str) -> None:
    """Open a window in memory and play; prints "done" once the play has come to its end."""
    presenter = FakePresenter()
    steps: list[Steps] = []

    def follow(window: Window) -> None:
        if not steps:
            steps.append(PLAYS[name](window, presenter))
        if next(steps[0], "over") == "over":
            os.kill(os.getpid(), signal.SIGINT)

    run_window(presenter, headless=True, frames=2000, on_frame=follow)  # type: ignore[arg-type]
    assert presenter.held == {}
    print("done")


def run_play(name: str, folder: Path) -> None:
    environment = {k: v for k, v in os.environ.items() if k not in ("DISPLAY", "WAYLAND_DISPLAY")}
    done = subprocess.run(
        [sys.executable, str(HERE), name],
        cwd=folder,
        env={**environment, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:] + done.stdout[-500:]
    assert done.stdout.strip().endswith("done")


def test_dragging_pulls_the_vertex_under_the_cursor(tmp_path: Path) -> None:
    run_play("drag", tmp_path)


def test_arrows_and_dots_are_not_in_the_way(tmp_path: Path) -> None:
    run_play("front", tmp_path)


def test_obstacles_are_seen_and_not_in_the_way(tmp_path: Path) -> None:
    run_play("obstacle", tmp_path)


def test_all_bodies_are_in_sight(tmp_path: Path) -> None:
    run_play("centre", tmp_path)


def test_what_stands_still_is_not_drawn_again(tmp_path: Path) -> None:
    run_play("still", tmp_path)


def test_beside_the_bodies_the_camera_turns(tmp_path: Path) -> None:
    run_play("beside", tmp_path)


def test_what_cannot_be_held_is_not_moved(tmp_path: Path) -> None:
    run_play("clamped", tmp_path)


def test_controls_and_keys_reach_the_presenter_once(tmp_path: Path) -> None:
    run_play("controls", tmp_path)


def test_bodies_and_scenes_come_and_go(tmp_path: Path) -> None:
    run_play("others", tmp_path)


def test_pictures_show_the_bodies_in_their_colours(tmp_path: Path) -> None:
    run_play("pictures", tmp_path)
    assert sorted(p.suffix for p in tmp_path.iterdir()) == [".png"] * 3, "and nothing else"


def test_a_film_lasts_as_long_as_what_it_shows(tmp_path: Path) -> None:
    run_play("film", tmp_path)
    assert sorted(p.name for p in tmp_path.iterdir()) == [
        "hodsim-film-001.mp4",
        "hodsim-film-002.mp4",
    ]
    assert film_length(tmp_path / "hodsim-film-002.mp4")[0] >= 1


def test_an_interrupt_ends_the_window_and_leaves_the_film_whole(tmp_path: Path) -> None:
    run_play("interrupt", tmp_path)
    [film] = tmp_path.iterdir()
    assert film.name == "hodsim-film-001.mp4"
    assert film_length(film)[0] >= 1


def test_a_film_that_cannot_be_written_says_so(tmp_path: Path) -> None:
    film = Film(tmp_path / "film.mp4")
    assert film.stop().startswith("no film: expected at least one frame")
    (tmp_path / "file").touch()
    film = Film(tmp_path / "file" / "film.mp4")
    film.take(lambda: np.zeros((9, 9, 3), dtype=np.uint8))
    assert film.stop().startswith("no film: ")
    assert [p.name for p in tmp_path.iterdir()] == ["file"]


@pytest.mark.usefixtures("full_disk")
def test_a_film_on_a_full_disk_says_so(tmp_path: Path) -> None:
    film = Film(tmp_path / "film.mp4")
    film.take(lambda: np.zeros((64, 64, 3), dtype=np.uint8))
    assert film.stop() == (
        "no film: film: ffmpeg did not write it (no space left on the disk); free some space or "
        "choose another place"
    )
    assert list(tmp_path.iterdir()) == []


def test_a_film_repeats_frames_and_keeps_its_size(tmp_path: Path) -> None:
    """Three frames in two seconds, and the window becomes smaller and larger meanwhile."""
    now = [0.0]
    film = Film(tmp_path / "film.mp4", clock=lambda: now[0])
    for time_, size in ((0.0, (33, 64)), (0.5, (20, 40)), (1.0, (70, 70))):
        now[0] = time_
        image = np.full((*size, 3), 200, dtype=np.uint8)
        assert film.take(lambda image=image: image)
        assert not film.take(lambda image=image: image), "one frame at a time"
    now[0] = 2.0
    assert film.stop() == f"saved {tmp_path / 'film.mp4'}"
    assert film_length(tmp_path / "film.mp4")[0] == 60


class Display:
    """An X server without a screen."""

    def __enter__(self) -> str:
        read, write = os.pipe()
        self._server = subprocess.Popen(
            [tool("Xvfb", "xvfb"), "-displayfd", str(write), "-screen", "0", "1600x1000x24",
             "-nolisten", "tcp", "-noreset"],
            pass_fds=(write,), stderr=subprocess.DEVNULL,
        )  # fmt: skip
        os.close(write)
        name = b""
        # The number comes in parts, and a pipe that is closed too early kills the server.
        while not name.endswith(b"\n"):
            assert select.select([read], [], [], 30.0)[0], "Xvfb did not start within 30 s"
            part = os.read(read, 16)
            assert part, "Xvfb ended as soon as it was started"
            name += part
        os.close(read)
        return f":{int(name)}"

    def __exit__(self, *_: object) -> None:
        self._server.terminate()
        self._server.wait(10)


def tool(name: str, package: str) -> str:
    """The path of a program; the test fails where it is not there."""
    path = shutil.which(name)
    assert path is not None, f"this test needs {name}; apt install {package}"
    return path


class Reader:
    """The JSON lines of a process, waited for."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.seen: list[list[Any]] = []
        self._lines: queue.Queue[str] = queue.Queue()
        self._thread = threading.Thread(target=self._run, args=(process.stdout,), daemon=True)
        self._thread.start()

    def _run(self, stream: Iterator[str]) -> None:
        for line in stream:
            self._lines.put(line)
        self._lines.put("")

    def until(self, name: str, seconds: float = 60.0) -> list[Any]:
        """The next line of that name."""
        while True:
            try:
                line = self._lines.get(timeout=seconds)
            except queue.Empty:
                raise AssertionError(f"no {name} within {seconds} s, only {self.seen}") from None
            assert line, f"ended before {name}: {self.seen}"
            if line.startswith("["):
                self.seen.append(json.loads(line))
                if self.seen[-1][0] == name:
                    return self.seen[-1]


class _ClientMessage(ctypes.Structure):
    """XClientMessageEvent, in the 24 longs of an XEvent."""

    _fields_ = [
        ("type", ctypes.c_int),
        ("serial", ctypes.c_ulong),
        ("send_event", ctypes.c_int),
        ("display", ctypes.c_void_p),
        ("window", ctypes.c_ulong),
        ("message_type", ctypes.c_ulong),
        ("format", ctypes.c_int),
        ("data", ctypes.c_long * 5),
        ("rest", ctypes.c_long * 12),
    ]


def ask_to_close(display: str, window: int) -> None:
    """What a window manager sends when the cross in a window's corner is clicked."""
    x = ctypes.CDLL("libX11.so.6")
    x.XOpenDisplay.restype = ctypes.c_void_p
    x.XInternAtom.restype = ctypes.c_ulong
    connection = ctypes.c_void_p(x.XOpenDisplay(display.encode()))
    names = [x.XInternAtom(connection, n, 0) for n in (b"WM_PROTOCOLS", b"WM_DELETE_WINDOW")]
    event = _ClientMessage(type=33, window=window, message_type=names[0], format=32)
    event.data[0] = names[1]
    assert x.XSendEvent(connection, ctypes.c_ulong(window), 0, 0, ctypes.byref(event)) != 0
    x.XCloseDisplay(connection)


def test_a_real_mouse_pulls_in_a_real_window_and_the_cross_closes_it(tmp_path: Path) -> None:
    xdotool = tool("xdotool", "xdotool")
    with Display() as display:
        environment = {
            **os.environ,
            "DISPLAY": display,
            "PYTHONPATH": str(ROOT),
            "PYTHONUNBUFFERED": "1",
        }

        def hand(*words: object) -> str:
            return subprocess.run(
                [xdotool, *map(str, words)],
                env=environment,
                capture_output=True,
                text=True,
                timeout=30,
                check=True,
            ).stdout

        process = subprocess.Popen(
            [sys.executable, str(HERE.parent / "fakes.py")],
            cwd=tmp_path,
            env=environment,
            stdout=subprocess.PIPE,
            text=True,
            bufsize=1,
        )
        try:
            reader = Reader(process)
            _, x, y = reader.until("tip")
            window = hand("search", "--name", "^hodsim$").split()[0]
            where = re.search(
                r"X=(-?\d+)\s+Y=(-?\d+)", hand("getwindowgeometry", "--shell", window)
            )
            assert where is not None
            left, top = int(where[1]), int(where[2])
            hand("mousemove", left + round(x) - 6, top + round(y))
            time.sleep(0.3)
            hand("mousedown", 1)
            _, label, _, by = reader.until("grab")
            assert (label, by) == (LABELS[-1], "window")
            for k in range(1, 5):
                hand("mousemove", left + round(x) - 6, top + round(y) - 25 * k)
                time.sleep(0.1)
            first, last = reader.until("move")[1], reader.until("move")[1]
            assert last[2] > first[2], "up with the cursor"
            assert abs(last[0] - first[0]) < 0.05
            hand("mouseup", 1)
            reader.until("drop")
            ask_to_close(display, int(window))
            reader.until("end")
            assert process.wait(30) == 0
        finally:
            if process.poll() is None:
                process.kill()
            process.wait()


if __name__ == "__main__":
    perform(sys.argv[1])
