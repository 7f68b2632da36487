"""Batch normalisation in training mode as one operation of a recorded evaluation.

With xhat = (x - mean) r, r = 1 / sqrt(variance + eps) and < > the mean over batch and pixels of a
channel, its Jacobian is symmetric,

    J t = r (t - <t> - xhat <xhat t>),

and turns along t by

    (dJ along t) c = -r <xhat t> J c - r <xhat c> J t - r xhat <t J c>.

torch's fused kernel of backpropagation computes J and the sums beside it; forward lanes use it too.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Size, Tensor

from hodsim.derivatives.steps import Parts, Step, Wanted


class BatchNorm(Step):
    """``weight * xhat + bias`` over all axes but the second.

    x : shape (batch, channels, ...).
    weight : shape (channels,), or None for 1.
    affine : whether the weight and the bias are parents, too.
    """

    def __init__(
        self, x: Tensor, weight: Tensor | None, eps: float, affine: tuple[bool, bool]
    ) -> None:
        self.affine, self.weight, self.eps = affine, weight, eps
        self.count = Size([x.shape[0], *x.shape[2:]]).numel()
        self.channels = (1, -1, *(1,) * (x.dim() - 2))
        _, mean, self.r = torch.native_batch_norm(x, None, None, None, None, True, 0.0, eps)
        # Centred once and for all: x r - mean r would cancel where the mean is large.
        self.centred = x - self._wide(mean)
        self.zero = torch.zeros_like(mean)

    def value(self, bias: Tensor | None) -> Tensor:
        """The real lane."""
        y = self.centred * self._wide(self._scale() * self.r)
        return y if bias is None else y.add_(self._wide(bias))

    def push(self, tangents: Sequence[Tensor]) -> tuple[Tensor, Any]:
        rest = iter(tangents[1:])
        weight = next(rest)[0] if self.affine[0] else None
        t = tangents[0][0]
        y, xhat_t, sum_t = self._symmetric(t, self.weight, [True, True, True])
        if weight is not None:
            y.addcmul_(self.centred, self._wide(weight * self.r))
        if self.affine[1]:
            y.add_(self._wide(next(rest)[0]))
        return y.unsqueeze(0), (t, xhat_t, sum_t, weight)

    def pull(self, c: Tensor, wanted: Wanted) -> Parts:
        mask = [wanted[0], any(wanted), any(wanted)]
        return self._parts(*self._symmetric(c[0], self.weight, mask))

    def meet(self, c: Tensor, _wanted: Wanted) -> Parts:
        self.Jc, self.xhat_c, sum_c = self._symmetric(c[0], None, [True, True, True])
        x = self.Jc if self.weight is None else self.Jc * self._wide(self.weight)
        return self._parts(x, self.xhat_c, sum_c)

    def turn(self, c: Tensor | None, kept: Any) -> Parts:
        t, xhat_t, sum_t, dw = kept
        r, scale = self.r / self.count, self._scale()
        # <t J c> times the count: the kernel's sum beside it, of what is not to be centred.
        _, t_Jc, _ = self._kernel(t, self.Jc, self.zero, self.zero + 1, None, [False, True, False])
        along = -scale * r * xhat_t
        beside = -scale * r * self.r * self.xhat_c
        across = -(scale * t_Jc + beside / self.r * xhat_t) * r
        if dw is not None:
            along = along + dw
        if c is None:
            x, xhat_c, sum_c = self.Jc * self._wide(along), self.zero, self.zero
        else:
            x, xhat_c, sum_c = self._symmetric(c[0], self.weight, [True, True, True])
            x.addcmul_(self.Jc, self._wide(along))
        x.addcmul_(t, self._wide(beside)).addcmul_(self.centred, self._wide(across * self.r))
        x.sub_(self._wide(beside * sum_t / self.count))
        return self._parts(x, xhat_c + t_Jc, sum_c)

    def _symmetric(
        self, t: Tensor, weight: Tensor | None, mask: list[bool]
    ) -> tuple[Tensor, Tensor, Tensor]:
        """weight J t, the sums of xhat t and of t."""
        return self._kernel(self.centred, t, self.zero, self.r, weight, mask)

    def _kernel(
        self,
        x: Tensor,
        t: Tensor,
        mean: Tensor,
        r: Tensor,
        weight: Tensor | None,
        mask: list[bool],
    ) -> tuple[Tensor, Tensor, Tensor]:
        x, t = (_laid(part, self.centred) for part in (x, t))
        return torch.ops.aten.native_batch_norm_backward(
            t, x, weight, None, None, mean, r, True, self.eps, mask
        )

    def _parts(self, x: Tensor, weight: Tensor, bias: Tensor) -> Parts:
        beside = [p for p, is_parent in zip((weight, bias), self.affine, strict=True) if is_parent]
        return [part if part is None else part.unsqueeze(0) for part in (x, *beside)]

    def _scale(self) -> Tensor:
        return torch.ones_like(self.r) if self.weight is None else self.weight

    def _wide(self, a: Tensor) -> Tensor:
        return a.reshape(self.channels)


def _laid(t: Tensor, like: Tensor) -> Tensor:
    """t laid out in memory as another tensor is: the kernel is slow on two that differ."""
    if like.dim() == 4 and not like.is_contiguous():
        return t.contiguous(memory_format=torch.channels_last)
    return t.contiguous()
