"""What benchmarks/step.py prints."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import report
from rich.markup import escape
from rich.table import Table
from step_world import SCENE


def header_lines(head: dict[str, Any]) -> Iterable[str]:
    """What the figures depend on."""
    *machine, _, _ = report.header_lines(head | {"rounds": 0})
    yield from machine
    yield f"commit {head['commit'] or 'unknown'}, seed {head['seed']}"
    yield (
        f"{SCENE}, {head['steps']} steps, contenders in turn; medians of the time of a step of one "
        "body [ms]; speed-up is full space's best over it, and ratio to the floor, in CPU time"
    )


def table(rows: list[dict[str, Any]]) -> Table:
    """A line for each row."""
    out = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for name in ("\ncase", "\nspace"):
        out.add_column(name, no_wrap=True)
    for name in ("\nvertices", "\ntets"):
        out.add_column(name, justify="right", no_wrap=True)
    out.add_column("\ntype", no_wrap=True)
    heads = ("\nbodies", "wall\nms", "CPU\nms", "itera-\ntions", "speed-up\nvs full", "vs\nfloor")
    for name in heads:
        out.add_column(name, justify="right", no_wrap=True)
    out.add_column("\nnotes")
    last = None
    for row in rows:
        if last not in (None, row["case"]):
            out.add_section()
        speedup = row["speedup_vs_full"]
        out.add_row(
            row["case"] if row["case"] != last else "",
            row["subspace"] + (f"-{row['rank']}" if row["rank"] else ""),
            str(row["vertices"]),
            str(row["tets"]),
            row["dtype"],
            str(row["bodies"]),
            small(row["ms"]),
            small(row["cpu_ms"]),
            f"{row['iterations']:.2f}",
            "-" if speedup is None else f"{speedup:.0f}" if speedup > 20 else f"{speedup:.2f}",
            "-" if row["vs_floor"] is None else f"{row['vs_floor']:.2f}",
            escape("; ".join(row["notes"])),
        )
        last = row["case"]
    return out


def small(ms: float) -> str:
    """Three significant digits of what may be microseconds."""
    return f"{ms:.4f}" if ms < 0.1 else report.number(ms)
