"""A presenter on the real simulation: what is done out of turn ends as it should."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from hodsim.fem import tip_vertices
from hodsim.files import data_dir
from hodsim.session import Session
from hodsim.viewer.live.presenter import Presenter

SCENES = {
    "beam": data_dir("scenes") / "beam.toml",
    "torus": data_dir("scenes") / "torus" / "bend.toml",
}
PATIENCE = 60.0


@pytest.fixture(scope="module")
def session() -> Iterator[Session]:
    with Session(SCENES, labels=("full", "hod-6")) as session:
        yield session


@pytest.fixture
def presenter(session: Session, tmp_path: Path) -> Presenter:
    """Of the beam at rest, with its two bodies shown."""
    made = Presenter(session, tmp_path)
    made.choose("scene", "beam")
    made.press_button("reset")
    until(made, lambda: len(made.picture().bodies) == 2)
    return made


def until(presenter: Presenter, done: Callable[[], bool]) -> None:
    end = time.monotonic() + PATIENCE
    while not done():
        assert time.monotonic() < end, presenter.picture().note
        time.sleep(0.01)


def values(presenter: Presenter) -> dict[str, float]:
    return {slider.name: slider.value for slider in presenter.sliders()}


def test_speed_is_known_as_soon_as_another_scene_is_chosen(presenter: Presenter) -> None:
    for scene in ("torus", "beam"):
        presenter.choose("scene", scene)
        assert values(presenter)["speed"] == 1.0
        assert presenter.picture().readout
        assert all(slider.low > 0.0 for slider in presenter.sliders() if slider.log)


def test_a_reset_puts_the_sliders_back(presenter: Presenter, session: Session) -> None:
    before = values(presenter)
    for name, value in (("gravity", 15.0), ("time step", 5.0), ("damping mass", 3.0)):
        presenter.set(name, value)
    presenter.set("speed", 2.0)
    presenter.press_button("reset")
    after = values(presenter)
    assert after == pytest.approx({**before, "speed": 2.0})
    # The next touch of a slider brings nothing of the old settings back.
    presenter.set("azimuth", 90.0)
    assert np.linalg.norm(session.settings.gravity) == pytest.approx(before["gravity"])
    presenter.set("speed", 1.0)


def test_what_is_held_is_let_go_before_another_scene_comes(
    presenter: Presenter, session: Session, tmp_path: Path
) -> None:
    presenter.choose("scene", "torus")
    until(presenter, lambda: len(presenter.picture().bodies) == 2)
    vertex = int(tip_vertices(session.body).max())
    assert presenter.grab("full", vertex)
    presenter.choose("scene", "beam")
    assert presenter.grabbed() is None
    presenter.move(np.array([0.3, 0.2, 0.1]))  # of a vertex that the beam may not have
    until(presenter, lambda: len(presenter.picture().bodies) == 2)
    session.save_recording(tmp_path / "after.json")
    assert json.loads((tmp_path / "after.json").read_text())["events"] == []


def test_a_recording_is_saved_before_another_scene_comes(
    presenter: Presenter, tmp_path: Path
) -> None:
    presenter.set("gravity", 3.0)
    presenter.press_button("save recording")
    presenter.choose("scene", "torus")
    (path,) = tmp_path.glob("*.json")
    told = json.loads(path.read_text())
    assert (told["scene"], len(told["events"])) == ("beam", 1)
    assert f"saved {path}" in presenter.picture().note
