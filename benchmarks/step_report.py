"""What benchmarks/step.py prints."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import report
from rich.markup import escape
from rich.table import Table
from step_world import SCENE, TETS


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


def aims(rows: list[dict[str, Any]]) -> Iterable[str]:
    """What the rows say of each aim that they bear on: HoD-6, float64, 72 tets, one thread."""

    def found(case: str, bodies: int = 1, **notes: bool) -> dict[str, Any] | None:
        return next(
            (
                row
                for row in rows
                if (row["case"], row["subspace"], row["tets"]) == (case, "hod", TETS)
                and (row["dtype"], row["bodies"]) == ("float64", bodies)
                and all((note in row["notes"]) == there for note, there in notes.items())
            ),
            None,
        )

    coarse = found("mesh/514")
    if coarse is not None and coarse["speedup_vs_full"] is not None:
        yield _aim(
            f"514 vertices: {coarse['speedup_vs_full']:.0f} times faster than full space's best "
            f"({1 / coarse['cpu_ms']:.1f} kHz)",
            "at least 60, better 100",
            coarse["speedup_vs_full"] >= 60.0,
        )
    if coarse is not None and coarse["vs_floor"] is not None:
        yield _aim(
            f"514 vertices: {coarse['vs_floor']:.2f} times the floor",
            "at most 2",
            coarse["vs_floor"] <= 2.0,
        )
    fine = found("mesh/20934")
    if fine is not None and fine["speedup_vs_full"] is not None:
        yield _aim(
            f"20,934 vertices: {fine['speedup_vs_full']:.0f} times faster than full space's best",
            "at least 5,000, better 20,000",
            fine["speedup_vs_full"] >= 5000.0,
        )
    if fine is not None and coarse is not None:
        ratio = fine["cpu_ms"] / coarse["cpu_ms"]
        an_evaluation = ratio * (1.0 + coarse["iterations"]) / (1.0 + fine["iterations"])
        yield _aim(
            f"20,934 vertices: {ratio:.2f} times its time at 514, {an_evaluation:.2f} times for "
            "each evaluation of the balance",
            "within 10 %",
            abs(ratio - 1.0) <= 0.1,
        )
    ours, jax = found("jax", jax=False), found("jax", jax=True)
    if ours is not None and jax is not None:
        least = min(row["cpu_ms"] for row in rows if "jax" in row["notes"])
        yield _aim(
            f"jax.jit: {least / ours['cpu_ms']:.2f} times our time, its quickest way",
            "above 1",
            least > ours["cpu_ms"],
        )
    single, many = found("batch"), found("batch", 1000)
    if single is not None and many is not None:
        yield (
            f"1,000 bodies at once: {1 / many['cpu_ms']:.1f} thousand steps a second and core, "
            f"{single['cpu_ms'] / many['cpu_ms']:.2f} times single runs "
            f"({many['iterations']:.2f} and {single['iterations']:.2f} iterations a step)"
        )


def _aim(reached: str, wanted: str, met: bool) -> str:
    return f"{reached}; aim {wanted}: {'met' if met else 'MISSED'}"


def small(ms: float) -> str:
    """Three significant digits of what may be microseconds."""
    return f"{ms:.4f}" if ms < 0.1 else report.number(ms)
