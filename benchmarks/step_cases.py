"""The cases of benchmarks/step.py: who races whom, and the rows that come of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from step_floor import Floor, h100_lines
from step_full import KrylovSpace
from step_runs import Contender, batch, compiled, race, single_runs, stepping
from step_world import CELLS, TETS, Level, World

from hodsim.dynamics import FullSpace, ReducedSpace
from hodsim.dynamics.compiled import CompiledSpace
from hodsim.errors import ConvergenceError, InputError

SUBSPACES: Final = (("hod", 6), ("pca", 6), ("pca", 20), ("quadratic", 6))
RANKS: Final = (6, 9, 12, 15, 18, 20)
SIZES: Final = (34, TETS, 142)
BODIES: Final = (1, 10, 100, 1000)
# Full space's steps, where it is slow.
_FEW: Final = {514: None, 5022: 40, 20934: 6}
_SAME: Final = 1e-8  # jax's q against ours
_BATCH_STEPS, _ROUNDS = 40, 5

Tell = Callable[[str], None]


@dataclass
class Bench:
    """Measures cases. `rows` is filled even where a case is stopped by Ctrl-C."""

    world: World
    steps: int
    quick: bool
    tell: Tell

    def __post_init__(self) -> None:
        self.rows: list[dict[str, Any]] = []
        self.remarks: list[str] = []
        self.floor = Floor()
        self._example: tuple[CompiledSpace, float] | None = None

    def run(self, case: str) -> None:
        """All rows of a case."""
        name, _, size = case.partition("/")
        self.tell("making")
        level = self.world.level(int(size) if size else min(CELLS))
        found = {
            "mesh": self._mesh,
            "latent": self._latent,
            "cubature": self._cubature,
            "dtype": self._dtype,
            "batch": self._batch,
            "jax": self._jax,
        }[name](level)
        contenders: list[Contender] = []
        try:
            for one in found:
                contenders.append(one)  # noqa: PERF402  (kept if the next one fails)
            race(contenders, self.steps, self.tell)
        except ConvergenceError as error:
            self.remarks.append(f"{case}: ERROR {error}")
        finally:
            self._add(case, level, contenders)

    def h100(self) -> list[str]:
        """The estimate for the last compiled HoD step measured."""
        return list(h100_lines(*self._example)) if self._example else []

    # ------------------------------------------------------------------------------------ cases
    def _mesh(self, level: Level) -> Iterator[Contender]:
        for kind, rank in SUBSPACES:
            self.tell(f"cubature of {kind}-{rank}")
            yield compiled(self._space(level, kind, rank))
        readable = self._readable(level, TETS), self._readable(level, None)
        yield from readable
        yield from self._full(level, ("cholesky", "direct", "block-jacobi"))

    def _latent(self, level: Level) -> Iterator[Contender]:
        ranks = (6, 12, 20) if self.quick else RANKS
        yield from (compiled(self._space(level, "pca", rank)) for rank in ranks)
        yield compiled(self._space(level, "hod", 6))
        yield from self._full(level)

    def _cubature(self, level: Level) -> Iterator[Contender]:
        for tets in SIZES:
            self.tell(f"{tets} tets")
            space = self._space(level, "hod", 6, tets)
            error = space.cubature.held_out_error if space.cubature else 0.0
            yield compiled(space, notes=[f"held-out error of the scheme {100 * error:.2f} %"])
        yield compiled(self._space(level, "hod", 6, None))
        yield from self._full(level)

    def _dtype(self, level: Level) -> Iterator[Contender]:
        for kind, rank in (("hod", 6), ("pca", 20)):
            for dtype in ("float64", "float32"):
                yield compiled(self._space(level, kind, rank, dtype=dtype))
        yield from self._full(level)

    def _batch(self, level: Level) -> Iterator[Contender]:
        steps, rounds = min(_BATCH_STEPS, self.steps), 3 if self.quick else _ROUNDS
        yield single_runs(self._space(level, "hod", 6), steps, rounds)
        for bodies in BODIES[:3] if self.quick else BODIES:
            yield batch(self._space(level, "hod", 6, bodies=bodies), steps, rounds)
        for full in self._full(level):
            full.most = steps
            yield full

    def _jax(self, level: Level) -> Iterator[Contender]:
        space = self._space(level, "hod", 6)
        yield compiled(space)
        yield from self._full(level)
        try:
            import step_jax
        except ImportError:
            self.remarks.append("jax: not installed, left out; pip install -e '.[bench]'")
            return
        from step_peer import fastest

        peers, told = fastest(list(step_jax.variants(space, self.quick)), space, self.steps, _SAME)
        self.remarks += told
        yield from peers[:1] if self.quick else peers

    # ------------------------------------------------------------------------------- contenders
    def _space(
        self,
        level: Level,
        kind: str,
        rank: int,
        tets: int | None = TETS,
        dtype: str = "float64",
        bodies: int = 1,
    ) -> CompiledSpace:
        cubature = None if tets is None else level.cubature(kind, rank, tets)
        return CompiledSpace(
            level.body,
            level.loads,
            level.subspace(kind, rank),
            cubature,
            level.scene.time.step,
            level.scene.time.integrator,
            level.scene.newton,
            dtype=dtype,
            bodies=bodies,
        )

    def _readable(self, level: Level, tets: int | None) -> Contender:
        cubature = None if tets is None else level.cubature("hod", 6, tets)
        space = ReducedSpace(
            level.body,
            level.loads,
            level.subspace("hod", 6),
            level.scene.time.step,
            level.scene.time.integrator,
            newton_spec=level.scene.newton,
            cubature=cubature,
        )
        few = _FEW[level.vertices] if tets is None else None
        n = level.body.mesh.n_tets if tets is None else tets
        return stepping(
            "hod", 6, n, space, most=few, basis=space.subspace.basis, notes=["readable integrator"]
        )

    def _full(
        self, level: Level, solvers: tuple[str, ...] = ("cholesky", "direct")
    ) -> Iterator[Contender]:
        scene, few = level.scene, _FEW[level.vertices]
        common = level.body, level.loads, scene.time.step, scene.time.integrator, scene.newton
        for solver in solvers:
            direct = solver == "direct"
            space = FullSpace(*common) if direct else KrylovSpace(*common, preconditioner=solver)
            library = space.factorization.name
            note = {
                "direct": f"{library}, factored each iteration",
                "cholesky": f"CG, preconditioned by {library}'s factors of earlier steps",
                "block-jacobi": "CG, block-Jacobi",
            }[solver]
            yield stepping("full", None, level.body.mesh.n_tets, space, most=few, notes=[note])

    # ------------------------------------------------------------------------------------- rows
    def _add(self, case: str, level: Level, contenders: list[Contender]) -> None:
        measured = [one for one in contenders if one.wall]
        rivals = [one for one in measured if one.full]
        best = min(rivals, key=Contender.cpu_ms) if rivals else None
        if best is not None:
            best.notes.insert(0, "the best of full space")
        for one in measured:
            # Beside a mesh's own case full space is there to be compared with: the best is enough.
            if not one.full or case.startswith("mesh") or one is best:
                self.rows.append(self._row(case, level, one, best))

    def _row(
        self, case: str, level: Level, one: Contender, best: Contender | None
    ) -> dict[str, Any]:
        iterations, cpu = float(np.mean(one.iterations)), one.cpu_ms()
        speedup = by_wall = versus = None
        if best is not None:
            both = None if one.bodies * one.units > 1 else min(len(one.wall), len(best.wall))
            # In CPU time: on a shared core a long step's wall time has other processes' slices in
            # it, which the median of short ones leaves out.
            speedup = best.cpu_ms(both) / one.cpu_ms(both)
            by_wall = best.wall_ms(both) / one.wall_ms(both)
        if one.space is not None:
            # Call by call: the median step takes fewer iterations than the mean of all.
            taken = np.array(one.iterations)
            versus = float(np.median(np.array(one.cpu) / self.floor.ms(one.space, taken)))
            if one.subspace == "hod" and one.tets == TETS and one.dtype == "float64":
                self._example = one.space, iterations
        notes = [*one.notes, *self._notes(level, one, best)]
        return {
            "case": case,
            "subspace": one.subspace,
            "vertices": level.vertices,
            "rank": one.rank,
            "tets": one.tets,
            "dtype": one.dtype,
            "bodies": one.bodies,
            "ms": one.wall_ms(),
            "cpu_ms": cpu,
            "iterations": iterations,
            "speedup_vs_full": speedup,
            "speedup_wall": by_wall,
            "vs_floor": versus,
            "notes": notes,
        }

    def _notes(
        self,
        level: Level,
        one: Contender,
        best: Contender | None,
    ) -> Iterator[str]:
        if len(one.wall) < self.steps and one.units == 1:
            yield f"{len(one.wall)} steps"
        if one.units > 1:
            yield f"{1e3 / one.cpu_ms():.0f} steps of a body a CPU second"
        if not level.trained and not one.full:
            yield "basis interpolated from 514 vertices"
            if one.tets == TETS:
                yield "cubature fitted here"
        if best is not None and one.basis is not None and one.poses and best.poses:
            n = min(len(one.poses), len(best.poses))
            full = np.array(best.poses[:n])
            off = np.array(one.poses[:n]) @ one.basis.T - full
            share = np.linalg.norm(off) / np.linalg.norm(full)
            yield f"{100 * share:.1f} % off full space over {n} steps"


def check(model: World) -> None:
    """Raise `InputError` unless the shipped model has all the cubatures that are measured."""
    lacking = [f"{k}-{r}" for k, r in SUBSPACES if f"{k}-{r}" not in model.shipped]
    if lacking:
        raise InputError(f"cubature: expected one for {', '.join(lacking)}; run hodsim cubature")
