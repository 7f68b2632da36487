"""jax's step as a contender: every variant checked and tried, the quickest kept."""

from __future__ import annotations

import time
from statistics import median
from typing import Any

import jax
import numpy as np
from step_jax import JaxStep, state_of
from step_runs import Contender

from hodsim.dynamics.compiled import CompiledSpace
from hodsim.errors import ConvergenceError

_TRIED = 40  # steps
_EVERY = 8  # steps between those that are compared


def fastest(
    variants: list[JaxStep], space: CompiledSpace, steps: int, same: float
) -> tuple[list[Contender], list[str]]:
    """The quickest variant (in CPU time), a call a step and all steps in one; remarks.

    Raises `ConvergenceError` where q after a step is further from ours than `same`, relatively.
    """
    loads = np.array([space.amplitudes_at((k + 1) * space.h) for k in range(steps)])
    states = [space.start()]
    for _ in range(steps):
        after, result = space.step(states[-1])
        states.append(after)
        result.check("jax")
    tried, told = [], []
    for variant in variants:
        worst = 0.0
        for k in range(0, steps, _EVERY):
            _, (q, _) = variant.step(state_of(states[k]), loads[k])
            x = states[k + 1].motion.x
            worst = max(worst, float(np.abs(np.asarray(q) - x).max() / np.abs(x).max()))
        if not worst <= same:
            raise ConvergenceError(f"jax ({variant.name}): q is {worst:.1e} away from ours")
        y, times = state_of(states[0]), []
        for k in range(min(_TRIED, steps)):
            began = time.process_time()
            y, (_, taken) = variant.step(y, loads[k])
            int(taken)
            times.append(1e3 * (time.process_time() - began))
        tried.append((median(times), variant))
        told.append(f"jax: {variant.name}: {median(times):.3f} ms, q within {worst:.0e} of ours")
    best = min(tried, key=lambda pair: pair[0])[1]
    return [_stepped(best, space, loads), _scanned(best, space, loads)], told


def _stepped(variant: JaxStep, space: CompiledSpace, loads: np.ndarray) -> Contender:
    at: list[Any] = [state_of(space.start()), 0]

    def take() -> int:
        at[0], (_, taken) = variant.step(at[0], loads[at[1] % len(loads)])
        at[1] += 1
        return int(taken)  # waits for the answer

    def restart() -> None:
        at[:] = [state_of(space.start()), 0]

    return _contender(space, take, restart, ["jax", f"a call a step: {variant.name}"])


def _scanned(variant: JaxStep, space: CompiledSpace, loads: np.ndarray) -> Contender:
    y = state_of(space.start())

    def take() -> float:
        _, (_, taken) = variant.steps(y, loads)
        return float(np.asarray(jax.block_until_ready(taken)).mean())

    one = _contender(space, take, lambda: None, ["jax", "all steps in one lax.scan"])
    one.units, one.most = len(loads), 5
    return one


def _contender(space: CompiledSpace, take: Any, restart: Any, notes: list[str]) -> Contender:
    assert space.cubature is not None
    s = space.subspace
    return Contender(
        s.kind, s.rank, len(space.cubature.tets), take, restart, notes=notes, space=space
    )
