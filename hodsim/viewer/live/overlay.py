"""Words and measures over the drawn bodies: titles, warnings, scale bar, colour bar, readout."""

from __future__ import annotations

from typing import Any

import numpy as np

from hodsim.viewer.live.picture import ColourBar, Picture
from hodsim.viewer.live.view import Area, View

# Okabe and Ito's, for the lines of plots, in the order of the bodies.
LINES = ((0.0, 0.45, 0.70), (0.90, 0.60, 0.0), (0.80, 0.47, 0.65), (0.0, 0.0, 0.0))
_TEXT, _ALARM, _BACK = (0.1, 0.1, 0.1), (0.72, 0.1, 0.0), (1.0, 1.0, 1.0, 0.75)
_EDGE = 14.0  # pixels left free at the edges
_BAR = 260.0, 14.0  # pixels of the colour bar
_ABOVE = 6.0  # pixels between a body and its words


def draw_overlay(
    picture: Picture, view: View, area: Area, titles: dict[str, np.ndarray], note: str
) -> None:
    """Draw it above the bodies and below the panels, within a part of the window."""
    import polyscope.imgui as psim

    canvas = _Canvas(psim.GetBackgroundDrawList(), area)
    line = psim.GetTextLineHeight() + 3.0
    for k, (body, place) in enumerate(
        zip(picture.bodies, view.project(_stack(picture, titles)), strict=True)
    ):
        if not np.isfinite(place).all():
            continue
        # A body that bends up to its words pushes them up.
        top = float(np.nanmin(view.project(body.positions)[:, 1]))
        x, y = place[0], min(place[1], top - line - _ABOVE)
        canvas.text(x, y - line, body.title, middle=True, mark=LINES[k % len(LINES)])
        canvas.text(x, y, body.warning, _ALARM, middle=True)
    if picture.bodies:
        _scale(canvas, picture, view)
    _colour_bar(canvas, picture.bar, line)
    for k, text in enumerate(picture.readout):
        canvas.text(area.left + _EDGE, area.top + _EDGE + k * line, text)
    room = area.right - area.left - 2 * _EDGE
    notes = [part for x in (picture.note, note) for part in _wrapped(x, room)]
    for k, text in enumerate(notes):
        height = area.bottom - _EDGE - (len(notes) - k) * line
        canvas.text(area.left + _EDGE, height, text, _ALARM)


def _wrapped(text: str, width: float) -> list[str]:
    """Lines that are no wider than so many pixels, broken between words."""
    import polyscope.imgui as psim

    lines: list[str] = []
    for word in text.split():
        longer = f"{lines[-1]} {word}" if lines else word
        if lines and psim.CalcTextSize(longer)[0] < width:
            lines[-1] = longer
        else:
            lines.append(word)
    return lines


def _stack(picture: Picture, titles: dict[str, np.ndarray]) -> np.ndarray:
    return np.array([titles[body.label] for body in picture.bodies]).reshape(-1, 3)


def _scale(canvas: _Canvas, picture: Picture, view: View) -> None:
    end = picture.scale_start + np.array([picture.scale, 0.0, 0.0])
    ends = view.project(np.array([picture.scale_start, end]))
    if np.isfinite(ends).all():
        canvas.line(ends[0], ends[1], 4.0)
        x, y = ends.mean(axis=0)
        canvas.text(x, y + 6.0, f"{picture.scale:g} m", middle=True)


def _colour_bar(canvas: _Canvas, bar: ColourBar, line: float) -> None:
    width, height = _BAR
    left, top = canvas.area.right - _EDGE - width, canvas.area.top + _EDGE
    canvas.text(left + width / 2, top, bar.title, middle=True)
    top += line + 2.0
    count = min(64, len(bar.colours))
    edges = left + width * np.arange(count + 1) / count
    for k, row in enumerate(np.linspace(0, len(bar.colours) - 1, count).round().astype(int)):
        canvas.box(edges[k], top, edges[k + 1], top + height, tuple(bar.colours[row]))
    low, high = bar.ends
    canvas.text(left, top + height + 3.0, low)
    canvas.text(left + width - canvas.width(high), top + height + 3.0, high)


class _Canvas:
    """Draws within an area of the window; coordinates in pixels, colours as RGB from 0 to 1."""

    def __init__(self, draw: Any, area: Area) -> None:
        self._draw, self.area = draw, area

    def width(self, text: str) -> float:
        import polyscope.imgui as psim

        return float(psim.CalcTextSize(text)[0])

    def text(
        self,
        x: float,
        y: float,
        text: str,
        colour: tuple[float, ...] = _TEXT,
        middle: bool = False,
        mark: tuple[float, ...] | None = None,
    ) -> None:
        """A line of text from x, or about it; `mark` is the colour of a square in front of it."""
        import polyscope.imgui as psim

        if not text:
            return
        width, height = psim.CalcTextSize(text)
        ahead = 0.0 if mark is None else height
        left = x - (width + ahead) / 2 if middle else x
        # A text that would be hidden by a panel moves into sight, one that is far off does not.
        if not self.area.left - width < left < self.area.right:
            return
        left = min(max(left, self.area.left + 4.0), self.area.right - width - ahead - 4.0)
        y = min(max(y, self.area.top), self.area.bottom - height)
        self.box(left - 4, y - 1, left + width + ahead + 4, y + height + 1, _BACK)
        if mark is not None:
            self.box(left, y + 0.2 * height, left + 0.6 * height, y + 0.8 * height, mark)
        self._draw.AddText((left + ahead, y), _ink(colour), text)

    def box(
        self, left: float, top: float, right: float, bottom: float, colour: tuple[float, ...]
    ) -> None:
        self._draw.AddRectFilled((left, top), (right, bottom), _ink(colour))

    def line(self, start: np.ndarray, end: np.ndarray, thick: float) -> None:
        self._draw.AddLine(tuple(start), tuple(end), _ink(_TEXT), thick)


def _ink(colour: tuple[float, ...]) -> int:
    import polyscope.imgui as psim

    return int(psim.IM_COL32(*(round(255 * x) for x in (*colour, 1.0)[:4])))
