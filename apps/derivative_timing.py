"""Fig. 3 of the paper: what derivatives of fully connected networks cost, here and elsewhere.

    python apps/derivative_timing.py [--quick] [--out DIR] [--json FILE]
    python apps/derivative_timing.py --from FILE

runs benchmarks/derivatives.py (hours; minutes with --quick), or reads a file that it wrote with
`--cost --json FILE`, and draws derivative_timing.png (CPU time of each library) and
derivative_cost.png (one fully contracted derivative against its order and the number of inputs).
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Sequence
from math import ceil, floor, log10
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, NoReturn

from hodsim.errors import InputError
from hodsim.files import atomic

if TYPE_CHECKING:
    from matplotlib.axes import Axes

BENCHMARK = Path(__file__).parents[1] / "benchmarks" / "derivatives.py"
TITLES = {
    "jacobian": "Jacobian",
    "hessian": "Hessian, the whole tensor",
    "scalar-hessian": "Hessian of a scalar, w.f",
    "third": "$D^3 f[a, b, e_i]$ for all i",
    "lanes": "$Df, D^2f, D^2f[v, e_i], D^3f[v, v, e_i]$",
}
# Bars: the quickest of a library's modes. Okabe and Ito's colours, which the colour-blind tell
# apart, with hatches for print.
BARS = {
    "hodsim": (("ours",), "#D55E00", ""),
    "torch.autograd": (("torch.autograd",), "#56B4E9", "//"),
    "torch.func": (("torch.func", "torch.func compiled"), "#0072B2", ""),
    "jax": (("jax", "jax jet"), "#009E73", "\\\\"),
    "TensorFlow": (("tensorflow",), "#E69F00", ".."),
    "bare matrix products": (("floor",), "#999999", ""),
}
DISTINCT, REPEATED, PRODUCT = "#D55E00", "#0072B2", "#009E73"


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: {message}\n")


def main(argv: Sequence[str] | None = None) -> int:
    parser = _Parser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("hodsim-timing"), help="folder to write")
    parser.add_argument("--json", type=Path, metavar="FILE", help="keep the measurements here")
    parser.add_argument("--from", type=Path, metavar="FILE", dest="given", help="measured before")
    parser.add_argument("--quick", action="store_true", help="a small subset")
    args = parser.parse_args(argv)
    try:
        report = read(args.given) if args.given else measure(args.quick)
        if args.json:
            with atomic(args.json) as temporary:
                temporary.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
        draw(report, args.out)
    except InputError as error:
        print(f"{parser.prog}: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130
    return 0


def measure(quick: bool) -> dict[str, Any]:
    """What the benchmark says, run here."""
    if not BENCHMARK.is_file():
        raise InputError(
            f"{BENCHMARK}: expected the benchmark of hodsim's repository, which is not there; give "
            "a file that it wrote with --from"
        )
    with TemporaryDirectory() as folder:
        path = Path(folder) / "rows.json"
        command = [sys.executable, str(BENCHMARK), "--cost", "--json", str(path)]
        run = subprocess.run([*command, *["--quick"] * quick], check=False)  # noqa: S603
        if run.returncode not in (0, 1):  # 1: some row is in error, and says so
            raise InputError(f"the benchmark stopped with code {run.returncode}; see above")
        return read(path)


def read(path: Path) -> dict[str, Any]:
    """A file that the benchmark wrote."""
    try:
        report = json.loads(path.read_text(encoding="utf-8"))
        [(row["case"], row["quantity"], row["dtype"], row["batch"]) for row in report["rows"]]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(
            f"{path}: expected a file that benchmarks/derivatives.py --json wrote "
            f"({type(error).__name__}: {error})"
        ) from error
    return report


def draw(report: dict[str, Any], out: Path) -> None:
    """Both pictures, as far as the report has their figures."""
    rows = [row for row in report["rows"] if row["ms"] is not None and row["quantity"] in TITLES]
    if rows:
        timing_plot(out / "derivative_timing.png", rows)
        print(out / "derivative_timing.png")
    if report.get("cost"):
        cost_plot(out / "derivative_cost.png", report["cost"])
        print(out / "derivative_cost.png")
    if not rows and not report.get("cost"):
        raise InputError("the report: expected at least one row that was measured, given none")


def timing_plot(path: Path, rows: list[dict[str, Any]]) -> None:
    """A panel for each quantity and batch: cases side by side, a bar for each library, in ms."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.patches import Patch

    dtype = max(row["dtype"] for row in rows)  # float64 where there is a choice
    panels: dict[tuple[str, int], list[dict[str, Any]]] = {}
    order = list(TITLES)
    for row in sorted(rows, key=lambda row: (order.index(row["quantity"]), row["batch"])):
        if row["dtype"] == dtype:
            panels.setdefault((row["quantity"], row["batch"]), []).append(row)
    lines = -(-len(panels) // 2)
    figure = Figure(figsize=(14.0, 3.1 * lines + 0.7), layout="constrained")
    FigureCanvasAgg(figure)
    grid = list(figure.subplots(lines, 2, squeeze=False).flat)
    shown: set[str] = set()
    for axes, ((kind, batch), some) in zip(grid, panels.items(), strict=False):
        points = "one point" if batch == 1 else f"{batch} points"
        axes.set_title(f"{TITLES[kind]}, {points}", fontsize=11)
        shown |= _bars(axes, some)
    for axes in grid[len(panels) :]:
        axes.set_visible(False)
    handles = [
        Patch(facecolor=colour, hatch=hatch, edgecolor="white", label=label)
        for label, (_, colour, hatch) in BARS.items()
        if label in shown
    ]
    figure.legend(handles=handles, loc="outside upper center", ncols=len(handles), frameon=False)
    figure.supylabel(f"CPU time of one thread [ms], {dtype}")
    with atomic(path) as temporary:
        figure.savefig(temporary, dpi=110)


def _bars(axes: Axes, rows: list[dict[str, Any]]) -> set[str]:
    """Draw a panel; the labels of the bars that it has."""
    width = 0.86 / len(BARS)
    shown, every = set(), []
    for k, (label, (families, colour, hatch)) in enumerate(BARS.items()):
        for i, row in enumerate(rows):
            times = [row["best"][name]["ms"] for name in families if name in row["best"]]
            if not times:
                continue
            place = i + (k - (len(BARS) - 1) / 2) * width
            axes.bar(place, min(times), width, color=colour, hatch=hatch, edgecolor="white", lw=0.4)
            axes.annotate(
                f" {_figure(min(times))}", (place, min(times)), rotation=90, ha="center", fontsize=7
            )
            shown.add(label)
            every.append(min(times))
    axes.set_yscale("log")
    # A bar's foot means nothing on a log axis: whole decades, so that panels read alike; the
    # factor leaves room for the figures.
    low, high = 10 ** floor(log10(0.8 * min(every))), 10 ** ceil(log10(max(every)))
    axes.set_ylim(low, high * (high / low) ** 0.22)
    _plain_ticks(axes)
    axes.set_xticks(range(len(rows)), [_case(row["case"]) for row in rows], fontsize=9)
    axes.grid(visible=True, axis="y", which="major", color="#dddddd", linewidth=0.6)
    axes.set_axisbelow(True)
    return shown


def _figure(ms: float) -> str:
    return f"{ms:.0f}" if ms >= 100 else f"{ms:.3g}"


def _case(name: str) -> str:
    sizes, _, detail = name.partition("/")
    return f"{sizes}\nhidden {detail}" if detail.isdecimal() else f"{sizes}\n{detail}"


def _plain_ticks(axes: Axes) -> None:
    from matplotlib.ticker import FuncFormatter, NullFormatter

    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.yaxis.set_minor_formatter(NullFormatter())


def cost_plot(path: Path, rows: list[dict[str, Any]]) -> None:
    """One number w.D^k f[a_1..a_k]: time against k beside the lanes, and time against n."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11.0, 4.4), layout="constrained")
    FigureCanvasAgg(figure)
    left, right = figure.subplots(1, 2)

    def series(sweep: str, what: str, key: str) -> tuple[list[float], list[float], list[int]]:
        some = [row for row in rows if (row["sweep"], row["what"]) == (sweep, what)]
        return [r[key] for r in some], [r["ms"] for r in some], [r["lanes"] for r in some]

    for what, colour, marker, label in (
        ("distinct", DISTINCT, "o", "k distinct directions"),
        ("repeated", REPEATED, "s", "one direction, k times"),
    ):
        k, ms, lanes = series("order", what, "order")
        left.plot(k, ms, marker + "-", color=colour, label=label)
        # The guide starts where the curve does.
        guide = [ms[0] * count / lanes[0] for count in lanes]
        count = "$2^k$" if what == "distinct" else "k + 1"
        left.plot(k, guide, ":", color=colour, label=f"in proportion to its {count} lanes")
    n_order = next(row["n"] for row in rows if row["sweep"] == "order")
    left.set(title=f"against the order, {n_order} inputs", xlabel="order k", yscale="log")

    n, ms, lanes = series("inputs", "distinct", "n")
    _, product, _ = series("inputs", "first layer's product", "n")
    rest = [total - first for total, first in zip(ms, product, strict=True)]
    right.plot(n, ms, "o-", color=DISTINCT, label=f"order 3, {lanes[0]} lanes")
    right.plot(n, rest, "o--", color=DISTINCT, mfc="white", label="less the first layer's product")
    _, value, _ = series("inputs", "value", "n")
    right.plot(n, value, "s-", color=REPEATED, label="the plain value, 1 lane")
    right.plot(n, product, "^-.", color=PRODUCT, label="the first layer's product alone")
    right.set(title="against the number of inputs", xlabel="inputs n", xscale="log", yscale="log")
    right.set_xticks(n, [str(value) for value in n])
    right.minorticks_off()
    for axes in (left, right):
        _plain_ticks(axes)
        axes.set_ylabel("CPU time of one thread [ms]")
        axes.grid(visible=True, which="major", color="#dddddd", linewidth=0.6)
        axes.legend(frameon=False, fontsize=9)
    figure.suptitle("One fully contracted derivative, $w \\cdot D^k f[a_1, \\ldots, a_k]$")
    with atomic(path) as temporary:
        figure.savefig(temporary, dpi=110)


if __name__ == "__main__":
    sys.exit(main())
