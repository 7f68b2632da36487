"""The cost of ONE fully contracted derivative, w . D^k f[a_1, ..., a_k].

Against the order k, where it must grow only with the lanes (2^k for distinct directions, k + 1 for
one repeated), and against the number of inputs n, on which only the first layer's own product may
depend.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, Final

import torch

from cases import Case, problem
from hodsim.derivatives import contract
from nets import torch_net
from timing import in_turn, rough_ms

ORDERS: Final = (1, 2, 3, 4, 5, 6)
INPUTS: Final = (8, 16, 32, 64, 128, 256, 512, 1024)
HIDDEN: Final = 200
LAYERS: Final = 8


def cost_rows(seed: int, rounds: int, tell: Callable[[str], None]) -> list[dict[str, Any]]:
    """Rows with keys sweep ("order" or "inputs"), directions, order, n, lanes, ms."""
    rows, runs = [], {}
    for row, run in _points(seed):
        tell(f"order {row['order']}, n = {row['n']}, {row['directions']} directions")
        runs[str(len(rows))] = run
        rows.append(row)
    rough = {name: rough_ms(run) for name, run in runs.items()}
    ms, _ = in_turn(runs, rough, rounds, 60.0)
    return [row | {"ms": ms[str(i)]} for i, row in enumerate(rows)]


def _points(seed: int) -> Iterator[tuple[dict[str, Any], Callable[[], Any]]]:
    for k in ORDERS:
        yield _point(seed, "order", k, HIDDEN, distinct=True)
        yield _point(seed, "order", k, HIDDEN, distinct=False)
    for n in INPUTS:
        yield _point(seed, "inputs", 3, n, distinct=True)
        yield _point(seed, "inputs", 0, n, distinct=True)


def _point(
    seed: int, sweep: str, k: int, n: int, distinct: bool
) -> tuple[dict[str, Any], Callable[[], Any]]:
    case = Case(f"cost/{n}", (n, *[HIDDEN] * LAYERS), "silu")
    p = problem(case, "number", "float64", 1, seed)
    f, x, w = torch_net(p), torch.from_numpy(p.x), torch.from_numpy(p.w)
    some = torch.randn(max(k, 1), 1, n, generator=torch.Generator().manual_seed(seed), dtype=x.dtype)
    directions = list(some[:k]) if distinct else [some[0]] * k
    row = {
        "sweep": sweep,
        "directions": "distinct" if distinct else "repeated",
        "order": k,
        "n": n,
        "lanes": 2**k if distinct else k + 1,
    }
    return row, partial(_run, f, x, directions, w)


@torch.no_grad()
def _run(f: Any, x: Any, right: Any, left: Any) -> Any:
    return contract(f, x, right=right, left=left)
