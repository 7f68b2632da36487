"""The public face: contracted and full derivatives of a network with respect to its input.

Shapes: x is (n,) or (batch, n), the network maps n inputs to m outputs, and results are batch
first. A direction is (n,), used at every point, or (batch, n). Results follow torch's grad mode:
gradients flow to parameters, points and directions where they ask for it; under
``torch.no_grad()`` or ``torch.inference_mode()`` it is faster.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import torch
from torch import Tensor, nn

from hodsim.derivatives.lanes import LanePlan, Lanes
from hodsim.derivatives.rules import linear_rows, linear_rule, propagate, rule_of, sequential_rule
from hodsim.errors import InputError


def push(f: nn.Module, x: Tensor, directions: Tensor, plan: LanePlan) -> Lanes:
    """All lanes of a plan at ``f(x)`` in one forward pass (Eq. 7, any order).

    Parameters
    ----------
    f : a module that the rule table knows.
    x : point or points, shape (n,) or (batch, n).
    directions : the plan's directions, shape (n_dir, n) or (n_dir, batch, n).
    plan : which mixed derivatives are wanted.

    Returns
    -------
    Lanes with values of shape (n_lanes, m) or (n_lanes, batch, m).
    """
    _check_point(f, x)
    return propagate(f, _seed(x, directions, plan))


def contract(
    f: nn.Module, x: Tensor, right: Sequence[Tensor] = (), left: Tensor | None = None
) -> Tensor:
    """``D^k f(x)[a, b, ...]`` (Eqs. 8-9); with ``left`` also dotted with the outputs.

    Its cost does not depend on n or m beyond the plain forward pass, and grows with the order k
    through the lanes only: 2^k of them when the directions differ, k + 1 when they are all the
    same.

    Parameters
    ----------
    f : a module that the rule table knows, n inputs, m outputs.
    x : shape (n,) or (batch, n).
    right : k directions, each (n,) or (batch, n); none gives f itself. A direction repeated (the
        same object, or equal values) travels once.
    left : weights over the outputs, shape (m,) or (batch, m).

    Returns
    -------
    shape (m,) or (batch, m); with ``left`` () or (batch,).
    """
    _check_point(f, x)
    unique: list[Tensor] = []
    lane: list[int] = []
    for i, a in enumerate(right):
        _check_like(f"right[{i}]", a, x, x.shape[-1])
        number = next((j for j, b in enumerate(unique) if _same(a, b)), len(unique))
        if number == len(unique):
            unique.append(a)
        lane.append(number)
    plan = LanePlan.closure([lane], len(unique))
    seeds = torch.stack([a.expand(x.shape) for a in unique]) if unique else x.new_empty(0, *x.shape)
    out = _block(f, x, seeds, plan)[0]
    if left is None:
        return out
    _check_like("left", left, x, out.shape[-1], "m")
    return (out * left).sum(-1)


def jvp(f: nn.Module, x: Tensor, v: Tensor) -> Tensor:
    """``D f(x)[v]``, shape (m,) or (batch, m); v of shape (n,) or (batch, n)."""
    _check_point(f, x)
    _check_like("v", v, x, x.shape[-1])
    return contract(f, x, [v])


def jacobian(f: nn.Module, x: Tensor) -> Tensor:
    """``D f(x)``, shape (m, n) or (batch, m, n)."""
    return _symmetric(f, x, 1, packed=False)


def hessian(f: nn.Module, x: Tensor, packed: bool = False) -> Tensor:
    """``D^2 f(x)``, shape ([batch,] m, n, n), from the lanes i <= j alone.

    packed : leave out the mirror images: ([batch,] m, n(n+1)/2), pairs i <= j in lexicographic
        order.
    """
    return _symmetric(f, x, 2, packed)


def third(f: nn.Module, x: Tensor, packed: bool = False) -> Tensor:
    """``D^3 f(x)``, shape ([batch,] m, n, n, n), from the lanes i <= j <= k alone.

    packed : leave out the mirror images: ([batch,] m, n(n+1)(n+2)/6), triples i <= j <= k in
        lexicographic order.
    """
    return _symmetric(f, x, 3, packed)


def _symmetric(f: nn.Module, x: Tensor, order: int, packed: bool) -> Tensor:
    _check_point(f, x)
    n = x.shape[-1]
    plan = LanePlan.symmetric(n, order)
    top = _block(f, x, torch.eye(n, dtype=x.dtype, device=x.device), plan)
    if not packed and order > 1:
        top = top.index_select(0, _mirrored(plan).to(x.device))
    top = top.movedim(0, -1)
    return top if packed else top.reshape(*top.shape[:-1], *(n,) * order)


@lru_cache(maxsize=16)
def _mirrored(plan: LanePlan) -> Tensor:
    """For every entry of a full symmetric tensor the row of the lane that holds it."""
    with torch.inference_mode(False):
        axes = torch.meshgrid([torch.arange(plan.n)] * plan.order, indexing="ij")
        return plan.rows_within(torch.stack([axis.flatten() for axis in axes], dim=1))


def _block(f: nn.Module, x: Tensor, directions: Tensor, plan: LanePlan) -> Tensor:
    """The plan's lanes of highest order at f(x), shape (count, [batch,] m).

    A last linear layer is applied to those lanes alone: in a decoder it is nearly all of the work.
    """
    lanes = _seed(x, directions, plan)
    if not (isinstance(f, nn.Sequential) and rule_of(f) is sequential_rule and len(f) > 0):
        return propagate(f, lanes).order(plan.order)
    *head, tail = f
    for child in head:
        lanes = propagate(child, lanes)
    if not (isinstance(tail, nn.Linear) and rule_of(tail) is linear_rule):
        return propagate(tail, lanes).order(plan.order)
    return linear_rows(tail, lanes.order(plan.order), real=plan.order == 0)


def _seed(x: Tensor, directions: Tensor, plan: LanePlan) -> Lanes:
    """The network's input as lanes: x, and the directions as imaginary parts."""
    if plan.order == 0:
        return Lanes(x.unsqueeze(0), plan, 0)
    seeds = directions
    if seeds.dim() == 2 and x.dim() == 2:
        seeds = seeds.unsqueeze(1).expand(-1, *x.shape)
    if seeds.shape != (plan.n, *x.shape):
        raise InputError(
            f"directions: expected shape ({plan.n}, n) or ({plan.n}, batch, n) with x of shape "
            f"{tuple(x.shape)}, got {tuple(directions.shape)}"
        )
    if seeds.dtype is not x.dtype or seeds.device != x.device:
        raise InputError(
            f"directions: expected {x.dtype} on {x.device} as x is, "
            f"got {seeds.dtype} on {seeds.device}"
        )
    return Lanes(torch.cat((x.unsqueeze(0), plan.seeds(seeds))), plan, 1)


def _check_point(f: nn.Module, x: Tensor) -> None:
    if not isinstance(f, nn.Module):
        raise InputError(f"f: expected a torch.nn.Module, got {type(f).__name__}")
    if not isinstance(x, Tensor) or x.dtype not in (torch.float32, torch.float64):
        kind = x.dtype if isinstance(x, Tensor) else type(x).__name__
        raise InputError(f"x: expected a float32 or float64 tensor, got {kind}")
    first = f
    while isinstance(first, nn.Sequential) and len(first) > 0:
        first = first[0]
    width = first.in_features if isinstance(first, nn.Linear) else "n"
    if x.dim() not in (1, 2) or width not in ("n", x.shape[-1]):
        raise InputError(f"x: expected shape ({width},) or (batch, {width}), got {tuple(x.shape)}")
    if isinstance(first, nn.Linear):
        weight = first.weight
        if weight.dtype is not x.dtype or weight.device != x.device:
            raise InputError(
                f"x: expected {weight.dtype} on {weight.device} as f's parameters are, "
                f"got {x.dtype} on {x.device}"
            )


def _check_like(name: str, a: Tensor, x: Tensor, width: int, symbol: str = "n") -> None:
    """Check a vector that goes with x: (width,) or, when x has a batch, (batch, width)."""
    if not isinstance(a, Tensor):
        raise InputError(f"{name}: expected a tensor, got {type(a).__name__}")
    allowed = [(width,)] + ([(x.shape[0], width)] if x.dim() == 2 else [])
    if tuple(a.shape) not in allowed:
        wanted = " or ".join(str(shape) for shape in allowed)
        raise InputError(
            f"{name}: expected shape {wanted} ({symbol} = {width}), got {tuple(a.shape)}"
        )
    if a.dtype is not x.dtype or a.device != x.device:
        raise InputError(
            f"{name}: expected {x.dtype} on {x.device} as x is, got {a.dtype} on {a.device}"
        )


def _same(a: Tensor, b: Tensor) -> bool:
    if a is b:
        return True
    # Two equal tensors that both want a gradient must each get their own.
    if a.requires_grad or b.requires_grad:
        return False
    return a.shape == b.shape and torch.equal(a, b)
