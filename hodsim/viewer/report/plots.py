"""The plots of a report, each an SVG of its own, so that narrow screens can stack them."""

from __future__ import annotations

import io
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

import numpy as np

from hodsim.viewer.methods import body_title, method
from hodsim.viewer.report.measures import Measure, number
from hodsim.viewer.report.rows import Group

_SIZE = (4.6, 4.3)  # inches
_FONTS = "'DejaVu Sans', Verdana, Arial, sans-serif"
_LEAST = 1e-5  # a log axis cannot show 0, which is the error at rest


@dataclass(frozen=True)
class Plot:
    """An SVG document, and in words what it shows."""

    svg: str
    words: str


@dataclass(frozen=True)
class Limits:
    """The range of an axis [%], which panels side by side share."""

    low: float
    high: float


def limits(found: Sequence[Mapping[str, Group]], measures: Sequence[Measure]) -> Limits | None:
    """A range that holds every error above 0 of these groups; None where there is none."""
    values = [
        100.0 * value
        for part in found
        for group in part.values()
        for measure in measures
        for value in group.values(measure.key)
        if value > _LEAST
    ]
    return Limits(min(values) / 1.4, max(values) * 1.4) if values else None


def against_rank(
    name: str, found: Mapping[str, Group], measure: Measure, span: Limits
) -> Plot | None:
    """Mean error against rank, a line a method, with a bar from the least to the worst load."""
    of_kind: dict[str, list[Group]] = {}
    for group in found.values():
        if group.rank is not None and _percent(group, measure):
            of_kind.setdefault(group.kind, []).append(group)
    if not of_kind:
        return None
    figure, axes = _panel(name)
    every: set[int] = set()
    for kind, members in of_kind.items():
        ranked = sorted(members, key=lambda group: group.rank or 0)
        x = [group.rank or 0 for group in ranked]
        every.update(x)
        y = [_percent(group, measure) for group in ranked]
        # One path with gaps: a bar of its own for each point would double the file.
        bars = [(min(v), max(v), math.nan) for v in (g.values(measure.key) for g in ranked)]
        axes.plot(
            np.repeat(x, 3),
            100.0 * np.ravel(bars),
            color=method(kind).colour,
            linewidth=0.8,
            alpha=0.55,
        )
        _line(axes, x, y, kind, hollow=[k for k, g in enumerate(ranked) if g.failed])
    ticks = sorted(every)
    axes.set_xticks(ticks if len(ticks) <= 9 else [t for t in ticks if t % 2 == 0])
    axes.set(xlabel="rank", ylabel=f"{measure.title} error [%]", ylim=(span.low, span.high))
    _log(axes.yaxis)
    _legend(figure, axes)
    return Plot(_svg(figure), f"{name}: {measure.title} error against rank, log axis")


def against_cost(
    name: str, found: Mapping[str, Group], measure: Measure, span: Limits
) -> Plot | None:
    """Mean error against step time, both log, and the front that nothing beats in both."""
    from matplotlib.ticker import NullFormatter

    points: dict[str, list[tuple[float, float, Group]]] = {}
    for group in found.values():
        cost, error = group.mean("step_ms"), _percent(group, measure)
        if cost and error and group.kind != "full":
            points.setdefault(group.kind, []).append((cost, error, group))
    if not points:
        return None
    figure, axes = _panel(name)
    every = [x for part in points.values() for x, _, _ in part]
    sound = [(x, y) for part in points.values() for x, y, group in part if not group.failed]
    front = pareto(sound)
    if front:
        costs, errors = [p[0] for p in front], [p[1] for p in front]
        # Beyond the last point nothing is better: the front runs on to the frame.
        axes.plot(
            [costs[0], *costs, 1e3 * costs[-1]],
            [1e3 * errors[0], *errors, errors[-1]],
            drawstyle="steps-post",
            color="#bbbbbb",
            linewidth=3.0,
            label="front",
            zorder=1,
        )
    for kind, part in points.items():
        ranked = sorted(part, key=lambda point: point[2].rank or 0)
        x, y = [p[0] for p in ranked], [p[1] for p in ranked]
        _line(axes, x, y, kind, [k for k, p in enumerate(ranked) if p[2].failed], joined=False)
        for a, b, group in ranked:
            if (a, b) in front:
                axes.annotate(
                    str(group.rank or ""),
                    (a, b),
                    xytext=(-3, -4),
                    textcoords="offset points",
                    fontsize=8,
                    color=method(kind).colour,
                    ha="right",
                    va="top",
                    zorder=5,
                )
    if "full" in found and (full := found["full"].mean("step_ms")):
        # An axis that reached so far would press all others together.
        said = f"full space: {number(full)} ms"
        axes.text(0.98, 0.97, said, transform=axes.transAxes, ha="right", va="top", fontsize=9)
    axes.set(xlabel="step [ms], one thread", ylabel=f"{measure.title} error [%]")
    axes.set(xscale="log", yscale="log", ylim=(span.low, span.high))
    axes.set_xlim(min(every) / 1.3, max(every) * 1.3)
    for axis in (axes.xaxis, axes.yaxis):
        _log(axis)
    axes.xaxis.set_minor_formatter(NullFormatter())
    _legend(figure, axes)
    return Plot(_svg(figure), f"{name}: {measure.title} error against step time, log axes")


def pareto(points: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """Points (cost, error) to which no other is at least equal in both, cheapest first."""
    front: list[tuple[float, float]] = []
    for cost, error in sorted(set(points)):
        if not front or error < front[-1][1]:
            front.append((cost, error))
    return front


def over_time(name: str, shown: Mapping[str, Group]) -> Plot | None:
    """Tip error over time of each group: mean over its loads, between the least and the largest.

    The second group has hollow markers: it may be of the method of the third.
    """
    figure, axes = _panel(name)
    for k, (said, group) in enumerate(shown.items()):
        curves = [row.curve for row in group.rows if row.failure is None and row.curve]
        if len(curves) < len(group.rows):
            said += f", {len(curves)} of {len(group.rows)} loads"
        if not curves:
            axes.plot([], [], color=method(group.kind).colour, label=said)
            continue
        shortest = min(map(len, curves))
        e = np.array([curve[:shortest] for curve in curves])
        e = 100.0 * np.where(e > _LEAST, e, np.nan)
        row = next(row for row in group.rows if row.failure is None and row.curve)
        first = 0 if len(row.curve) == row.steps + 1 else 1
        t = (row.step or 1.0) * (first + np.arange(shortest))
        seen = np.isfinite(e).any(axis=0)
        if not seen.any():
            continue
        t, e = t[seen], e[:, seen]
        style = method(group.kind)
        axes.fill_between(
            t, np.nanmin(e, axis=0), np.nanmax(e, axis=0), color=style.colour, alpha=0.15, lw=0
        )
        axes.plot(
            t,
            np.nanmean(e, axis=0),
            color=style.colour,
            # Two of one method differ in their dashes.
            linestyle=("-", "--", ":")[k % 3],
            linewidth=1.8,
            label=said,
            marker=style.marker,
            markevery=(3 * k, max(len(t) // 8, 1)),
            markerfacecolor="white" if k == 1 else style.colour,
            markersize=8 if k == 0 else 5,
        )
    if not any(len(line.get_xdata()) for line in axes.lines):
        return None
    axes.set(xlabel="time [s]", ylabel="tip position error [%]", yscale="log")
    _log(axes.yaxis)
    _legend(figure, axes)
    return Plot(_svg(figure), f"{name}: tip position error over time, log axis")


def lead_and_rivals(found: Mapping[str, Group], lead: str, key: str) -> dict[str, Group]:
    """HoD under its label `lead`, PCA of its rank, and the best PCA, by what legends say."""
    shown = {body_title(lead): found[lead]} if lead in found else {}
    rank = found[lead].rank if lead in found else None
    pca = [g for g in found.values() if g.kind in ("pca", "evenpca")]
    for group in pca:
        if group.rank == rank and group.kind == "pca":
            shown[f"{body_title(group.label)}, same rank"] = group
    sound = [(mean, g) for g in pca if g.sound(key) and (mean := g.mean(key)) is not None]
    if sound:
        _, best = min(sound, key=lambda pair: pair[0])
        if best not in shown.values():
            shown[f"{body_title(best.label)}, the best PCA"] = best
    return shown


def _percent(group: Group, measure: Measure) -> float:
    """Mean error [%]; 0, which no log axis shows, where there is none."""
    values = [value for value in group.values(measure.key) if value > _LEAST]
    return 100.0 * fmean(values) if values else 0.0


def _panel(name: str) -> tuple[Any, Any]:
    from matplotlib.figure import Figure

    figure = Figure(figsize=_SIZE, layout="constrained")
    axes = figure.subplots()
    axes.set_title(name, fontsize=12, fontweight="bold")
    axes.grid(visible=True, which="major", color="#e2e2e2", linewidth=0.6)
    axes.set_axisbelow(True)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    return figure, axes


def _line(
    axes: Any,
    x: Sequence[float],
    y: Sequence[float],
    kind: str,
    hollow: Sequence[int],
    joined: bool = True,
) -> None:
    """A method's points and the line through them; hollow where a run failed."""
    style = method(kind)
    lead = kind == "hod"
    size = 11.0 if lead else 5.5
    look = {"marker": style.marker, "markersize": size, "color": style.colour, "zorder": 3 + lead}
    axes.plot(
        x,
        y,
        label=style.title,
        linestyle=style.dash if joined else "",
        linewidth=2.0 if lead else 1.4,
        **look,
    )
    if hollow:
        at = [x[k] for k in hollow], [y[k] for k in hollow]
        axes.plot(*at, linestyle="", markerfacecolor="white", **{**look, "zorder": 6})


def _log(axis: Any) -> None:
    """Plain numbers at 1, 2 and 5 of each decade where few decades are shown."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    axis.axes.set(**{f"{axis.axis_name}scale": "log"})
    low, high = axis.get_view_interval()
    few = low > 0.0 and math.log10(high / low) < 2.3
    axis.set_major_locator(LogLocator(10.0, subs=(1.0, 2.0, 5.0) if few else (1.0,)))
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axis.set_minor_formatter(NullFormatter())


def _legend(figure: Any, axes: Any) -> None:
    columns = min(3, len(axes.get_legend_handles_labels()[1]))
    longest = max(map(len, axes.get_legend_handles_labels()[1]))
    figure.legend(
        loc="outside lower center",
        ncols=1 if longest > 16 else columns,
        frameon=False,
        fontsize=9,
        handlelength=2.6,
    )


def _svg(figure: Any) -> str:
    """The figure as SVG of few bytes, the same for the same data.

    Text stays text: as outlines it would double the file. Who lacks matplotlib's font sees one that
    is as wide or narrower, which fits.
    """
    import matplotlib
    from matplotlib.backends.backend_svg import FigureCanvasSVG

    with matplotlib.rc_context({"svg.hashsalt": "hodsim", "svg.fonttype": "none"}):
        FigureCanvasSVG(figure)
        held = io.StringIO()
        figure.savefig(held, format="svg", metadata={"Date": None, "Creator": None})
    text = held.getvalue()
    # A tenth of a point is finer than most screens; scales are below 1 and keep their digits.
    text = re.sub(r"\b([1-9]\d*\.\d)\d+", r"\1", text[text.index("<svg") :])
    text = re.sub(r"'DejaVu Sans',[^;\"]*sans-serif", _FONTS, text)
    return re.sub(r"\s*\n\s*|<!--.*?-->", " ", text)
