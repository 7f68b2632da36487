"""Normalisation, made of sums, products and one elementwise power, so that all orders follow.

Batch normalisation in training mode is a function of the whole batch: its mean and variance carry
lanes (paper, 'special batch-wise activation'). The running statistics are read at most, never
written.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Size, Tensor
from torch.nn.modules import batchnorm

from hodsim.derivatives.batch_step import BatchNorm
from hodsim.derivatives.lane_tensor import LaneTensor
from hodsim.derivatives.primitives import is_recorded, recorded, value_of
from hodsim.derivatives.rules import UnknownRuleError, carries, register_rule

Weight = LaneTensor | Tensor | None


def _normalised(x: Any, axes: Sequence[int], eps: float) -> Any:
    """(x - mean) / sqrt(variance + eps) over these axes."""
    centred: Any = x - x.mean(axes, keepdim=True)
    variance: Any = (centred * centred).mean(axes, keepdim=True)
    return centred * torch.rsqrt(variance + eps)


def _affine(y: Any, weight: Weight, bias: Weight, shape: Sequence[int]) -> LaneTensor:
    if weight is not None:
        y = y * weight.reshape(shape)
    return y if bias is None else y + bias.reshape(shape)


@carries("batch_norm")
def batch_norm(
    x: Any,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    weight: Weight = None,
    bias: Weight = None,
    training: bool = False,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> LaneTensor:
    """Batch normalisation over all axes but the second; momentum is not used."""
    channels = [1, -1, *(1,) * (x.dim() - 2)]
    if training or running_mean is None or running_var is None:
        if isinstance(x, LaneTensor):
            axes = [0, *range(2, x.dim())]
            if Size(x.shape[a] for a in axes).numel() < 2:
                raise UnknownRuleError(
                    "batch_norm: expected more than one value per channel when training"
                )
            # torch's kernel is wrong where its own derivatives are asked for.
            if is_recorded(x) and not torch.is_grad_enabled():
                return _at_once(x, weight, bias, eps)
            return _affine(_normalised(x, axes, eps), weight, bias, channels)
        axes = [0, *range(2, x.dim())]
        centred = x - x.mean(axes, keepdim=True)
        y = centred * (centred.square().mean(axes, keepdim=True) + eps).rsqrt()
        return _affine(y, weight, bias, channels)
    y = (x - running_mean.reshape(channels)) * (running_var.reshape(channels) + eps).rsqrt()
    return _affine(y, weight, bias, channels)


def _at_once(x: LaneTensor, weight: Weight, bias: Weight, eps: float) -> LaneTensor:
    affine = isinstance(weight, LaneTensor), isinstance(bias, LaneTensor)
    step = BatchNorm(x.value, value_of(weight), eps, affine)
    parents = [part for part in (x, weight, bias) if isinstance(part, LaneTensor)]
    return recorded(step.value(value_of(bias)), parents, step)


@register_rule(batchnorm._BatchNorm)
def _batch_norm(module: batchnorm._BatchNorm, input: LaneTensor) -> LaneTensor:
    # Not forward itself, which counts the batches that it has seen.
    module._check_input_dim(input)
    batch_statistics = module.training or module.running_mean is None
    return batch_norm(
        input,
        module.running_mean,
        module.running_var,
        module.weight,
        module.bias,
        batch_statistics,
        0.0,
        module.eps,
    )


@carries("layer_norm")
def _layer_norm(
    x: LaneTensor,
    normalized_shape: Sequence[int],
    weight: Weight = None,
    bias: Weight = None,
    eps: float = 1e-5,
) -> LaneTensor:
    shape = tuple(normalized_shape)
    axes = list(range(x.dim() - len(shape), x.dim()))
    return _affine(_normalised(x, axes, eps), weight, bias, shape)


@carries("group_norm")
def _group_norm(
    x: LaneTensor, num_groups: int, weight: Weight = None, bias: Weight = None, eps: float = 1e-5
) -> LaneTensor:
    grouped: Any = x.reshape(x.shape[0], num_groups, -1)
    y = _normalised(grouped, [2], eps).reshape(x.shape)
    return _affine(y, weight, bias, [1, -1, *(1,) * (x.dim() - 2)])


@carries("instance_norm")
def _instance_norm(
    x: LaneTensor,
    running_mean: Tensor | None = None,
    running_var: Tensor | None = None,
    weight: Weight = None,
    bias: Weight = None,
    use_input_stats: bool = True,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> LaneTensor:
    if not use_input_stats:
        return batch_norm(x, running_mean, running_var, weight, bias, False, momentum, eps)
    y = _normalised(x, list(range(2, x.dim())), eps)
    return _affine(y, weight, bias, [1, -1, *(1,) * (x.dim() - 2)])
