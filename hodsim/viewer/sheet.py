"""Bodies side by side under their titles, with a colour bar, a scale and a time stamp."""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Iterator
from types import TracebackType
from typing import Any

import numpy as np

from hodsim.viewer.bodies import MAP
from hodsim.viewer.render import OUTLINE, Renderer
from hodsim.viewer.shot import Shot

Progress = Callable[[int, int], None]  # frames done, frames in all

_DPI = 100
# Pixels: titles and notes above the bodies, the line below them, the colour bar on their right.
_TITLE, _NOTE, _FOOT, _BAR = 34, 24, 44, 128
# Width of a body's panel, and of all of them.
_WIDEST, _NARROWEST, LINE = 480, 240, 1440


class Sheet:
    """A shot laid out with titles, colour bar, scale and time stamp; a context manager.

    The bodies share `line` pixels of width. `below` pixels stay free at the bottom, for whatever a
    caller adds to `figure` before the first `draw`. `width` and `height` [pixels] are even, as
    video wants them; `metre` pixels of a body are one metre.
    """

    def __init__(self, shot: Shot, line: int = LINE, below: int = 0) -> None:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure

        n = len(shot.solids)
        panel = min(max(line // n, _NARROWEST), _WIDEST) // 2 * 2
        self.shot, self.below = shot, below + below % 2
        self._renderer = Renderer(shot, panel)
        self.metre = self._renderer.metre
        self._head = _TITLE + _NOTE * any(solid.note for solid in shot.solids)
        self.width = n * panel + _BAR
        self.height = self._head + self._renderer.height + _FOOT + self.below
        # A hair above, for the canvas rounds down.
        size = (np.array([self.width, self.height]) + 1e-3) / _DPI
        self.figure = Figure(figsize=(float(size[0]), float(size[1])), dpi=_DPI)
        self._canvas = FigureCanvasAgg(self.figure)
        self._background: Any = None
        for j, solid in enumerate(shot.solids):
            middle = panel * (j + 0.5)
            fits = (panel - 12) / (0.95 * max(len(solid.title), 1))
            self._write(middle, 18, solid.title, size=min(14.0, fits), weight="bold", ha="center")
            fits = (panel - 12) / (0.85 * max(len(solid.note), 1))
            self._write(middle, 42, solid.note, size=min(11.0, fits), ha="center")
        self._colour_bar(n * panel + 12)
        self._scale()
        # Right-aligned below the last body, where no note on the outline comes.
        self._stamp = self._write(n * panel - 12, self._foot, "", size=11, ha="right")
        self._stamp.set_animated(True)

    @property
    def _foot(self) -> float:
        return self._head + self._renderer.height + _FOOT / 2

    def _write(self, x: float, y: float, text: str, **style: Any) -> Any:
        """Text whose middle line is `y` pixels below the upper edge, `x` right of the left one."""
        at = x / self.width, 1.0 - y / self.height
        return self.figure.text(*at, text, va="center", **style)

    def _colour_bar(self, x: float) -> None:
        from matplotlib import colormaps
        from matplotlib.cm import ScalarMappable
        from matplotlib.colors import Normalize

        h = self._renderer.height
        place = (
            x / self.width,
            1.0 - (self._head + 0.95 * h) / self.height,
            16 / self.width,
            0.9 * h / self.height,
        )
        top = self.shot.colour_top
        bar = self.figure.colorbar(
            ScalarMappable(Normalize(0.0, top), colormaps[MAP]),
            cax=self.figure.add_axes(place),
            extend="max" if self.shot.largest > top else "neither",
        )
        bar.set_label(textwrap.fill(self.shot.colour, max(h // 10, 12)), fontsize=11)

    def _scale(self) -> None:
        """A bar of a round length, and what the lines are."""
        from matplotlib.lines import Line2D

        metre, y = self.metre, self._foot
        most = 0.4 * self._renderer.width / metre
        power = 10.0 ** np.floor(np.log10(most))
        length = float(power * max(k for k in (1, 2, 5) if k * power <= most))
        x, end = 14.0, 14.0 + length * metre
        height = 1.0 - y / self.height
        ends = ([x / self.width, end / self.width], [height, height])
        self.figure.add_artist(Line2D(*ends, color="black", linewidth=2.5, solid_capstyle="butt"))
        self._write(end + 8, y, f"{length:g} m", size=11)
        if self.shot.outline and len(self.shot.solids) > 1:
            said = f"blue lines: {self.shot.solids[0].title}"
            self._write(self._renderer.width + 12, y, said, size=11, color=OUTLINE)

    def draw(self, frame: int) -> np.ndarray:
        """RGB of a frame, uint8, (height, width, 3)."""
        if self._background is None:
            self._canvas.draw()
            self._background = self._canvas.copy_from_bbox(self.figure.bbox)
        self._canvas.restore_region(self._background)
        self._stamp.set_text(f"t = {self.shot.times[frame]:.2f} s")
        self.figure.draw_artist(self._stamp)
        out = np.asarray(self._canvas.buffer_rgba())[..., :3].copy()
        h, w = self._renderer.height, self._renderer.width
        for j in range(len(self.shot.solids)):
            out[self._head : self._head + h, j * w : (j + 1) * w] = self._renderer.draw(j, frame)
        return out

    def frames(self, progress: Progress | None = None) -> Iterator[np.ndarray]:
        """Every frame in turn, as `draw` gives it; `progress` is told after each."""
        total = len(self.shot.times)
        for k in range(total):
            yield self.draw(k)
            if progress is not None:
                progress(k + 1, total)

    def close(self) -> None:
        """Give the renderer back."""
        self._renderer.close()

    def __enter__(self) -> Sheet:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()
