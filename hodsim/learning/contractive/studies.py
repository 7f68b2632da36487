"""A study: weights chosen on the validation part, then each method trained for every seed."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from hodsim.errors import InputError
from hodsim.learning.contractive.measured import Measured, Measures, Tried, measured, tried
from hodsim.learning.contractive.methods import METHODS, Method, check_encoder, methods_of
from hodsim.learning.contractive.networks import counted, drawn
from hodsim.learning.contractive.runs import Job, Progress, train
from hodsim.learning.contractive.store import Store
from hodsim.learning.images import Parts

# What is being done, how much of it is done, and how much there is.
Report = Callable[[str, int, int], None]


@dataclass(frozen=True)
class Plan:
    """What a study does.

    Attributes
    ----------
    methods : by name.
    alphas : weights of the Jacobian's norm, tried with first order alone; the best one is kept by
        the methods of second order, so that they differ from first order by their own penalty.
    betas : weights of the Hessian's squared diagonals. The rival's, of |H|_F^2, are these over the
        number of pixels: so many entries of H stand for each of its diagonals'.
    tuned : choose for the classifier that trains the encoder on, not for the one that does not.
    sweep_epochs : of trying a weight, on the first seed.
    seeds : runs with the weights chosen.
    job : all else of a training; its seed is the first.
    measures : how encoders are measured.
    """

    methods: tuple[str, ...] = tuple(METHODS)
    alphas: tuple[float, ...] = (1e-6, 1e-5, 1e-4, 1e-3)
    betas: tuple[float, ...] = (1e-4, 1e-3, 1e-2, 1e-1)
    tuned: bool = True
    sweep_epochs: int = 4
    seeds: int = 3
    job: Job = field(default_factory=lambda: Job("vanilla"))
    measures: Measures = field(default_factory=Measures)

    def __post_init__(self) -> None:
        methods_of(list(self.methods))
        if min(self.seeds, self.sweep_epochs) < 1:
            raise InputError("seeds and sweep epochs: expected at least 1 of each")
        for name in ("alphas", "betas"):
            if not getattr(self, name) or not all(0.0 < w < float("inf") for w in self.of(name)):
                raise InputError(f"{name}: expected numbers above 0, got {self.of(name)}")

    def of(self, name: str) -> tuple[float, ...]:
        return tuple(getattr(self, name))


@dataclass(frozen=True)
class Result:
    """What became of one method.

    Attributes
    ----------
    method : its name.
    sweep : what was tried for its last weight, in order; empty for the vanilla one.
    edge : whether one of its weights is the least or the largest that was tried of it, where a
        better one may lie outside.
    runs : with the best, one for each seed; none where all diverged.
    """

    method: str
    sweep: tuple[Tried, ...]
    edge: bool
    runs: tuple[Measured, ...]

    def mean(self, what: Callable[[Measured], float | None]) -> tuple[float, float] | None:
        """Mean and spread (standard deviation of a sample) over seeds; None where one diverged."""
        values = [None if run.diverged else what(run) for run in self.runs]
        found = [value for value in values if value is not None]
        if not found or len(found) < len(values):
            return None
        return statistics.fmean(found), statistics.stdev(found) if len(found) > 1 else 0.0


@dataclass(frozen=True, eq=False)
class Study:
    """A plan carried out: a result for each method, in the plan's order."""

    parts: Parts
    plan: Plan
    results: tuple[Result, ...]

    def to_dict(self) -> dict[str, Any]:
        images = self.parts.images
        return {
            "data": images.name,
            "note": images.note,
            "digest": self.parts.digest,
            "training_images": len(images.train_x),
            "validation_images": len(self.parts.validation_x),
            "test_images": len(images.test_x),
            "plan": asdict(self.plan),
            "multiply_adds_an_image": counted(self.plan.job.shape, self.parts.pixels),
            "results": [
                {
                    "method": r.method,
                    "title": METHODS[r.method].title,
                    "edge": r.edge,
                    "sweep": [asdict(s) for s in r.sweep],
                    "runs": [run.to_dict() for run in r.runs],
                }
                for r in self.results
            ],
        }


def study(
    parts: Parts, plan: Plan, store: Store | None = None, report: Report | None = None
) -> Study:
    """Carry out a plan; what the store has is not made again.

    Raises
    ------
    InputError : an encoder with a layer that hodsim.derivatives has no rule for, by name, before
        anything is trained.
    """
    methods = methods_of(list(plan.methods))
    encoder = drawn(plan.job.shape, parts.pixels, plan.job.seed).encoder
    for method in methods:
        check_encoder(method, encoder, parts.images.train_x[:1])
    doing = _Doing(parts, plan, store or Store(None), report or _silent)
    return Study(parts, plan, tuple(doing.result(method) for method in methods))


class _Doing:
    """A study under way."""

    def __init__(self, parts: Parts, plan: Plan, store: Store, report: Report) -> None:
        self.parts, self.plan, self.store, self.report = parts, plan, store, report
        self._alphas: tuple[Tried, ...] | None = None

    def result(self, method: Method) -> Result:
        plan = self.plan
        sweep: Sequence[Tried] = ()
        alpha = beta = 0.0
        if method.order:
            sweep = self._of_alphas()
            alpha = _best(sweep).alpha
        if method.order == 2:
            over = self.parts.pixels if method.name == "stochastic" else 1
            job = replace(plan.job, method=method.name, alpha=alpha)
            sweep = [self._tried(replace(job, beta=b / over)) for b in plan.betas]
            beta = _best(sweep).beta
        if sweep and _best(sweep).diverged:
            return Result(method.name, tuple(sweep), edge=False, runs=())
        runs = tuple(
            self._measured(
                replace(
                    plan.job, method=method.name, alpha=alpha, beta=beta, seed=plan.job.seed + k
                ),
                k,
            )
            for k in range(plan.seeds)
        )
        edge = (method.order > 0 and _at_edge(alpha, [s.alpha for s in self._of_alphas()])) or (
            method.order == 2 and _at_edge(beta, [s.beta for s in sweep])
        )
        return Result(method.name, tuple(sweep), edge, runs)

    def _of_alphas(self) -> tuple[Tried, ...]:
        """First order's sweep, made once for all methods."""
        if self._alphas is None:
            jobs = [replace(self.plan.job, method="cae", alpha=alpha) for alpha in self.plan.alphas]
            self._alphas = tuple(self._tried(job) for job in jobs)
        return self._alphas

    def _tried(self, job: Job) -> Tried:
        plan, parts = self.plan, self.parts
        job, how = replace(job, epochs=plan.sweep_epochs), plan.measures.classifier
        found = self.store.tried(parts, job, how, plan.tuned)
        if found is None:
            what = f"{job.method}, alpha {job.alpha:g}, beta {job.beta:g}"
            done = train(job, parts, self.store.checkpoint(parts, job), self._told(what))
            found = tried(job, done, parts, how, plan.tuned)
            self.store.keep_tried(parts, job, how, plan.tuned, found)
        return found

    def _measured(self, job: Job, k: int) -> Measured:
        how = self.plan.measures
        found = self.store.measured(self.parts, job, how)
        if found is None:
            what = f"{job.method}, seed {k + 1} of {self.plan.seeds}"
            path = self.store.checkpoint(self.parts, job)
            done = train(job, self.parts, path, self._told(what))
            self.report(f"{what}, measuring", 0, 1)
            found = measured(job, done, self.parts, how)
            self.store.keep_measured(self.parts, job, how, found)
        return found

    def _told(self, what: str) -> Progress:
        return lambda done, total: self.report(what, done, total)


def _at_edge(weight: float, tried: Sequence[float]) -> bool:
    return len(tried) > 1 and weight in (min(tried), max(tried))


def _best(sweep: Sequence[Tried]) -> Tried:
    return min(sweep, key=lambda found: found.score)


def _silent(what: str, done: int, total: int) -> None:
    del what, done, total
