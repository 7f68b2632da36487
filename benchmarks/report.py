"""The table that a person reads, and the file that a program reads."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    TextColumn,
    TimeElapsedColumn,
)
from rich.table import Table
from rows import VS_FLOOR, VS_JAX

from hodsim.files import atomic

# Wide enough for the table where the output is not a terminal and has no width of its own.
WIDTH = 150


def console() -> Console:
    """Where results go."""
    screen = Console(highlight=False)
    return screen if screen.is_terminal else Console(highlight=False, width=WIDTH)


def bars(counted: bool = True) -> Progress:
    """How far it is, on stderr where that is a terminal; with a bar where the rows are counted."""
    err = Console(stderr=True)
    bar: list[ProgressColumn] = [BarColumn(), MofNCompleteColumn()] if counted else []
    return Progress(
        TextColumn("{task.description}"),
        *bar,
        TimeElapsedColumn(),
        console=err,
        transient=True,
        disable=not err.is_terminal,
    )


def write(path: Path, head: dict[str, Any], rows: list[dict[str, Any]], cost: list[Any]) -> None:
    """Everything measured so far, in one move."""
    report = {"header": head, "rows": rows}
    if cost:
        report["cost"] = cost
    with atomic(path) as temporary:
        text = json.dumps(report, indent=2, allow_nan=False)
        temporary.write_text(text + "\n", encoding="utf-8")


def header_lines(head: dict[str, Any]) -> Iterable[str]:
    """What the figures depend on."""
    yield f"{head['cpu']}, core {head['core']}, one thread, {head['machine']}"
    yield "BLAS: " + "; ".join(f"{name} {kernel}" for name, kernel in head["blas"].items())
    found = {name: value for name, value in head["versions"].items() if value}
    yield ", ".join(f"{name} {value}" for name, value in found.items())
    absent = [name for name, value in head["versions"].items() if not value]
    if absent:
        yield f"not installed: {', '.join(absent)}"
    if head["cleared"]:
        yield f"run again without {', '.join(head['cleared'])}, which slow numpy's BLAS"
    yield f"commit {head['commit'] or 'unknown'}, seed {head['seed']}, {head['rounds']} rounds"
    yield "CPU time [ms], medians; ratios are peer / ours (above 1 we are faster) and ours / floor"


def table(rows: list[dict[str, Any]]) -> Table:
    """A line for each row; where an aim is missed, the ratio is marked."""
    out = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for name in ("\ncase", "\nquantity", "\ntype"):
        out.add_column(name, no_wrap=True)
    for name in ("\nbatch", "ours\nms", "torch\nms", "jax\nms", "tf\nms", "floor\nms"):
        out.add_column(name, justify="right", no_wrap=True)
    for name in ("vs\ntorch", "vs\njax", "vs\ntf", "vs\nfloor"):
        out.add_column(name, justify="right", no_wrap=True)
    out.add_column("\nscheme", no_wrap=True)
    out.add_column("peak MB ours,\ntorch, jax, tf", no_wrap=True)
    last = None
    for row in rows:
        key = (row["case"], row["quantity"])
        if last is not None and last[0] != key[0]:
            out.add_section()
        # Batch and type vary fastest: names are said once.
        names = [row["case"] if last is None or last[0] != key[0] else "", row["quantity"]]
        out.add_row(
            names[0],
            names[1] if key != last else "",
            row["dtype"],
            str(row["batch"]),
            *_figures(row),
        )
        last = key
    return out


def remarks(rows: list[dict[str, Any]]) -> list[str]:
    """Errors, skipped rows and variants, and shortfalls, each with its row's name."""
    out = []
    for row in rows:
        where = f"{row['case']} {row['quantity']} {row['dtype']} batch {row['batch']}"
        if "error" in row:
            out.append(f"{where}: ERROR {row['error']}")
        out += [f"{where}: {note}" for note in row["notes"]]
    return out


def _figures(row: dict[str, Any]) -> list[str]:
    if row["ms"] is None:
        return ["error" if "error" in row else "skipped", *[""] * 10]
    ms, ours = row["best"], row["ms"]

    def peer(ratio: float | None) -> str:
        return "-" if ratio is None else number(ratio * ours)

    aim = VS_JAX.get(row["quantity"], 0.0)
    least = VS_FLOOR.get(row["batch"], float("inf"))
    if row["quantity"] == "number":
        least = float("inf")
    return [
        number(ours),
        peer(row["vs_torch"]),
        peer(row["vs_jax"]),
        peer(row["vs_tf"]),
        number(ms["floor"]["ms"]),
        _ratio(row["vs_torch"]),
        _ratio(row["vs_jax"], short=(row["vs_jax"] or 99.0) < aim),
        _ratio(row["vs_tf"]),
        _ratio(row["vs_floor"], short=row["vs_floor"] > least),
        escape(row["scheme"] or "-"),
        _memory(row["peak_mb"]),
    ]


def _memory(peak: dict[str, float | None]) -> str:
    families = (("ours",), ("torch.func", "torch.autograd"), ("jax", "jax jet"), ("tensorflow",))
    out = []
    for names in families:
        found = [peak[name] for name in names if peak.get(name) is not None]
        out.append(f"{min(found):.0f}" if found else "-")
    return " ".join(out) if peak else ""


def _ratio(value: float | None, short: bool = False) -> str:
    if value is None:
        return "-"
    return f"[bold red]{value:.2f}![/]" if short else f"{value:.2f}"


def number(ms: float) -> str:
    """Three significant digits, written plainly."""
    digits = 3 if ms < 1 else 2 if ms < 10 else 1 if ms < 100 else 0
    return f"{ms:.{digits}f}"
