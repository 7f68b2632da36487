"""hodsim.derivatives on a problem."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from cases import Problem
from contender import Answer, Contender, Run, shaped
from nets import tensors, torch_net

from hodsim.derivatives import LanePlan, Lanes, contract, explain, hessian, jacobian, push


def ours(p: Problem) -> Contender:
    """The library's call for the quantity, as a user would write it."""
    return Contender("ours", "hodsim", lambda: _quiet(_call(p)), _lanes_tidy(p) or shaped(p))


def scheme(p: Problem) -> str:
    """The scheme that the planner picks, in its own word."""
    f = torch_net(p)
    x, a, b, c, w = tensors(p.x, p.a, p.b, p.c, p.w)
    with torch.no_grad():
        match p.quantity:
            case "jacobian":
                return explain(f, x, free=1).scheme
            case "hessian":
                return explain(f, x, free=2).scheme
            case "scalar-hessian":
                return explain(f, x, left=w, free=2).scheme
            case "third":
                return explain(f, x, right=[a, b], free=1).scheme
            case "number":
                return explain(f, x, right=[a, b, c], left=w).scheme
    return "forward"


def _call(p: Problem) -> Run:
    f = torch_net(p)
    x, a, b, c, w = tensors(p.x, p.a, p.b, p.c, p.w)
    match p.quantity:
        case "jacobian":
            return lambda: jacobian(f, x)
        case "hessian":
            return lambda: hessian(f, x)
        case "scalar-hessian":
            return lambda: hessian(f, x, left=w)
        case "third":
            return lambda: contract(f, x, right=[a, b], free=1)
        case "number":
            return lambda: contract(f, x, right=[a, b, c], left=w)
    plan = _plan(p.case.n)
    eye = torch.eye(p.case.n, dtype=x.dtype)[:, None].expand(-1, p.batch, -1)
    directions = torch.cat((eye, a[None]))
    return lambda: push(f, x, directions, plan)


def _plan(n: int) -> LanePlan:
    """All pairs of inputs, and every input along v = direction n, once and twice."""
    pairs = [(i, j) for i in range(n) for j in range(i, n)]
    return LanePlan.closure([*pairs, *((n, n, i) for i in range(n))], n + 1)


def _lanes_tidy(p: Problem) -> Any:
    if p.quantity != "lanes":
        return None
    n = p.case.n

    def tidy(lanes: Lanes) -> Answer:
        def last(*keys: tuple[int, ...]) -> np.ndarray:
            return np.stack([np.asarray(lanes[key]) for key in keys], -1)

        every = range(n)
        return (
            last(*((i,) for i in every)),
            np.stack([last(*((i, j) for j in every)) for i in every], -2),
            last(*((i, n) for i in every)),
            last(*((i, n, n) for i in every)),
        )

    return tidy


def _quiet(call: Run) -> Run:
    def run() -> Any:
        with torch.no_grad():
            return call()

    return run
