"""Errors against time, and of cubatures against their tets."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from hodsim.files import atomic

# Okabe and Ito's colours, which the colour-blind tell apart; dashes help in print.
COLOURS = ("#D55E00", "#0072B2", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#8B6B3D")
_DASHES = ("-", "--", "-.", ":")
# Nothing smaller than this is drawn: at rest the error is 0, which a log axis cannot show.
_LEAST = 1e-5


@dataclass(frozen=True)
class Curve:
    """Relative error at times [s], both of shape (k,); `strong` ones are black and thicker.

    Several strong ones of a panel differ in their dashes.
    """

    times: np.ndarray
    error: np.ndarray
    strong: bool = False


def error_plot(path: str | Path, panels: Mapping[str, Mapping[str, Curve]]) -> None:
    """Tip error against time, a panel for each scene and a line for each subspace, log axis."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.ticker import FuncFormatter

    columns = min(len(panels), 3)
    lines = -(-len(panels) // columns)
    figure = Figure(figsize=(4.2 * columns + 0.6, 3.4 * lines + 0.6), layout="constrained")
    FigureCanvasAgg(figure)
    grid = figure.subplots(lines, columns, sharey=True, squeeze=False)
    every = [(label, curve) for curves in panels.values() for label, curve in curves.items()]
    labels = list(dict.fromkeys(label for label, _ in every))
    strong = list(dict.fromkeys(label for label, curve in every if curve.strong))
    handles = {}
    for axes, (scene, curves) in zip(grid.flat, panels.items(), strict=False):
        for label, curve in curves.items():
            k = labels.index(label)
            drawn = _shown(curve.error)
            (handles[label],) = axes.plot(
                curve.times,
                100.0 * drawn,
                color="black" if curve.strong else COLOURS[k % len(COLOURS)],
                linestyle=_DASHES[(strong.index(label) if curve.strong else k) % len(_DASHES)],
                linewidth=2.0 if curve.strong else 1.5,
                label=label,
            )
        axes.set(title=scene, yscale="log")
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        axes.grid(visible=True, which="major", color="#dddddd", linewidth=0.6)
        axes.set_xlabel("time [s]")
    for axes in list(grid.flat)[len(panels) :]:
        axes.set_visible(False)
    for axes in grid[:, 0]:
        axes.set_ylabel("tip error [% of RMS tip motion]")
    figure.legend(
        [handles[k] for k in labels],
        labels,
        loc="outside upper center",
        ncols=min(len(labels), 6),
        frameon=False,
    )
    with atomic(path) as temporary:
        figure.savefig(temporary, dpi=150)


@dataclass(frozen=True)
class TetCurve:
    """Errors of a cubature: `tets`, `training`, `held_out` (k,), one for each number of tets, and
    `poses` (n,), of single poses held out, with the number that was `taken`."""

    tets: np.ndarray
    training: np.ndarray
    held_out: np.ndarray
    poses: np.ndarray
    taken: int


def cubature_plot(path: str | Path, curves: Mapping[str, TetCurve]) -> None:
    """Two panels, a colour for each subspace: error against number of tets, held-out poses solid
    and those fitted to dotted, a dot at the number taken; and the share of held-out poses whose
    error is below a value."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.ticker import FuncFormatter

    figure = Figure(figsize=(9.6, 4.6), layout="constrained")
    FigureCanvasAgg(figure)
    left, right = figure.subplots(1, 2, sharey=True)
    for k, (label, curve) in enumerate(curves.items()):
        colour, width = COLOURS[k % len(COLOURS)], 1.5 if k < len(COLOURS) else 0.8
        style = {"color": colour, "linewidth": width}
        left.plot(curve.tets, 100.0 * _shown(curve.held_out), label=label, **style)
        left.plot(curve.tets, 100.0 * _shown(curve.training), **style, linestyle=":")
        at = int(np.argmin(np.abs(curve.tets - curve.taken)))
        left.plot(curve.taken, 100.0 * curve.held_out[at], "o", color=colour, markersize=5)
        share = np.linspace(0.0, 100.0, len(curve.poses))
        right.plot(share, 100.0 * _shown(np.sort(curve.poses)), **style)
    left.set(
        xlabel="tets (solid: held-out poses, dotted: fitted to, dot: taken)",
        ylabel="displacement error [%]",
        yscale="log",
    )
    right.set(xlabel="held-out poses, best first [%]")
    for axes in (left, right):
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        axes.grid(visible=True, which="major", color="#dddddd", linewidth=0.6)
    columns = min(len(curves), 6)
    figure.legend(loc="outside upper center", ncols=columns, frameon=False)
    with atomic(path) as temporary:
        figure.savefig(temporary, dpi=150)


def _shown(error: np.ndarray) -> np.ndarray:
    """The errors that a log axis can show."""
    return np.where(error > _LEAST, error, np.nan)
