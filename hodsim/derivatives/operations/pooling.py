"""Pooling: averages are linear, and a maximum is a choice that the real lane makes."""

from __future__ import annotations

from typing import Any

import torch
from torch import Size, Tensor
from torch.nn import functional

from hodsim.derivatives.lane_tensor import LaneTensor
from hodsim.derivatives.primitives import (
    each,
    folded,
    is_channels_last,
    is_recorded,
    linear_map,
    untouched,
)
from hodsim.derivatives.rules import UnknownRuleError, carries


def _batched(name: str, x: LaneTensor, rank: int) -> None:
    if x.dim() != rank + 2:
        raise UnknownRuleError(
            f"{name}: expected (batch, channels, ...) with {rank + 2} axes, got {x.dim()}; "
            "unsqueeze a batch of one"
        )


def _max_pool(rank: int) -> Any:
    function = (functional.max_pool1d, functional.max_pool2d, functional.max_pool3d)[rank - 1]

    def rule(
        x: LaneTensor,
        kernel_size: Any,
        stride: Any = None,
        padding: Any = 0,
        dilation: Any = 1,
        ceil_mode: bool = False,
        return_indices: bool = False,
    ) -> LaneTensor:
        _batched(f"max_pool{rank}d", x, rank)
        if return_indices:
            raise UnknownRuleError(f"max_pool{rank}d: return_indices is not supported")
        real = x.value.detach()
        _, where = function(
            real, kernel_size, stride, padding, dilation, ceil_mode, return_indices=True
        )
        shape, chosen = real.shape, where.flatten(2)

        if is_recorded(x) and rank == 2:
            return _picked(x, where)

        def apply(v: Tensor) -> Tensor:
            index = chosen.expand(v.shape[0], *chosen.shape)
            return v.flatten(3).gather(3, index).reshape(v.shape[0], *where.shape)

        def transpose(c: Tensor) -> Tensor:
            index = chosen.expand(c.shape[0], *chosen.shape)
            out = c.new_zeros(c.shape[0], *shape[:2], shape[2:].numel())
            return out.scatter_add(3, index, c.flatten(3)).reshape(c.shape[0], *shape)

        return linear_map(x, apply, transpose)

    return rule


def _picked(x: LaneTensor, where: Tensor) -> LaneTensor:
    """The entries that max-pooling chose, by their numbers as they lie in memory.

    where : for every result the number of its pixel, (batch, channels, height, width).
    """
    (n, channels, *image), last = x.value.shape, is_channels_last(x)
    pixels = Size(image).numel()
    maps = torch.arange(n * channels, device=where.device).reshape(n, channels, 1, 1)
    if last:
        maps = maps // channels * (pixels * channels) + maps % channels
        numbers = (maps + where * channels).permute(0, 2, 3, 1)
    else:
        numbers = maps * pixels + where
    shape, numbers = numbers.shape, numbers.reshape(-1)

    def flat(v: Tensor) -> Tensor:
        return (v.permute(0, 2, 3, 1) if last else v).reshape(-1)

    def back(v: Tensor) -> Tensor:
        return (v.permute(0, 3, 1, 2) if last else v).unsqueeze(0)

    def apply(rows: Tensor) -> Tensor:
        return back(flat(rows[0]).index_select(0, numbers).reshape(shape))

    def transpose(rows: Tensor) -> Tensor:
        out = rows.new_zeros(n * channels * pixels).scatter_add_(0, numbers, flat(rows[0]))
        return back(out.reshape(n, *image, channels) if last else out.reshape(x.shape))

    return linear_map(x, apply, transpose)


# The transposes of average pooling, which torch has as operations of their own.
_AVERAGE: dict[int, Any] = {
    2: torch.ops.aten.avg_pool2d_backward,
    3: torch.ops.aten.avg_pool3d_backward,
}
_ADAPTIVE: dict[int, Any] = {
    2: torch.ops.aten._adaptive_avg_pool2d_backward,
    3: torch.ops.aten._adaptive_avg_pool3d_backward,
}


def _pooled(x: LaneTensor, apply: Any, back: Any) -> LaneTensor:
    """Average pooling of batches and its transpose, on all lanes as one batch."""
    shape, wide = x.value.shape[1:], is_recorded(x) and is_channels_last(x)

    def transpose(rows: Tensor) -> Tensor:
        def one(c: Tensor) -> Tensor:
            return back(c, untouched(c, shape, wide))

        return folded(rows, one)

    return linear_map(x, lambda rows: folded(rows, apply), transpose)


def _average(rank: int) -> Any:
    function = (functional.avg_pool2d, functional.avg_pool3d)[rank - 2]

    def rule(
        x: LaneTensor,
        kernel_size: Any,
        stride: Any = None,
        padding: Any = 0,
        ceil_mode: bool = False,
        count_include_pad: bool = True,
        divisor_override: int | None = None,
    ) -> LaneTensor:
        _batched(f"avg_pool{rank}d", x, rank)
        kernel = each(kernel_size, rank)
        options = (
            kernel,
            kernel if stride is None else each(stride, rank),
            each(padding, rank),
            ceil_mode,
            count_include_pad,
            divisor_override,
        )
        return _pooled(
            x, lambda v: function(v, *options), lambda c, at: _AVERAGE[rank](c, at, *options)
        )

    return rule


def _adaptive(rank: int) -> Any:
    function = (functional.adaptive_avg_pool2d, functional.adaptive_avg_pool3d)[rank - 2]

    def rule(x: LaneTensor, output_size: Any) -> LaneTensor:
        _batched(f"adaptive_avg_pool{rank}d", x, rank)
        return _pooled(x, lambda v: function(v, output_size), _ADAPTIVE[rank])

    return rule


@carries("avg_pool1d")
def _avg_pool1d(
    x: LaneTensor,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
) -> Any:
    _batched("avg_pool1d", x, 1)
    size, step, pad = (each(v, 1)[0] for v in (kernel_size, stride or kernel_size, padding))
    flat = functional.avg_pool2d(
        x.unsqueeze(2), (1, size), (1, step), (0, pad), ceil_mode, count_include_pad
    )
    return flat.squeeze(2)


@carries("adaptive_avg_pool1d")
def _adaptive_avg_pool1d(x: LaneTensor, output_size: Any) -> Any:
    _batched("adaptive_avg_pool1d", x, 1)
    return functional.adaptive_avg_pool2d(x.unsqueeze(2), (1, each(output_size, 1)[0])).squeeze(2)


for _rank in (1, 2, 3):
    _rule = _max_pool(_rank)
    carries(f"max_pool{_rank}d", f"max_pool{_rank}d_with_indices")(_rule)
for _rank in (2, 3):
    carries(f"avg_pool{_rank}d")(_average(_rank))
    carries(f"adaptive_avg_pool{_rank}d")(_adaptive(_rank))
