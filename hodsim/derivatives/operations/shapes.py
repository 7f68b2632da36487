"""Reshaping, joining, indexing and sums: linear maps that move entries or add them up."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Size, Tensor
from torch.nn import functional

from hodsim.derivatives.lane_tensor import LaneTensor
from hodsim.derivatives.primitives import joined, linear_map, value_of
from hodsim.derivatives.rules import UnknownRuleError, carries


def _reshaped(x: LaneTensor, real: Tensor) -> LaneTensor:
    """x in the shape that the real lane took."""
    old, new = x.value.shape, real.shape
    if real.dtype is not x.value.dtype:
        raise UnknownRuleError(f"view: expected lanes to keep {x.value.dtype}, got {real.dtype}")
    return linear_map(
        x,
        lambda v: v.reshape(v.shape[0], *new),
        lambda c: c.reshape(c.shape[0], *old),
        view=True,
    )


def _reshaping(name: str) -> None:
    method = getattr(Tensor, name)
    carries(name)(lambda x, *args, **kwargs: _reshaped(x, method(x.value, *args, **kwargs)))


for _name in "reshape view flatten unflatten squeeze unsqueeze view_as reshape_as ravel".split():
    _reshaping(_name)


@carries("permute")
def _permute(x: LaneTensor, *dims: Any) -> LaneTensor:
    order = dims[0] if len(dims) == 1 and not isinstance(dims[0], int) else dims
    return _permuted(x, [d % x.dim() for d in order])


def _permuted(x: LaneTensor, order: Sequence[int]) -> LaneTensor:
    forward = [0, *(d + 1 for d in order)]
    inverse = [forward.index(i) for i in range(len(forward))]
    return linear_map(x, lambda v: v.permute(forward), lambda c: c.permute(inverse), view=True)


@carries("transpose", "swapaxes", "swapdims")
def _transpose(x: LaneTensor, dim0: int, dim1: int) -> LaneTensor:
    order = list(range(x.dim()))
    i, j = dim0 % x.dim(), dim1 % x.dim()
    order[i], order[j] = order[j], order[i]
    return _permuted(x, order)


@carries("t")
def _t(x: LaneTensor) -> LaneTensor:
    return _permuted(x, list(reversed(range(x.dim()))))


for _name in ("T", "mT"):
    carries(getattr(Tensor, _name).__get__)(
        lambda x, *_, last=(_name == "mT"): _transpose(x, -2, -1) if last else _t(x)
    )


@carries("movedim", "moveaxis")
def _movedim(x: LaneTensor, source: Any, destination: Any) -> LaneTensor:
    sources = [source] if isinstance(source, int) else list(source)
    targets = [destination] if isinstance(destination, int) else list(destination)
    rank = x.dim()
    sources, targets = [s % rank for s in sources], [t % rank for t in targets]
    rest = [i for i in range(rank) if i not in sources]
    moved = dict(zip(targets, sources, strict=True))
    return _permuted(x, [moved[i] if i in moved else rest.pop(0) for i in range(rank)])


@carries("contiguous", "to", "type_as", "cpu", "requires_grad_")
def _same(x: LaneTensor, *args: Any, **kwargs: Any) -> LaneTensor:
    """x itself, as torch gives it where nothing is to be changed."""
    for value in (*args, *kwargs.values()):
        dtype = value.dtype if isinstance(value, Tensor) else value
        if isinstance(dtype, torch.dtype) and dtype is not x.value.dtype:
            raise UnknownRuleError(f"to: expected lanes to keep {x.value.dtype}, got {dtype}")
        if isinstance(value, str | torch.device) and torch.device(value) != x.value.device:
            raise UnknownRuleError(f"to: expected lanes to stay on {x.value.device}, got {value}")
    return x


@carries("clone")
def _clone(x: LaneTensor, **_: Any) -> LaneTensor:
    return linear_map(x, lambda v: v, lambda c: c)


for _name, _dtype in (("float", torch.float32), ("double", torch.float64)):
    carries(_name)(lambda x, _dtype=_dtype: _same(x, _dtype))


@carries("expand", "expand_as", "broadcast_to")
def _expand(x: LaneTensor, *sizes: Any) -> LaneTensor:
    if len(sizes) == 1 and isinstance(sizes[0], Tensor):
        sizes = tuple(sizes[0].shape)
    elif len(sizes) == 1 and not isinstance(sizes[0], int):
        sizes = tuple(sizes[0])
    shape, wide = x.value.shape, x.value.expand(*sizes).shape

    def apply(v: Tensor) -> Tensor:
        return v.reshape(len(v), *(1,) * (len(wide) - len(shape)), *shape).expand(len(v), *wide)

    return linear_map(
        x,
        apply,
        lambda c: c.sum_to_size(len(c), *_lifted(shape, len(wide))).reshape(len(c), *shape),
        view=True,
    )


def _lifted(shape: Size, rank: int) -> tuple[int, ...]:
    return (1,) * (rank - len(shape)) + tuple(shape)


@carries("pad")
def _pad(
    x: LaneTensor, pad: Sequence[int], mode: str = "constant", value: float | None = None
) -> LaneTensor:
    if mode != "constant" or value:
        raise UnknownRuleError(f"pad: expected zeros, got mode={mode!r}, value={value}")
    return linear_map(
        x,
        lambda v: functional.pad(v, pad),
        lambda c: functional.pad(c, [-p for p in pad]),
    )


@carries("cat", "concat", "concatenate")
def _cat(tensors: Sequence[LaneTensor | Tensor], dim: int = 0) -> LaneTensor:
    first = next(part for part in tensors if isinstance(part, LaneTensor))
    axis = dim % first.dim()
    return joined(tensors, axis)


@carries("stack")
def _stack(tensors: Sequence[LaneTensor | Tensor], dim: int = 0) -> LaneTensor:
    axis = dim % (tensors[0].dim() + 1)
    return joined([part.unsqueeze(axis) for part in tensors], axis)


def _pieces(name: str) -> None:
    """Operations that cut a tensor along an axis: each piece is an index of it."""
    method = getattr(Tensor, name)

    def rule(x: LaneTensor, *args: Any, **kwargs: Any) -> tuple[LaneTensor, ...]:
        numbers = torch.arange(x.numel()).reshape(x.shape)
        return tuple(_gathered(x, piece) for piece in method(numbers, *args, **kwargs))

    carries(name)(rule)


for _name in ("split", "chunk", "unbind", "tensor_split"):
    _pieces(_name)


def _gathered(x: LaneTensor, numbers: Tensor) -> LaneTensor:
    """The entries of x with these numbers, counted through its real lane."""
    shape, flat = x.value.shape, numbers.reshape(-1).to(x.value.device)

    def apply(v: Tensor) -> Tensor:
        return v.flatten(1).index_select(1, flat).reshape(v.shape[0], *numbers.shape)

    def transpose(c: Tensor) -> Tensor:
        out = c.new_zeros(c.shape[0], shape.numel())
        return out.index_add(1, flat, c.flatten(1)).reshape(c.shape[0], *shape)

    return linear_map(x, apply, transpose, view=True)


@carries("__getitem__")
def _getitem(x: LaneTensor, index: Any) -> LaneTensor:
    where = tuple(map(value_of, index)) if isinstance(index, tuple) else value_of(index)
    real = x.value[where]
    if _is_basic(where):
        shape = x.value.shape
        full = where if isinstance(where, tuple) else (where,)

        def apply(v: Tensor) -> Tensor:
            return v[(slice(None), *full)]

        def transpose(c: Tensor) -> Tensor:
            out = c.new_zeros(c.shape[0], *shape)
            out[(slice(None), *full)] = c
            return out

        return linear_map(x, apply, transpose, view=True)
    numbers = torch.arange(x.value.numel(), device=real.device).reshape(x.value.shape)
    return _gathered(x, numbers[where])


def _is_basic(index: Any) -> bool:
    parts = index if isinstance(index, tuple) else (index,)
    return all(part is None or part is ... or isinstance(part, int | slice) for part in parts)


def _selecting(name: str) -> None:
    method = getattr(Tensor, name)

    def rule(x: LaneTensor, *args: Any, **kwargs: Any) -> LaneTensor:
        numbers = torch.arange(x.value.numel(), device=x.value.device).reshape(x.value.shape)
        return _gathered(x, method(numbers, *map(value_of, args), **kwargs))

    carries(name)(rule)


for _name in ("gather", "index_select", "narrow", "select", "take", "flip", "roll", "diagonal"):
    _selecting(_name)


def _reduction(name: str) -> Callable[..., LaneTensor]:
    def rule(
        x: LaneTensor,
        dim: int | Sequence[int] | None = None,
        keepdim: bool = False,
        *,
        axis: int | Sequence[int] | None = None,
        dtype: torch.dtype | None = None,
    ) -> LaneTensor:
        dim = axis if dim is None else dim
        if dtype not in (None, x.value.dtype):
            raise UnknownRuleError(f"{name}: expected to keep {x.value.dtype}, got dtype={dtype}")
        shape = x.value.shape
        axes = _axes(dim, x.dim())
        count = Size(shape[a] for a in axes).numel()
        scale = 1.0 / count if name == "mean" else 1.0
        rows = [a + 1 for a in axes]
        kept = [1 if a in axes else n for a, n in enumerate(shape)]

        def apply(v: Tensor) -> Tensor:
            out = v.sum(rows, keepdim=keepdim) if rows else v
            return out * scale if name == "mean" else out

        def transpose(c: Tensor) -> Tensor:
            spread = c.reshape(c.shape[0], *kept).expand(c.shape[0], *shape)
            return spread * scale if name == "mean" else spread

        return linear_map(x, apply, transpose)

    carries(name)(rule)
    return rule


def _axes(dim: int | Sequence[int] | None, rank: int) -> list[int]:
    if dim is None or (not isinstance(dim, int) and len(dim) == 0):
        return list(range(rank))
    return sorted(d % rank for d in ([dim] if isinstance(dim, int) else dim))


total = _reduction("sum")
mean = _reduction("mean")


@carries("var")
def _var(
    x: LaneTensor,
    dim: int | Sequence[int] | None = None,
    *,
    correction: int = 1,
    keepdim: bool = False,
    unbiased: bool | None = None,
) -> LaneTensor:
    if isinstance(dim, bool):  # torch.var(x, unbiased)
        dim, unbiased = None, dim
    if unbiased is not None:
        correction = int(unbiased)
    axes = _axes(dim, x.dim())
    count = Size(x.value.shape[a] for a in axes).numel()
    centred = x - mean(x, axes, True)
    return total(centred * centred, axes, keepdim) / (count - correction)  # type: ignore[return-value]


@carries("std")
def _std(x: LaneTensor, *args: Any, **kwargs: Any) -> Any:
    return _var(x, *args, **kwargs).sqrt()


@carries("amax", "max", "amin", "min")
def _extreme(*_: Any, **__: Any) -> LaneTensor:
    raise UnknownRuleError("max: reduce with max_pool or pick entries by x.argmax(...) and gather")
