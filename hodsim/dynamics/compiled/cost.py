"""What a compiled step costs, counted: the floor that its time is held against."""

from __future__ import annotations

from dataclasses import dataclass

from hodsim.dynamics.compiled import plan as at
from hodsim.dynamics.compiled.space import CompiledSpace


@dataclass(frozen=True)
class Cost:
    """Floating-point operations of one step's matrix products, and the bytes of the constants that
    they read (weights, cubature, mass), each once a product."""

    flops: float
    bytes: float


def step_cost(space: CompiledSpace, iterations: float) -> Cost:
    """The cost of a step of so many Newton iterations, each with a full step length.

    Only products are counted, 2 m n k each: materials, activations and the r x r solve come on
    top. An iteration evaluates the balance once and its matrices once; the first guess is one more
    evaluation.
    """
    plan = space.launcher.plan
    r, w, tets = plan.rank, plan.width, 9 * plan.tets
    layers = plan.layer.numpy()[: plan.layers]
    widths = [int(n) for n in layers[:, at.N]]
    flat = space.subspace.form == "linear"
    rows = 1 if flat else 1 + r
    evaluate: list[tuple[int, int, int]] = [(rows, tets, w), (1, tets, w), (2, w, w)]
    matrices: list[tuple[int, int, int]] = [(r, w, w)]
    for k, n in enumerate(widths):
        evaluate.append((1 + r, n, widths[k - 1]) if k else (1, n, r))
        if k:
            matrices.append((1, n, widths[k - 1]))
    if widths:
        evaluate.append((1 + r, w, widths[-1] + r))
        matrices.append((1, w, widths[-1]))
    # Of a polynomial; none without one.
    pairs = int(plan.layer.numpy()[plan.layers, at.PAIRS]) if not tets else 0
    if pairs:
        evaluate += [(1, pairs, w), (1, pairs, pairs), (1, w, w)]
        matrices += [] if flat else [(r, w, w)]
    size = 8 if space.dtype == "float64" else 4
    # Products of rows that are already there read no constants.
    inner = [(4, r, w)]
    outer = [(r, r, w), (r, r, tets), *((r, r, n) for n in widths)]
    if pairs and not flat:
        outer.append((r, r, w))

    def flops(products: list[tuple[int, int, int]]) -> float:
        return sum(2.0 * m * n * k for m, n, k in products)

    def read(products: list[tuple[int, int, int]]) -> float:
        return sum(float(size * n * k) for _, n, k in products)

    return Cost(
        flops=(1 + iterations) * flops(evaluate + inner) + iterations * flops(matrices + outer),
        bytes=(1 + iterations) * read(evaluate) + iterations * read(matrices),
    )
