"""One row: try every variant, check that all agree, time the best of each library in turn."""

from __future__ import annotations

import gc
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
from cases import TOLERANCE, Problem, problem
from contender import Answer, Contender, Run
from field import FAMILIES, contenders
from memory import Scales
from timing import cpu_ms, in_turn, rough_ms

# What one contender may need, answer included.
MEMORY_GB: Final = 6.0
# A variant that is this much slower than its family's best at one point is not tried on a batch,
# nor one that is a little slower where a batch takes long.
FAR, NEAR, LONG_MS = 5.0, 1.5, 2000.0
# Where much memory is at stake, a variant that carries this many times the lanes of another of its
# family is not tried either.
MANY_LANES, MUCH = 8.0, 5e6
# What the library is meant to reach: peer time over ours at least, our time over the floor at most.
VS_JAX: Final = {
    "jacobian": 0.95,
    "lanes": 0.95,
    "hessian": 1.5,
    "scalar-hessian": 1.5,
    "third": 1.0,
}
VS_FLOOR: Final = {1: 1.3, 64: 1.1}

Tell = Callable[[str], None]


@dataclass
class Tried:
    """A family's variants on one problem: rough times [ms], the best one ready to run, remarks."""

    ms: dict[str, float] = field(default_factory=dict)  # by Contender.core
    labels: dict[str, float] = field(default_factory=dict)  # by Contender.label
    best: Contender | None = None
    run: Run | None = None
    best_ms: float = float("inf")
    compile_s: float = 0.0
    notes: list[str] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Settings:
    """How rows are measured."""

    peers: tuple[str, ...]
    rounds: int
    seconds: float
    seed: int
    scales: Scales | None
    weighed: tuple[str, ...]


class Bench:
    """Measures rows, and remembers what variants took at one point."""

    def __init__(self, settings: Settings, tell: Tell) -> None:
        self.settings, self.tell = settings, tell
        self._at_one_point: dict[tuple[str, ...], dict[str, float]] = {}

    def row(self, p: Problem) -> dict[str, Any]:
        """One row of the report."""
        row: dict[str, Any] = {
            "case": p.case.name,
            "quantity": p.quantity,
            "dtype": p.dtype,
            "batch": p.batch,
            "ms": None,
            "vs_jax": None,
            "vs_torch": None,
            "vs_tf": None,
            "vs_floor": None,
            "scheme": None,
            "peak_mb": {},
            "peers": {},
            "notes": [],
        }
        # The answer, another one to compare with, and a copy while it is made.
        if 3 * p.answer_gb > MEMORY_GB:
            row["notes"].append(
                f"skipped: the answer alone has {p.answer_gb:.1f} GB; about three times that is "
                f"needed, and {MEMORY_GB:.0f} GB are allowed"
            )
            return row
        gc.collect()
        tried = {"ours": self._try(p, "ours", None)}
        run = tried["ours"].run
        if run is None:
            row["error"] = "; ".join(tried["ours"].notes)
            return row
        reference = tried["ours"].best.tidy(run())
        for family in (*self.settings.peers, "floor"):
            tried[family] = self._try(p, family, reference)
        wrong = [line for one in tried.values() for line in one.wrong]
        row["notes"] += [line for one in tried.values() for line in one.notes]
        if wrong:
            row["error"] = "contenders disagree: " + "; ".join(wrong)
            return row
        del reference
        self.tell("timing")
        self._time(p, tried, row)
        if self.settings.scales is not None:
            for family, one in tried.items():
                if one.best is not None and family in self.settings.weighed:
                    self.tell(f"memory of {family}")
                    row["peak_mb"][FAMILIES.get(family, family)] = self._weigh(p, family, one.best)
        return row

    def _time(self, p: Problem, tried: dict[str, Tried], row: dict[str, Any]) -> None:
        from ours import scheme

        runs = {family: one.run for family, one in tried.items() if one.run is not None}
        rough = {family: tried[family].best_ms for family in runs}
        ms, rounds = in_turn(runs, rough, self.settings.rounds, self.settings.seconds)
        for family, one in tried.items():
            if family != "ours":
                row["peers"] |= one.labels
            if one.best is not None and family != "ours":
                row["peers"][one.best.label] = ms[family]
        row |= {"ms": ms["ours"], "rounds": rounds, "scheme": scheme(p)}
        row["best"] = {
            FAMILIES.get(family, family): {"variant": tried[family].best.name, "ms": ms[family]}
            for family in ms
        }
        row["compile_s"] = {
            FAMILIES[family]: tried[family].compile_s for family in ms if family in FAMILIES
        }
        for key, families in {
            "vs_jax": ("jax", "jet"),
            "vs_torch": ("autograd", "func", "compile"),
            "vs_tf": ("tf",),
        }.items():
            times = [ms[family] for family in families if family in ms]
            row[key] = min(times) / ms["ours"] if times else None
        row["vs_floor"] = ms["ours"] / ms["floor"]
        row["notes"] += _shortfalls(p, row, ms)

    def _weigh(self, p: Problem, family: str, best: Contender) -> float | None:
        assert self.settings.scales is not None
        return self.settings.scales.peak_mb(p, self.settings.seed, family, best.name)

    def _try(self, p: Problem, family: str, reference: Answer | None) -> Tried:
        """Every variant once; the quickest is kept, ready to run."""
        tried = Tried()
        cores = self._worthwhile(p, family)
        variants = list(contenders(p, family))
        too_big: list[str] = []
        too_many: list[str] = []
        fewest = min((c.live for c in variants if c.live > 0), default=0.0)
        for c in variants:
            if cores is not None and c.core not in cores:
                continue
            if family == "compile" and c.name != self._best_func:
                continue
            # XLA takes up to a minute to compile one of TensorFlow's graphs.
            if (
                tried.best is not None
                and c.name.endswith(", xla")
                and (c.name.removesuffix(", xla") != tried.best.name.removesuffix(", xla"))
            ):
                continue
            self.tell(c.label)
            if (need := p.gigabytes(c.live)) > MEMORY_GB:
                too_big.append(f"{c.name} (about {need:.0f} GB)")
                continue
            # On a batch a variant that goes point by point holds less, for the same work.
            if p.batch == 1 and c.live > max(MUCH, MANY_LANES * fewest):
                too_many.append(f"{c.name} ({c.live / fewest:.0f} x)")
                continue
            try:
                run = c.make()
                first = cpu_ms(run, 1) / 1e3
                if reference is not None and family != "floor":
                    error = distance(c.tidy(run()), reference)
                    if not error <= TOLERANCE[p.dtype]:
                        tried.wrong.append(f"{c.label} is {error:.1e} away from ours")
                        continue
                ms = rough_ms(run)
            except Exception as error:  # noqa: BLE001  (a peer may fail in any way: the row says how)
                tried.notes.append(f"{c.label}: {_line(error)}")
                continue
            tried.labels[c.label] = ms
            tried.ms[c.core] = min(ms, tried.ms.get(c.core, ms))
            if ms < tried.best_ms:
                tried.best, tried.run, tried.best_ms = c, run, ms
                tried.compile_s = max(0.0, first - ms / 1e3)
            del run
        name = FAMILIES.get(family, family)
        if too_big:
            tried.notes.append(f"{name}, skipped for the memory: {', '.join(too_big)}")
        if too_many:
            tried.notes.append(f"{name}, not tried for their many lanes: {', '.join(too_many)}")
        if p.batch == 1:
            self._at_one_point[p.case.name, p.quantity, p.dtype, family] = tried.ms
        if family == "func":
            self._best_func = tried.best.name if tried.best else ""
        return tried

    _best_func = ""

    def _worthwhile(self, p: Problem, family: str) -> set[str] | None:
        """Variants worth trying on a batch, by what they take at one point; None for all."""
        if p.batch == 1 or family in ("ours", "floor", "compile"):
            return None
        key = (p.case.name, p.quantity, p.dtype, family)
        if key not in self._at_one_point:
            one = problem(p.case, p.quantity, p.dtype, 1, self.settings.seed)
            self._try(one, family, None)
        ms = self._at_one_point[key]
        if len(ms) < 2:
            return None
        best = min(ms.values())
        limit = best * (NEAR if best * p.batch > LONG_MS else FAR)
        return {core for core, value in ms.items() if value <= limit}


def distance(answer: Answer, reference: Answer) -> float:
    """The largest difference relative to the largest entry; infinite for other shapes or NaN."""
    worst = 0.0
    for a, b in zip(answer, reference, strict=True):
        if a.shape != b.shape:
            return float("inf")
        scale = float(np.abs(b).max())
        # A point at a time: a difference of everything would be one array too many.
        error = max(float(np.abs(p - q).max()) for p, q in zip(a, b, strict=True))
        if not np.isfinite(error) or scale == 0.0:
            return float("inf")
        worst = max(worst, error / scale)
    return worst


def _shortfalls(p: Problem, row: dict[str, Any], ms: dict[str, float]) -> list[str]:
    """What falls short of the aims, and what is known of why."""
    out = []
    aim = VS_JAX.get(p.quantity)
    if aim and row["vs_jax"] is not None and row["vs_jax"] < aim:
        peer = row["vs_jax"] * row["ms"] / ms["floor"]
        out.append(
            f"short: vs_jax {row['vs_jax']:.2f}, aim {aim:g} (jax itself takes {peer:.2f} x the "
            f"floor, we take {row['vs_floor']:.2f} x)"
        )
    aim = VS_FLOOR.get(p.batch)
    if aim and p.quantity != "number" and row["vs_floor"] > aim:
        out.append(
            f"short: vs_floor {row['vs_floor']:.2f}, aim {aim:g} "
            f"({1e3 * (row['ms'] - ms['floor']):.0f} us beside the matrix products)"
        )
    return out


def _line(error: BaseException) -> str:
    text = str(error).strip().splitlines() or [""]
    return f"{type(error).__name__}: {text[0][:160]}"


def selected(
    names: Sequence[str], quantities: Sequence[str], dtypes: Sequence[str], batches: Sequence[int]
) -> list[tuple[str, str, str, int]]:
    """Rows in the order in which they are measured, a case after the other."""
    return [(c, q, d, b) for c in names for q in quantities for d in dtypes for b in batches]
