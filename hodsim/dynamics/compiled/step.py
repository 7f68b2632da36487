"""The kernel: whole implicit steps of the incremental formulation, one block of threads a body."""

# No `from __future__ import annotations` here: Warp reads a function's annotations as objects.
# Warp needs int(0) and bool(True) for variables that change in a loop.
# ruff: noqa: RUF046, UP018
# mypy: disable-error-code="attr-defined,index"
from functools import cache
from typing import Any

import warp as wp

from hodsim.dynamics.compiled import plan as at
from hodsim.dynamics.compiled.balance import balance
from hodsim.dynamics.compiled.ends import ends
from hodsim.dynamics.compiled.maps import feature_map
from hodsim.dynamics.compiled.search import newton_method
from hodsim.kernels.block import block

CONVERGED = wp.constant(at.CONVERGED)
NOT_TAKEN = wp.constant(at.NOT_TAKEN)
GUESSES = wp.constant(3)


@cache
def step_kernel(form: str, law: str, real: Any, strided: bool) -> Any:
    """The kernel of a form of subspace, a material law, a scalar type and a branch of `block`."""
    b = block(real, strided)
    Plan, Bodies = at.plan_type(real), at.bodies_type(real)
    thread, threads, sync = b.thread, b.threads, b.sync
    array = wp.array(dtype=real)
    lanes = feature_map(form, real, strided).lanes
    declare = balance(form, law, real, strided).declare
    newton = newton_method(form, law, real, strided)
    start = ends(real, strided)
    loads_of, begin, guess, finish = start.loads_of, start.begin, start.guess, start.finish

    @wp.func(inline=False)
    def settle(s: wp.ref[Plan], w: array, y: array):
        """z and z' = J q' of the q and q' that stand in y."""
        Z = 4 * s.ld_q
        for i in range(thread(), s.rank, threads()):
            w[s.q + i] = y[i]
        sync()
        lanes(s, w)
        for j in range(thread(), s.width, threads()):
            rate = real(0.0)
            for i in range(s.rank):
                rate += w[s.Z + (1 + i) * s.ld_z + j] * y[s.ld_q + i]
            y[Z + j] = w[s.Z + j]
            y[Z + s.ld_z + j] = rate
        sync()

    @wp.kernel(module="unique", enable_backward=False)
    def step(s: Plan, all: Bodies, steps: int, first: int, row: int, stride: int, fresh: int):
        which, _lane = wp.tid()
        body = first + which
        # Blocks that run one after another share a row of scratch, which then stays in the cache.
        w = all.scratch[row + stride * which]
        y = all.state[body]
        residuals = all.residuals[body]
        Z = 4 * s.ld_q
        declare(s.model)
        going = bool(True)
        before = all.started[body] != 0
        if fresh == 1:
            settle(s, w, y)
            before = bool(False)
        for k in range(steps):
            if going:
                turned = loads_of(
                    s,
                    w,
                    all.amplitudes[k, body % all.amplitudes.shape[1]],
                    all.scales[body],
                    all.push[body],
                    all.pull[body],
                    all.pulls[body],
                )
                c = begin(s, w, y, before)
                effective = s.effective
                if s.bdf2 == 1 and before:
                    effective = s.effective + s.width * s.ld_z
                how = int(NOT_TAKEN)
                taken = int(0)
                attempt = int(0)
                while attempt < GUESSES and how != CONVERGED:
                    guess(s, w, y, attempt)
                    status, count = newton(s, w, c, effective, turned, residuals, all.lengths[body])
                    how = status
                    taken = count
                    attempt = attempt + 1
                going = how == CONVERGED
                if going:
                    finish(s, w, y, before)
                    before = bool(True)
                if thread() == 0:
                    all.status[k, body] = how
                    all.iterations[k, body] = taken
                    all.relative[k, body] = residuals[taken]
            elif thread() == 0:
                all.status[k, body] = NOT_TAKEN
            if k < all.latent.shape[0]:
                for i in range(thread(), s.rank, threads()):
                    all.latent[k, body, i] = y[i]
            if k < all.features.shape[0]:
                for j in range(thread(), s.width, threads()):
                    all.features[k, body, j] = y[Z + j]
                    all.velocities[k, body, j] = y[Z + s.ld_z + j]
            sync()
        if thread() == 0:
            all.started[body] = 0
            if before:
                all.started[body] = 1

    return step
