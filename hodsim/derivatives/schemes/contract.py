"""Picking a scheme for a contraction of a chain, and running it."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from math import comb

import torch
from torch import Tensor

from hodsim.derivatives.chain import Chain
from hodsim.derivatives.lanes import Lane, LanePlan
from hodsim.derivatives.planner import choose
from hodsim.derivatives.schemes.forward import forward
from hodsim.derivatives.schemes.pairs import pairs
from hodsim.derivatives.schemes.tangent import adjoints, bottleneck, tangents
from hodsim.derivatives.schemes.walk import Walk
from hodsim.errors import InputError


def contract(
    chain: Chain,
    x: Tensor,
    right: Sequence[Tensor],
    left: Tensor | None,
    free: int,
    scheme: str | None,
    packed: bool,
) -> Tensor:
    """See `hodsim.derivatives.chain.contract_chain`."""
    if chain.dtype is not None and chain.dtype is not x.dtype:
        raise InputError(f"x: expected {chain.dtype} as f's parameters are, got {x.dtype}")
    dense, lane = unique(right, x)
    k = len(lane)
    walk = Walk(chain, x)
    pick = choose(
        dims_of(walk),
        k=k,
        free=free,
        left=left is not None,
        batch=len(x),
        lanes=LanePlan.closure([lane], len(dense)).n_lanes,
        scheme=scheme,
    ).scheme
    directions = torch.stack(dense) if dense else None
    if free == 0:
        plan = LanePlan.closure([lane], len(dense))
        return weigh(forward(walk, x, 0, directions, plan, top=True)[:, 0], left)
    if not walk.n_act:
        return weigh(_straight(walk, x, k, free, packed), left)
    if free == 1:
        plan = LanePlan.closure([lane], len(dense))
        if pick == "adjoint":
            out = adjoints(walk, x, directions, plan, left)
            return out if left is None else out[:, 0]
        rows = bottleneck if pick == "bottleneck" else tangents
        return weigh(rows(walk, x, directions, plan).transpose(1, 2), left)
    if pick in ("pairs", "bottleneck"):
        return pairs(walk, x, left, packed, inner=pick == "bottleneck")
    plan, index = open_plan(walk.n, free, lane, len(dense))
    top = forward(walk, x, walk.n, directions, plan, top=True)
    if not packed and free > 1:
        top = top.index_select(1, index)
    top = weigh(top.transpose(1, 2), left)
    return top if packed or free == 1 else top.unflatten(-1, (walk.n,) * free)


def dims_of(walk: Walk) -> tuple[tuple[int, ...], ...]:
    """For each linear map the widths it passes through, from its input to its output."""
    dims, n = [], walk.n
    for step in walk.maps:
        through = (n, *(linear.n_out for linear in step))
        dims.append(through)
        n = through[-1]
    return tuple(dims)


def unique(right: Sequence[Tensor], x: Tensor) -> tuple[list[Tensor], Lane]:
    """Directions without repetition, each (batch, n), and the lane that names them."""
    found: list[Tensor] = []
    lane: list[int] = []
    for a in right:
        number = next((i for i, b in enumerate(found) if b is a), len(found))
        if number == len(found):
            found.append(a)
        lane.append(number)
    return [a.expand(x.shape) for a in found], tuple(sorted(lane))


def weigh(out: Tensor, left: Tensor | None) -> Tensor:
    """Dot the axis of the outputs, the second, with left."""
    if left is None:
        return out
    weights = left.expand(len(out), out.shape[1])
    return torch.einsum("bm...,bm->b...", out, weights)


@lru_cache(maxsize=64)
def open_plan(n: int, free: int, lane: Lane, dense: int) -> tuple[LanePlan, Tensor]:
    """The plan with lanes (i, j, ..., lane) for all i <= j <= ..., and where a full tensor's
    entries stand among them."""
    with torch.inference_mode(False):
        opened = LanePlan.symmetric(n, free)
        index = opened.rows_within(
            torch.stack(
                [a.flatten() for a in torch.meshgrid([torch.arange(n)] * free, indexing="ij")], 1
            )
        )
        if not lane:
            return opened, index
        shifted = tuple(n + i for i in lane)
        wanted = [(*free_part, *shifted) for free_part in opened.blocks[free].tolist()]
        return LanePlan.closure(wanted, n + dense), index


def _straight(walk: Walk, x: Tensor, k: int, free: int, packed: bool) -> Tensor:
    """A chain without activations: its Jacobian, and zeros from the second order on."""
    n = walk.n
    if k + free == 1:
        plan = LanePlan.symmetric(n, 1)
        return forward(walk, x, n, None, plan, top=True).transpose(1, 2)
    shape = (comb(n + free - 1, free),) if packed else (n,) * free
    return x.new_zeros(len(x), walk.m, *shape)
