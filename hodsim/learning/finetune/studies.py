"""A study: each optimiser sweeps its settings, then trains with the best one for each seed."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from hodsim.derivatives import UnknownRuleError
from hodsim.errors import InputError
from hodsim.learning.finetune.costs import CPU, Clock, Costs, measure_costs
from hodsim.learning.finetune.methods import METHODS, Method, Setting, methods_of
from hodsim.learning.finetune.problem import Problem
from hodsim.learning.finetune.runs import Job, Run, run
from hodsim.learning.finetune.starts import Checkpoint, Start, checkpoint
from hodsim.learning.finetune.store import Store

# What is being done, how much of it is done, and how much there is.
Progress = Callable[[str, float, float], None]


@dataclass(frozen=True)
class Plan:
    """What a study does.

    Attributes
    ----------
    methods : optimisers by name.
    budget : of each run, in gradient-equivalents.
    seeds : runs with the best setting; each has a checkpoint of its own, the same for all
        optimisers.
    share : of the budget, that each setting is swept with, on the first seed.
    settings : of a sweep, at most, spread over those there are.
    points : of a curve.
    start : how checkpoints are made; its seed is the first, and its batch the budget's.
    """

    methods: tuple[str, ...] = tuple(METHODS)
    budget: float = 2000.0
    seeds: int = 3
    share: float = 0.25
    settings: int = 8
    points: int = 20
    start: Start = field(default_factory=Start)

    def __post_init__(self) -> None:
        if min(self.seeds, self.settings, self.points) < 1:
            raise InputError("seeds, settings and points: expected at least 1 of each")
        if not 0.0 < self.budget < math.inf:
            raise InputError(f"budget: expected a number above 0, got {self.budget}")
        if not 0.0 < self.share <= 1.0:
            raise InputError(f"share: expected a number above 0, at most 1, got {self.share}")


@dataclass(frozen=True)
class Result:
    """What became of one optimiser.

    Attributes
    ----------
    method : its name.
    sweep : a run for each setting, in order.
    best : the setting with the lowest training loss; None where all diverged.
    edge : whether it is the first or last of those swept, where a better one may lie outside.
    runs : with the best setting, one for each seed.
    """

    method: str
    sweep: tuple[Run, ...]
    best: Setting | None
    edge: bool
    runs: tuple[Run, ...]

    def mean(self, what: str) -> tuple[float, float] | None:
        """Mean and spread (standard deviation of a sample) over seeds of a curve's last value.

        None where a run diverged.
        """
        values = [getattr(r.curve[-1], what) for r in self.runs if not r.diverged]
        if not self.runs or len(values) < len(self.runs) or None in values:
            return None
        spread = statistics.stdev(values) if len(values) > 1 else 0.0
        return statistics.fmean(values), spread


@dataclass(frozen=True)
class Study:
    """A plan carried out: costs, and a result for each optimiser, in the plan's order."""

    problem: Problem
    plan: Plan
    costs: Costs
    results: tuple[Result, ...]

    def to_dict(self) -> dict[str, Any]:
        images = self.problem.images
        return {
            "network": self.problem.name,
            "data": images.name,
            "note": images.note,
            "training_images": len(images.train_x),
            "test_images": len(images.test_x),
            "error": self.problem.error,
            "plan": asdict(self.plan),
            "costs": asdict(self.costs),
            "results": [
                {
                    "method": r.method,
                    "title": METHODS[r.method].title,
                    "best": None if r.best is None else dict(r.best),
                    "edge": r.edge,
                    "sweep": [s.to_dict() for s in r.sweep],
                    "runs": [s.to_dict() for s in r.runs],
                }
                for r in self.results
            ],
        }


def study(
    problem: Problem,
    plan: Plan,
    store: Store | None = None,
    progress: Progress | None = None,
    clock: Clock = CPU,
) -> Study:
    """Carry out a plan; runs that the store has are not made again.

    Raises
    ------
    InputError : an optimiser that is unknown or not installed; a network that does what
        hodsim.derivatives has no rule for, by name, before anything is trained.
    """
    methods, kept, tell = methods_of(list(plan.methods)), store or Store(None), progress or _silent
    costs = kept.costs(problem, plan.start.batch, lambda: _measured(problem, plan, tell, clock))
    starts = [_start(problem, plan, k, kept, tell) for k in range(plan.seeds)]

    def one(job: Job, start: Checkpoint, what: str) -> Run:
        done = kept.read(problem, start, job, costs)
        if done is None:
            done = run(problem, start, job, costs, lambda s, b: tell(what, s, b), clock)
            kept.write(problem, start, job, costs, done)
        return done

    results = [_result(method, problem, plan, starts, one) for method in methods]
    return Study(problem, plan, costs, tuple(results))


def _result(
    method: Method,
    problem: Problem,
    plan: Plan,
    starts: Sequence[Checkpoint],
    one: Callable[[Job, Checkpoint, str], Run],
) -> Result:
    settings = _spread(method.settings(problem), plan.settings)
    few = max(1, plan.points // 5)
    first = plan.start.seed
    sweep = [
        one(
            Job(method.name, setting, first, plan.share * plan.budget, few),
            starts[0],
            f"{method.name}, setting {k + 1} of {len(settings)}",
        )
        for k, setting in enumerate(settings)
    ]
    best = min(sweep, key=lambda r: r.loss)
    if math.isinf(best.loss):
        return Result(method.name, tuple(sweep), None, False, ())
    chosen = best.job.setting
    runs = [
        one(
            Job(method.name, chosen, first + k, plan.budget, plan.points),
            start,
            f"{method.name}, seed {k + 1} of {len(starts)}",
        )
        for k, start in enumerate(starts)
    ]
    return Result(method.name, tuple(sweep), chosen, _edge(chosen, settings), tuple(runs))


def _edge(chosen: Setting, settings: Sequence[Setting]) -> bool:
    """Whether the setting's rate or damping is the lowest or the highest of those tried."""
    name = next(iter(chosen))
    values = sorted({s[name] for s in settings})
    return len(values) > 1 and chosen[name] in (values[0], values[-1])


def _spread(settings: list[Setting], most: int) -> list[Setting]:
    n = min(most, len(settings))
    return [settings[k * len(settings) // n] for k in range(n)]


def _start(problem: Problem, plan: Plan, k: int, store: Store, tell: Progress) -> Checkpoint:
    start = replace(plan.start, seed=plan.start.seed + k)
    what = f"checkpoint of seed {k + 1}"
    return checkpoint(problem, start, store.checkpoints, lambda n, of: tell(what, n, of))


def _measured(problem: Problem, plan: Plan, tell: Progress, clock: Clock) -> Costs:
    tell("measuring costs", 0, 1)
    network = problem.drawn(plan.start.seed)
    images = problem.images
    size = plan.start.batch
    if len(images.train_x) < size:
        raise InputError(
            f"batch: expected at most the {len(images.train_x)} training images, got {size}"
        )
    batch = problem.batch(network, images.train_x[:size], images.train_y[:size])
    try:
        return measure_costs(batch, clock)
    except UnknownRuleError as error:
        raise InputError(f"network: {' '.join(str(error).split())}") from error


def _silent(what: str, done: float, total: float) -> None:
    del what, done, total
