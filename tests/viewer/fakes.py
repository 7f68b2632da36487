"""A presenter without a simulation: it shows bending beams, and writes down what it is told.

Run as a script it opens the real window on it and prints the events as JSON lines:
`python fakes.py [--headless] [--frames N] [--save FILE]`.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np

from hodsim.errors import InputError
from hodsim.mesh import beam
from hodsim.viewer.live.picture import (
    Arrow,
    BodyPicture,
    ColourBar,
    Menu,
    Picture,
    Plot,
    Series,
    Slider,
)
from hodsim.viewer.obstacles import Surface

LABELS = ("full", "pca-6", "hod-6")
TITLES = {"full": "full space", "pca-6": "PCA-6", "hod-6": "HoD-6"}
LOW_COLOUR, HIGH_COLOUR = np.array([0.0, 0.13, 0.30]), np.array([0.99, 0.91, 0.15])


class FakePresenter:
    """Has the methods of `hodsim.viewer.live.presenter.Presenter`.

    `events` lists what was called, as (name, *arguments); with `echo` each is printed too.
    """

    def __init__(self, labels: tuple[str, ...] = LABELS, echo: bool = False) -> None:
        self.mesh = beam((12, 2, 2), (1.0, 0.1, 0.12))
        self.labels, self.echo = labels, echo
        self.events: list[tuple[Any, ...]] = []
        self.pictures = 0
        self.folder = Path()
        self.playing = True
        self.bend = 0.2  # m, of the tip
        self.held: dict[str, tuple[str, int, np.ndarray]] = {}
        self.note = ""
        self.obstacles: tuple[Surface, ...] = ()
        self.values = {"stiffness": 20.0, "gravity": 0.0, "damping mass": 0.5, "q1": 0.1}
        self.chosen = {"scene": "swing", "body 1": labels[0], "colour": "displacement [m]"}
        x = self.mesh.vertices
        self.clamped = np.flatnonzero(x[:, 0] <= x[:, 0].min() + 1e-9)
        self.free = np.setdiff1d(np.arange(len(x)), self.clamped)

    def _write(self, name: str, *arguments: Any) -> None:
        self.events.append((name, *arguments))
        if self.echo:
            plain = [a.tolist() if isinstance(a, np.ndarray) else a for a in arguments]
            print(json.dumps([name, *plain]), flush=True)

    def named(self, name: str) -> list[tuple[Any, ...]]:
        """The arguments of all calls of that name."""
        return [event[1:] for event in self.events if event[0] == name]

    def offset(self, label: str) -> np.ndarray:
        return np.array([1.4 * self.labels.index(label), 0.0, 0.0])

    def positions(self, label: str) -> np.ndarray:
        """Where the vertices are drawn [m], (n_vertices, 3)."""
        x = self.mesh.vertices
        along = (x[:, 0] - x[:, 0].min()) / np.ptp(x[:, 0])
        down = np.array([0.0, 0.0, -1.0])
        return x + self.bend * along[:, None] ** 2 * down + self.offset(label)

    def picture(self) -> Picture:
        self.pictures += 1
        bodies = []
        for label in self.labels:
            x = self.positions(label)
            size = np.linalg.norm(x - self.offset(label) - self.mesh.vertices, axis=1)
            mix = (size / max(self.bend, 1e-9))[:, None]
            bodies.append(
                BodyPicture(
                    label=label,
                    title=TITLES.get(label, label),
                    positions=x,
                    offset=self.offset(label),
                    colours=LOW_COLOUR + mix * (HIGH_COLOUR - LOW_COLOUR),
                    warning="outside the training range, x 1.3" if label == "pca-6" else "",
                )
            )
        arrows = []
        for _, vertex, target in self.held.values():
            for body in bodies:
                start = body.positions[vertex]
                arrows.append(Arrow(start, target + body.offset, "drag"))
        for body in bodies:
            middle = body.positions.mean(axis=0)
            arrows.append(Arrow(middle, middle - [0.0, 0.0, 0.25], "load"))
        t = np.linspace(0.0, 10.0, 500)
        titles = ("tip distance from rest [m]", "energy [J]", "Newton iterations", "step time [ms]")
        plots = tuple(
            Plot(
                title,
                tuple(
                    Series(TITLES.get(x, x), t, 1.0 + 0.3 * k + np.sin(3 * t + k))
                    for k, x in enumerate(self.labels)
                ),
            )
            for title in titles
        )
        mix = np.linspace(0.0, 1.0, 64)[:, None]
        return Picture(
            surface=self.mesh.surface,
            clamped=self.clamped,
            bodies=tuple(bodies),
            arrows=tuple(arrows),
            plots=plots,
            bar=ColourBar(
                "displacement [m]", 0.0, self.bend, LOW_COLOUR + mix * (HIGH_COLOUR - LOW_COLOUR)
            ),
            readout=(
                "t = 3.20 s, step 160",
                "simulation: full space 50 steps/s, 3.9 ms a step",
                "simulation: HoD-6 50 steps/s, 0.05 ms a step",
                "drawing: 24 frames/s",
            ),
            note=self.note,
            scale=0.5,
            scale_start=self.mesh.vertices.min(axis=0) - [0.0, 0.0, 0.15],
            obstacles=self.obstacles,
        )

    def sliders(self) -> tuple[Slider, ...]:
        v = self.values
        return (
            Slider("stiffness", "stiffness [N/m]", 1.0, 1e3, v["stiffness"], True, "drag"),
            Slider("gravity", "added gravity [m/s^2]", 0.0, 20.0, v["gravity"], False, "gravity"),
            Slider("damping mass", "mass [1/s]", 0.0, 10.0, v["damping mass"], False, "damping"),
            Slider("q1", "q1", -1.0, 1.0, v["q1"], False, "latent"),
        )

    def set(self, name: str, value: float) -> None:
        self._write("set", name, float(value))
        if name not in self.values:
            raise InputError(f"slider: expected the name of one, given {name!r}")
        self.values[name] = float(value)

    def menus(self) -> tuple[Menu, ...]:
        return (
            Menu("scene", "scene", ("swing", "twist"), self.chosen["scene"]),
            Menu("body 1", "body 1", ("none", *self.labels), self.chosen["body 1"]),
            Menu(
                "colour",
                "colour",
                ("displacement [m]", "von Mises stress [Pa]"),
                self.chosen["colour"],
            ),
        )

    def choose(self, name: str, value: str) -> None:
        self._write("choose", name, value)
        self.chosen[name] = value

    def buttons(self) -> tuple[str, ...]:
        return ("pause" if self.playing else "play", "step", "reset", "save recording")

    def press_button(self, name: str) -> None:
        self._write("press_button", name)
        if name in ("play", "pause"):
            self.playing = name == "play"

    def grab(self, label: str, vertex: int, by: str = "window") -> bool:
        self._write("grab", label, int(vertex), by)
        if vertex not in self.free:
            return False
        self.held[by] = (label, int(vertex), self.positions(label)[vertex] - self.offset(label))
        return True

    def move(self, point: np.ndarray, by: str = "window") -> None:
        self._write("move", np.asarray(point, dtype=float), by)
        if by in self.held:
            label, vertex, _ = self.held[by]
            self.held[by] = (label, vertex, np.asarray(point) - self.offset(label))

    def drop(self, by: str = "window") -> None:
        self._write("drop", by)
        self.held.pop(by, None)

    def finish(self) -> str:
        return ""

    def grabbed(self, by: str = "window") -> tuple[str, int] | None:
        held = self.held.get(by)
        return None if held is None else held[:2]

    def nearest(self, label: str, point: np.ndarray) -> int:
        x = self.positions(label)[self.free]
        return int(self.free[np.argmin(np.linalg.norm(x - point, axis=1))])

    def tip(self, label: str) -> int:
        """A free vertex at the middle of the free end."""
        x = self.mesh.vertices
        end = np.array([x[:, 0].max(), x[:, 1].mean(), x[:, 2].mean()])
        return int(np.argmin(np.linalg.norm(x - end, axis=1)))


def main() -> None:
    """Open the window; prints where the tip of the last body is, then what is done to it."""
    from hodsim.viewer.live.window import run_window

    parser = argparse.ArgumentParser()
    parser.add_argument("--headless", action="store_true")
    parser.add_argument("--frames", type=int)
    parser.add_argument("--save")
    given = parser.parse_args()
    presenter = FakePresenter(echo=True)

    def tell(window: Any) -> None:
        if window.frames == 5:
            label = presenter.labels[-1]
            place = presenter.positions(label)[presenter.tip(label)]
            x, y = window.view.project(place[None])[0]
            print(json.dumps(["tip", float(x), float(y)]), flush=True)

    run_window(
        presenter,  # type: ignore[arg-type]
        headless=given.headless,
        frames=given.frames,
        save=given.save,
        on_frame=tell,
    )
    print(json.dumps(["end"]), flush=True)


if __name__ == "__main__":
    sys.exit(main())
