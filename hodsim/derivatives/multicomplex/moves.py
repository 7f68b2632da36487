"""Moving entries about and adding them up: linear, so that every part does it alone."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import reduce
from typing import Any

import torch
from torch import Tensor

from hodsim.derivatives.multicomplex.algebra import aligned, plus, product
from hodsim.derivatives.multicomplex.number import Multicomplex, Operand
from hodsim.derivatives.multicomplex.operands import common
from hodsim.derivatives.multicomplex.table import TABLE, stands_for
from hodsim.errors import InputError


def _axis(z: Multicomplex, dim: int) -> int:
    """The axis of parts; the first, which holds the units, cannot be reached."""
    if not -z.ndim <= dim < z.ndim:
        raise InputError(
            f"dim: expected one of the {z.ndim} axes of shape {tuple(z.shape)}, given {dim}"
        )
    return dim % z.ndim + 1


def _axes(z: Multicomplex, dim: int | Sequence[int] | None) -> list[int]:
    dims = range(z.ndim) if dim is None else [dim] if isinstance(dim, int) else dim
    return [_axis(z, d) for d in dims]


def _sizes(sizes: tuple[Any, ...]) -> tuple[int, ...]:
    return tuple(sizes[0]) if len(sizes) == 1 and not isinstance(sizes[0], int) else sizes


def _flat(z: Multicomplex, start: int = 0, end: int = -1) -> Tensor:
    return z.parts.flatten(_axis(z, start), _axis(z, end)) if z.ndim else z.parts[:, None]


_MOVES: dict[str, Callable[..., Tensor]] = {
    "clone": lambda z: z.parts.clone(),
    "contiguous": lambda z: z.parts.contiguous(),
    "cumsum": lambda z, dim: z.parts.cumsum(_axis(z, dim)),
    "reshape": lambda z, *shape: z.parts.reshape(len(z.parts), *_sizes(shape)),
    "flatten": lambda z, start_dim=0, end_dim=-1: _flat(z, start_dim, end_dim),
    "expand": lambda z, *shape: aligned(z.parts, len(_sizes(shape))).expand(-1, *_sizes(shape)),
    "squeeze": lambda z, dim=None: z.parts.squeeze(
        [k for k in _axes(z, dim) if z.parts.shape[k] == 1]
    ),
    "unsqueeze": lambda z, dim: z.parts.unsqueeze(dim % (z.ndim + 1) + 1),
    "transpose": lambda z, dim0, dim1: z.parts.transpose(_axis(z, dim0), _axis(z, dim1)),
    "permute": lambda z, *dims: z.parts.permute(0, *_axes(z, _sizes(dims))),
    "movedim": lambda z, source, destination: z.parts.movedim(
        _axes(z, source), _axes(z, destination)
    ),
    "t": lambda z: z.T.parts,
}


def _moved(move: Callable[..., Tensor]) -> Callable[..., Multicomplex]:
    return lambda z, *args, **kwargs: z._map(move(z, *args, **kwargs))


TABLE |= {name: _moved(move) for name, move in _MOVES.items()}
TABLE |= {"view": TABLE["reshape"], "broadcast_to": TABLE["expand"]}


@stands_for("sum")
def _sum(z: Multicomplex, dim: Any = None, keepdim: bool = False) -> Multicomplex:
    axes = _axes(z, dim)
    return z._map(z.parts.sum(axes, keepdim)) if axes else z


@stands_for("mean")
def _mean(z: Multicomplex, dim: Any = None, keepdim: bool = False) -> Multicomplex:
    return _sum(z, dim, keepdim) / math.prod(z.parts.shape[axis] for axis in _axes(z, dim))


@stands_for("prod")
def _prod(z: Multicomplex, dim: int | None = None, keepdim: bool = False) -> Multicomplex:
    if dim is None:
        return _prod(z.reshape(-1), 0)
    factors = z.parts.unbind(_axis(z, dim))
    out = z._map(reduce(product, factors, plus(torch.zeros_like(factors[0]), 1)))
    return out.unsqueeze(dim) if keepdim else out


@stands_for("logsumexp")
def _logsumexp(z: Multicomplex, dim: int, keepdim: bool = False) -> Multicomplex:
    top = z.real.amax(dim, keepdim=True)  # a constant, no more than a guard against overflow
    out = _sum((z - top).exp(), dim, True).log() + top
    return out if keepdim else out.squeeze(dim)


@stands_for("log_softmax")
def _log_softmax(z: Multicomplex, dim: int, **_: Any) -> Multicomplex:
    return z - _logsumexp(z, dim, True)


@stands_for("softmax")
def _softmax(z: Multicomplex, dim: int, **_: Any) -> Multicomplex:
    return _log_softmax(z, dim).exp()


@stands_for("cat", "concat", "concatenate")
def _cat(tensors: Sequence[Operand], dim: int = 0) -> Multicomplex:
    parts, on_reals = common(*tensors)
    return Multicomplex(torch.cat(parts, _axis(Multicomplex(parts[0]), dim)), on_reals)


@stands_for("stack")
def _stack(tensors: Sequence[Operand], dim: int = 0) -> Multicomplex:
    parts, on_reals = common(*tensors)
    return Multicomplex(torch.stack(parts, dim % parts[0].dim() + 1), on_reals)


@stands_for("unbind")
def _unbind(z: Multicomplex, dim: int = 0) -> tuple[Multicomplex, ...]:
    return tuple(map(z._map, z.parts.unbind(_axis(z, dim))))
