"""The live simulation in its own process: it follows the hand, keeps its word, and ends cleanly."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from hodsim.cubature import load_cubatures
from hodsim.dynamics import parse_spec, simulate
from hodsim.errors import InputError
from hodsim.fem import tip_vertices
from hodsim.files import data_dir
from hodsim.session import Driven, Frame, Replay, Session, load_recording
from hodsim.subspaces import load_model

SCENES = {name: data_dir("scenes") / f"{name}.toml" for name in ("beam", "bend")}
MODEL = data_dir("trained_models") / "beam"
BODIES = ("full", "pca-6", "hod-6")
PATIENCE = 60.0


def until(session: Session, done: Callable[[], bool]) -> None:
    """Wait for something to come true; a machine that is busy may take its time."""
    end = time.monotonic() + PATIENCE
    while not done():
        session.poll()
        assert time.monotonic() < end, session.status()
        time.sleep(0.005)


def steps(session: Session, label: str) -> int:
    frame = session.latest(label)
    return -1 if frame is None else frame.step


def frame_of(session: Session, label: str) -> Frame:
    frame = session.latest(label)
    assert frame is not None
    return frame


def position(session: Session, label: str, vertex: int) -> np.ndarray:
    body = session.body
    u = session.lanes[label].displacement(frame_of(session, label).z)
    return np.asarray(body.mesh.vertices[vertex] + body.expand(u)[vertex])


def walk(session: Session, count: int) -> None:
    """So many steps of every body, and no more."""
    goal = session.status().clock + count
    session.advance(count)
    until(session, lambda: all(steps(session, x) == goal for x in session.chosen))


@pytest.fixture(scope="module")
def shared() -> Iterator[Session]:
    with Session(SCENES, labels=BODIES) as session:
        yield session


@pytest.fixture
def session(shared: Session) -> Session:
    """At rest, paused, with the three bodies."""
    if shared.scene_name != "beam":
        shared.open("beam")
    until(shared, lambda: bool(shared.available))
    shared.choose(BODIES)
    shared.pause()
    shared.set_rate(1.0)
    shared.keep_together(False)
    until(shared, lambda: len(shared.lanes) == 3 and not shared.status().playing)
    shared.reset()
    until(shared, lambda: shared.status().clock == 0 and all(steps(shared, x) == 0 for x in BODIES))
    return shared


def tip_of(session: Session) -> int:
    return int(tip_vertices(session.body)[0])


def test_the_tip_follows_the_cursor_and_comes_back(session: Session) -> None:
    tip = tip_of(session)
    rest = session.body.mesh.vertices[tip]
    target = rest + np.array([-0.05, 0.3, 0.2])
    session.drag(tip, target, 240.0)
    walk(session, 60)
    for label in ("full", "hod-6"):
        pulled = position(session, label, tip)
        assert np.linalg.norm(pulled - target) < 0.7 * np.linalg.norm(rest - target)
    # HoD-6 follows full space, and PCA-6 locks.
    full, hod, pca = (position(session, x, tip) for x in ("full", "hod-6", "pca-6"))
    assert np.linalg.norm(hod - full) < 0.1 * np.linalg.norm(pca - full)
    session.release()
    session.set_damping(8.0, 0.0)
    walk(session, 300)
    for label in BODIES:
        assert np.linalg.norm(position(session, label, tip) - rest) < 0.02


def test_what_was_done_is_played_again_to_the_last_bit(session: Session, tmp_path: Path) -> None:
    tip, path = tip_of(session), tmp_path / "grab.json"
    for k in range(12):
        session.drag(tip, session.body.mesh.vertices[tip] + [0.0, 0.03 * k, 0.02 * k], 240.0)
        walk(session, 2)
    session.set_gravity(np.array([0.0, 1.0, -3.0]))
    session.set_time_step(0.01)
    session.set_damping(2.0, 1e-3)
    walk(session, 10)
    session.pose("hod-6", np.array([0.1, 0.0, 0.05, 0.0, 0.0, 0.0]))
    session.release()
    walk(session, 20)
    session.save_recording(path)
    recording = load_recording(path)
    assert recording.steps == 54
    model, cubatures = load_model(MODEL), load_cubatures(MODEL)
    for label in BODIES:
        driven = Driven(session.scene, session.body, parse_spec(label), model, cubatures)
        motion = simulate(Replay(driven, recording), recording.steps)
        # A pose is shown before its step, beside the frame that stood there.
        frames = list({f.step: f for f in reversed(session.recent(label, 0))}.values())[::-1]
        assert [f.step for f in frames] == list(range(1, 55))
        assert np.array_equal(motion.z[1:], [f.z for f in frames])
        assert np.array_equal(motion.dz[1:], [f.dz for f in frames])
        assert np.array_equal(motion.times[1:], [f.t for f in frames])


def test_one_who_comes_late_has_lived_through_the_same(session: Session) -> None:
    session.choose(("hod-6",))
    session.drag(tip_of(session), np.array([0.8, 0.2, 0.4]), 240.0)
    walk(session, 30)
    before = frame_of(session, "hod-6")
    session.choose(("pca-12",))
    until(session, lambda: "hod-6" not in session.lanes)
    session.choose(("pca-12", "hod-6"))
    until(session, lambda: steps(session, "hod-6") == 30)
    again = frame_of(session, "hod-6")
    assert np.array_equal(again.z, before.z)
    assert np.array_equal(again.dz, before.dz)


def test_far_outside_the_training_range_it_stays_finite_and_says_so(session: Session) -> None:
    tip = tip_of(session)
    rest = session.body.mesh.vertices[tip]
    assert frame_of(session, "hod-6").reach < 1.0
    assert np.isnan(frame_of(session, "full").reach)
    session.drag(tip, np.array([-3.0, 4.0, 5.0]), 24000.0)
    walk(session, 50)
    out = frame_of(session, "hod-6")
    assert out.reach > 1.0
    assert "too strong" in session.status().note
    for label in BODIES:
        assert np.isfinite(frame_of(session, label).z).all()
        assert frame_of(session, label).held == 0
        assert np.linalg.norm(position(session, label, tip) - rest) > 0.3
    session.release()
    session.set_damping(4.0, 0.0)
    walk(session, 400)
    for label in BODIES:
        assert np.isfinite(frame_of(session, label).z).all()
    assert np.linalg.norm(position(session, "hod-6", tip) - rest) < 0.1
    assert frame_of(session, "hod-6").reach < 1.0


def test_a_pose_by_hand_shows_at_once_and_moves_on_from_there(session: Session) -> None:
    info = session.lanes["hod-6"]
    assert (info.low < 0).all()
    assert (info.high > 0).all()
    q = 0.5 * info.high
    session.pose("hod-6", q)
    until(session, lambda: np.array_equal(frame_of(session, "hod-6").q, q))
    assert steps(session, "hod-6") == 0
    assert not frame_of(session, "full").z.any()
    walk(session, 1)
    moved = frame_of(session, "hod-6")
    assert 0.0 < np.abs(moved.q - q).max() < 0.5 * np.abs(q).max()
    with pytest.raises(InputError, match="pose"):
        session.pose("hod-6", q[:2])
    with pytest.raises(InputError, match="pose"):
        session.pose("pca-12", q)


def test_the_clock_keeps_time_by_itself(session: Session) -> None:
    session.play()
    until(session, lambda: session.status().clock > 5)

    def pace() -> float:
        """Simulated over wall time since then, most of which nobody asks and nobody draws."""
        time.sleep(1.0)
        return (session.status().t - at) / (time.monotonic() - began)

    def keeps(least: float, most: float) -> bool:
        found = pace()
        assert found < most
        return found > least

    # A busy machine may be late now and then: the clock makes up for it, or says less.
    began, at = time.monotonic(), session.status().t
    until(session, lambda: keeps(0.5, 1.1))
    session.set_rate(4.0)
    began, at = time.monotonic(), session.status().t
    until(session, lambda: keeps(1.5, float("inf")))
    session.pause()
    until(session, lambda: not session.status().playing)
    stopped = session.status().clock
    time.sleep(0.2)
    assert session.status().clock == stopped


def test_a_clock_that_is_asked_for_too_much_leaves_room_to_the_bodies(session: Session) -> None:
    session.set_rate(1e6)
    session.play()
    until(session, lambda: session.status().clock > 1000)
    before = {x: session.status().lanes[x].step for x in BODIES}
    time.sleep(1.0)
    assert all(session.status().lanes[x].step > before[x] + 5 for x in BODIES)
    began = time.monotonic()
    session.pause()
    until(session, lambda: not session.status().playing)
    assert time.monotonic() - began < 1.0


def test_after_a_reset_nothing_is_seen_of_the_run_before(session: Session) -> None:
    session.drag(tip_of(session), np.array([0.8, 0.2, 0.4]), 240.0)
    for _ in range(5):
        walk(session, 20)
        session.reset()
        # At once: the simulation has not even heard of it.
        for label in BODIES:
            assert all(not frame.z.any() for frame in session.recent(label, -1))
            assert session.at(label, 20) is None
            frame = session.latest(label)
            assert frame is None or frame.step == 0
        until(session, lambda: all(steps(session, x) == 0 for x in BODIES))
        until(session, lambda: session.status().clock == 0)
        session.drag(tip_of(session), np.array([0.8, 0.2, 0.4]), 240.0)


def test_of_two_recordings_that_were_asked_for_the_later_one_comes(
    session: Session, tmp_path: Path
) -> None:
    path = tmp_path / "grab.json"
    session.ask_recording()
    session.advance(3)
    session.ask_recording()
    while (first := next(session._link.heard(), None)) is None:
        time.sleep(0.005)
    session._take(*first)
    assert not session.put_recording(path), "the first one is of no use any more"
    assert not path.exists()
    until(session, lambda: session.put_recording(path))
    assert load_recording(path).steps == 3
    session.save_recording(path)
    session.ask_recording()
    session._expected = 0.0  # no patience
    with pytest.raises(InputError, match="did not answer"):
        session.put_recording(path)


def test_together_the_clock_waits_for_the_slowest(session: Session) -> None:
    session.set_rate(100.0)  # faster than full space can
    session.keep_together(True)
    session.play()
    for _ in range(50):
        time.sleep(0.01)
        status = session.status()
        assert all(lane.step >= status.clock - 1 for lane in status.lanes.values())
    session.keep_together(False)

    def parted() -> bool:
        lag = {x: lane.lag for x, lane in session.status().lanes.items()}
        return lag["full"] > 0.5 and lag["hod-6"] < lag["full"]

    until(session, parted)
    session.pause()


def test_scenes_change_and_loads_act(session: Session) -> None:
    session.open("bend")
    assert session.lanes == {}
    until(session, lambda: len(session.lanes) == 3)
    session.pause()
    until(session, lambda: not session.status().playing)
    session.reset()
    until(session, lambda: all(steps(session, x) == 0 for x in BODIES))
    walk(session, 30)
    assert np.linalg.norm(frame_of(session, "full").z) > 1.0
    with pytest.raises(InputError, match="beam, bend"):
        session.open("nosuch")
    for _ in range(3):  # faster than they can be opened
        session.open("beam")
        session.open("bend")
    until(session, lambda: len(session.lanes) == 3)


def test_what_cannot_be_asked_is_refused(session: Session, tmp_path: Path) -> None:
    clamped = int(np.setdiff1d(np.arange(514), session.body.free_vertices)[0])
    for call, told in (
        (lambda: session.drag(clamped, np.zeros(3), 1.0), "clamped"),
        (lambda: session.drag(400, np.full(3, np.nan), 1.0), "finite"),
        (lambda: session.set_gravity(np.array([0.0, np.inf, 0.0])), "finite"),
        (lambda: session.set_damping(-1.0, 0.0), "mass"),
        (lambda: session.set_time_step(0.0), "step"),
        (lambda: session.set_rate(0.0), "above 0"),
        (lambda: session.choose(()), "1 to 3"),
        (lambda: session.choose(("full", "pca-1", "pca-2", "pca-3")), "1 to 3"),
        (lambda: session.choose(("hod-7",)), "hod-7"),
        (lambda: session.save_recording(tmp_path), "folder"),
    ):
        with pytest.raises(InputError, match=told):
            call()
    walk(session, 1)


def test_a_scene_or_model_that_cannot_be_used_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"gone\.toml"):
        Session({"gone": tmp_path / "gone.toml"})
    with pytest.raises(InputError, match="weights"):
        Session(SCENES, model=tmp_path)
    with pytest.raises(InputError, match="pca-99"):
        Session(SCENES, labels=("pca-99",))


def test_a_process_that_dies_is_told_and_leaves_nothing() -> None:
    with Session(SCENES, labels=("hod-6",)) as session:
        until(session, lambda: steps(session, "hod-6") > 0)
        memory = session._link._memory
        assert memory is not None
        assert session.process_id is not None
        os.kill(session.process_id, signal.SIGKILL)
        until(session, lambda: "has ended (exit code -9)" in session.status().note)
        # It can still be looked at, and asked for anything.
        frame_of(session, "hod-6")
        session.play()
        session.drag(400, np.zeros(3), 1.0)
        assert not session.status().playing
    assert not Path("/dev/shm", memory.name.lstrip("/")).exists()
