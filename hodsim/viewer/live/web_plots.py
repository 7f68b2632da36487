"""Plots of the bodies over time in a browser."""

from __future__ import annotations

import html
from typing import Any

import numpy as np

from hodsim.viewer.live.overlay import LINES
from hodsim.viewer.live.picture import Picture, Plot

_WIDTH, _HEIGHT = 270, 150  # pixels of the panel, and of a plot
_MOST = 600  # points of a plot: more cannot be seen in it


class WebPlots:
    """A panel of plots on the left, with the bodies' names above."""

    def __init__(self, server: Any) -> None:
        self._gui = server.gui
        panel = self._gui.add_panel()
        self._tab = panel.add_tab("plots")
        panel.dock_left()
        panel.set_width(_WIDTH)
        with self._tab:
            self._names = self._gui.add_html("")
        self._key: tuple[tuple[str, ...], ...] = ()
        self._plots: list[Any] = []

    def follow(self, picture: Picture) -> None:
        """Show the plots of a picture."""
        self._names.content = _names([body.title for body in picture.bodies])
        key = tuple((plot.title, *(x.label for x in plot.series)) for plot in picture.plots)
        if key != self._key:
            for node in self._plots:
                node.remove()
            with self._tab:
                self._plots = [self._add(plot) for plot in picture.plots if plot.series]
            self._key = key
            return
        for node, plot in zip(self._plots, (x for x in picture.plots if x.series), strict=True):
            node.data = aligned(plot)

    def _add(self, plot: Plot) -> Any:
        lines = tuple(
            {"label": x.label, "stroke": _ink(k), "width": 1.5, "spanGaps": True}
            for k, x in enumerate(plot.series)
        )
        return self._gui.add_uplot(
            aligned(plot),
            ({"label": "t [s]"}, *lines),
            title=plot.title,
            scales={"x": {"time": False}},
            legend={"show": False},
            axes=(_axis(30), _axis(54)),
            padding=(10, 12, 0, 0),
            height=_HEIGHT,
        )


def _axis(size: int) -> dict[str, Any]:
    """So many pixels are kept for its numbers."""
    line = {"show": True, "stroke": "#e4e4e4", "width": 1}
    return {"size": size, "grid": line, "ticks": line}


def aligned(plot: Plot) -> tuple[np.ndarray, ...]:
    """All times [s] of a plot, (k,), and each line's values there, (k,), nan where it has none."""
    times = [np.asarray(x.x, dtype=np.float64) for x in plot.series]
    every = np.unique(np.concatenate([*times, np.zeros(0)]))
    every = every[:: 1 + len(every) // _MOST]
    if not len(every):
        every = np.zeros(1)
    out = [every]
    for series, t in zip(plot.series, times, strict=True):
        values = np.full(len(every), np.nan)
        place = np.clip(np.searchsorted(every, t), 0, len(every) - 1)
        known = every[place] == t
        values[place[known]] = np.asarray(series.y, dtype=np.float64)[known]
        out.append(values)
    return tuple(out)


def _ink(k: int) -> str:
    red, green, blue = (round(255 * x) for x in LINES[k % len(LINES)])
    return f"rgb({red}, {green}, {blue})"


def _names(titles: list[str]) -> str:
    marks = "".join(
        f'<span style="margin-right: 1em"><span style="color: {_ink(k)}">&#9632;</span> '
        f"{html.escape(title)}</span>"
        for k, title in enumerate(titles)
    )
    return f'<div style="padding: 0 0.75em; font-size: 0.85em">{marks}</div>'
