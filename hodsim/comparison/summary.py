"""What a comparison comes to: errors over the loads of a family, and ranks that match HoD-Net."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import fmean, pstdev
from typing import Any, Final

from hodsim.comparison.measure import Run

# What is averaged over the loads. Of those that are errors the worst and the spread are told, too.
ERRORS: Final = (
    "tip_position_error",
    "tip_velocity_error",
    "position_error",
    "velocity_error",
    "worst_vertex_error",
    "energy_error",
    "volume_change",
)
_COSTS = ("newton_iterations", "step_ms", "speedup", "tets", "training_seconds")


@dataclass(frozen=True)
class Group:
    """Runs of one body, family of loads and time scheme; `load` as in `Run`."""

    body: str
    family: str
    load: str
    integrator: str


@dataclass(frozen=True)
class Match:
    """The smallest rank from which on a method is as good as a HoD-Net, by the mean tip error.

    `by_position` and `by_velocity` are None where no rank compared is; `up_to` is the largest that
    was. Only runs of one formulation are held against each other, in the scenes whose full-space
    motion went through. A rank at which a run stopped early or crashed matches nothing; one that
    the model lacks was not compared. `compared` is False, and no rank is told, where the HoD-Net
    itself stopped in one of those scenes, or there is none.
    """

    group: Group
    hod: str
    method: str
    formulation: str
    by_position: int | None
    by_velocity: int | None
    up_to: int
    compared: bool

    def to_dict(self) -> dict[str, Any]:
        """Flat, ready for JSON."""
        return {**_group_dict(self.group), **{k: v for k, v in vars(self).items() if k != "group"}}


def grouped(runs: Iterable[Run]) -> dict[Group, list[Run]]:
    """Runs by their groups, in the order in which they come."""
    groups: dict[Group, list[Run]] = {}
    for run in runs:
        group = Group(run.body, run.family, run.load, run.integrator)
        groups.setdefault(group, []).append(run)
    return groups


def summary_of(runs: Iterable[Run]) -> list[dict[str, Any]]:
    """A line for each group and label.

    "loads" runs, "stopped" of them early; "E_mean", "E_worst", "E_spread" (standard deviation) of
    each error E over the others; means over them of Newton iterations, step time, speed-up, tets
    and seconds.
    """
    lines = []
    for group, members in grouped(runs).items():
        for label in dict.fromkeys(run.label for run in members):
            mine = [run for run in members if run.label == label]
            line: dict[str, Any] = {
                **_group_dict(group),
                "label": label,
                "subspace": mine[0].subspace,
                "rank": mine[0].rank,
                "loads": len(mine),
                "stopped": sum(not run.converged for run in mine),
            }
            for name in ERRORS:
                values = _known(mine, name)
                line[f"{name}_mean"] = fmean(values) if values else None
                line[f"{name}_worst"] = max(values, default=None)
                line[f"{name}_spread"] = pstdev(values) if values else None
            for name in _COSTS:
                values = _known((run for run in mine if run.converged), name)
                line[name] = fmean(values) if values else None
            lines.append(line)
    return lines


def matches_of(runs: Iterable[Run]) -> list[Match]:
    """For each group and each HoD-Net in it, the ranks from which other methods match it."""
    found = []
    for group, every in grouped(runs).items():
        # Where full space stopped, or its case crashed, there is nothing to be held against.
        stopped = {r.scene for r in every if r.subspace == "full" and not r.converged}
        members = [r for r in every if r.scene not in stopped]
        for formulation in dict.fromkeys(r.formulation for r in members if r.formulation):
            same = [r for r in members if r.formulation == formulation and _plain(r)]
            hods = dict.fromkeys(r.label for r in same if r.subspace == "hod")
            methods = dict.fromkeys(r.subspace for r in same if r.subspace != "hod")
            for hod in hods:
                best = [r for r in same if r.label == hod]
                measured = {r.scene for r in best if r.tip_position_error is not None}
                compared = all(r.converged for r in best) and bool(measured)
                for method in methods:
                    rivals = [r for r in same if r.subspace == method]
                    # One crash does not take a rank out of the comparison: no start at all does.
                    begun = {r.rank for r in rivals if r.engine is not None}
                    ranks = sorted(rank for rank in begun if rank is not None)
                    if not ranks:
                        continue
                    mine = [r for r in rivals if r.scene in measured]
                    position, velocity = (
                        _rank_from(best, mine, ranks, name) if compared else None
                        for name in ("tip_position_error", "tip_velocity_error")
                    )
                    found.append(
                        Match(
                            group, hod, method, formulation, position, velocity, ranks[-1], compared
                        )
                    )
    return found


def _rank_from(
    best: Sequence[Run], rivals: Sequence[Run], ranks: Sequence[int], name: str
) -> int | None:
    """The smallest of `ranks` from which on the mean error stays at or below that of `best`."""
    least = _known(best, name)
    if not least:
        return None
    first = None
    for rank in reversed(ranks):
        mine = [r for r in rivals if r.rank == rank]
        values = _known(mine, name)
        if not values or len(values) < len(mine) or fmean(values) > fmean(least):
            break
        first = rank
    return first


def _plain(run: Run) -> bool:
    """Whether Newton's matrix was the whole one, and the elasticity that of a cubature or of all
    tets: others are another comparison."""
    return run.terms == ("second", "third") and "polynomial" not in run.label.split()


def _known(runs: Iterable[Run], name: str) -> list[float]:
    return [value for run in runs if (value := getattr(run, name)) is not None]


def _group_dict(group: Group) -> dict[str, str]:
    return dict(vars(group))
