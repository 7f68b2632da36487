"""Bodies side by side, coloured by their error, as a picture or a film, drawn by matplotlib.

Good for the surfaces of a few thousand triangles, on any machine: no display, no OpenGL. Triangles
are projected orthographically and painted back to front, so a metre has one length everywhere.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from hodsim.errors import InputError
from hodsim.files import atomic

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MAP = "YlOrRd"  # evenly bright steps from pale (no error) on; safe for the colour-blind
_AZIMUTH, _ELEVATION = np.radians(-48.0), np.radians(20.0)
_EYE = np.array(
    [
        np.cos(_ELEVATION) * np.cos(_AZIMUTH),
        np.cos(_ELEVATION) * np.sin(_AZIMUTH),
        np.sin(_ELEVATION),
    ]
)
_RIGHT = np.array([-np.sin(_AZIMUTH), np.cos(_AZIMUTH), 0.0])
_UP = np.cross(_EYE, _RIGHT)
_LIGHT = np.array([0.47, -0.58, 0.67])
_AMBIENT = 0.6
_GHOST = "#005f9e"
# Inches.
_PANEL, _MARGIN, _HEAD, _FOOT, _BAR = 2.7, 0.12, 0.42, 0.55, 1.25


@dataclass(frozen=True)
class Panel:
    """One body in one subspace: positions [m] over frames, shape (k, n_vertices, 3)."""

    title: str
    positions: np.ndarray


@dataclass(frozen=True)
class Row:
    """One scene: its panels, the first of which is the truth the others are measured against.

    `surface` holds the boundary triangles (m, 3), `times` the frames' times [s], shape (k,). All
    panels of a row have the same number of frames.
    """

    title: str
    surface: np.ndarray
    times: np.ndarray
    panels: tuple[Panel, ...]


def side_by_side(path: str | Path, rows: Sequence[Row], frames: Sequence[int]) -> None:
    """A picture (suffix png, pdf or svg): of row i its frame `frames[i]`, in every panel.

    Colour is the distance [m] of each point from where the first panel has it; the outline of the
    first panel's body is drawn over the others. Raises `InputError` for rows of unequal length.
    """
    drawing = _Drawing(rows, [[frame] for frame in frames])
    drawing.show(frames)
    with atomic(path) as temporary:
        drawing.figure.savefig(temporary, dpi=150)


def animation(
    path: str | Path,
    rows: Sequence[Row],
    fps: int = 12,
    progress: Callable[[int, int], None] | None = None,
) -> None:
    """A film (gif) of all frames, drawn as `side_by_side` is. `progress(done, total)` is told."""
    from matplotlib.animation import PillowWriter

    count = len(rows[0].times)
    drawing = _Drawing(rows, [range(count)] * len(rows))
    writer = PillowWriter(fps=fps)
    with atomic(path) as temporary, writer.saving(drawing.figure, str(temporary), dpi=64):
        for k in range(count):
            drawing.show([k] * len(rows))
            writer.grab_frame()
            if progress is not None:
                progress(k + 1, count)


class _Drawing:
    """A figure with one line of panels a scene, and a colour bar and a scale that all share."""

    def __init__(self, rows: Sequence[Row], used: Sequence[Iterable[int]]) -> None:
        from matplotlib import colormaps
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.cm import ScalarMappable
        from matplotlib.colors import Normalize
        from matplotlib.figure import Figure

        columns = {len(row.panels) for row in rows}
        if len(columns) != 1 or not min(columns):
            raise InputError("picture: expected rows of one and the same number of panels")
        self.rows, n = rows, columns.pop()
        boxes, errors = [], []
        for row, frames in zip(rows, used, strict=True):
            chosen = list(frames)
            boxes.append(_box(row, chosen))
            errors += [_errors(row, p, f).max() for p in row.panels for f in chosen]
        largest = float(max(errors))
        self.norm = Normalize(0.0, largest if largest > 0.0 else 1.0)
        self.map = colormaps[MAP]

        metre = (_PANEL - 2 * _MARGIN) / max(high[0] - low[0] for low, high in boxes)  # inches
        heights = [metre * (high[1] - low[1]) + 2 * _MARGIN for low, high in boxes]
        width = _PANEL * n + _BAR
        tall = sum(heights) + _HEAD * (len(rows) + 1) + _FOOT
        self.figure: Figure = Figure(figsize=(width, tall))
        FigureCanvasAgg(self.figure)

        def write(x: float, y: float, text: str, **style: Any) -> Any:
            return self.figure.text(x / width, y / tall, text, **style)

        for j, panel in enumerate(rows[0].panels):
            at = (_PANEL * (j + 0.5), tall - 0.3)
            write(*at, panel.title, fontsize=13, weight="bold", ha="center")
        self.axes: list[list[Any]] = []
        self.labels: list[Any] = []
        y = tall - _HEAD
        for (low, upper), height in zip(boxes, heights, strict=True):
            self.labels.append(write(_MARGIN, y - 0.28, "", fontsize=11))
            y -= _HEAD + height
            middle = (low + upper) / 2
            half = np.array([_PANEL, height]) / (2 * metre)
            line = []
            for j in range(n):
                place = (_PANEL * j / width, y / tall, _PANEL / width, height / tall)
                axes = self.figure.add_axes(place)
                axes.set_xlim(middle[0] - half[0], middle[0] + half[0])
                axes.set_ylim(middle[1] - half[1], middle[1] + half[1])
                axes.set_axis_off()
                line.append(axes)
            self.axes.append(line)
        self._scale(metre, width, tall)
        if n > 1:
            said = f"lines: outline of the body in {rows[0].panels[0].title}"
            write(_PANEL, 0.2, said, fontsize=10, color=_GHOST)
        high = tall - _FOOT - _HEAD - 0.2
        bar = self.figure.add_axes(
            ((width - _BAR + 0.15) / width, (_FOOT + 0.1) / tall, 0.2 / width, high / tall)
        )
        shown = self.figure.colorbar(ScalarMappable(self.norm, self.map), cax=bar)
        shown.set_label(f"distance from {rows[0].panels[0].title} [m]", fontsize=11)

    def _scale(self, metre: float, width: float, tall: float) -> None:
        """A bar of a round length below the first panel."""
        from matplotlib.lines import Line2D

        most = (_PANEL / 2) / metre
        power = 10.0 ** np.floor(np.log10(most))
        length = float(power * max(k for k in (1, 2, 5) if k * power <= most))
        x, y = 2 * _MARGIN, 0.25
        ends = ([x / width, (x + length * metre) / width], [y / tall, y / tall])
        self.figure.add_artist(Line2D(*ends, color="black", linewidth=2.5, solid_capstyle="butt"))
        at = ((x + length * metre + 0.08) / width, y / tall)
        self.figure.text(*at, f"{length:g} m", fontsize=10, va="center")

    def show(self, frames: Sequence[int]) -> None:
        """Draw frame `frames[i]` of row i."""
        for row, line, label, frame in zip(self.rows, self.axes, self.labels, frames, strict=True):
            label.set_text(f"{row.title}, t = {row.times[frame]:.2f} s")
            truth = row.panels[0].positions[frame]
            for j, (axes, panel) in enumerate(zip(line, row.panels, strict=True)):
                for artist in list(axes.collections):
                    artist.remove()
                self._body(axes, row.surface, panel.positions[frame], _errors(row, panel, frame))
                if j:
                    _outline(axes, row.surface, truth)

    def _body(self, axes: Any, surface: np.ndarray, x: np.ndarray, error: np.ndarray) -> None:
        from matplotlib.collections import PolyCollection

        normals = _normals(x[surface])
        front = np.flatnonzero(normals @ _EYE > 0.0)
        order = front[np.argsort((x[surface[front]] @ _EYE).mean(axis=1))]
        light = _AMBIENT + (1.0 - _AMBIENT) * np.maximum(normals[order] @ _LIGHT, 0.0)
        colours = self.map(self.norm(error[surface[order]].mean(axis=1)))
        colours[:, :3] *= light[:, None]
        # Edges in the faces' own colours close the hairlines between them.
        axes.add_collection(
            PolyCollection(
                _project(x)[surface[order]], facecolors=colours, edgecolors=colours, linewidths=0.4
            ),
            autolim=False,
        )


def _project(x: np.ndarray) -> np.ndarray:
    """Picture coordinates [m], (..., 2), of points [m] (..., 3)."""
    return x @ np.stack([_RIGHT, _UP], axis=1)


def _errors(row: Row, panel: Panel, frame: int) -> np.ndarray:
    """Distance [m] of each vertex from where the row's first panel has it."""
    difference = panel.positions[frame] - row.panels[0].positions[frame]
    return np.asarray(np.linalg.norm(difference, axis=1))


def _normals(corners: np.ndarray) -> np.ndarray:
    n = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    return np.asarray(n / np.maximum(np.linalg.norm(n, axis=1, keepdims=True), 1e-300))


def _outline(axes: Any, surface: np.ndarray, x: np.ndarray) -> None:
    """The silhouette and the sharp edges that face the eye, over whatever stands there."""
    from matplotlib.collections import LineCollection

    normals = _normals(x[surface])
    edges = np.sort(np.concatenate([surface[:, [0, 1]], surface[:, [1, 2]], surface[:, [2, 0]]]))
    owner = np.tile(np.arange(len(surface)), 3)
    order = np.lexsort((edges[:, 1], edges[:, 0]))
    # On a closed surface each edge comes twice: neighbours in the sorted list share it.
    first, second = order[0::2], order[1::2]
    a, b = normals[owner[first]], normals[owner[second]]
    front_a, front_b = a @ _EYE > 0.0, b @ _EYE > 0.0
    sharp = (a * b).sum(axis=1) < 0.5
    chosen = edges[first][(front_a != front_b) | (front_a & front_b & sharp)]
    axes.add_collection(
        LineCollection(_project(x)[chosen], colors=_GHOST, linewidths=1.0), autolim=False
    )


def _box(row: Row, frames: Sequence[int]) -> tuple[np.ndarray, np.ndarray]:
    """Corners [m] of what every panel of the row covers in the picture in those frames."""
    points = np.concatenate([_project(p.positions[frames]).reshape(-1, 2) for p in row.panels])
    return points.min(axis=0), points.max(axis=0)
