"""Actions done again give the same motion, to the last bit; files of them keep every digit."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from small import SCENE

from hodsim.dynamics import Spec, Spring, simulate
from hodsim.errors import InputError
from hodsim.fem import Body, body_of
from hodsim.scene import Damping, Scene, read_scene
from hodsim.session import Driven, Recording, Replay, load_recording, save_recording
from hodsim.session.inputs import Damp, Drag, Event, Gravity, Release, TimeStep
from hodsim.snapshots import origin_of

EVENTS = (
    Event(0, Gravity((0.0, 1 / 3, -9.81))),
    Event(2, Drag("window", Spring(20, (0.5, 0.2, 0.1 + 0.2), 20.0))),
    Event(3, Drag("window", Spring(20, (0.5, 0.25, 0.3), 20.0))),
    Event(5, Damp(Damping(2.0, 0.001))),
    Event(6, TimeStep(0.01)),
    Event(9, Release("window")),
)


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Scene:
    path = tmp_path_factory.mktemp("scene") / "small.toml"
    path.write_text(SCENE)
    return read_scene(path)


@pytest.fixture(scope="module")
def body(scene: Scene) -> Body:
    return body_of(scene)


def recording_of(scene: Scene, body: Body) -> Recording:
    return Recording(scene.name, origin_of(body), scene.time.integrator, 12, EVENTS)


def test_a_replay_is_the_motion_itself(scene: Scene, body: Body, tmp_path: Path) -> None:
    live = Driven(scene, body, Spec("full"), None)
    state, states = live.start(), []
    for k in range(12):
        for event in EVENTS:
            if event.step == k:
                state = live.do(state, event.action)
        state, result = live.step(state)
        assert result.converged
        states.append(state)
    path = tmp_path / "grab.json"
    save_recording(path, recording_of(scene, body))
    again = Driven(scene, body, Spec("full"), None)
    motion = simulate(Replay(again, load_recording(path)), 12, on_failure="hold")
    assert np.array_equal(motion.z[1:], [s.z for s in states])
    assert np.array_equal(motion.times[1:], [s.t for s in states])
    assert np.diff(motion.times) == pytest.approx([0.02] * 6 + [0.01] * 6)
    other = simulate(Replay(again, replace(recording_of(scene, body), events=EVENTS[1:])), 12)
    assert np.abs(other.z - motion.z).max() > 1e-3


def test_files_keep_every_digit(scene: Scene, body: Body, tmp_path: Path) -> None:
    path, recording = tmp_path / "grab.json", recording_of(scene, body)
    save_recording(path, recording)
    assert load_recording(path) == recording
    save_recording(path, replace(recording, events=()))
    assert load_recording(path).events == ()


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('"format": 1', '"format": 2'),
        ('"vertex": 20', '"vertex": -1'),
        ('"stiffness": 20.0', '"stiffness": NaN'),
        ('"time_step": 0.01', '"time_step": 0'),
        ('"step": 9', '"step": 1'),
        ('"gravity"', '"wind"'),
        ('"events": [', '"events": [3, '),
    ],
)
def test_a_spoilt_file_is_named(
    scene: Scene, body: Body, tmp_path: Path, old: str, new: str
) -> None:
    path = tmp_path / "grab.json"
    save_recording(path, recording_of(scene, body))
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))
    with pytest.raises(InputError, match=r"grab\.json: (head|events\[\d\])"):
        load_recording(path)


def test_a_recording_of_another_body_is_refused(scene: Scene, body: Body) -> None:
    recording = recording_of(scene, body)
    heavier = replace(scene, material=replace(scene.material, density=900.0))
    driven = Driven(heavier, body_of(heavier), Spec("full"), None)
    with pytest.raises(InputError, match="different material"):
        Replay(driven, recording)
