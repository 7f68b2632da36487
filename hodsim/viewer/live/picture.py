"""What a live window draws, whichever window it is: arrays and texts, made by the presenter."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from hodsim.viewer.obstacles import Surface


@dataclass(frozen=True)
class BodyPicture:
    """One body.

    Attributes
    ----------
    label, title
        The lane's label ("hod-6") and what to call it ("HoD-6").
    positions
        Where its vertices are drawn [m], (n_vertices, 3): simulated positions plus `offset`.
    offset
        What was added to put bodies side by side [m], (3,).
    colours
        RGB of each vertex, 0 to 1, (n_vertices, 3).
    warning
        "", or what is wrong with it: "outside the training range", "3.2 s behind".
    """

    label: str
    title: str
    positions: np.ndarray
    offset: np.ndarray
    colours: np.ndarray
    warning: str


@dataclass(frozen=True)
class Arrow:
    """From `start` to `end` [m], (3,) each, where drawn; `kind` is "drag" or "load"."""

    start: np.ndarray
    end: np.ndarray
    kind: str


@dataclass(frozen=True)
class Series:
    """A line of a plot: x and y, shape (k,)."""

    label: str
    x: np.ndarray
    y: np.ndarray


@dataclass(frozen=True)
class Plot:
    """A plot against simulated time [s]: title with its unit, a line for each body."""

    title: str
    series: tuple[Series, ...]


@dataclass(frozen=True)
class ColourBar:
    """What the colours mean: name with unit, the values at both ends, and RGB along it (k, 3).

    Where it is `exceeded` a few values lie above `high` and have its colour.
    """

    title: str
    low: float
    high: float
    colours: np.ndarray
    exceeded: bool = False

    @property
    def ends(self) -> tuple[str, str]:
        """What is written at both ends."""
        return f"{self.low:.3g}", f"{'> ' if self.exceeded else ''}{self.high:.3g}"


@dataclass(frozen=True)
class Picture:
    """Everything that is drawn in one frame.

    `surface` (m, 3) are the triangles of every body, `clamped` the indices of clamped vertices,
    `readout` lines of text, `scale` the length [m] of the scale bar that stands below the first
    body, from `scale_start` [m] (3,) along x. `obstacles` stand in the way of every body, where its
    offset takes them.
    """

    surface: np.ndarray
    clamped: np.ndarray
    bodies: tuple[BodyPicture, ...]
    arrows: tuple[Arrow, ...]
    plots: tuple[Plot, ...]
    bar: ColourBar
    readout: tuple[str, ...]
    note: str
    scale: float
    scale_start: np.ndarray
    obstacles: tuple[Surface, ...] = ()


@dataclass(frozen=True)
class Slider:
    """A number that the user sets. `log` sliders move by ratios."""

    name: str
    label: str  # with its unit
    low: float
    high: float
    value: float
    log: bool = False
    group: str = ""


@dataclass(frozen=True)
class Menu:
    """One of several choices."""

    name: str
    label: str
    choices: tuple[str, ...]
    value: str
