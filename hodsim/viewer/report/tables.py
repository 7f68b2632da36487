"""The tables of a report, as text in cells."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from hodsim.viewer.methods import body_title, method
from hodsim.viewer.report.measures import BY_KEY, DASH, ERRORS, MEASURES, Measure
from hodsim.viewer.report.rows import (
    FAMILIES,
    Group,
    Matching,
    Row,
    by,
    groups,
    loads,
    ordered,
)

POSITION, VELOCITY = BY_KEY["tip_position_error"], BY_KEY["tip_velocity_error"]


@dataclass(frozen=True)
class Cell:
    """A text; `best` of its column, or `bad`: something failed."""

    text: str
    best: bool = False
    bad: bool = False


@dataclass(frozen=True)
class Table:
    """Cells under titles, in lines whose first cell names them.

    `spans` are titles above the titles, each with how many columns it covers after the first;
    `rules` are the lines that begin another method.
    """

    title: str
    columns: tuple[str, ...]
    lines: tuple[tuple[Cell, ...], ...]
    spans: tuple[tuple[str, int], ...] = ()
    rules: frozenset[int] = frozenset()


def headline(name: str, found: Mapping[str, Group]) -> Table:
    """Every measure of every label: mean, and where it says so the worst, over the loads."""
    full = found.get("full")
    lines = []
    for label, group in found.items():
        cells = [Cell(body_title(label))]
        for measure in MEASURES:
            if measure.key == "step_ms":
                cells.append(_failures(group))
            cells.append(_cell(group, measure))
        lines.append(tuple(cells))
    columns = [measure.head for measure in MEASURES]
    at = columns.index(BY_KEY["step_ms"].head)
    columns.insert(at, "failed")
    table = Table(name, ("subspace", *columns), tuple(lines), rules=_rules(found))
    for measure in MEASURES:
        rivals = {
            k: _goodness(group, measure, full)
            for k, group in enumerate(found.values())
            if group.kind != "full"
        }
        table = _marked(table, table.columns.index(measure.head), rivals)
    return table


def _rules(labels: Iterable[str]) -> frozenset[int]:
    """The lines of labels at which another kind begins."""
    kinds = [label.partition("-")[0] for label in labels]
    return frozenset(k for k in range(1, len(kinds)) if kinds[k] != kinds[k - 1])


def _cell(group: Group, measure: Measure) -> Cell:
    """Mean (worst); "failed" stands for the worst where a run stopped early."""
    if group.kind == "full" and measure in ERRORS:
        return Cell(DASH)
    mean, worst = group.mean(measure.key), group.worst(measure.key)
    if mean is None:
        none = group.failed == len(group.rows)
        return Cell("failed", bad=True) if none and measure.spread else Cell(DASH)
    text = measure.text(mean)
    if not measure.spread:
        return Cell(text)
    if group.failed:
        return Cell(f"{text} (failed)", bad=True)
    return Cell(f"{text} ({measure.text(worst)})")


def _failures(group: Group) -> Cell:
    return Cell(f"{group.failed} of {len(group.rows)}", bad=group.failed > 0)


def _goodness(group: Group, measure: Measure, full: Group | None) -> float | None:
    """The smaller the better; None for what hides a failure or was not measured."""
    mean = group.mean(measure.key) if group.sound(measure.key) else None
    if mean is None or not measure.towards:
        return mean
    wanted = None if full is None else full.mean(measure.key)
    return None if wanted is None else abs(mean - wanted)


def _marked(table: Table, column: int, rivals: Mapping[int, float | None]) -> Table:
    """The table with the best of a column marked, and what reads the same; not where all do."""
    known = {line: value for line, value in rivals.items() if value is not None}
    if len(known) < 2:
        return table
    best = min(known, key=lambda line: known[line])
    texts = {k: table.lines[k][column].text.partition(" ")[0] for k in known}
    if len(set(texts.values())) == 1:
        return table
    lines = list(table.lines)
    for k, text in texts.items():
        if text == texts[best]:
            cell = lines[k][column]
            lines[k] = (*lines[k][:column], replace(cell, best=True), *lines[k][column + 1 :])
    return replace(table, lines=tuple(lines))


def each_load(rows: Sequence[Row], measure: Measure) -> Table:
    """One measure of every single run: a line a label, a column a scene."""
    scenes: dict[tuple[str, int], None] = {}
    cells: dict[str, dict[tuple[str, int], Row]] = {}
    for row in rows:
        mine = cells.setdefault(row.label, {})
        # Scenes of one name are told apart by their turn.
        turn = sum(name == row.scene for name, _ in mine)
        mine[row.scene, turn] = row
        scenes[row.scene, turn] = None
    keys = sorted(scenes)
    lines = []
    for label, mine in cells.items():
        if mine[next(iter(mine))].kind != "full":
            texts = (_single(mine.get(key), measure) for key in keys)
            lines.append((Cell(body_title(label)), *texts))
    names = [name if turn == 0 else f"{name} ({turn + 1})" for name, turn in keys]
    rules = _rules(label for label in cells if label.partition("-")[0] != "full")
    heading = f"{measure.head} of each load"
    return Table(heading, ("subspace", *names), tuple(lines), rules=rules)


def _single(row: Row | None, measure: Measure) -> Cell:
    if row is None:
        return Cell("not run")
    if row.failure is not None:
        return Cell("failed", bad=True)
    return Cell(measure.text(row.value(measure.key)))


def ranks(found: Mapping[str, Sequence[Matching]], target: str) -> Table | None:
    """The rank from which on each method is as good as the label `target`, by family of loads."""
    of_kind = {
        family: {match.kind: match for match in matches if match.target == target}
        for family, matches in found.items()
    }
    kinds = dict.fromkeys(kind for matches in of_kind.values() for kind in matches)
    if not kinds:
        return None
    order = [family for family in ordered(of_kind, FAMILIES) if of_kind[family]]
    lines = []
    for kind in kinds:
        cells = [Cell(method(kind).title)]
        for family in order:
            cells += _ranks(of_kind[family].get(kind))
        lines.append(tuple(cells))
    return Table(
        f"The rank that matches {body_title(target)}",
        ("method", *("by position", "by velocity") * len(order)),
        tuple(lines),
        tuple((family, 2) for family in order),
    )


def _ranks(match: Matching | None) -> tuple[Cell, Cell]:
    if match is None:
        return Cell("not run"), Cell("not run")
    if not match.compared:
        return Cell("not compared", bad=True), Cell("not compared", bad=True)
    position, velocity = (
        Cell(f"none up to {match.up_to}" if rank is None else str(rank))
        for rank in (match.position, match.velocity)
    )
    return position, velocity


def beside(name: str, rows: Sequence[Row], base: Sequence[Row]) -> Table:
    """Errors under farther loads beside those of `base`, all of one load."""
    parts = {base[0].load: groups(base)} if base else {}
    for load in loads(rows):
        parts[load] = groups(row for row in rows if row.load == load)
    labels = dict.fromkeys(row.label for row in (*base, *rows) if row.kind != "full")
    return _parts(name, list(labels), parts)


def variants(name: str, rows: Sequence[Row]) -> Table:
    """Errors of the same subspace by integrator, formulation and terms of Newton's matrix."""
    parts = {
        integrator: groups(members)
        for integrator, members in by(rows, lambda row: row.integrator).items()
    }
    labels = dict.fromkeys(row.label for row in rows)
    return _parts(name, list(labels), parts, newton=True)


def _parts(
    name: str,
    labels: Sequence[str],
    parts: Mapping[str, Mapping[str, Group]],
    newton: bool = False,
) -> Table:
    """A line a label, and for each part its errors and failures (and Newton's iterations)."""
    shown = [POSITION, VELOCITY] + [BY_KEY["newton_iterations"]] * newton
    lines = []
    for label in labels:
        cells = [Cell(body_title(label))]
        for part in parts.values():
            group = part.get(label)
            if group is None:
                cells += [Cell("not run")] * (len(shown) + 1)
            else:
                cells += [*(_cell(group, measure) for measure in shown), _failures(group)]
        lines.append(tuple(cells))
    heads = (*(measure.head for measure in shown), "failed")
    table = Table(
        name,
        ("subspace", *heads * len(parts)),
        tuple(lines),
        tuple((part, len(heads)) for part in parts),
        _rules(labels),
    )
    for j, part in enumerate(parts.values()):
        for i, measure in enumerate(shown):
            rivals = {
                k: _goodness(part[label], measure, None)
                for k, label in enumerate(labels)
                if label in part and part[label].kind != "full"
            }
            table = _marked(table, 1 + j * len(heads) + i, rivals)
    return table


def failures(rows: Sequence[Row]) -> Table:
    """Every run that failed, with its text; loads that say the same share a line."""
    alike: dict[tuple[str, ...], list[Row]] = {}
    for row in rows:
        if row.failure is not None:
            key = row.body, row.load, row.integrator, row.label, str(row.steps), row.failure
            alike.setdefault(key, []).append(row)
    lines = tuple(
        (
            Cell(body),
            Cell(", ".join(row.scene for row in members)),
            Cell(load),
            Cell(integrator),
            Cell(body_title(label)),
            Cell(str(len(members))),
            Cell(steps),
            Cell(text, bad=True),
        )
        for (body, load, integrator, label, steps, text), members in alike.items()
    )
    columns = ("body", "scene", "load", "integrator", "subspace", "runs", "steps done", "why")
    return Table("Runs that failed", columns, lines)


def unmeasured(rows: Sequence[Row]) -> Table:
    """Runs that went through and yet have no error: their reference stopped or did not move."""
    lines = tuple(
        (
            Cell(row.body),
            Cell(row.scene),
            Cell(row.load),
            Cell(row.integrator),
            Cell(body_title(row.label)),
        )
        for row in rows
        if row.failure is None and row.kind != "full" and row.value(POSITION.key) is None
    )
    return Table(
        "Runs without an error: full space stopped early or did not move, or nothing was stored",
        ("body", "scene", "load", "integrator", "subspace"),
        lines,
    )
