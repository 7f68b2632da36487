"""Picking a scheme for a contraction of a chain, and running it."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from math import comb

import torch
from torch import Tensor

from hodsim.derivatives.chain import Chain, Signature
from hodsim.derivatives.lanes import Lane, LanePlan, mirrored
from hodsim.derivatives.planner import choose
from hodsim.derivatives.schemes.forward import forward, inputs_of
from hodsim.derivatives.schemes.pairs import pairs
from hodsim.derivatives.schemes.tangent import adjoints, tangents
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
    n, k = x.shape[1], len(lane)
    pick = picked(chain.shape, n, lane, free, left is not None, scheme)
    if left is not None:
        left = left.detach().contiguous()
    inputs = inputs_of(x, dense)
    if free and not chain.activations:
        return weigh(_straight(chain, inputs, k, free, packed), left)
    if free <= 1:
        plan = closed(lane)
        if free == 0:
            return weigh(forward(chain, inputs, False, plan, top=True)[:, 0], left)
        if pick == "adjoint":
            out = adjoints(chain, inputs, plan, left)
            return out if left is None else out[:, 0]
        rows = tangents(chain, inputs, plan, inner=pick == "bottleneck")
        return weigh(rows.transpose(1, 2), left)
    if pick in ("pairs", "bottleneck"):
        return pairs(chain, inputs, left, packed, inner=pick == "bottleneck")
    plan, index = open_plan(n, free, lane)
    top = forward(chain, inputs, True, plan, top=True)
    if not packed:
        top = top.index_select(1, index)
    top = weigh(top.transpose(1, 2), left)
    return top if packed else top.unflatten(-1, (n,) * free)


@lru_cache(maxsize=1024)
def picked(shape: Signature, n: int, lane: Lane, free: int, left: bool, scheme: str | None) -> str:
    """The planner's scheme."""
    lanes = closed(lane).n_lanes
    return choose(dims_of(shape, n), len(lane), free, left, lanes=lanes, scheme=scheme).scheme


@lru_cache(maxsize=64)
def closed(lane: Lane) -> LanePlan:
    """The plan of a lane and its parts."""
    return LanePlan.closure([lane], max(lane, default=-1) + 1)


def dims_of(shape: Signature, n: int) -> tuple[tuple[int, ...], ...]:
    """For each linear map the widths it passes through, from its input to its output."""
    dims = []
    for step in shape.maps:
        dims.append((n, *(out for out, *_ in step)))
        n = dims[-1][-1]
    return tuple(dims)


def unique(right: Sequence[Tensor], x: Tensor) -> tuple[Tensor | None, Lane]:
    """Directions without repetition, (count, n) or (count, batch, n), and the lane they make."""
    found: list[Tensor] = []
    lane: list[int] = []
    for a in right:
        number = next((i for i, b in enumerate(found) if b is a), len(found))
        if number == len(found):
            found.append(a)
        lane.append(number)
    if not found:
        return None, ()
    if any(a.dim() == 2 for a in found):
        found = [a.expand(x.shape) for a in found]
    return torch.stack(found), tuple(sorted(lane))


def weigh(out: Tensor, left: Tensor | None) -> Tensor:
    """Dot the axis of the outputs, the second, with left."""
    if left is None:
        return out
    weights = left.expand(len(out), out.shape[1])
    return torch.einsum("bm...,bm->b...", out, weights)


@lru_cache(maxsize=64)
def open_plan(n: int, free: int, lane: Lane) -> tuple[LanePlan, Tensor]:
    """The plan with lanes (i, j, ..., lane) for all i <= j <= ..., and where a full tensor's
    entries stand among them."""
    opened, index = LanePlan.symmetric(n, free), mirrored(n, free)
    if not lane:
        return opened, index
    shifted = tuple(n + i for i in lane)
    wanted = [(*free_part, *shifted) for free_part in opened.blocks[free].tolist()]
    return LanePlan.closure(wanted, n + max(lane) + 1), index


def _straight(chain: Chain, inputs: Tensor, k: int, free: int, packed: bool) -> Tensor:
    """A chain without activations: its Jacobian, and zeros from the second order on."""
    n = inputs.shape[2]
    if k + free == 1:
        return forward(chain, inputs, True, LanePlan.symmetric(n, 1), top=True).transpose(1, 2)
    shape = (comb(n + free - 1, free),) if packed else (n,) * free
    return inputs.new_zeros(len(inputs), chain.shape.widths(n)[-1], *shape)
