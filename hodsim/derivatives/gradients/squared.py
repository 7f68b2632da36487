"""A squared norm at every point of a batch as one step of autograd's graph.

The cotangent of a squared norm is the quantity itself, times a number for each point. Losses are
means, whose numbers are all alike: the gradients are then made right behind the norm, on the same
tile, and nothing of the lanes outlives it. Only where the numbers differ is the work done again.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor


class Squares(NamedTuple):
    """Squared norms, and gradients of their weighted sum.

    values : shape (batch,).
    shared : the gradient of each tensor that all points have in common; none if not wanted.
    own : the gradient of each tensor that has the points as its first axis.
    """

    values: Tensor
    shared: list[Tensor]
    own: list[Tensor]


Work = Callable[[Sequence[Tensor], Sequence[Tensor], Tensor | None, bool], Squares]


def squared(work: Work, shared: Sequence[Tensor], own: Sequence[Tensor]) -> Tensor:
    """``work(shared, own, weights, wanted).values`` with its gradients, shape (batch,).

    work : gives gradients if wanted, of the values' sum or of their sum with weights.

    Its gradients cannot be differentiated again, and say so.
    """
    wanted = torch.is_grad_enabled() and any(a.requires_grad for a in (*shared, *own))
    if not wanted:
        with torch.no_grad():
            return work(shared, own, None, False).values
    return _Squared.apply(work, len(shared), *shared, *own)


class _Squared(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, work: Work, count: int, *tensors: Tensor) -> Tensor:
        done = work(tensors[:count], tensors[count:], None, True)
        ctx.save_for_backward(*tensors)
        ctx.work, ctx.count, ctx.done = work, count, done
        return done.values

    @staticmethod
    def backward(ctx: Any, weights: Tensor) -> Any:
        if torch.is_grad_enabled():
            raise RuntimeError(
                "squared norm of derivatives: its gradient cannot be differentiated again "
                "(create_graph=True); square jacobian or hessian_diagonal yourself"
            )
        if bool((weights == weights[:1]).all()):  # all alike
            by = weights[0] if len(weights) else weights.new_zeros(())
            shared = [g * by for g in ctx.done.shared]
            own = [g * by for g in ctx.done.own]
        else:
            tensors = ctx.saved_tensors
            count = ctx.count
            _, shared, own = ctx.work(tensors[:count], tensors[count:], weights, True)
        return None, None, *shared, *own
