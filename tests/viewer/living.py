"""The real presenter on a real simulation, with what tests want to know of it.

Run as a script it opens the window on it: `python living.py FOLDER [--headless]`, which pulls by
injected mouse events. It prints JSON lines: "tip" (pixel and cursor's target), "state" with where
the tip of HoD-6 is [m], its step and who holds it, and "end".
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from hodsim.fem import tip_vertices
from hodsim.files import data_dir
from hodsim.session import Session
from hodsim.viewer.live.presenter import Presenter

LABELS = ("full", "pca-6", "hod-6")
SCENES = {name: data_dir("scenes") / f"{name}.toml" for name in ("beam", "bend")}
HELD = "hod-6"


class LivePresenter(Presenter):
    """Names of what is done to it are kept in `events`, and bodies can be asked for."""

    def __init__(self, session: Session, folder: Path) -> None:
        super().__init__(session, folder)
        self.session = session
        self.events: list[tuple[Any, ...]] = []

    def grab(self, label: str, vertex: int, by: str = "window") -> bool:
        self.events.append(("grab", label, vertex, by))
        return super().grab(label, vertex, by)

    def move(self, point: np.ndarray, by: str = "window") -> None:
        self.events.append(("move", np.asarray(point), by))
        super().move(point, by)

    def drop(self, by: str = "window") -> None:
        self.events.append(("drop", by))
        super().drop(by)

    def named(self, name: str) -> list[tuple[Any, ...]]:
        return [event[1:] for event in self.events if event[0] == name]

    def positions(self, label: str) -> np.ndarray:
        return next(b.positions for b in self.picture().bodies if b.label == label)

    def offset(self, label: str) -> np.ndarray:
        return next(b.offset for b in self.picture().bodies if b.label == label)

    def tip(self, label: str) -> int:
        return int(tip_vertices(self.session.body)[0])

    def wait_for_bodies(self) -> None:
        end = time.monotonic() + 60.0
        while len(self.picture().bodies) < len(LABELS):
            assert time.monotonic() < end, self.picture().note
            time.sleep(0.02)


def say(*words: Any) -> None:
    print(json.dumps(words), flush=True)


def show(window: Any, presenter: LivePresenter) -> None:
    """Where the tip is, relative to rest."""
    tip = presenter.tip(HELD)
    at = presenter.positions(HELD)[tip] - presenter.offset(HELD)
    moved = at - presenter.session.body.mesh.vertices[tip]
    frame = presenter.session.latest(HELD)
    x, y = window.view.project(presenter.positions(HELD)[[tip]])[0]
    assert frame is not None
    say("state", moved.tolist(), frame.step, presenter.grabbed("window"), float(x), float(y))


def pull(window: Any, presenter: LivePresenter) -> Iterator[None]:
    """Injected events: take the tip, go 150 pixels up, stay, let go, and wait till it is calm."""
    from test_window import at_tip, button, point_at, press, release

    yield
    start = at_tip(window, presenter, HELD)
    yield from press(start)
    assert presenter.named("grab"), "the tip was under the cursor"
    for k in range(1, 31):
        point_at(start + np.array([0.0, -5.0 * k]))
        yield
    yield from calm(presenter, 2.0)
    show(window, presenter)
    point = presenter.named("move")[-1][0]
    target = (
        point
        - presenter.offset(HELD)
        - presenter.session.body.mesh.vertices[presenter.named("grab")[-1][1]]
    )
    say("target", target.tolist())
    yield from release()
    presenter.set("damping mass", 8.0)
    yield from calm(presenter, 8.0)
    show(window, presenter)
    button(False)
    presenter.press_button("save recording")


def calm(presenter: LivePresenter, seconds: float) -> Iterator[None]:
    """So much simulated time."""
    end = presenter.session.status().t + seconds
    while presenter.session.status().t < end:
        yield


def main() -> None:
    sys.path.insert(0, str(Path(__file__).parent))
    from hodsim.viewer.live.window import run_window

    headless = "--headless" in sys.argv
    with Session(SCENES, labels=LABELS) as session:
        presenter = LivePresenter(session, Path(sys.argv[1]))
        presenter.wait_for_bodies()
        steps: list[Iterator[None]] = []

        def follow(window: Any) -> None:
            if headless:
                if not steps:
                    steps.append(pull(window, presenter))
                if next(steps[0], "over") == "over":
                    os.kill(os.getpid(), signal.SIGINT)
            elif window.frames % 5 == 0:
                show(window, presenter)

        run_window(presenter, headless=headless, on_frame=follow)
        if headless:
            frames = session.recent(HELD, 0)
            np.savez(Path(sys.argv[1]) / "frames.npz", steps=[f.step for f in frames],
                     z=[f.z for f in frames])  # fmt: skip
    say("end")


if __name__ == "__main__":
    main()
