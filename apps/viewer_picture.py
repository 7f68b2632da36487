"""Take README's picture of the live viewer: the beam's tip pulled at, without a display.

    python apps/viewer_picture.py [FILE]

opens the viewer in memory, pulls the tip of the first body 0.5 m upwards and aside within a
second, holds it for two more, and saves what the window then shows (apps/pictures/viewer.png).
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

import numpy as np

from hodsim.fem import tip_vertices
from hodsim.files import data_dir
from hodsim.session import Session
from hodsim.viewer.live.presenter import Presenter
from hodsim.viewer.live.window import Window, run_window

PULL = np.array([-0.15, 0.1, 0.5])  # m
STIFFNESS = 600.0  # N/m
RISE, HOLD = 1.0, 2.0  # s


class Hand:
    """Pulls a little farther with each drawn frame."""

    def __init__(self, session: Session, presenter: Presenter) -> None:
        self._presenter, self._began = presenter, 0.0
        self._vertex = int(tip_vertices(session.body)[0])

    def __call__(self, window: Window) -> None:
        now, first = time.monotonic(), window.picture.bodies[0]
        if self._presenter.grabbed() is None and self._presenter.grab(first.label, self._vertex):
            self._began, self._from = now, first.positions[self._vertex]
        self._presenter.move(self._from + min((now - self._began) / RISE, 1.0) * PULL)


def main() -> None:
    out = Path(sys.argv[1]) if sys.argv[1:] else Path(__file__).parent / "pictures" / "viewer.png"
    with Session({"beam": data_dir("scenes") / "beam.toml"}) as session:
        while len(session.lanes) < len(session.chosen):
            time.sleep(0.02)
            session.poll()
        presenter = Presenter(session)
        presenter.set("stiffness", STIFFNESS)
        hand = Hand(session, presenter)
        run_window(presenter, headless=True, seconds=RISE + HOLD, save=out, on_frame=hand)


if __name__ == "__main__":
    main()
