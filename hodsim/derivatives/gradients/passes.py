"""Lanes through a chain as one step of autograd's graph, some points at a time.

All that a tile needs stays in a core's cache, and of what autograd would keep of every operation
only what cannot be remade is kept. Orders one and two, Laplacians among them, have their
way back written out (`second`); higher ones are run again with a graph of their own, tile by tile.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from hodsim.derivatives.gradients.layers import Maps, derivatives, maps_of
from hodsim.derivatives.gradients.second import Second
from hodsim.derivatives.lanes import LanePlan, Lanes
from hodsim.derivatives.mixing import compose

_TILE = 2**16  # entries of all lanes of a layer's tile


class Task(NamedTuple):
    """What is asked for.

    activations : see `Maps`. biased : which maps have a bias.
    directions : of the plan, the same at every point, (n_dir, n).
    start : the first of the plan's rows that is wanted.
    """

    activations: list[Any]
    biased: list[bool]
    directions: Tensor
    plan: LanePlan
    start: int

    def maps(self, tensors: Sequence[Tensor]) -> Maps:
        """The maps, from the weights and behind them the biases that there are."""
        count = len(self.biased)
        biases = iter(tensors[count:])
        own = [next(biases) if biased else None for biased in self.biased]
        return Maps(list(tensors[:count]), own, self.activations)


def chain_lanes(
    f: nn.Module, x: Tensor, directions: Tensor, plan: LanePlan, start: int = 0
) -> Tensor:
    """Rows ``start`` and on of a plan's lanes at f(x), shape (rows, batch, m).

    Gradients flow to parameters and points, and can be differentiated again (which takes longer).

    f : a chain (see `chain_of`). x : shape (batch, n).
    directions : shape (n_dir, n); no gradient flows to them.
    plan : of order 1 at least.
    """
    maps = maps_of(f, x)
    biases = [b for b in maps.biases if b is not None]
    task = Task(maps.activations, [b is not None for b in maps.biases], directions, plan, start)
    return _Pass.apply(task, x, *maps.weights, *biases)


class _Pass(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, task: Task, x: Tensor, *tensors: Tensor) -> Tensor:
        maps = task.maps(tensors)
        keeps = any(ctx.needs_input_grad)
        out = x.new_empty(task.plan.n_lanes - task.start, len(x), maps.weights[-1].shape[0])
        second = Second.of(maps, task.directions, task.plan, task.start)
        widest = max(w.shape[0] for w in maps.weights)
        ctx.step = max(16, _TILE // (widest * task.plan.n_lanes))
        ctx.kept = []
        for where in _tiles(len(x), ctx.step):
            if second is None:
                out[:, where] = plain_lanes(task, maps, x[where])
            else:
                kept: list[Any] = []
                second.forward(x[where], out[:, where], kept)
                if keeps:
                    ctx.kept.append(kept)
        ctx.second, ctx.task = second, task
        ctx.save_for_backward(x, *tensors)
        return out

    @staticmethod
    def backward(ctx: Any, cotangent: Tensor) -> Any:
        x, *tensors = ctx.saved_tensors
        if torch.is_grad_enabled():
            out = plain_lanes(ctx.task, ctx.task.maps(tensors), x)
            wanted = [
                a for a, need in zip((x, *tensors), ctx.needs_input_grad[1:], strict=True) if need
            ]
            found = iter(torch.autograd.grad(out, wanted, cotangent, create_graph=True))
            return None, *(next(found) if need else None for need in ctx.needs_input_grad[1:])
        dx = torch.empty_like(x)
        if ctx.second is None:
            sums = [torch.zeros_like(a) for a in tensors]
            for where in _tiles(len(x), ctx.step):
                dx[where] = _again(ctx.task, x[where], tensors, cotangent[:, where], sums)
            return None, dx, *sums
        sums = ctx.second.start_backward()
        for where, kept in zip(_tiles(len(x), ctx.step), ctx.kept, strict=True):
            dx[where] = ctx.second.backward(x[where], cotangent[:, where], kept, sums)
        weights, biases = sums
        own = [b for b, biased in zip(biases, ctx.task.biased, strict=True) if biased]
        return None, dx, *weights, *own


def _tiles(count: int, step: int) -> list[slice]:
    return [slice(start, start + step) for start in range(0, count, step)]


def _again(
    task: Task, x: Tensor, tensors: Sequence[Tensor], cotangent: Tensor, sums: Sequence[Tensor]
) -> Tensor:
    """One tile once more, with a graph; adds to the sums and gives the gradient by the points."""
    with torch.enable_grad():
        leaves = [a.detach().requires_grad_() for a in (x, *tensors)]
        out = plain_lanes(task, task.maps(leaves[1:]), leaves[0])
    found = torch.autograd.grad(out, leaves, cotangent, allow_unused=True)
    for total, part in zip(sums, found[1:], strict=True):
        if part is not None:
            total += part
    return torch.zeros_like(x) if found[0] is None else found[0]


def plain_lanes(task: Task, maps: Maps, x: Tensor) -> Tensor:
    """The same of torch's own operations alone."""
    plan = task.plan
    seeds = plan.seeds(task.directions).unsqueeze(1)
    if plan.order == 1:
        seeds = plan.gather(seeds)
    moved = seeds @ maps.weights[0].mT
    real = _affine(x, maps.weights[0], maps.biases[0]).unsqueeze(0)
    lanes = Lanes(torch.cat((real, moved.expand(-1, len(x), -1))), plan, 1)
    for (module, sigma), weight, bias in zip(
        maps.activations, maps.weights[1:], maps.biases[1:], strict=True
    ):
        mixed = compose(lanes, derivatives(module, sigma, lanes.values[0], plan.order))
        values = mixed.values @ weight.mT
        if bias is not None:
            values = torch.cat((values[:1] + bias, values[1:]))
        lanes = Lanes(values, plan, mixed.filled)
    return lanes.fill().values[task.start :]


def _affine(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    return torch.nn.functional.linear(x, weight, bias)
