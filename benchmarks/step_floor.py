"""The floor of a compiled step, counted operations over this core's rate; and what an H100 allows.

Counted are the matrix products of a step, 2 m n k each, as `step_cost` counts them. The rate is
what numpy's BLAS reaches on products of just those shapes, the time of an empty call taken off: the
best of all that have one row (GEMV), and the best of those that have several (GEMM). Materials,
activations, the r x r solve and Python are not in the floor.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from functools import cache
from typing import Final

import numpy as np

from hodsim.dynamics.compiled import CompiledSpace, step_cost
from hodsim.dynamics.compiled import plan as at

Product = tuple[int, int, int]  # m, n, k
_SAMPLES, _SAMPLE_S = 7, 2e-3

# NVIDIA's H100 SXM data sheet, dense FP64.
H100: Final = {"tensor": 67e12, "vector": 34e12, "bytes": 3.35e12, "processors": 132}


def products(space: CompiledSpace) -> tuple[list[Product], list[Product]]:
    """Products of an evaluation of the balance, and those that its matrices add."""
    plan = space.launcher.plan
    r, w, tets = plan.rank, plan.width, 9 * plan.tets
    widths = [int(n) for n in plan.layer.numpy()[: plan.layers, at.N]]
    rows = 1 if space.subspace.form == "linear" else 1 + r
    evaluate = [(rows, tets, w), (1, w, tets), (1, w, w), (1, w, w), (4, r, w)]
    matrices = [(r, w, w), (r, r, w), (r, r, tets)]
    for k, n in enumerate(widths):
        evaluate.append((1 + r, n, widths[k - 1]) if k else (1, n, r))
        matrices.append((r, r, n))
        if k:
            matrices.append((1, widths[k - 1], n))
    if widths:
        evaluate.append((1 + r, w, widths[-1] + r))
        matrices.append((1, widths[-1], w))
    return evaluate, matrices


def flops(some: list[Product]) -> float:
    return sum(2.0 * m * n * k for m, n, k in some)


class Floor:
    """Rates of one core, measured once for each set of shapes."""

    def ms(self, space: CompiledSpace, iterations: np.ndarray) -> np.ndarray:
        """The least times [ms] of steps of so many Newton iterations."""
        evaluate, matrices = products(space)
        rates = self.rates(space)

        def ms(some: list[Product]) -> float:
            return 1e3 * sum(flops([p]) / rates[p[0] == 1] for p in some)

        return (1.0 + iterations) * ms(evaluate) + iterations * ms(matrices)

    def rates(self, space: CompiledSpace) -> dict[bool, float]:
        """Operations a second of one row (True) and of several (False)."""
        evaluate, matrices = products(space)
        every = {*evaluate, *matrices}
        return {
            one: max((_rate(p, space.dtype) for p in every if (p[0] == 1) == one), default=1.0)
            for one in (True, False)
        }


@cache
def _rate(product: Product, dtype: str) -> float:
    empty, taken = _seconds((1, 1, 1), dtype), _seconds(product, dtype)
    # What is hardly longer than an empty call would leave noise.
    return flops([product]) / (taken - empty if taken > 2.0 * empty else taken)


@cache
def _seconds(product: Product, dtype: str) -> float:
    """CPU time of a call of numpy."""
    m, n, k = product
    rng = np.random.default_rng(0)
    A, B = (rng.standard_normal(shape).astype(dtype) for shape in ((m, k), (k, n)))
    C = np.empty((m, n), dtype)

    def seconds(calls: int) -> float:
        began = time.process_time()
        for _ in range(calls):
            np.matmul(A, B, out=C)
        return (time.process_time() - began) / calls

    calls = max(1, int(_SAMPLE_S / max(seconds(20), 1e-7)))
    return min(seconds(calls) for _ in range(_SAMPLES))


def h100_lines(space: CompiledSpace, iterations: float) -> Iterator[str]:
    """What an H100's data sheet allows, as arithmetic."""
    cost = step_cost(space, iterations)
    f, b = float(cost.flops), float(cost.bytes)
    flop, byte = f"{f / 1e6:.2f}e6", f"{b / 1e6:.2f}e6"
    yield (
        "H100, an ESTIMATE by arithmetic alone: nothing here was run on a GPU. Peaks of NVIDIA's "
        "data sheet (SXM): FP64 67 TFLOP/s in tensor cores and 34 without, 3.35 TB/s, 132 "
        "processors."
    )
    yield (
        f"  a step of {space.subspace.kind}-{space.subspace.rank} with {iterations:.2f} "
        f"iterations: {flop} operations in products, {byte} bytes of constants read"
    )
    for bodies in (1, 1000):
        tensor, vector, memory = (
            1e6 * bodies * x / H100[name]
            for x, name in ((f, "tensor"), (f, "vector"), (b, "bytes"))
        )
        yield (
            f"  {bodies} bod{'y' if bodies == 1 else 'ies'}: {flop} x {bodies} / 67e12 = "
            f"{tensor:.3g} us, / 34e12 = {vector:.3g} us; {byte} x {bodies} / 3.35e12 = "
            f"{memory:.3g} us if each body reads from memory"
        )
    block = 1e6 * f / (H100["vector"] / H100["processors"])
    yield (
        f"  one body is one block on one processor: {flop} / (34e12 / 132) = {block:.3g} us a step "
        "at best, without barriers or latency. The constants fit into 50 MB of L2 and bodies share "
        "them, so that the memory figures are upper bounds of that part"
    )
