"""Solutions of equations as maps (Fig. 7), and their errors against time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np

from hodsim.files import atomic
from hodsim.viewer.curves import COLOURS

_LEAST: Final = 1e-16  # of an error that a log axis shows


@dataclass(frozen=True)
class Maps:
    """One component over a rectangle: truth and prediction, shape (n, n), the first axis along x1;
    `error` is its relative L2 error, for the caption."""

    truth: np.ndarray
    prediction: np.ndarray
    error: float


@dataclass(frozen=True)
class Errors:
    """Relative errors of components on the way: seconds (k,) and errors (k, components).

    `strong` ones are solid, others dashed.
    """

    seconds: np.ndarray
    errors: np.ndarray
    strong: bool = False


def maps_plot(
    path: str | Path,
    maps: Mapping[str, Maps],
    extent: tuple[float, float, float, float] = (0.0, 1.0, 0.0, 1.0),
    title: str = "",
) -> None:
    """Truth, prediction and their difference, a column for each component, a colour bar each.

    extent : of the rectangle, x1 from and to, x2 from and to.

    Raises
    ------
    ValueError : no maps.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    if not maps:
        raise ValueError("maps: expected at least one")
    figure = Figure(figsize=(2.35 * len(maps) + 1.2, 7.0), layout="constrained")
    FigureCanvasAgg(figure)
    grid = figure.subplots(3, len(maps), squeeze=False, sharex=True, sharey=True)
    for column, (name, shown) in zip(grid.T, maps.items(), strict=True):
        least, most = float(shown.truth.min()), float(shown.truth.max())
        difference = shown.prediction - shown.truth
        reach = float(np.abs(difference).max()) or _LEAST
        for axes, values, low, high, colours in (
            (column[0], shown.truth, least, most, "viridis"),
            (column[1], shown.prediction, least, most, "viridis"),
            (column[2], difference, -reach, reach, "RdBu_r"),
        ):
            drawn = axes.imshow(
                values.T, origin="lower", extent=extent, vmin=low, vmax=high, cmap=colours
            )
            bar = figure.colorbar(drawn, ax=axes, orientation="horizontal", pad=0.02)
            bar.ax.tick_params(labelsize=6)
            bar.ax.ticklabel_format(style="sci", scilimits=(-2, 3))
            bar.ax.xaxis.get_offset_text().set_fontsize(6)
            axes.tick_params(labelsize=6)
        column[0].set_title(name, fontsize=9)
        column[2].set_xlabel(f"relative L2 {shown.error:.1e}", fontsize=8)
    for axes, name in zip(grid[:, 0], ("truth", "prediction", "difference"), strict=True):
        axes.set_ylabel(name)
    if title:
        figure.supxlabel(title, fontsize=8, color="#505050")
    with atomic(path) as temporary:
        figure.savefig(temporary, dpi=120)


def errors_plot(
    path: str | Path,
    runs: Mapping[str, Sequence[Errors]],
    names: Sequence[str],
    title: str = "",
) -> None:
    """Relative L2 error against CPU time, a panel for each component, a line for each run.

    runs : by the name of what was done; several of one name differ in their seeds.
    names : of the components.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    columns = min(4, len(names))
    rows = -(-len(names) // columns)
    figure = Figure(figsize=(3.4 * columns + 0.6, 2.7 * rows + 1.0), layout="constrained")
    FigureCanvasAgg(figure)
    grid = figure.subplots(rows, columns, squeeze=False, sharex=True, sharey=True)
    handles = {}
    for k, (axes, component) in enumerate(zip(grid.flat, names, strict=False)):
        for number, (name, some) in enumerate(runs.items()):
            for run in some:
                (handles[name],) = axes.plot(
                    run.seconds,
                    np.where(run.errors[:, k] > _LEAST, run.errors[:, k], np.nan),
                    color="black" if run.strong else COLOURS[number % len(COLOURS)],
                    linestyle="-" if run.strong else "--",
                    linewidth=1.6,
                )
        axes.set(title=component, yscale="log")
        axes.grid(visible=True, which="major", color="#dddddd", linewidth=0.6)
    for axes in list(grid.flat)[len(names) :]:
        axes.set_visible(False)
    for axes in grid[-1]:
        axes.set_xlabel("CPU time of steps [s]")
    for axes in grid[:, 0]:
        axes.set_ylabel("relative L2 error")
    figure.legend(
        list(handles.values()),
        list(handles),
        loc="outside upper center",
        ncols=max(1, min(4, len(handles))),
        frameon=False,
    )
    if title:
        figure.supxlabel(title, fontsize=8, color="#505050")
    with atomic(path) as temporary:
        figure.savefig(temporary, dpi=120)
