"""Linear layers, convolutions and matrix products; their weights may carry lanes too (Eq. 7)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Final

import torch
from torch import Tensor
from torch.nn import functional

from hodsim.derivatives.lane_tensor import LaneTensor
from hodsim.derivatives.operations import taps
from hodsim.derivatives.primitives import (
    bilinear_map,
    each,
    folded,
    is_recorded,
    linear_map,
    untouched,
    value_of,
)
from hodsim.derivatives.rules import UnknownRuleError, carries
from hodsim.derivatives.steps import Sums

Weight = LaneTensor | Tensor


def _flat(v: Tensor) -> Tensor:
    return v.reshape(-1, v.shape[-1])


def _times(v: Tensor, W: Tensor, bias: Tensor | None = None) -> Tensor:
    # ONE matrix product for all lanes (Eq. 7).
    flat = _flat(v)
    y = flat @ W.t() if bias is None else torch.addmm(bias, flat, W.t())
    return y.reshape(*v.shape[:-1], W.shape[0])


def _back(c: Tensor, W: Tensor) -> Tensor:
    return (_flat(c) @ W).reshape(*c.shape[:-1], W.shape[1])


_LINEAR_SUMS = Sums(
    lambda p, P, q, Q, *bias: (
        _flat(_times(p, P, *bias)).addmm_(_flat(q), Q.t()).reshape(*p.shape[:-1], len(P))
    ),
    lambda p, P, q, Q: (_flat(p) @ P).addmm_(_flat(q), Q).reshape(*p.shape[:-1], P.shape[1]),
    lambda p, P, q, Q: (
        # One product of twice the rows: the result, as large as the weights, is written once.
        torch.cat((_flat(p), _flat(q))).t() @ torch.cat((_flat(P), _flat(Q)))
    ).unsqueeze(0),
)


@carries("linear")
def _linear(x: Weight, weight: Weight, bias: Weight | None = None) -> LaneTensor:
    return bilinear_map(
        x,
        weight,
        _times,
        _back,
        lambda c, v: c.reshape(c.shape[0], -1, c.shape[-1]).transpose(1, 2) @ _flat(v),
        bias,
        _LINEAR_SUMS,
    )


@carries("matmul", "mm", "bmm", "mv", "dot", "__matmul__")
def _matmul(a: Any, b: Any) -> Any:
    if a.dim() == 1:
        return _matmul(a.unsqueeze(0), b).squeeze(-1 if b.dim() == 1 else -2)
    if b.dim() == 1:
        return _matmul(a, b.unsqueeze(-1)).squeeze(-1)
    lead = [tuple(part.shape[:-2]) for part in (a, b)]
    if lead[0] != lead[1] and lead[1] != ():
        raise UnknownRuleError(
            f"matmul: expected the same leading axes or a single matrix on the right, got {lead}"
        )
    single = lead[1] == () != lead[0]

    def back_b(c: Tensor, v: Tensor) -> Tensor:
        each = v.mT @ c
        return each.sum(tuple(range(1, each.dim() - 2))) if single else each

    return bilinear_map(a, b, lambda v, w: v @ w, lambda c, w: c @ w.mT, back_b)


_SMALL: Final = 64  # pixels


def _convolution(rank: int) -> Any:
    function: Any = (functional.conv1d, functional.conv2d, functional.conv3d)[rank - 1]

    def rule(
        x: Weight,
        weight: Weight,
        bias: Weight | None = None,
        stride: Any = 1,
        padding: Any = 0,
        dilation: Any = 1,
        groups: int = 1,
    ) -> LaneTensor:
        if x.dim() != rank + 2:
            raise UnknownRuleError(
                f"conv{rank}d: expected (batch, channels, ...) with {rank + 2} axes, got "
                f"{x.dim()}; unsqueeze a batch of one"
            )
        step, reach = each(stride, rank), each(dilation, rank)
        if isinstance(padding, str):
            padding = _padding(padding, tuple(weight.shape[2:]), reach)
        pad = each(padding, rank)
        layout = _layout_of(x, weight)
        if layout is not None:
            x = _laid_out(x, layout)
        shape, kernel = value_of(x).shape[1:], value_of(weight).shape
        backward = [step, pad, reach, False, [0] * rank, groups]

        def back_x(rows: Tensor, w: Tensor) -> Tensor:
            def one(c: Tensor) -> Tensor:
                like = untouched(c, shape, layout is torch.channels_last)
                mask = [True, False, False]
                return torch.ops.aten.convolution_backward(c, like, w, None, *backward, mask)[0]

            return folded(rows, one)

        def back_weight(rows: Tensor, v: Tensor) -> Tensor:
            like = v.new_empty((1,)).expand(kernel)
            mask = [False, True, False]
            lanes = [
                torch.ops.aten.convolution_backward(c, v, like, None, *backward, mask)[1]
                for c in rows
            ]
            return torch.stack(lanes) if len(lanes) > 1 else lanes[0].unsqueeze(0)

        if bias is not None:
            bias = bias.reshape(-1, *(1,) * rank)

        def by_taps(*given: Tensor) -> Tensor:
            pairs = [(c[0], v) for c, v in zip(given[::2], given[1::2], strict=True)]
            return taps.weight_gradient(pairs, kernel, step, pad, reach).unsqueeze(0)

        def times(rows: Tensor, w: Tensor, bias: Tensor | None = None) -> Tensor:
            b = None if bias is None else bias.flatten()

            def one(v: Tensor) -> Tensor:
                y = function(v, w, b, step, pad, reach, groups)
                return y if layout is None else y.contiguous(memory_format=layout)

            return folded(rows, one)

        sums = Sums.of(times, back_x, back_weight)
        if layout is None or torch.is_grad_enabled() or not taps.pays(shape, kernel, groups):
            return bilinear_map(x, weight, times, back_x, back_weight, bias, sums)
        sums = replace(sums, back_b=by_taps)
        return bilinear_map(x, weight, times, back_x, by_taps, bias, sums)

    return rule


def _layout_of(x: Weight, weight: Weight) -> torch.memory_format | None:
    """How a recorded run lays images out in memory for oneDNN's convolutions; None: as they are.

    With their channels last large images are faster, up to three times where channels are few; on
    small ones with many channels its own blocks of channels are, up to three times again.
    All that follows elementwise keeps the layout.
    """
    real = value_of(x)
    if not (is_recorded(x) or is_recorded(weight)) or real.dim() != 4:
        return None
    if real.device.type != "cpu" or real.dtype is not torch.float32:
        return None
    pixels = real.shape[2] * real.shape[3]
    return torch.channels_last if pixels > _SMALL else torch.contiguous_format


def _laid_out(x: Weight, layout: torch.memory_format) -> Weight:
    if isinstance(x, LaneTensor):
        if x.value.is_contiguous(memory_format=layout):
            return x
        return linear_map(
            x, lambda rows: folded(rows, lambda v: v.contiguous(memory_format=layout)), lambda c: c
        )
    x = x.contiguous(memory_format=layout)
    channels, height, width = x.shape[1:]
    if layout is torch.channels_last and channels == 1 and x.numel():
        # A single channel lies in memory as if it were last; its stride tells torch so.
        return x.as_strided(x.shape, (height * width, 1, width, 1))
    return x


def _padding(name: str, kernel: Sequence[int], reach: Sequence[int]) -> list[int]:
    if name == "valid":
        return [0] * len(kernel)
    total = [d * (k - 1) for d, k in zip(reach, kernel, strict=True)]
    if any(t % 2 for t in total):
        raise UnknownRuleError(
            f"conv: padding='same' needs an odd kernel extent, got {list(kernel)}; pad beforehand"
        )
    return [t // 2 for t in total]


for _rank in (1, 2, 3):
    carries(f"conv{_rank}d")(_convolution(_rank))


@carries("addmm")
def _addmm(bias: Any, a: Any, b: Any, *, beta: float = 1, alpha: float = 1) -> Any:
    return bias * beta + (a @ b) * alpha


@carries("scaled_dot_product_attention")
def _attention(
    query: Any,
    key: Any,
    value: Any,
    attn_mask: Tensor | None = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    scale: float | None = None,
    enable_gqa: bool = False,
) -> Any:
    if dropout_p or enable_gqa:
        raise UnknownRuleError("scaled_dot_product_attention: expected no dropout and no grouping")
    scores = (query @ key.mT) * (query.shape[-1] ** -0.5 if scale is None else scale)
    if is_causal:
        attn_mask = torch.ones(scores.shape[-2:], dtype=torch.bool, device=query.device).tril()
    if attn_mask is not None:
        banned = attn_mask.dtype is torch.bool
        scores = scores + (
            torch.zeros_like(value_of(scores)).masked_fill(~attn_mask, -torch.inf)
            if banned
            else attn_mask
        )
    return functional.softmax(scores, -1) @ value


@carries("embedding")
def _embedding(
    input: Tensor,
    weight: Any,
    padding_idx: int | None = None,
    max_norm: float | None = None,
    norm_type: float = 2.0,
    scale_grad_by_freq: bool = False,
    sparse: bool = False,
) -> Any:
    if max_norm is not None or scale_grad_by_freq:
        raise UnknownRuleError("embedding: max_norm and scale_grad_by_freq are not supported")
    rows = weight[input]
    if padding_idx is None:
        return rows
    padding = (input == padding_idx).unsqueeze(-1)  # torch lets no gradient into that row
    return torch.where(padding, value_of(rows).detach(), rows)
