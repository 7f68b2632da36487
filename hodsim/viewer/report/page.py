"""From stored results to one HTML file: what goes on the page, in its order."""

from __future__ import annotations

import base64
import shlex
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from hodsim.files import atomic
from hodsim.viewer.methods import method
from hodsim.viewer.report import plots, tables
from hodsim.viewer.report.measures import DASH, MEASURES
from hodsim.viewer.report.plots import Plot
from hodsim.viewer.report.rows import (
    HELD_OUT,
    Row,
    by,
    families,
    groups,
    loads,
    matchings,
    most_common,
    read_rows,
)
from hodsim.viewer.report.tables import POSITION, VELOCITY, Table
from hodsim.viewer.report.worst import Picture

_RANK = 6  # HoD-Net of this rank leads, where it was run: the paper's
_CHANGED = "-dirty"  # git's word for a tree that differs from its commit
_ELSEWHERE = (
    "command",
    "left out",
    "fitted otherwise",
)  # what the page says of the header in other places
_HERE = Path(__file__).parent


@dataclass(frozen=True)
class Shown:
    """A picture or plot on the page: its bytes as a data URI, and the words beside it."""

    uri: str
    words: str


@dataclass(frozen=True)
class Section:
    """All that is said of one body.

    `note` says of which runs the tables are; `families` hold the headline table of each kind of
    load and its tables of single loads; `plots` are rows of plots under a title;
    `beside` and `farther` are of loads unlike training's.
    """

    name: str
    anchor: str
    note: str
    families: tuple[tuple[Table, tuple[Table, ...]], ...]
    ranks: Table | None
    farther_ranks: tuple[Table, ...]
    plots: tuple[tuple[str, tuple[Shown, ...]], ...]
    beside: tuple[Table, ...]
    farther: tuple[Table, ...]
    variants: tuple[Table, ...]
    pictures: tuple[Shown, ...]


def write_report(
    path: str | Path, results: Mapping[str, Any], pictures: Iterable[Picture] = ()
) -> None:
    """Write a comparison as one HTML file that needs no other file and no network.

    Parameters
    ----------
    path
        The file to write, in one move.
    results
        What a comparison stores: {"header": {...}, "rows": [row, ...], "summary": {...}}. Means and
        counts are taken from the rows; of the summary only "matches", the ranks that match, is
        read.
    pictures
        Of the worst frames, as `worst_frames` draws them.

    Raises
    ------
    InputError
        No rows, a row that does not say what was run, or a path that cannot be written.
    """
    text = page(results, tuple(pictures))
    with atomic(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def page(results: Mapping[str, Any], pictures: Sequence[Picture] = ()) -> str:
    """The HTML of `write_report`; the same text for the same results."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    rows = read_rows(results)
    header = dict(results.get("header") or {})
    commit = str(header.get("commit") or "")
    sections = tuple(
        _section(number, body, of_body, results, [p for p in pictures if p.body == body])
        for number, (body, of_body) in enumerate(by(rows, lambda row: row.body).items(), 1)
    )
    environment = Environment(
        loader=FileSystemLoader(_HERE),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template("page.html").render(
        sections=sections,
        methods=_methods(rows),
        measures=MEASURES,
        failures=tables.failures(rows),
        unmeasured=tables.unmeasured(rows),
        runs=len(rows),
        failed=sum(row.failure is not None for row in rows),
        facts=_facts(rows),
        command=_command(header),
        header=[(key, value) for key, value in header.items() if key not in _ELSEWHERE],
        left_out=header.get("left out") or (),
        unlike=header.get("fitted otherwise") or (),
        made=str(header.get("made") or "").replace("T", " "),
        commit=commit.removesuffix(_CHANGED),
        changed=commit.endswith(_CHANGED),
    )


def lead_label(rows: Iterable[Row]) -> str:
    """The HoD-Net that others are matched with: of rank 6 where it was run, else the largest."""
    found = {row.rank or 0: row.label for row in rows if row.kind == "hod"}
    return found.get(_RANK) or (found[max(found)] if found else "")


def _section(
    number: int,
    body: str,
    rows: Sequence[Row],
    results: Mapping[str, Any],
    pictures: Sequence[Picture],
) -> Section:
    load = HELD_OUT if HELD_OUT in loads(rows) else loads(rows)[0]
    integrator = most_common(row.integrator for row in rows)
    variant = most_common([row.variant for row in rows if row.kind != "full"] or [""])
    same = [row for row in rows if row.integrator == integrator]
    plain = [row for row in same if row.kind == "full" or row.variant == variant]
    near = [row for row in plain if row.load == load]
    far = [row for row in plain if row.load != load]
    near_name = "" if load == HELD_OUT else f", {load}"
    lead = lead_label(plain)
    of_family = {name: [r for r in near if r.family == name] for name in families(near)}
    detailed = tuple(
        (
            tables.headline(f"{body}, {name}{near_name}", groups(members)),
            tuple(tables.each_load(members, measure) for measure in (POSITION, VELOCITY)),
        )
        for name, members in of_family.items()
    )
    farther = {
        f"{body}, {name}, {at}": [r for r in far if (r.family, r.load) == (name, at)]
        for at in loads(far)
        for name in families(far)
    }
    farther = {name: members for name, members in farther.items() if members}
    ranks = {
        at: tables.ranks(matchings(results, body, at, integrator), lead)
        for at in (load, *loads(far))
    }
    return Section(
        name=body,
        anchor=f"body-{number}",
        note=f"Loads: {load}. Time scheme: {integrator}. Variant: {variant or 'none'}.",
        families=detailed,
        ranks=ranks.pop(load),
        farther_ranks=tuple(
            replace(table, title=f"{table.title}, loads {at}")
            for at, table in ranks.items()
            if table is not None
        ),
        plots=_plots(of_family, lead),
        beside=tuple(_beside(body, name, far, of_family, near) for name in families(far)),
        farther=tuple(tables.headline(name, groups(m)) for name, m in farther.items()),
        variants=_variants(body, [row for row in rows if row.load == load], plain),
        pictures=tuple(_png(picture) for picture in pictures),
    )


def _beside(
    body: str,
    family: str,
    far: Sequence[Row],
    of_family: Mapping[str, Sequence[Row]],
    near: Sequence[Row],
) -> Table:
    members = [row for row in far if row.family == family]
    if family in of_family:
        return tables.beside(f"{body}, {family}", members, of_family[family])
    return tables.beside(f"{body}, {family} (beside all other kinds)", members, near)


def _variants(body: str, rows: Sequence[Row], plain: Sequence[Row]) -> tuple[Table, ...]:
    """A table a family of the labels that were run in more than one way."""
    mains = {id(row) for row in plain}
    names = {row.label.partition(" ")[0] for row in rows if id(row) not in mains}
    shown = [row for row in rows if row.label.partition(" ")[0] in names]
    return tuple(
        tables.variants(f"{body}, {family}", [row for row in shown if row.family == family])
        for family in families(shown)
    )


def _plots(
    of_family: Mapping[str, Sequence[Row]], lead: str
) -> tuple[tuple[str, tuple[Shown, ...]], ...]:
    found = {family: groups(members) for family, members in of_family.items()}
    drawn: list[tuple[str, list[Plot | None]]] = []
    for measure in (POSITION, VELOCITY):
        span = plots.limits(list(found.values()), (measure,))
        if span is not None:
            each = [plots.against_rank(name, g, measure, span) for name, g in found.items()]
            drawn.append((f"{measure.title.capitalize()} error against rank", each))
    shown = {name: plots.lead_and_rivals(g, lead, POSITION.key) for name, g in found.items()}
    over_time = [plots.over_time(name, g) for name, g in shown.items()]
    drawn.append(("Tip position error over time", over_time))
    span = plots.limits(list(found.values()), (POSITION,))
    if span is not None:
        cost = [plots.against_cost(name, g, POSITION, span) for name, g in found.items()]
        drawn.append(("Tip position error against the cost of a step", cost))
    kept = ((name, tuple(_svg(plot) for plot in each if plot is not None)) for name, each in drawn)
    return tuple((name, each) for name, each in kept if each)


def _svg(plot: Plot) -> Shown:
    return Shown(_uri("image/svg+xml", plot.svg.encode()), plot.words)


def _png(picture: Picture) -> Shown:
    return Shown(_uri("image/png", picture.png), picture.caption)


def _uri(kind: str, content: bytes) -> str:
    return f"data:{kind};base64,{base64.b64encode(content).decode('ascii')}"


def _methods(rows: Sequence[Row]) -> list[tuple[str, str, str]]:
    """Title, ranks that were run, and a sentence, of each kind of subspace."""
    found = []
    for kind, members in by(rows, lambda row: row.kind).items():
        ranks = sorted({row.rank for row in members if row.rank is not None and row.steps})
        said = ", ".join(map(str, ranks)) or DASH
        if len(ranks) > 2 and ranks == list(range(ranks[0], ranks[-1] + 1)):
            said = f"{ranks[0]} to {ranks[-1]}"
        found.append((method(kind).title, said, method(kind).words))
    return found


def _facts(rows: Sequence[Row]) -> list[tuple[str, str]]:
    """What was run, counted."""
    steps = sorted(
        {
            f"{row.steps} steps of {1000 * (row.step or 0):g} ms"
            for row in rows
            if row.failure is None and row.step
        }
    )
    variants = dict.fromkeys(row.variant for row in rows)
    said = {
        "bodies": list(by(rows, lambda row: row.body)),
        "kinds of load": families(rows),
        "loads": [
            f"{load} ({len({(r.body, r.scene) for r in rows if r.load == load})})"
            for load in loads(rows)
        ],
        "time schemes": list(dict.fromkeys(row.integrator for row in rows)),
        "formulations": list(dict.fromkeys(r.formulation for r in rows if r.formulation)),
        "variants": [name for name in variants if name],
        "length of a run": steps,
    }
    return [(name, ", ".join(values)) for name, values in said.items() if values]


def _command(header: Mapping[str, Any]) -> str:
    command = header.get("command") or ""
    return command if isinstance(command, str) else shlex.join(map(str, command))
