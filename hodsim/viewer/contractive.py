"""Contractive ratios against radius, and images beside what autoencoders make of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np

from hodsim.files import atomic
from hodsim.viewer.curves import COLOURS

_DASHES: Final = ("-", "--", "-.", ":")
_ROWS: Final = {
    "ratio": "|f(x) - f(x')| / |x - x'|",
    "relative": "the same, by the features' scale",
}


@dataclass(frozen=True)
class Contraction:
    """One method's ratios at `radii` (k,), a row for each seed: `ratio` and `relative`, (seeds, k).

    The `strong` one is black and thicker.
    """

    radii: np.ndarray
    ratio: np.ndarray
    relative: np.ndarray
    strong: bool = False


def ratio_plot(
    path: str | Path, panels: Mapping[str, Mapping[str, Contraction]], title: str = ""
) -> None:
    """Fig. 6: a column for each data set, a line for each method, means and ranges over seeds;
    above the ratio as the paper has it, below relative to the features' scale."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    columns = len(panels)
    figure = Figure(figsize=(4.6 * columns + 0.8, 7.6), layout="constrained")
    FigureCanvasAgg(figure)
    grid = figure.subplots(len(_ROWS), columns, squeeze=False)
    handles = {}
    for column, (data, methods) in zip(grid.T, panels.items(), strict=True):
        column[0].set_title(data)
        for axes, (what, label) in zip(column, _ROWS.items(), strict=True):
            for k, (name, found) in enumerate(methods.items()):
                colour = "black" if found.strong else COLOURS[k % len(COLOURS)]
                values = getattr(found, what)
                (handles[name],) = axes.plot(
                    found.radii,
                    values.mean(0),
                    color=colour,
                    linestyle=_DASHES[0 if found.strong else k % len(_DASHES)],
                    linewidth=2.2 if found.strong else 1.5,
                )
                low, high = values.min(0), values.max(0)
                axes.fill_between(found.radii, low, high, color=colour, alpha=0.15, linewidth=0.0)
            axes.set(xlabel="radius |x - x'|", xscale="log", ylabel=label)
            axes.set_ylim(bottom=0.0)
            axes.grid(visible=True, which="major", color="#dddddd", linewidth=0.6)
    ncols = min(4, 2 * columns)  # as many as the figure is wide
    figure.legend(
        list(handles.values()),
        list(handles),
        loc="outside upper center",
        ncols=ncols,
        frameon=False,
    )
    if title:
        figure.supxlabel(title, fontsize=8, color="#505050")
    with atomic(path) as temporary:
        figure.savefig(temporary, dpi=130)


def images_plot(
    path: str | Path, rows: Mapping[str, Sequence[np.ndarray]], title: str = ""
) -> None:
    """Grey images in 0..1, (height, width) each: a named row of as many for each entry."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    columns = max(map(len, rows.values()))
    figure = Figure(figsize=(0.9 * columns + 1.8, 0.95 * len(rows) + 0.5), layout="constrained")
    FigureCanvasAgg(figure)
    grid = figure.subplots(len(rows), columns, squeeze=False)
    for line, (name, images) in zip(grid, rows.items(), strict=True):
        for axes in line:
            axes.set(xticks=[], yticks=[])
            axes.set_frame_on(False)
        for axes, image in zip(line, images, strict=False):
            axes.imshow(image, cmap="gray", vmin=0.0, vmax=1.0)
        line[0].set_ylabel(name, rotation=0, ha="right", va="center", fontsize=9)
    if title:
        figure.supxlabel(title, fontsize=8, color="#505050")
    with atomic(path) as temporary:
        figure.savefig(temporary, dpi=130)
