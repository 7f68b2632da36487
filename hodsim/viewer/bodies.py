"""Bodies side by side, coloured by their error, as a picture or a film, drawn by matplotlib.

Good for the surfaces of a few thousand triangles, on any machine: no display, no OpenGL.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from hodsim.errors import InputError
from hodsim.files import atomic

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MAP = "cividis"  # evenly bright steps, and the same for a colour-blind eye
_VIEW = {"elev": 18.0, "azim": -62.0}
_LIGHT = np.array([0.35, -0.75, 0.56])  # from the viewer's side, above
_AMBIENT = 0.45
_GHOST = "#3a3a3a"


@dataclass(frozen=True)
class Panel:
    """One body in one subspace: positions [m] over frames, shape (k, n_vertices, 3)."""

    title: str
    positions: np.ndarray


@dataclass(frozen=True)
class Row:
    """One scene: its panels, the first of which is the truth the others are measured against.

    `surface` holds the boundary triangles (m, 3), `times` the frames' times [s], shape (k,). All
    panels of all rows have the same number of frames.
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
    drawing.show(list(frames))
    with atomic(path) as temporary:
        drawing.figure.savefig(temporary, dpi=150)


def animation(
    path: str | Path,
    rows: Sequence[Row],
    fps: float = 12.5,
    progress: Callable[[int, int], None] | None = None,
) -> None:
    """A film (gif) of all frames, drawn as `side_by_side` is. `progress(done, total)` is told."""
    from matplotlib.animation import FuncAnimation, PillowWriter

    count = len(rows[0].times)
    drawing = _Drawing(rows, [range(count)] * len(rows))
    film = FuncAnimation(
        drawing.figure,
        lambda k: drawing.show([k] * len(rows)),
        frames=count,
        init_func=lambda: [],
    )
    told = None if progress is None else lambda k, n: progress(k + 1, n or count)
    with atomic(path) as temporary:
        film.save(str(temporary), writer=PillowWriter(fps=fps), dpi=72, progress_callback=told)


class _Drawing:
    """A figure with one row of panels a scene, and a colour bar that all share."""

    def __init__(self, rows: Sequence[Row], used: Sequence[Sequence[int]]) -> None:
        from matplotlib import colormaps
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.cm import ScalarMappable
        from matplotlib.colors import Normalize
        from matplotlib.figure import Figure

        columns = {len(row.panels) for row in rows}
        if len(columns) != 1 or not min(columns):
            raise InputError("picture: expected rows of one and the same number of panels")
        self.rows, n = rows, columns.pop()
        largest = max(
            _errors(row, panel, frame).max()
            for row, frames in zip(rows, used, strict=True)
            for panel in row.panels
            for frame in frames
        )
        self.norm = Normalize(0.0, largest if largest > 0.0 else 1.0)
        self.map = colormaps[MAP]
        boxes = [_box(row, frames) for row, frames in zip(rows, used, strict=True)]
        heights = [_aspect(*box) for box in boxes]
        width = 2.9 * n + 1.3
        tall = 2.9 * sum(heights) + 0.45 * len(rows) + 0.45
        self.figure: Figure = Figure(figsize=(width, tall))
        FigureCanvasAgg(self.figure)
        self.axes: list[list[Any]] = []
        self.labels: list[Any] = []
        top = 1.0 - 0.4 / tall
        for row, box, height in zip(rows, boxes, heights, strict=True):
            above, h = 0.45 / tall, 2.9 * height / tall
            self.labels.append(
                self.figure.text(0.2 / width, top - 0.3 / tall, "", fontsize=12, weight="bold")
            )
            line = []
            for j, panel in enumerate(row.panels):
                place = (2.9 * j / width, top - above - h, 2.9 / width, h)
                axes = self.figure.add_axes(place, projection="3d", computed_zorder=False)
                _frame(axes, *box)
                line.append(axes)
                if row is rows[0]:
                    self.figure.text(
                        2.9 * (j + 0.5) / width,
                        1.0 - 0.3 / tall,
                        panel.title,
                        fontsize=13,
                        weight="bold",
                        ha="center",
                    )
            self.axes.append(line)
            top -= above + h
        bar = self.figure.add_axes((1.0 - 1.15 / width, 0.14, 0.2 / width, 0.72))
        shown = self.figure.colorbar(ScalarMappable(self.norm, self.map), cax=bar)
        shown.set_label("distance from full space [m]", fontsize=11)

    def show(self, frames: Sequence[int]) -> list[Any]:
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
        return []

    def _body(self, axes: Any, surface: np.ndarray, x: np.ndarray, error: np.ndarray) -> None:
        from mpl_toolkits.mplot3d.art3d import Poly3DCollection

        corners = x[surface]
        normals = _normals(corners)
        light = _AMBIENT + (1.0 - _AMBIENT) * np.maximum(normals @ _LIGHT, 0.0)
        colours = self.map(self.norm(error[surface].mean(axis=1)))
        colours[:, :3] *= light[:, None]
        # Edges in the faces' own colours close the hairlines between them.
        axes.add_collection3d(
            Poly3DCollection(corners, facecolors=colours, edgecolors=colours, linewidths=0.3)
        )


def _errors(row: Row, panel: Panel, frame: int) -> np.ndarray:
    """Distance [m] of each vertex from where the row's first panel has it."""
    difference = panel.positions[frame] - row.panels[0].positions[frame]
    return np.asarray(np.linalg.norm(difference, axis=1))


def _normals(corners: np.ndarray) -> np.ndarray:
    n = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    return np.asarray(n / np.maximum(np.linalg.norm(n, axis=1, keepdims=True), 1e-300))


def _outline(axes: Any, surface: np.ndarray, x: np.ndarray) -> None:
    """The true body's sharp edges and silhouette as lines, over whatever stands there."""
    from mpl_toolkits.mplot3d.art3d import Line3DCollection

    elev, azim = np.radians(_VIEW["elev"]), np.radians(_VIEW["azim"])
    eye = np.array([np.cos(elev) * np.cos(azim), np.cos(elev) * np.sin(azim), np.sin(elev)])
    normals = _normals(x[surface])
    edges = np.sort(np.concatenate([surface[:, [0, 1]], surface[:, [1, 2]], surface[:, [2, 0]]]))
    owner = np.tile(np.arange(len(surface)), 3)
    order = np.lexsort((edges[:, 1], edges[:, 0]))
    # On a closed surface each edge comes twice: neighbours in the sorted list share it.
    first, second = order[0::2], order[1::2]
    a, b = normals[owner[first]], normals[owner[second]]
    seen = ((a @ eye) > 0) != ((b @ eye) > 0)
    sharp = (a * b).sum(axis=1) < 0.5
    chosen = edges[first][seen | sharp]
    axes.add_collection3d(
        Line3DCollection(x[chosen], colors=_GHOST, linewidths=0.8, alpha=0.9, zorder=3)
    )


def _box(row: Row, frames: Sequence[int]) -> tuple[np.ndarray, np.ndarray]:
    """Corners [m] of the box that holds every panel of the row in those frames."""
    points = np.concatenate([p.positions[f].reshape(-1, 3) for p in row.panels for f in frames])
    points = points[np.isfinite(points).all(axis=1)]
    return points.min(axis=0), points.max(axis=0)


def _aspect(low: np.ndarray, high: np.ndarray) -> float:
    """Height of a row's panels in widths, so that neither is wasted."""
    size = high - low
    azim, elev = np.radians(_VIEW["azim"]), np.radians(_VIEW["elev"])
    across = abs(np.sin(azim)) * size[0] + abs(np.cos(azim)) * size[1]
    depth = abs(np.cos(azim)) * size[0] + abs(np.sin(azim)) * size[1]
    up = np.cos(elev) * size[2] + np.sin(elev) * depth
    return float(np.clip(1.1 * up / across, 0.4, 1.3))


def _frame(axes: Any, low: np.ndarray, high: np.ndarray) -> None:
    """Limits of equal scale on the three axes, no axis lines, one view."""
    middle, size = (low + high) / 2, np.maximum(high - low, 1e-3)
    axes.set_proj_type("ortho")
    axes.view_init(**_VIEW)
    axes.set(
        xlim=(middle[0] - size[0] / 2, middle[0] + size[0] / 2),
        ylim=(middle[1] - size[1] / 2, middle[1] + size[1] / 2),
        zlim=(middle[2] - size[2] / 2, middle[2] + size[2] / 2),
    )
    axes.set_box_aspect(size, zoom=1.3)
    axes.set_axis_off()
