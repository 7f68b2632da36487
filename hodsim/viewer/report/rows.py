"""The runs of a comparison as they are stored, and their statistics over the loads."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

from hodsim.errors import InputError
from hodsim.viewer.methods import order

HELD_OUT = "held-out"
# The order in which readers meet them; others follow as they come.
LOADS = (HELD_OUT, "1.5x", "2x", "other")
_FAMILIES = ("bend", "twist", "swing")
_NAMES = ("body", "scene", "family", "load", "integrator", "label", "subspace")


@dataclass(frozen=True)
class Row:
    """One run.

    `given` is the dict that was stored, whose measures `value` reads. `failure` is the text of a
    run that stopped early, None for one that went through.
    """

    body: str
    scene: str
    family: str
    load: str
    integrator: str
    label: str
    kind: str
    rank: int | None
    formulation: str | None
    steps: int
    step: float | None
    failure: str | None
    given: Mapping[str, Any]

    def value(self, key: str) -> float | None:
        """A measure; None where it is missing or not finite."""
        found = self.given.get(key)
        if found is None or isinstance(found, bool) or not isinstance(found, int | float):
            return None
        return float(found) if math.isfinite(found) else None

    @property
    def variant(self) -> str:
        """What the label says besides the subspace: "lagrangian" of "hod-6 lagrangian"."""
        return self.label.partition(" ")[2]

    @property
    def curve(self) -> list[float]:
        """Tip error at each step; empty where none was stored."""
        return [
            math.nan if e is None else float(e) for e in self.given.get("error_over_time") or ()
        ]


def read_rows(results: Mapping[str, Any]) -> tuple[Row, ...]:
    """The runs of a stored comparison, full space first, then by method and rank.

    Raises
    ------
    InputError
        No rows, or a row without one of the names that say what was run.
    """
    rows = results.get("rows")
    if not isinstance(rows, Sequence) or not rows:
        raise InputError("results: expected rows, given none; compare at least one scene")
    read = (_row(k, given) for k, given in enumerate(rows))
    return tuple(sorted(read, key=lambda row: order(row.kind, row.rank, row.label)))


def _row(number: int, given: Mapping[str, Any]) -> Row:
    missing = [name for name in _NAMES if not given.get(name)]
    if missing:
        raise InputError(
            f"results: expected every row to name {', '.join(_NAMES)}; row {number} lacks "
            f"{', '.join(missing)}; run the comparison again"
        )
    failure = given.get("failure")
    if not failure and not given.get("converged", True):
        failure = "stopped early; no reason was stored"
    names = {name: str(given[name]) for name in _NAMES[:-1]}
    return Row(
        **names,
        kind=str(given["subspace"]),
        rank=given.get("rank"),
        formulation=given.get("formulation"),
        steps=given.get("steps") or 0,
        step=given.get("step"),
        failure=str(failure) if failure else None,
        given=given,
    )


@dataclass(frozen=True)
class Group:
    """Runs of one label over loads that differ. Failed runs are counted, and are in no mean."""

    rows: tuple[Row, ...]

    @property
    def label(self) -> str:
        return self.rows[0].label

    @property
    def kind(self) -> str:
        return self.rows[0].kind

    @property
    def rank(self) -> int | None:
        return self.rows[0].rank

    @property
    def failed(self) -> int:
        """How many runs stopped early."""
        return sum(row.failure is not None for row in self.rows)

    def values(self, key: str) -> list[float]:
        """A measure of the runs that went through, where it was measured."""
        found = (row.value(key) for row in self.rows if row.failure is None)
        return [value for value in found if value is not None]

    def mean(self, key: str) -> float | None:
        """Mean over `values`; None where there are none."""
        values = self.values(key)
        return fmean(values) if values else None

    def worst(self, key: str) -> float | None:
        """The largest of `values`."""
        return max(self.values(key), default=None)

    def sound(self, key: str) -> bool:
        """Whether every run went through and has the measure, so that its mean hides nothing."""
        return len(self.values(key)) == len(self.rows)


def groups(rows: Iterable[Row]) -> dict[str, Group]:
    """The rows by label, in their order."""
    return {label: Group(tuple(found)) for label, found in by(rows, lambda row: row.label).items()}


def by(rows: Iterable[Row], key: Callable[[Row], str]) -> dict[str, list[Row]]:
    """The rows by what `key` says of them, in their order."""
    found: dict[str, list[Row]] = {}
    for row in rows:
        found.setdefault(key(row), []).append(row)
    return found


def families(rows: Iterable[Row]) -> list[str]:
    """Kinds of load: bend, twist, swing, then others as they come."""
    return ordered((row.family for row in rows), _FAMILIES)


def loads(rows: Iterable[Row]) -> list[str]:
    """How far the loads are from those of training: held-out, 1.5x, 2x, other, then the rest."""
    return ordered((row.load for row in rows), LOADS)


def ordered(names: Iterable[str], known: Sequence[str]) -> list[str]:
    """The names, each once: those known in their order, then others as they come."""
    found = list(dict.fromkeys(names))
    return [name for name in known if name in found] + [name for name in found if name not in known]


def most_common(names: Iterable[str]) -> str:
    """The name that occurs most often; of equals the first."""
    found = list(names)
    return max(dict.fromkeys(found), key=found.count)


@dataclass(frozen=True)
class Matching:
    """How a method matches another, `ranks` being all those that were run: not what a model lacks.

    `rank` is the smallest from which on its mean error is at most that of the other, None where
    even the highest has a larger one or failed; `compared` is False where the other itself failed
    or has no error, so that there is nothing to match.
    """

    rank: int | None
    ranks: tuple[int, ...]
    compared: bool


def matching_ranks(found: Mapping[str, Group], target: Group, key: str) -> dict[str, Matching]:
    """For each other method the rank that matches `target`, by the mean of a measure.

    Over the scenes whose full-space motion went through; a group that failed in one of them
    matches nothing.
    """
    full = found["full"].rows if "full" in found else ()
    stopped = {row.scene for row in full if row.failure is not None}
    aim = Group(tuple(row for row in target.rows if row.scene not in stopped))
    measured = {row.scene for row in aim.rows if row.value(key) is not None}
    wanted = None if aim.failed else aim.mean(key)
    of_kind: dict[str, list[Group]] = {}
    for group in found.values():
        # A run without an engine never began; one that does not tell was of a former version.
        began = any(row.given.get("engine", "") is not None for row in group.rows)
        if began and group.rank is not None and group.kind != target.kind:
            of_kind.setdefault(group.kind, []).append(group)
    matches: dict[str, Matching] = {}
    for kind, members in of_kind.items():
        ranked = sorted(members, key=lambda group: group.rank or 0)
        first = None
        for group in reversed(ranked):
            mine = Group(tuple(row for row in group.rows if row.scene in measured))
            mean = mine.mean(key) if mine.sound(key) else None
            if wanted is None or mean is None or mean > wanted:
                break
            first = group.rank
        ranks = tuple(group.rank or 0 for group in ranked)
        matches[kind] = Matching(first, ranks, wanted is not None)
    return matches
