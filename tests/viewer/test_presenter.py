"""The presenter on a session that plays given motions: what is drawn, and what input becomes."""

from __future__ import annotations

import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.sparse.linalg import spsolve
from small import SCENE

from hodsim import read_scene
from hodsim.errors import InputError
from hodsim.fem import Body, body_of, tip_vertices
from hodsim.fem.stress import Stress
from hodsim.files import data_dir
from hodsim.scene import Obstacle, Scene, Shape
from hodsim.session.frames import Frame, LaneInfo, LaneStatus, Status
from hodsim.viewer.live.colours import GREY, Range, colour_table, round_down, round_up
from hodsim.viewer.live.picture import Picture
from hodsim.viewer.live.presenter import Presenter
from hodsim.viewer.live.track import TIP, Track

DT = 0.02
RING = 100
AVAILABLE = ("full", *(f"pca-{k}" for k in range(1, 16)), "quadratic-6", "hod-6")


@dataclass(frozen=True)
class Settings:
    gravity: np.ndarray
    damping_mass: float
    damping_stiffness: float
    time_step: float


@cache
def small() -> tuple[Scene, Body]:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "small.toml"
        path.write_text(SCENE)
        scene = read_scene(path)
    return scene, body_of(scene)


@cache
def shipped(name: str) -> tuple[Scene, Body]:
    scene = read_scene(data_dir("scenes") / f"{name}.toml")
    return scene, body_of(scene)


def lane(body: Body, label: str) -> LaneInfo:
    """Features that bend, stretch and shear; the first `rank` of them are the coordinates."""
    if label == "full":
        return LaneInfo(label, 0, None, np.empty(0), np.empty(0), body.mesh.n_tets)
    x = body.mesh.vertices - body.mesh.vertices.min(axis=0)
    fields = [np.outer(x[:, 0] ** p, axis) for p in (2, 3) for axis in np.eye(3)]
    basis = np.stack([body.restrict(field) for field in fields], axis=1)
    return LaneInfo(label, 6, basis, -np.ones(6), np.ones(6), 20)


class FakeSession:
    """Every lane follows `motion(label, step)`, its features z; steps are made by `make`."""

    def __init__(self, world: tuple[Scene, Body], labels: tuple[str, ...]) -> None:
        self.scene, self.body = world
        self.scenes, self.scene_name = ("bend", "swing"), "bend"
        self.available = AVAILABLE
        self.lanes = {label: lane(self.body, label) for label in labels}
        self.frames: dict[str, list[Frame]] = {}
        self.settings = Settings(np.zeros(3), 1.0, 0.0, DT)
        self.playing, self.together, self.rate, self.note = True, False, 1.0, ""
        self.lag: dict[str, float] = {}
        self.answers, self.silent = True, False  # when asked for a recording
        self.calls: list[tuple[Any, ...]] = []
        self.motion: Callable[[str, int], np.ndarray] = self.sway
        self.reset()
        self.calls.clear()

    def sway(self, label: str, step: int) -> np.ndarray:
        z = 0.1 * np.sin(0.1 * step + np.arange(6.0))
        return lane(self.body, "any").displacement(z) if label == "full" else z

    def make(self, label: str, steps: int = 1, **changes: Any) -> None:
        ring = self.frames.setdefault(label, [])
        for _ in range(steps):
            step = ring[-1].step + 1 if ring else 0
            z = self.motion(label, step)
            q = z if self.lanes[label].rank else z[:0]
            frame = Frame(step, step * DT, q, z, 0.5 * z, 2, 3.9, float("nan"), 0)
            ring.append(replace(frame, **changes))
        del ring[:-RING]

    def make_all(self, steps: int = 1) -> None:
        for label in self.lanes:
            self.make(label, steps)

    def called(self, name: str) -> list[tuple[Any, ...]]:
        return [call[1:] for call in self.calls if call[0] == name]

    # What the presenter calls.

    def poll(self) -> None:
        pass

    def latest(self, label: str) -> Frame | None:
        ring = self.frames.get(label)
        return ring[-1] if ring else None

    def recent(self, label: str, since: int) -> list[Frame]:
        return [frame for frame in self.frames.get(label, ()) if frame.step > since]

    def at(self, label: str, step: int) -> Frame | None:
        return next((f for f in self.frames.get(label, ()) if f.step == step), None)

    def status(self) -> Status:
        clock = max((ring[-1].step for ring in self.frames.values() if ring), default=0)
        lanes = {
            label: LaneStatus(self.frames[label][-1].step, self.lag.get(label, 0.0), 50.0)
            for label in self.lanes
            if self.frames.get(label)
        }
        return Status(self.playing, clock, clock * DT, self.rate, self.together, lanes, self.note)

    def reset(self) -> None:
        self.calls.append(("reset",))
        self.frames = {}
        self.make_all()

    def choose(self, labels: tuple[str, ...]) -> None:
        self.calls.append(("choose", labels))
        old = self.lanes
        self.lanes = {x: old[x] if x in old else lane(self.body, x) for x in labels}
        self.frames = {x: y for x, y in self.frames.items() if x in labels}

    def open(self, name: str) -> None:
        self.calls.append(("open", name))
        self.scene_name = name
        self.scene, self.body = small() if self.body is not small()[1] else shipped("swing")
        self.lanes = {x: lane(self.body, x) for x in self.lanes}
        self.reset()

    def set_gravity(self, g: np.ndarray) -> None:
        self.calls.append(("set_gravity", g))
        self.settings = replace(self.settings, gravity=g)

    def set_time_step(self, h: float) -> None:
        self.calls.append(("set_time_step", h))
        self.settings = replace(self.settings, time_step=h)

    def drag(self, vertex: int, target: np.ndarray, stiffness: float, by: str = "window") -> None:
        self.calls.append(("drag", vertex, target, stiffness, by))

    def release(self, by: str = "window") -> None:
        self.calls.append(("release", by))

    def play(self) -> None:
        self.playing = True

    def pause(self) -> None:
        self.calls.append(("pause",))
        self.playing = False

    def advance(self, steps: int = 1) -> None:
        self.make_all(steps)

    def pose(self, label: str, q: np.ndarray) -> None:
        self.calls.append(("pose", label, q))

    def keep_together(self, on: bool) -> None:
        self.calls.append(("keep_together", on))

    def set_rate(self, rate: float) -> None:
        self.calls.append(("set_rate", rate))

    def set_damping(self, mass: float, stiffness: float) -> None:
        self.calls.append(("set_damping", mass, stiffness))

    def ask_recording(self) -> None:
        self.calls.append(("ask_recording",))

    def put_recording(self, path: Path) -> bool:
        if self.silent:
            raise InputError("recording: the simulation did not answer; try again")
        if self.answers:
            path.write_text("{}")
        return self.answers


class Wall:
    """A clock that tests turn."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def session() -> FakeSession:
    return FakeSession(small(), ("full", "pca-6", "hod-6"))


def made(session: Any, **options: Any) -> Presenter:
    return Presenter(session, **options)


def slider(presenter: Presenter, name: str) -> Any:
    return next(x for x in presenter.sliders() if x.name == name)


def menu(presenter: Presenter, name: str) -> Any:
    return next(x for x in presenter.menus() if x.name == name)


def series(picture: Picture, title: str, label: str = "full space") -> Any:
    plot = next(p for p in picture.plots if p.title.startswith(title))
    return next(s for s in plot.series if s.label == label)


# Bodies and colours.


def test_bodies_stand_side_by_side_where_their_latest_frames_put_them(session: FakeSession) -> None:
    session.make_all(5)
    picture = made(session).picture()
    assert [b.label for b in picture.bodies] == ["full", "pca-6", "hod-6"]
    assert [b.title for b in picture.bodies] == ["full space", "PCA-6", "HoD-6"]
    body = session.body
    for k, drawn in enumerate(picture.bodies):
        np.testing.assert_allclose(drawn.offset, [k * 1.4 * 0.6, 0.0, 0.0])
        z = session.motion(drawn.label, 5)
        u = body.expand(session.lanes[drawn.label].displacement(z))
        np.testing.assert_allclose(drawn.positions, body.mesh.vertices + u + drawn.offset)
    fixed = np.setdiff1d(np.arange(body.mesh.n_vertices), body.free_vertices)
    assert picture.clamped.tolist() == fixed.tolist()
    assert picture.scale == pytest.approx(0.2)


def test_a_scenes_obstacles_are_in_the_picture(session: FakeSession) -> None:
    ball = Obstacle(Shape("sphere", center=(0.5, 0, -0.4), radius=0.2), 1e5)
    session.scene = replace(session.scene, obstacles=(ball,))
    session.make_all(2)
    presenter = made(session)
    [drawn] = presenter.picture().obstacles
    away = np.linalg.norm(drawn.vertices - [0.5, 0, -0.4], axis=1)
    np.testing.assert_allclose(away, 0.2)
    assert presenter.picture().obstacles[0] is drawn  # windows go by that


def test_displacement_colours_go_by_the_bar(session: FakeSession) -> None:
    session.make_all(5)
    picture = made(session).picture()
    assert picture.bar.title == "displacement [m]"
    largest = 0.0
    for drawn in picture.bodies:
        u = np.linalg.norm(drawn.positions - drawn.offset - session.body.mesh.vertices, axis=1)
        wanted = colour_table()[np.rint(u / picture.bar.high * 255).astype(int)]
        np.testing.assert_array_equal(drawn.colours, wanted)
        largest = max(largest, float(u.max()))
    assert largest <= picture.bar.high == round_up(largest)


def test_stress_colours_are_those_of_the_stress(session: FakeSession) -> None:
    session.make_all(5)
    presenter = made(session)
    presenter.choose("colour", "von Mises stress [Pa]")
    picture = presenter.picture()
    stress = Stress(session.body)
    drawn = picture.bodies[0]
    u = session.body.restrict(drawn.positions - session.body.mesh.vertices)
    values = stress.at_vertices(stress.von_mises(u))
    assert values.max() <= picture.bar.high <= 2.5 * values.max()
    wanted = colour_table()[np.rint(values / picture.bar.high * 255).astype(int)]
    np.testing.assert_allclose(drawn.colours, wanted, atol=0.02)  # a neighbouring entry


def test_a_peak_of_stress_at_one_vertex_leaves_the_others_their_colours() -> None:
    session = FakeSession(shipped("bend"), ("full",))
    presenter = made(session)
    presenter.choose("colour", "von Mises stress [Pa]")
    session.make_all(5)
    presenter.picture()
    smooth = session.motion

    def pulled(label: str, step: int) -> np.ndarray:
        z = smooth(label, step).copy()
        z[-3:] += 0.1
        return z

    session.motion = pulled
    session.make_all()
    picture = presenter.picture()
    body = session.body
    stress = Stress(body)
    u = body.restrict(picture.bodies[0].positions - body.mesh.vertices)
    largest = stress.at_vertices(stress.von_mises(u)).max()
    assert largest > 4.0 * picture.bar.high
    assert picture.bar.exceeded
    assert picture.bar.ends[1] == f"> {picture.bar.high:.3g}"
    presenter.choose("colour", "displacement [m]")
    assert not presenter.picture().bar.exceeded


def test_error_compares_the_same_step(session: FakeSession) -> None:
    """Bodies that move alike have no error, although full space is steps behind."""
    session.make("full", 3)
    session.make("pca-6", 9)
    session.make("hod-6", 1)  # behind full space
    presenter = made(session)
    presenter.choose("colour", "error against full space [m]")
    picture = presenter.picture()
    for drawn in picture.bodies:
        np.testing.assert_array_equal(
            drawn.colours, np.tile(colour_table()[0], (len(drawn.colours), 1))
        )
    assert "no error" not in picture.note
    # A different motion is seen, and as large as it is.
    session.motion = lambda label, step: (
        session.sway(label, step) * (1.5 if label == "hod-6" else 1)
    )
    session.make("hod-6", 2)
    picture = presenter.picture()
    u = session.body.expand(session.sway("full", 3))
    error = 0.5 * np.linalg.norm(u, axis=1)
    wanted = colour_table()[np.rint(error / picture.bar.high * 255).astype(int)]
    np.testing.assert_allclose(picture.bodies[2].colours, wanted, atol=0.02)


def test_error_is_grey_where_it_is_not_known(session: FakeSession) -> None:
    presenter = made(session)
    presenter.choose("colour", "error against full space [m]")
    session.make("hod-6", RING + 10)  # full space is still at rest, and that frame is gone
    picture = presenter.picture()
    assert (picture.bodies[2].colours == GREY).all()
    assert "no error for HoD-6" in picture.note
    presenter.choose("body 1", "none")
    picture = presenter.picture()
    assert all((b.colours == GREY).all() for b in picture.bodies)
    assert "choose it as a body" in picture.note


def test_range_is_round_rises_at_once_and_falls_slowly() -> None:
    bar = Range(0.001)
    assert bar.take(0.0, 0.0) == 0.001
    assert bar.take(0.33, 0.1) == 0.5
    assert bar.take(0.6, 0.2) == 1.0
    tops = [bar.take(0.45 + 0.1 * (k % 2), 0.2 + 0.03 * k) for k in range(1000)]
    assert set(tops) == {1.0}  # a value that swings about 0.5 does not toggle it
    tops = [bar.take(0.01, 30.2 + 0.03 * k) for k in range(2000)]
    assert tops[0] == 1.0
    assert tops[-1] == 0.02
    assert (np.diff(tops) <= 0).all()
    assert 3 <= len(set(tops)) <= 7


@pytest.mark.parametrize("value", [1e-7, 0.013, 0.2, 0.99, 1.0, 7.0, 1e9])
def test_round_numbers(value: float) -> None:
    assert value / 2.5001 <= round_down(value) <= value <= round_up(value) <= 2.5001 * value
    for x in (round_up(value), round_down(value)):
        assert f"{x:.0e}"[0] in "125"
        assert float(f"{x:.0e}") == pytest.approx(x)


# Dragging.


def test_grab_move_and_drop_reach_the_session_without_the_offset(session: FakeSession) -> None:
    session.make_all(3)
    presenter = made(session)
    picture = presenter.picture()
    drawn = picture.bodies[2]
    tip = int(tip_vertices(session.body)[0])
    assert presenter.nearest("hod-6", drawn.positions[tip] + 1e-4) == tip
    assert presenter.grab("hod-6", tip)
    assert presenter.grabbed() == ("hod-6", tip)
    target = drawn.positions[tip] + [0.05, 0.0, 0.2]
    presenter.move(target)
    start, pulled = session.called("drag")
    np.testing.assert_allclose(start[1], drawn.positions[tip] - drawn.offset)
    assert pulled[0] == tip
    np.testing.assert_allclose(pulled[1], target - drawn.offset)
    assert pulled[2:] == (slider(presenter, "stiffness").value, "window")
    arrows = [a for a in presenter.picture().arrows if a.kind == "drag"]
    assert len(arrows) == 3  # on every body
    for arrow, shown in zip(arrows, picture.bodies, strict=True):
        np.testing.assert_allclose(arrow.start, shown.positions[tip])
        np.testing.assert_allclose(arrow.end, pulled[1] + shown.offset)
    presenter.set("stiffness", 50.0)
    assert session.called("drag")[-1][2] == 50.0
    np.testing.assert_array_equal(session.called("drag")[-1][1], pulled[1])
    presenter.drop()
    assert session.called("release") == [("window",)]
    assert presenter.grabbed() is None
    presenter.drop()
    presenter.move(target)
    assert len(session.called("release")) == 1
    assert len(session.called("drag")) == 3


def test_clamped_and_unknown_vertices_are_not_grabbed(session: FakeSession) -> None:
    presenter = made(session)
    clamped = int(presenter.picture().clamped[0])
    for label, vertex in (("full", clamped), ("full", -1), ("full", 10**6), ("pca-3", 5)):
        assert not presenter.grab(label, vertex)
    assert not session.called("drag")
    assert presenter.nearest("full", session.body.mesh.vertices[clamped]) != clamped


def test_hands_are_kept_apart(session: FakeSession) -> None:
    presenter = made(session)
    presenter.picture()
    a, b = session.body.free_vertices[:2]
    assert presenter.grab("full", a, by="web-1")
    assert presenter.grab("hod-6", b, by="web-2")
    presenter.drop(by="web-1")
    assert presenter.grabbed("web-1") is None
    assert presenter.grabbed("web-2") == ("hod-6", b)


@pytest.mark.parametrize("far", [1.0, 1e9, 1e300])
def test_a_pull_ends_at_the_ball_and_says_so(session: FakeSession, far: float) -> None:
    presenter = made(session)
    presenter.picture()
    presenter.grab("full", int(session.body.free_vertices[0]))
    x = session.body.mesh.vertices
    middle = (x.min(axis=0) + x.max(axis=0)) / 2
    presenter.move(middle + np.array([0.0, far, far]))
    target = session.called("drag")[-1][1]
    np.testing.assert_allclose(target - middle, 0.9 * np.array([0, 1, 1]) / np.sqrt(2))
    assert "0.9 m" in presenter.picture().note
    presenter.move(middle + np.array([0.0, 0.5, 0.5]))
    np.testing.assert_allclose(session.called("drag")[-1][1] - middle, [0.0, 0.5, 0.5])
    assert "0.9 m" not in presenter.picture().note
    before = len(session.calls)
    presenter.move(np.array([np.nan, 0.0, 0.0]))
    assert len(session.calls) == before


def test_a_grab_is_let_go_with_its_body(session: FakeSession) -> None:
    presenter = made(session)
    presenter.picture()
    presenter.grab("hod-6", int(session.body.free_vertices[0]))
    presenter.choose("body 3", "none")
    presenter.picture()
    assert presenter.grabbed() is None
    assert session.called("release") == [("window",)]


def test_default_stiffness_moves_the_shipped_tip_by_tens_of_centimetres() -> None:
    session = FakeSession(shipped("bend"), ("full",))
    stiffness = slider(made(session), "stiffness").value
    body, tip = session.body, int(tip_vertices(session.body)[0])
    unit = np.zeros((body.mesh.n_vertices, 3))
    for axis in (1, 2):
        unit[:] = 0.0
        unit[tip, axis] = 1.0
        u = spsolve(body.stiffness(np.zeros(body.n_dofs)).tocsc(), body.restrict(unit))
        own = 1.0 / body.expand(u)[tip, axis]  # N/m
        assert 0.1 < 0.5 * stiffness / (stiffness + own) < 0.5  # of a cursor half a metre away


# Sliders, menus, buttons.


def test_sliders_reach_the_session(session: FakeSession) -> None:
    presenter = made(session)
    presenter.set("gravity", 10.0)
    np.testing.assert_allclose(session.settings.gravity, [0, 0, -10], atol=1e-12)
    presenter.set("elevation", 0.0)
    presenter.set("azimuth", 90.0)
    np.testing.assert_allclose(session.settings.gravity, [0, 10, 0], atol=1e-12)
    presenter.set("time step", 5.0)
    assert session.called("set_time_step") == [(pytest.approx(0.005),)]
    presenter.set("damping mass", 2.5)
    assert session.called("set_damping")[-1] == (2.5, 0.0)
    presenter.set("damping stiffness", 0.01)
    assert session.called("set_damping")[-1] == (2.5, 0.01)
    presenter.set("speed", 1e9)
    assert session.called("set_rate") == [(4.0,)]
    for name, value in (("gravity", np.nan), ("gravity", np.inf), ("nonsense", 1.0), ("q7", 0.0)):
        with pytest.raises(InputError):
            presenter.set(name, value)


def test_sliders_start_at_what_is_in_force(session: FakeSession) -> None:
    session.settings = Settings(np.array([3.0, 0.0, 4.0]), 12.0, 0.003, 0.1)
    presenter = made(session)
    values = {s.name: s for s in presenter.sliders()}
    assert values["gravity"].value == pytest.approx(5.0)
    assert values["elevation"].value == pytest.approx(np.degrees(np.arcsin(0.8)))
    assert values["damping mass"].value == values["damping mass"].high == 12.0
    assert values["damping stiffness"].value == 0.003
    assert values["time step"].high == pytest.approx(100.0)


def test_latent_sliders_pause_and_pose_and_keep_each_other(session: FakeSession) -> None:
    session.make_all(4)
    presenter = made(session)
    assert menu(presenter, "pose").choices == ("pca-6", "hod-6")
    presenter.choose("pose", "hod-6")
    q = session.motion("hod-6", 4)
    latent = [s for s in presenter.sliders() if s.group == "latent"]
    np.testing.assert_allclose([s.value for s in latent], q)
    assert (latent[0].low, latent[0].high) == (-1.2, 1.2)
    presenter.set("q2", 0.7)
    presenter.picture()  # the frame of that pose has not come yet
    presenter.set("q3", 5.0)
    assert not session.playing
    wanted = q.copy()
    wanted[1:3] = 0.7, 1.2
    label, given = session.called("pose")[-1]
    assert label == "hod-6"
    np.testing.assert_allclose(given, wanted)
    presenter.press_button("play")
    session.make_all(2)
    followed = [s.value for s in presenter.sliders() if s.group == "latent"]
    np.testing.assert_allclose(followed, session.motion("hod-6", 6))


def test_body_menus(session: FakeSession) -> None:
    presenter = made(session)
    offered = ("none", "full", "pca-6", "pca-12", "pca-15", "quadratic-6", "hod-6")
    assert menu(presenter, "body 1").choices == offered
    assert [menu(presenter, f"body {k}").value for k in (1, 2, 3)] == ["full", "pca-6", "hod-6"]
    presenter.choose("body 2", "full")  # twice the same: one stays
    assert session.called("choose")[-1] == (("full", "hod-6"),)
    assert [menu(presenter, f"body {k}").value for k in (1, 2, 3)] == ["none", "full", "hod-6"]
    presenter.choose("body 2", "none")
    presenter.choose("body 3", "none")
    assert session.called("choose")[-1] == (("hod-6",),)
    assert "one body has to stay" in presenter.picture().note
    presenter.choose("pace", "together")
    assert session.called("keep_together") == [(True,)]
    for name, value in (("body 1", "pca-99"), ("nonsense", "full"), ("colour", "red")):
        with pytest.raises(InputError):
            presenter.choose(name, value)


def test_what_the_session_refuses_is_a_word_to_the_user(
    session: FakeSession, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def refuse(_: object) -> None:
        raise InputError("no such thing today")

    presenter = made(session, folder=tmp_path)
    for name in ("choose", "open", "put_recording"):
        monkeypatch.setattr(session, name, refuse)
    for act in (
        lambda: presenter.choose("body 1", "none"),
        lambda: presenter.choose("scene", "swing"),
        lambda: presenter.press_button("save recording"),
    ):
        presenter.choose("colour", "displacement [m]")
        act()
        assert "no such thing today" in presenter.picture().note
    assert menu(presenter, "body 1").value == "full"


def test_buttons(session: FakeSession, tmp_path: Path) -> None:
    presenter = made(session, folder=tmp_path)
    assert presenter.buttons() == ("pause", "step", "reset", "save recording")
    presenter.press_button("step")
    assert not session.playing
    assert presenter.buttons()[0] == "play"
    assert session.frames["full"][-1].step == 1
    for name in ("hodsim-recording-001.json", "hodsim-recording-002.json"):
        presenter.press_button("save recording")
        assert presenter.picture().note == f"saved {tmp_path / name}"
        assert (tmp_path / name).is_file()
    assert presenter.finish() == ""
    with pytest.raises(InputError):
        presenter.press_button("explode")


def test_drawing_goes_on_while_a_recording_is_waited_for(
    session: FakeSession, tmp_path: Path
) -> None:
    presenter = made(session, folder=tmp_path)
    session.answers = False
    presenter.press_button("save recording")
    for _ in range(3):
        session.make_all()
        picture = presenter.picture()
        assert picture.readout[0].endswith(f"step {session.frames['full'][-1].step}")
        assert picture.note == f"saving {tmp_path / 'hodsim-recording-001.json'}"
    presenter.press_button("save recording")  # again: it is on its way
    assert len(session.called("ask_recording")) == 1
    assert not list(tmp_path.iterdir())
    # Others may draw and pull while one waits for it at the end.
    told: list[str] = []
    waiting = threading.Thread(target=lambda: told.append(presenter.finish()))
    waiting.start()
    drawn = [presenter.picture() for _ in range(3)]
    assert presenter.grab("full", int(session.body.free_vertices[0]))
    assert len(drawn) == 3
    assert waiting.is_alive()
    session.answers = True
    waiting.join(5.0)
    assert told == [f"saved {tmp_path / 'hodsim-recording-001.json'}"]
    session.silent = True
    presenter.press_button("save recording")
    assert presenter.picture().note.startswith("not saved: recording: the simulation did not")
    assert [path.name for path in tmp_path.iterdir()] == ["hodsim-recording-001.json"]


def test_another_scene_starts_anew(session: FakeSession) -> None:
    presenter = made(session)
    presenter.picture()
    presenter.grab("full", int(session.body.free_vertices[0]))
    session.settings = replace(session.settings, time_step=0.004)
    presenter.choose("scene", "swing")
    session.make_all(2)
    picture = presenter.picture()
    assert len(picture.bodies[0].positions) == 514
    assert presenter.grabbed() is None
    assert slider(presenter, "time step").value == pytest.approx(4.0)
    assert len(series(picture, "tip").x) == 3


# Plots, warnings, words.


def test_every_step_counts_once_also_after_a_reset(session: FakeSession) -> None:
    presenter = made(session)
    drawn = []
    for steps in (1, 0, 7, 2):
        session.make_all(steps)
        drawn.append(session.frames["full"][-1].step)
        picture = presenter.picture()
    tip = series(picture, "tip")
    np.testing.assert_allclose(tip.x, DT * np.arange(11))
    u = session.body.expand(np.stack([session.sway("full", k) for k in range(11)]))
    moved = (u[:, tip_vertices(session.body)] ** 2).sum(axis=2).mean(axis=1)
    np.testing.assert_allclose(tip.y, np.sqrt(moved))
    np.testing.assert_allclose(series(picture, "tip", "HoD-6").y, tip.y)
    energy = series(picture, "energy")
    np.testing.assert_allclose(energy.x, DT * np.unique(drawn))
    z = session.sway("full", 10)
    kinetic = 0.125 * z @ (session.body.mass @ z)
    assert energy.y[-1] == pytest.approx(session.body.energy(z) + kinetic)
    session.reset()
    session.make_all(3)
    np.testing.assert_allclose(series(presenter.picture(), "tip").x, DT * np.arange(4))
    presenter.press_button("reset")
    np.testing.assert_allclose(series(presenter.picture(), "Newton").y, [2])


def test_plots_keep_ten_seconds_and_no_more_memory(session: FakeSession) -> None:
    track = Track()
    frame = session.frames["full"][0]
    size = track._rows.nbytes
    for k in range(0, 60_000, 1500):
        frames = [replace(frame, step=k + i, t=0.001 * (k + i)) for i in range(1500)]
        track.add(frames, np.arange(k, k + 1500.0))
    drawn = track.series(TIP, "x")
    np.testing.assert_allclose(drawn.y, np.arange(49_999, 60_000))
    np.testing.assert_allclose(drawn.x, 0.001 * drawn.y)
    assert track._rows.nbytes == size


def test_a_frame_that_is_not_finite_is_never_drawn(session: FakeSession) -> None:
    session.make_all(2)
    presenter = made(session)
    before = presenter.picture()
    for bad in (np.nan, np.inf, 1e300):
        session.make("hod-6", z=np.full(6, bad), dz=np.full(6, bad))
        picture = presenter.picture()
        np.testing.assert_array_equal(picture.bodies[2].positions, before.bodies[2].positions)
        assert "not finite" in picture.bodies[2].warning
        assert not picture.bodies[0].warning
        check_finite(picture)
    session.make("hod-6")
    assert not presenter.picture().bodies[2].warning


def test_warnings(session: FakeSession) -> None:
    session.make("hod-6", 3, reach=1.34, held=3)
    session.lag["full"] = 3.21
    session.lag["pca-6"] = 0.1
    session.note = "said by the session"
    picture = made(session).picture()
    assert [b.warning for b in picture.bodies] == [
        "3.2 s behind",
        "",
        "outside the training range (x 1.3), 3 steps held",
    ]
    assert picture.note == "said by the session"


OUT = "outside the training range (x 1.3)"


@pytest.mark.parametrize("drawn", [1, 3])
def test_single_steps_outside_the_training_range_are_not_told(
    session: FakeSession, drawn: int
) -> None:
    """Two steps in a row are nothing, three are; whether each is drawn, or every third."""
    wall = Wall()
    presenter = made(session, clock=wall)
    reaches = [0.9, 1.3, 0.9, 1.3, 1.3, 0.9, 1.3, 1.3, 1.3, 1.3, 0.9, 0.9]
    told = []
    for k, reach in enumerate(reaches, start=1):
        wall.now += DT
        session.make("hod-6", reach=reach)
        if k % drawn == 0:
            told.append(presenter.picture().bodies[2].warning)
    every = [""] * 8 + [OUT, OUT, "", ""]
    assert told == every[drawn - 1 :: drawn]


def test_slow_drawing_does_not_join_single_steps_outside(session: FakeSession) -> None:
    wall = Wall()
    presenter = made(session, clock=wall)
    for _ in range(5):
        wall.now += 0.2
        session.make("hod-6", 9, reach=0.9)
        session.make("hod-6", reach=1.3)
        assert not presenter.picture().bodies[2].warning


def test_a_pose_outside_the_training_range_is_told_within_a_fifth_of_a_second(
    session: FakeSession,
) -> None:
    """Also where no steps are taken, or few."""
    wall = Wall()
    presenter = made(session, clock=wall)
    presenter.picture()
    session.make("hod-6", reach=1.3)
    assert not presenter.picture().bodies[2].warning
    wall.now += 0.2
    assert presenter.picture().bodies[2].warning == OUT
    presenter.press_button("reset")
    session.make("hod-6", reach=1.3)
    assert not presenter.picture().bodies[2].warning


def test_readout(session: FakeSession) -> None:
    wall = Wall()
    presenter = made(session, clock=wall)
    for _ in range(100):
        wall.now += 0.04
        session.make_all()
        picture = presenter.picture()
    assert picture.readout == (
        "t = 2.00 s, step 100",
        "simulation: full space 50 steps/s, 3.9 ms a step",
        "simulation: PCA-6 50 steps/s, 3.9 ms a step",
        "simulation: HoD-6 50 steps/s, 3.9 ms a step",
        "drawing: 25 frames/s",
        "speed: 0.50 x real time (asked for 1 x)",
    )


def test_load_arrows(session: FakeSession) -> None:
    """The force of the scene, ramped up to (0, 4, 9) N over 0.1 s on the tip's face."""
    presenter = made(session)
    assert not presenter.picture().arrows
    session.make("full", 5)
    (arrow,) = presenter.picture().arrows
    x = session.body.mesh.vertices + session.body.expand(session.sway("full", 5))
    np.testing.assert_allclose(arrow.start, x[tip_vertices(session.body)].mean(axis=0))
    direction = np.array([0, 4, 9]) / np.hypot(4, 9)
    np.testing.assert_allclose(arrow.end - arrow.start, 0.25 * 0.6 * direction)
    presenter.set("gravity", 9.81)
    falling = [a for a in presenter.picture().arrows if a is not arrow][1]
    np.testing.assert_allclose(falling.end - falling.start, [0, 0, -0.15], atol=1e-12)
    np.testing.assert_allclose(falling.start, x.mean(axis=0))


# Rough handling.


def check_finite(picture: Picture) -> None:
    for body in picture.bodies:
        assert np.isfinite(body.positions).all()
        assert body.colours.shape == body.positions.shape
        assert ((body.colours >= 0.0) & (body.colours <= 1.0)).all()
    for arrow in picture.arrows:
        assert np.isfinite(arrow.start).all()
        assert np.isfinite(arrow.end).all()
    for plot in picture.plots:
        for line in plot.series:
            assert len(line.x) == len(line.y)
            assert np.isfinite(line.x).all()
            assert np.isfinite(line.y).all()
            assert (np.diff(line.x) > 0).all()
    assert picture.bar.low < picture.bar.high < np.inf


def rough(session: FakeSession, presenter: Presenter, rng: np.random.Generator) -> Iterator[str]:
    """Random operations, one at a time."""

    def any_of(items: Any) -> Any:
        return items[int(rng.integers(len(items)))]

    def point() -> np.ndarray:
        return rng.standard_normal(3) * 10.0 ** any_of([-3, -1, 0, 2, 200, 307])

    hands = ("window", "web-1", "web-2")
    while True:
        match any_of(["slider", "menu", "button", "grab", "move", "move", "drop", "steps", "bad"]):
            case "slider":
                s = any_of(presenter.sliders())
                presenter.set(s.name, any_of([s.low, s.high, -1e300, 1e300, rng.normal()]))
            case "menu":
                m = any_of(presenter.menus())
                presenter.choose(m.name, any_of(m.choices))
            case "button":
                presenter.press_button(any_of(presenter.buttons()[:3]))
            case "grab":
                label = any_of((*session.lanes, "pca-3"))
                if label in {b.label for b in presenter.picture().bodies}:
                    presenter.nearest(label, point())
                presenter.grab(label, int(rng.integers(-1, 60)), by=any_of(hands))
            case "move":
                presenter.move(any_of([point(), np.full(3, np.nan)]), by=any_of(hands))
            case "drop":
                presenter.drop(by=any_of(hands))
            case "steps":
                for label in session.lanes:
                    session.make(label, int(rng.integers(4)))
            case "bad":
                label = any_of(list(session.lanes))
                width = session.body.n_dofs if label == "full" else 6
                bad = np.full(width, any_of([np.nan, np.inf, -1e300, 1e5, 30.0]))
                session.make(label, z=bad, dz=any_of([bad, np.zeros(width)]), reach=1e9)
        yield "done"


@pytest.mark.parametrize("seed", range(3))
def test_pictures_stay_finite_under_rough_handling(session: FakeSession, seed: int) -> None:
    presenter = made(session)
    acts = rough(session, presenter, np.random.default_rng(seed))
    for _ in range(500):
        next(acts)
        check_finite(presenter.picture())
        for s in presenter.sliders():
            assert np.isfinite([s.low, s.value, s.high]).all()
            assert s.low <= s.value <= s.high
        for m in presenter.menus():
            assert m.value in m.choices
    reach = 1.5 * 1.0 + 1.0
    assert session.called("drag")
    for _, target, stiffness, _ in session.called("drag"):
        assert np.abs(target).max() < reach
        assert 0.0 < stiffness < 1e6


def test_many_threads_at_once(session: FakeSession) -> None:
    presenter, failed = made(session), []

    def client(by: str) -> None:
        try:
            for k in range(40):
                drawn = presenter.picture().bodies[k % 3]
                vertex = presenter.nearest(drawn.label, drawn.positions[k % 20])
                presenter.grab(drawn.label, vertex, by=by)
                presenter.move(drawn.positions[vertex] + 0.01, by=by)
                presenter.set("gravity", k % 20)
                assert presenter.grabbed(by) == (drawn.label, vertex)
                presenter.drop(by=by)
        except Exception as error:  # noqa: BLE001 - whatever it is, the test is to show it
            failed.append(error)

    threads = [threading.Thread(target=client, args=(f"web-{k}",)) for k in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failed
    assert len(session.called("release")) == 160


def test_time_of_a_picture_of_the_shipped_beam() -> None:
    session = FakeSession(shipped("bend"), ("full", "pca-6", "hod-6"))
    presenter = made(session)
    for colour in menu(presenter, "colour").choices:
        presenter.choose("colour", colour)
        times = []
        for _ in range(20):
            session.make_all()
            start = time.perf_counter()
            picture = presenter.picture()
            times.append(time.perf_counter() - start)
        check_finite(picture)
        print(f"picture by {colour}: {1e3 * np.median(times):.2f} ms")
