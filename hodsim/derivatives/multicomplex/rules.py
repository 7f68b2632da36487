"""What torch functions do to a Multicomplex; those that move entries about are in `moves`."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from hodsim.derivatives.multicomplex.algebra import Map, aligned, integer_power, product
from hodsim.derivatives.multicomplex.elementary import UNARY, exp, log, power, softplus
from hodsim.derivatives.multicomplex.number import Multicomplex, Operand
from hodsim.derivatives.multicomplex.operands import bilinear, common, numbers, reals
from hodsim.derivatives.multicomplex.table import TABLE, stands_for, unknown
from hodsim.errors import InputError


@stands_for("add")
def _add(x: Operand, y: Operand, *, alpha: float = 1) -> Multicomplex:
    (p, q), on_reals = common(x, y)
    return Multicomplex(torch.add(p, q, alpha=alpha), on_reals)


@stands_for("sub", "subtract")
def _sub(x: Operand, y: Operand, *, alpha: float = 1) -> Multicomplex:
    return _add(x, y, alpha=-alpha)


@stands_for("rsub")
def _rsub(x: Operand, y: Operand, *, alpha: float = 1) -> Multicomplex:
    return _add(y, x, alpha=-alpha)


@stands_for("mul", "multiply")
def _mul(x: Operand, y: Operand) -> Multicomplex:
    return bilinear(torch.mul, x, y)


@stands_for("div", "divide", "true_divide", "truediv")
def _div(x: Operand, y: Operand, *, rounding_mode: str | None = None) -> Multicomplex:
    if rounding_mode is not None:
        raise unknown(f"div(rounding_mode={rounding_mode!r})")
    return _mul(x, y.reciprocal()) if isinstance(y, Multicomplex) else bilinear(torch.div, x, y)


@stands_for("pow", "power")
def _pow(x: Operand, y: Operand) -> Multicomplex:
    """``x ** y``: an integer by squaring, a real exponent or base about the real part, so that a
    large logarithm costs no digits; else exp(y log x).
    """
    if isinstance(x, Multicomplex) and isinstance(y, int | float) and float(y).is_integer():
        return x._map(integer_power(x.parts, int(y)))
    (x, y), ndim, on_reals = numbers(x, y)
    base = x.real if isinstance(x, Multicomplex) else x
    exponent = y.real if isinstance(y, Multicomplex) else y
    if isinstance(y, Tensor):
        shape = torch.broadcast_shapes(x.shape, y.shape)
        out = power(aligned(x.parts, ndim).expand(-1, *shape), y.expand(shape))
    elif isinstance(x, Tensor) and bool((x > 0).all()):
        deviation = torch.cat((torch.zeros_like(y.parts[:1]), y.parts[1:]))
        out = torch.pow(x, exponent) * exp(aligned(deviation, ndim) * torch.log(x))
    else:
        (p, q), _ = common(x, y)
        out = exp(product(log(p), q))
    if on_reals:
        out = _nan_where(torch.isnan(torch.pow(base, exponent)), out)
    return Multicomplex(out, on_reals)


@stands_for("matmul", "mm", "mv", "dot", "bmm")
def _matmul(x: Operand, y: Operand) -> Multicomplex:
    (x, y), _, _ = numbers(x, y)
    row, column = x.ndim == 1, y.ndim == 1
    out = bilinear(torch.matmul, x[None, :] if row else x, y[:, None] if column else y)
    out = out[..., 0] if column else out
    return out[..., 0] if row and column else out[..., 0, :] if row else out


@stands_for("linear")
def _linear(x: Operand, weight: Operand, bias: Operand | None = None) -> Multicomplex:
    out = _matmul(x, weight.T)
    return out if bias is None else out + bias


def _compared(op: Callable[[Tensor, Tensor], Tensor]) -> Callable[[Any, Any], Any]:
    """A comparison of real parts, a bool tensor."""

    def compare(x: Operand, y: Operand) -> Tensor:
        return op(*reals(x, y))

    return compare


TABLE |= {name: _compared(getattr(torch, name)) for name in ("lt", "le", "gt", "ge", "eq", "ne")}
TABLE |= {"less": TABLE["lt"], "greater": TABLE["gt"]}
TABLE |= dict.fromkeys(("neg", "negative"), Multicomplex.__neg__)


# Functions of one argument.


_ARCS = {f"arc{f}{h}": f"a{f}{h}" for f in ("sin", "cos", "tan") for h in ("", "h")}


def _unary(f: Map, real: Map) -> Callable[..., Multicomplex]:
    def apply(z: Multicomplex, inplace: bool = False) -> Multicomplex:  # never is in place
        parts = f(z.parts)
        return z._map(_nan_where(torch.isnan(real(z.real)), parts) if z.on_reals else parts)

    return apply


def _nan_where(mask: Tensor, parts: Tensor) -> Tensor:
    return parts.masked_fill(mask, math.nan)


TABLE |= {name: _unary(*maps) for name, maps in UNARY.items()}
TABLE |= {arc: TABLE[name] for arc, name in _ARCS.items()}
TABLE |= {"expit": TABLE["sigmoid"], "log_sigmoid": TABLE["logsigmoid"]}


# Piecewise functions: the branch is chosen by the real part.


@stands_for("where")
def _where(condition: Tensor, x: Operand, y: Operand) -> Multicomplex:
    if isinstance(condition, Multicomplex):
        raise InputError("condition: expected a bool tensor, given a Multicomplex; compare it")
    (p, q), on_reals = common(x, y)
    ndim = max(condition.dim(), p.dim() - 1)
    return Multicomplex(torch.where(condition, aligned(p, ndim), aligned(q, ndim)), on_reals)


@stands_for("maximum")
def _maximum(x: Operand, y: Operand) -> Multicomplex:
    return _where(torch.gt(*reals(x, y)), x, y)


@stands_for("minimum")
def _minimum(x: Operand, y: Operand) -> Multicomplex:
    return _where(torch.lt(*reals(x, y)), x, y)


@stands_for("leaky_relu")
def _leaky_relu(z: Multicomplex, negative_slope: float = 0.01, inplace: bool = False) -> Any:
    return _where(z.real > 0, z, z * negative_slope)


@stands_for("elu")
def _elu(z: Multicomplex, alpha: float = 1.0, inplace: bool = False) -> Multicomplex:
    below = _where(z.real > 0, 0.0, z)  # the branch not taken must not overflow
    return _where(z.real > 0, z, alpha * below.expm1())


@stands_for("softplus")
def _scaled_softplus(z: Multicomplex, beta: float = 1.0, threshold: float = 20.0) -> Multicomplex:
    return _where(z.real * beta > threshold, z, z._map(softplus(z.parts * beta) / beta))
