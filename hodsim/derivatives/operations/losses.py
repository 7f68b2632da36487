"""Losses, as torch defines them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from hodsim.derivatives.activations import logistic
from hodsim.derivatives.lane_tensor import LaneTensor
from hodsim.derivatives.operations.pointwise import log_softmax
from hodsim.derivatives.primitives import elementwise
from hodsim.derivatives.rules import Rule, UnknownRuleError, carries


def _loss(name: str) -> Callable[[Rule], Rule]:
    """Decorator for the rule of a loss, without the arguments that torch keeps for old code."""

    def keep(rule: Rule) -> Rule:
        @carries(name)
        def checked(*args: Any, size_average: Any = None, reduce: Any = None, **kwargs: Any) -> Any:
            if size_average is not None or reduce is not None:
                raise UnknownRuleError(
                    f"{name}: size_average and reduce are not supported, use reduction"
                )
            return rule(*args, **kwargs)

        return rule

    return keep


def _reduced(each: Any, reduction: str) -> Any:
    if reduction == "none":
        return each
    return each.sum() if reduction == "sum" else each.mean()


@_loss("mse_loss")
def _mse_loss(
    x: Any,
    target: Any,
    reduction: str = "mean",
    weight: Tensor | None = None,
) -> Any:
    difference = x - target
    each = difference * difference
    return _reduced(each if weight is None else each * weight, reduction)


@_loss("nll_loss")
def _nll_loss(
    x: LaneTensor,
    target: Tensor,
    weight: Tensor | None = None,
    ignore_index: int = -100,
    reduction: str = "mean",
) -> Any:
    kept = target != ignore_index
    classes = torch.where(kept, target, 0)
    scale = kept.to(x.value)
    if weight is not None:
        scale = scale * weight[classes]
    picked: Any = x.gather(1, classes.unsqueeze(1)).squeeze(1)
    each = picked * -scale
    return each.sum() / scale.sum() if reduction == "mean" else _reduced(each, reduction)


@_loss("cross_entropy")
def _cross_entropy(
    x: LaneTensor,
    target: Any,
    weight: Tensor | None = None,
    ignore_index: int = -100,
    reduction: str = "mean",
    label_smoothing: float = 0.0,
) -> Any:
    axis = 1 if x.dim() > 1 else 0
    logarithms: Any = log_softmax(x, axis)
    if target.is_floating_point():  # probabilities of the classes
        if label_smoothing:
            target = target * (1 - label_smoothing) + label_smoothing / x.shape[axis]
        each: Any = logarithms * -target
        if weight is not None:
            each = each * weight.reshape(-1, *(1,) * (x.dim() - 1 - axis))
        each = each.sum(axis)
        count = each.numel()
        return each.sum() / count if reduction == "mean" else _reduced(each, reduction)
    if x.dim() == 1:
        logarithms, target = logarithms.unsqueeze(0), target.unsqueeze(0)
        if reduction == "none":
            raise UnknownRuleError("cross_entropy: expected a batch where reduction='none'")
    plain = _nll_loss(logarithms, target, weight, ignore_index=ignore_index, reduction=reduction)
    if not label_smoothing:
        return plain
    if weight is not None or bool((target == ignore_index).any()):
        raise UnknownRuleError("cross_entropy: label_smoothing with weights or ignored targets")
    smooth = _reduced(-logarithms.sum(1), reduction) / x.shape[axis]
    return plain * (1 - label_smoothing) + smooth * label_smoothing


@_loss("binary_cross_entropy_with_logits")
def _logits_loss(
    x: Any,
    target: Any,
    weight: Tensor | None = None,
    reduction: str = "mean",
    pos_weight: Tensor | None = None,
) -> Any:
    if pos_weight is not None:
        raise UnknownRuleError("binary_cross_entropy_with_logits: pos_weight is not supported")
    if isinstance(x, LaneTensor) and _is_plain(target, x):
        each: Any = elementwise(x, lambda real, order: _logistic_loss(real, target, order))
    else:
        log_s = torch.nn.functional.logsigmoid
        each = -(log_s(x) * target + log_s(-x) * (1 - target))
    return _reduced(each if weight is None else each * weight, reduction)


def _is_plain(target: Any, x: LaneTensor) -> bool:
    """Whether targets are constants of the shape and type of x."""
    same = isinstance(target, Tensor) and target.shape == x.shape and target.dtype is x.dtype
    return same and not isinstance(target, LaneTensor)


def _logistic_loss(x: Tensor, target: Tensor, order: int) -> list[Tensor]:
    """-(t log s(x) + (1 - t) log s(-x)), whose derivatives are s - t, s', s'', ...

    Each end is used where it is exact: a confident logit loses no digits at t = 0 or 1.
    """
    log_s = torch.nn.functional.logsigmoid
    out = [-torch.lerp(log_s(-x), log_s(x), target)]
    if order >= 1:
        s = logistic(x, order - 1)
        out += [torch.lerp(s[0], -torch.sigmoid(-x), target), *s[1:]]
    return out
