"""Fig. 1: relative error against step of finite differences and of complex-step ones.

    python apps/complex_step_error.py [--out DIR] [--json FILE] [--quick]

The function is the paper's, e^x / (x^2 + 1) at x = 10, in float64. Forward (FFD) and central (CFD)
differences bounce back when h nears the rounding of x; the complex step (CSFD) of order 1 and the
multicomplex ones of orders 2 and 3 do not subtract, and stay at rounding until h^n underflows. A
second panel shows the window of safe steps by dtype and order, as the rule has it and as measured.
Prints a table, writes complex_step.png into DIR (the current one unless given). Takes seconds.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any, NoReturn

import torch
from torch import Tensor

from hodsim.derivatives.complex_step import perturbed, step_window
from hodsim.errors import InputError
from hodsim.files import atomic
from hodsim.viewer.curves import COLOURS

POINT = 10.0
SMALLEST = 320  # the steps reach down to 1e-320, below the smallest normal float64
ROUNDING = 20  # in units of eps: an error this small counts as rounding
DTYPES = (torch.float64, torch.float32)
ORDERS = (1, 2, 3, 4)


def f(x: Tensor) -> Tensor:
    return torch.exp(x) / (x**2 + 1)


def exact(order: int) -> float:
    """f^(n) = e^x sum_j C(n, j) g^(j), g = 1/(x^2 + 1) from ((x^2 + 1) g)^(n) = 0, in fractions."""
    x = Fraction(POINT)
    g = [1 / (x**2 + 1)]
    for n in range(1, order + 1):
        twice = n * (n - 1) * g[n - 2] if n > 1 else 0
        g.append(-(2 * n * x * g[n - 1] + twice) / (x**2 + 1))
    return math.exp(POINT) * float(sum(math.comb(order, j) * g[j] for j in range(order + 1)))


def forward_difference(h: float) -> float:
    x = torch.tensor(POINT, dtype=torch.float64)
    return float((f(x + h) - f(x)) / h)


def central_difference(h: float) -> float:
    x = torch.tensor(POINT, dtype=torch.float64)
    return float((f(x + h) - f(x - h)) / (2 * h))


def complex_difference(h: float, order: int, dtype: torch.dtype) -> float:
    """As `complex_step` does it, also at steps that it refuses."""
    x = torch.tensor(POINT, dtype=dtype)
    value = float(f(perturbed(x, [torch.ones_like(x)] * order, h)).imag)
    for _ in range(order):  # h^n itself may underflow
        value /= h
    return value


def error(value: float, order: int) -> float:
    relative = abs(value / exact(order) - 1)
    return relative if math.isfinite(relative) else sys.float_info.max  # JSON has no infinity


def schemes() -> dict[str, Callable[[float], float]]:
    """Relative error of each scheme as a function of the step."""

    def csfd(order: int) -> Callable[[float], float]:
        return lambda h: error(complex_difference(h, order, torch.float64), order)

    return {
        "FFD, f'": lambda h: error(forward_difference(h), 1),
        "CFD, f'": lambda h: error(central_difference(h), 1),
        "CSFD (complex), f'": csfd(1),
        "multicomplex order 2, f''": csfd(2),
        "multicomplex order 3, f'''": csfd(3),
    }


def measured_window(dtype: torch.dtype, order: int, per_decade: int) -> tuple[float, float]:
    """Steps around the default one at all of which the error is rounding."""
    middle = math.log10(step_window(dtype, order)[1])

    def end(direction: int) -> float:
        k = 0
        while True:
            h = 10.0 ** (middle + direction * (k + 1) / per_decade)
            rounding = ROUNDING * torch.finfo(dtype).eps
            if h == 0 or error(complex_difference(h, order, dtype), order) > rounding:
                return 10.0 ** (middle + direction * k / per_decade)
            k += 1

    return end(-1), end(1)


def measure(quick: bool) -> dict[str, Any]:
    per_decade = 1 if quick else 4
    count = SMALLEST * per_decade
    steps = [10.0 ** (-k / per_decade) for k in range(count + 1)]
    windows = []
    for dtype in DTYPES:
        for order in ORDERS:
            low, default, high = step_window(dtype, order)
            windows.append(
                {
                    "dtype": str(dtype).removeprefix("torch."),
                    "order": order,
                    "lowest": low,
                    "default": default,
                    "highest": high,
                    "measured": measured_window(dtype, order, 2 * per_decade),
                }
            )
    errors = {name: [scheme(h) for h in steps] for name, scheme in schemes().items()}
    return {"function": "exp(x) / (x^2 + 1)", "x": POINT, "steps": steps, "errors": errors,
            "windows": windows}  # fmt: skip


def show(result: dict[str, Any]) -> None:
    from rich.console import Console
    from rich.table import Table

    console = Console()
    table = Table(title="relative error of derivatives of e^x / (x^2 + 1) at x = 10, float64")
    table.add_column("step h", justify="right")
    for name in result["errors"]:
        table.add_column(name, justify="right")
    for wanted in (1, 2, 4, 6, 8, 10, 13, 16, 20, 50, 100, 150, 200, 300, 310, 320):
        k = min(range(len(result["steps"])), key=lambda k: abs(result["steps"][k] - 10.0**-wanted))
        cells = (values[k] for values in result["errors"].values())
        table.add_row(f"1e-{wanted}", *(f"{value:.1e}" for value in cells))
    console.print(table)
    table = Table(title=f"windows of safe steps; measured: error at most {ROUNDING} eps")
    for name in ("dtype", "order", "lowest", "default", "highest", "measured"):
        table.add_column(name, justify="right")
    for row in result["windows"]:
        numbers = (f"{row[key]:.1e}" for key in ("lowest", "default", "highest"))
        low, high = row["measured"]
        table.add_row(row["dtype"], str(row["order"]), *numbers, f"{low:.1e} .. {high:.1e}")
    console.print(table)


def draw(path: Path, result: dict[str, Any]) -> None:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(15.0, 5.2), layout="constrained")
    FigureCanvasAgg(figure)
    near, far, safe = figure.subplots(1, 3, width_ratios=(1.0, 1.15, 1.15))
    far.sharey(near)
    eps = torch.finfo(torch.float64).eps
    draw_errors(near, result, smallest=1e-20, floor=1e-17)
    draw_errors(far, result, smallest=10.0**-SMALLEST, floor=eps)
    near.set(ylabel="relative error of the derivative", title="as in the paper: steps to 1e-20")
    far.set(title="down to underflow (errors below eps drawn at eps)")
    far.tick_params(labelleft=False)
    far.text(1.01, eps, "eps", transform=far.get_yaxis_transform(), verticalalignment="center")
    draw_windows(safe, result)
    for axes in (near, far, safe):
        axes.set_xlabel("step h (smaller to the right)")
        axes.grid(visible=True, which="major", color="#dddddd", linewidth=0.6)
        axes.set_axisbelow(True)
    figure.legend(
        *near.get_legend_handles_labels(), loc="outside upper left", ncols=5, frameon=False
    )
    with atomic(path) as temporary:
        figure.savefig(temporary, dpi=150)


def draw_errors(axes: Any, result: dict[str, Any], smallest: float, floor: float) -> None:
    """Error against step, none below the floor: a log axis cannot show an error of 0."""
    styles = ("-", "--", "-", "-.", ":")
    for k, (name, values) in enumerate(result["errors"].items()):
        drawn = [max(min(value, 1e3), floor) for value in values]
        axes.plot(
            result["steps"], drawn, color=COLOURS[k], linestyle=styles[k], linewidth=1.9, label=name
        )
    axes.axhline(torch.finfo(torch.float64).eps, color="black", linewidth=0.8)
    axes.set(xscale="log", yscale="log", xlim=(1.0, smallest), ylim=(3e-18, 3e3))


def draw_windows(axes: Any, result: dict[str, Any]) -> None:
    """A bar for each dtype and order, the measured extent as a thin line through it."""
    rows = result["windows"]
    tick = {"color": "black", "marker": "|", "markersize": 13, "markeredgewidth": 2}
    for y, row in zip(reversed(range(len(rows))), rows, strict=True):
        colour = COLOURS[1 if row["dtype"] == "float64" else 0]
        axes.plot(row["measured"], (y, y), color=colour, linewidth=2.0)
        axes.fill_between(
            (row["lowest"], row["highest"]), y - 0.2, y + 0.2, color=colour, alpha=0.5
        )
        axes.plot(row["default"], y, **tick)
    axes.fill_between([], [], [], color="grey", alpha=0.5, label="window")
    axes.plot([], [], color="grey", linewidth=2.0, label=f"measured, error <= {ROUNDING} eps")
    axes.plot([], [], linestyle="none", label="default", **tick)
    axes.set(
        xscale="log",
        xlim=(1.0, 10.0**-SMALLEST),
        ylim=(-0.6, len(rows) + 0.4),
        yticks=range(len(rows)),
        yticklabels=[f"{row['dtype']}\norder {row['order']}" for row in reversed(rows)],
        title="safe steps of the complex step",
    )
    axes.legend(loc="upper center", ncols=3, frameon=False, fontsize=9, columnspacing=1.2)


class OneLineParser(argparse.ArgumentParser):
    """Refuses bad arguments in one line, without the usage before it."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: {message}\n")


def main() -> None:
    assert __doc__ is not None
    parser = OneLineParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument(
        "--out", type=Path, default=Path(), metavar="DIR", help="folder of complex_step.png"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the numbers too")
    parser.add_argument("--quick", action="store_true", help="one step a decade instead of four")
    options = parser.parse_args()
    picture = options.out / "complex_step.png"
    for path in (picture, options.json):
        # Before the measurement, not after it.
        if path is not None and any(p.exists() and not p.is_dir() for p in path.parents):
            parser.error(f"{path.parent}: expected a folder, given a file; choose another place")
    result = measure(options.quick)
    try:
        draw(picture, result)
        if options.json is not None:
            with atomic(options.json) as temporary:
                temporary.write_text(json.dumps(result, indent=1), encoding="utf-8")
    except InputError as told:
        parser.error(str(told))
    show(result)
    print(f"wrote {picture}" + (f" and {options.json}" if options.json else ""))


if __name__ == "__main__":
    main()
