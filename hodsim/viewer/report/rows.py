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
FAMILIES = ("bend", "twist", "swing")
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
    return ordered((row.family for row in rows), FAMILIES)


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
    """How a method matches a HoD-Net under one kind of load, as the comparison tells it.

    `position` and `velocity` are the smallest ranks from which on its mean tip error is at most
    that of the other, None where not even the highest, `up_to`, is as good; `compared` is False
    where there was nothing to match.
    """

    target: str
    kind: str
    position: int | None
    velocity: int | None
    up_to: int
    compared: bool


def matchings(
    results: Mapping[str, Any], body: str, load: str, integrator: str
) -> dict[str, list[Matching]]:
    """What the stored summary says of matching ranks, by families of loads; {} without one."""
    found: dict[str, list[Matching]] = {}
    for given in (results.get("summary") or {}).get("matches") or ():
        if (given["body"], given["load"], given["integrator"]) == (body, load, integrator):
            found.setdefault(given["family"], []).append(
                Matching(
                    target=given["hod"],
                    kind=given["method"],
                    position=given["by_position"],
                    velocity=given["by_velocity"],
                    up_to=given["up_to"],
                    compared=given["compared"],
                )
            )
    return found
