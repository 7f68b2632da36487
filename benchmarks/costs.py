"""The cost of ONE fully contracted derivative, w . D^k f[a_1, ..., a_k].

Against the order k, where it must grow only with the lanes (2^k for distinct directions, k + 1 for
one repeated), and against the number of inputs n, on which only the first layer's own product may
depend. That product is timed alone, too.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, Final

import numpy as np
import torch
from cases import Case, Problem, problem
from nets import tensors, torch_net
from timing import in_turn, rough_ms

from hodsim.derivatives import contract

ORDERS: Final = (1, 2, 3, 4, 5, 6)
INPUTS: Final = (8, 16, 32, 64, 128, 256, 512, 1024)
HIDDEN: Final = 200
LAYERS: Final = 8
# Order of the sweep over inputs.
ORDER: Final = 3

Point = tuple[dict[str, Any], Callable[[], Any]]


def cost_rows(seed: int, rounds: int, tell: Callable[[str], None]) -> list[dict[str, Any]]:
    """Rows with keys sweep ("order" or "inputs"), what, order, n, lanes, ms."""
    points = [*_over_orders(seed), *_over_inputs(seed)]
    runs = {str(i): run for i, (_, run) in enumerate(points)}
    tell("trying")
    rough = {name: rough_ms(run) for name, run in runs.items()}
    tell("timing")
    ms, _ = in_turn(runs, rough, rounds, 60.0)
    return [row | {"ms": ms[str(i)]} for i, (row, _) in enumerate(points)]


def _over_orders(seed: int) -> Iterator[Point]:
    p = _problem(HIDDEN, seed)
    some = _directions(p, max(ORDERS), seed)
    for k in ORDERS:
        yield _row("order", "distinct", k, p, 2**k), _contraction(p, list(some[:k]))
        yield _row("order", "repeated", k, p, k + 1), _contraction(p, [some[0]] * k)


def _over_inputs(seed: int) -> Iterator[Point]:
    for n in INPUTS:
        p = _problem(n, seed)
        some = _directions(p, ORDER, seed)
        yield _row("inputs", "distinct", ORDER, p, 2**ORDER), _contraction(p, list(some))
        yield _row("inputs", "value", 0, p, 1), _contraction(p, [])
        # The point and the directions meet the first layer; mixed lanes are zero before it.
        rows, W = np.ones((1 + ORDER, n)), np.ascontiguousarray(p.layers[0][0].T)
        product = partial(np.matmul, rows, W, out=np.empty((1 + ORDER, HIDDEN)))
        yield _row("inputs", "first layer's product", ORDER, p, 1 + ORDER), product


def _problem(n: int, seed: int) -> Problem:
    case = Case(f"cost/{n}", (n, *[HIDDEN] * LAYERS), "silu")
    return problem(case, "number", "float64", 1, seed)


def _directions(p: Problem, count: int, seed: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(count, 1, p.case.n, generator=generator, dtype=torch.float64)


def _contraction(p: Problem, right: list[torch.Tensor]) -> Callable[[], Any]:
    f = torch_net(p)
    x, w = tensors(p.x, p.w)

    @torch.no_grad()
    def run() -> torch.Tensor:
        return contract(f, x, right=right, left=w)

    return run


def _row(sweep: str, what: str, order: int, p: Problem, lanes: int) -> dict[str, Any]:
    return {"sweep": sweep, "what": what, "order": order, "n": p.case.n, "lanes": lanes}
