"""Training curves of several optimisers, and what those that step by curvature decided."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from hodsim.files import atomic
from hodsim.viewer.curves import COLOURS

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_DASHES: Final = ("-", "--", "-.", ":")
_GRID: Final = 200  # places of a curve that is a mean of several
_BINS: Final = 10  # of steps, over the budget
_AXES: Final = {
    "epoch": "epoch",
    "seconds": "CPU time of steps [s]",
    "gradients": "gradient-equivalents",
}
_DECADES: Final = 8.0  # values this many times apart want a log axis


@dataclass(frozen=True)
class Training:
    """One optimiser's runs, a table for each seed: columns "epoch", "seconds", "gradients",
    "loss", "error", "held_out_loss" and "held_out_error", of one length; None is not drawn.

    `strong` ones are black and thicker; several strong ones differ in their dashes.
    """

    runs: Sequence[Mapping[str, Sequence[float | None]]]
    strong: bool = False


def training_plot(
    path: str | Path, curves: Mapping[str, Training], error: str, title: str = ""
) -> None:
    """Loss and error against epochs, time and gradient-equivalents: means and ranges over seeds.

    error : what the error is, for its axis.
    """
    from matplotlib.ticker import FuncFormatter

    figure, grid = _figure(3, 3, 14.0, 10.5)
    rows = {
        "loss": "training loss",
        "error": f"training: {error}",
        "held_out_error": f"held-out: {error}",
    }
    styles = _styles(curves)
    for axes_row, (what, label) in zip(grid, rows.items(), strict=True):
        for axes, (along, told) in zip(axes_row, _AXES.items(), strict=True):
            for name, curve in curves.items():
                _mean(axes, curve, along, what, {**styles[name], "label": name})
            if along == "epoch":  # one optimiser's epoch is another's hundred
                axes.set_xscale("symlog", linthresh=1.0)
                axes.set_xlim(left=0.0)
                axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
            axes.set_xlabel(told)
        axes_row[0].set_ylabel(label)
        for axes in axes_row[1:]:
            axes.sharey(axes_row[0])
        _scale(axes_row)
    figure.legend(
        *grid[0, 0].get_legend_handles_labels(), loc="outside upper center", ncols=5, frameon=False
    )
    _save(path, figure, title)


def steps_plot(
    path: str | Path, steps: Mapping[str, Sequence[Mapping[str, Sequence[Any]]]], title: str = ""
) -> None:
    """What became of batches, conjugate gradients' iterations, lengths taken, and agreement with
    the global gradient, a row for each optimiser.

    steps : for each a table a seed, columns "gradients" (gradient-equivalents charged until the
        step's end), "outcome", "why", "cg_iterations", "cg_ended", "length" and "cosine".
    """
    figure, grid = _figure(len(steps), 4, 17.0, 3.4 * len(steps) + 0.8)
    for axes_row, (name, tables) in zip(grid, steps.items(), strict=True):
        joined = {k: [v for table in tables for v in table[k]] for k in tables[0]}
        shares, iterations, lengths, angles = axes_row
        dots = _dots(len(joined["gradients"]))
        _outcomes(shares, joined)
        _ended(iterations, joined)
        taken = [(g, t) for g, t in zip(joined["gradients"], joined["length"], strict=True) if t]
        lengths.plot(*_columns(taken), **dots, color=COLOURS[1])
        lengths.set_yscale("log", base=2)
        met = [
            (g, c)
            for g, c in zip(joined["gradients"], joined["cosine"], strict=True)
            if c is not None
        ]
        angles.plot(*_columns(met), **dots, color=COLOURS[2])
        angles.set_ylim(-1.05, 1.05)
        angles.axhline(0.0, color="black", linewidth=0.8)
        if not met:
            angles.text(0.5, 0.75, "no global gradient", ha="center", transform=angles.transAxes)
        shares.set_ylabel(f"{name}\nshare of batches [%]")
        iterations.set_ylabel("CG iterations")
        lengths.set_ylabel("length taken")
        angles.set_ylabel("cosine to the global gradient")
        for axes in axes_row:
            axes.set_xlabel(_AXES["gradients"])
            axes.set_xlim(0.0, 1.02 * max(joined["gradients"]))
    _save(path, figure, title)


def _save(path: str | Path, figure: Figure, title: str) -> None:
    if title:
        figure.supxlabel(title, fontsize=9, color="#505050")
    with atomic(path) as temporary:
        figure.savefig(temporary, dpi=120)


def _figure(rows: int, columns: int, width: float, height: float) -> tuple[Figure, Any]:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    grid = figure.subplots(rows, columns, squeeze=False)
    for axes in grid.flat:
        axes.grid(visible=True, which="major", color="#dddddd", linewidth=0.6)
        axes.set_axisbelow(True)
    return figure, grid


def _styles(curves: Mapping[str, Training]) -> dict[str, dict[str, Any]]:
    strong = [name for name, curve in curves.items() if curve.strong]
    others = [name for name in curves if name not in strong]
    styles: dict[str, dict[str, Any]] = {}
    for k, name in enumerate(strong):
        styles[name] = {"color": "black", "linestyle": _DASHES[k % 4], "linewidth": 2.2}
    for k, name in enumerate(others):
        styles[name] = {
            "color": COLOURS[k % len(COLOURS)],
            "linestyle": _DASHES[k % 4],
            "linewidth": 1.5,
        }
    return styles


def _mean(axes: Axes, curve: Training, along: str, what: str, style: dict[str, Any]) -> None:
    """The mean over runs as far as all reach, and their range as a band."""
    tables = [
        np.array(
            [
                (x, y)
                for x, y in zip(table[along], table[what], strict=True)
                if x is not None and y is not None
            ],
            float,
        ).reshape(-1, 2)
        for table in curve.runs
    ]
    tables = [table for table in tables if len(table)]
    if not tables:
        axes.plot([], [], **style)
        return
    first, last = (f(table[k, 0] for table in tables) for f, k in ((max, 0), (min, -1)))
    # Every place where a run was looked at, so that no corner is cut.
    places = np.unique(
        np.concatenate([t[:, 0] for t in tables] + [np.linspace(first, last, _GRID)])
    )
    places = places[(places >= first) & (places <= last)]
    values = np.stack([np.interp(places, table[:, 0], table[:, 1]) for table in tables])
    # One that made no step is a mark at its start.
    axes.plot(places, values.mean(axis=0), marker="o" if len(places) == 1 else None, **style)
    if len(tables) > 1:
        low, high = values.min(axis=0), values.max(axis=0)
        axes.fill_between(places, low, high, color=style["color"], alpha=0.15, linewidth=0.0)


def _scale(row: Sequence[Axes]) -> None:
    """A log axis where values span decades; an error of 0 falls off its lower end."""
    from matplotlib.ticker import FuncFormatter, NullFormatter

    drawn = [np.asarray(line.get_ydata(), float) for axes in row for line in axes.get_lines()]
    values = np.concatenate([np.zeros(0), *drawn])
    positive = values[values > 0.0]
    if not len(positive) or positive.max() < _DECADES * positive.min():
        return
    for axes in row:
        axes.set_yscale("log")
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        axes.yaxis.set_minor_formatter(NullFormatter())


def _outcomes(axes: Axes, joined: Mapping[str, Sequence[Any]]) -> None:
    """Shares of batches accepted, skipped and abandoned, by reason, over the budget."""
    told = [
        outcome if not why else f"{outcome}: {_short(why)}"
        for outcome, why in zip(joined["outcome"], joined["why"], strict=True)
    ]
    kinds = sorted(set(told), key=lambda kind: (not kind.startswith("accepted"), kind))
    at = np.asarray(joined["gradients"], float)
    ends = np.linspace(0.0, at.max(), _BINS + 1)
    place = np.clip(np.digitize(at, ends, right=True) - 1, 0, _BINS - 1)
    whole = np.bincount(place, minlength=_BINS)
    below = np.zeros(_BINS)
    for k, kind in enumerate(kinds):
        mine = np.bincount(place[np.array(told) == kind], minlength=_BINS)
        share = 100.0 * mine / np.maximum(whole, 1)
        colour = COLOURS[2] if kind == "accepted" else (*COLOURS[:2], *COLOURS[3:])[k % 6]
        total = 100.0 * sum(mine) / len(told)
        axes.bar(
            ends[:-1], share, np.diff(ends), below, align="edge", color=colour, edgecolor="white",
            linewidth=0.4, label=f"{kind} ({total:.0f} %)",
        )  # fmt: skip
        below += share
    axes.set_ylim(0.0, 135.0)
    axes.set_yticks(range(0, 101, 20))
    axes.legend(loc="upper left", frameon=False, fontsize=7, ncols=1)


def _ended(axes: Axes, joined: Mapping[str, Sequence[Any]]) -> None:
    """Iterations of each step, by what ended them."""
    rows = zip(joined["gradients"], joined["cg_iterations"], joined["cg_ended"], strict=True)
    by: dict[str, list[tuple[float, float]]] = {}
    dots = _dots(len(joined["gradients"]))
    for at, iterations, ended in rows:
        if ended:
            by.setdefault(ended, []).append((at, iterations))
    for k, (ended, points) in enumerate(by.items()):
        axes.plot(*_columns(points), **dots, color=COLOURS[k % 7], label=ended)
    axes.set_ylim(bottom=0.0)
    top = axes.get_ylim()[1]
    axes.set_ylim(top=1.3 * top)
    if by:
        axes.legend(loc="upper left", frameon=False, fontsize=7, ncols=2)


def _dots(count: int) -> dict[str, Any]:
    """Marks that are seen where there are few and do not clot where there are many."""
    return {"linestyle": "none", "marker": "o", "markersize": 4.5 if count < 200 else 2.0}


def _columns(pairs: Sequence[tuple[float, float]]) -> tuple[list[float], list[float]]:
    return [x for x, _ in pairs], [y for _, y in pairs]


def _short(why: str) -> str:
    """A reason without its numbers, in a few words."""
    for begins, told in (
        ("no length", "no length lowers the loss"),
        ("the batch's gradient", "against the global gradient"),
    ):
        if why.startswith(begins):
            return told
    return why
