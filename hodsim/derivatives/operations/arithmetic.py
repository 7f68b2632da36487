"""Sums, products, quotients and powers; comparisons and whatever else reads the real lane."""

from __future__ import annotations

import weakref
from typing import Any

import torch
from torch import Tensor

from hodsim.derivatives.elementary import power, reciprocal
from hodsim.derivatives.lane_tensor import LaneTensor, is_lanes
from hodsim.derivatives.primitives import (
    added,
    checked,
    elementwise,
    multiplied,
    scaled,
    shifted,
    value_of,
)
from hodsim.derivatives.rules import UnknownRuleError, carries

Operand = LaneTensor | Tensor | float


def _in_place(name: str, rule: Any) -> None:
    """The in-place spelling of a binary operation."""

    def replaced(x: Any, *args: Any, **kwargs: Any) -> Any:
        if not is_lanes(x):
            raise UnknownRuleError(
                f"{name}: writes lanes into a tensor that carries none; use it out of place"
            )
        return x.become(rule(x, *args, **kwargs), name)

    carries(name)(replaced)


@carries("add", "__add__", "__radd__")
def add(a: Operand, b: Operand, *, alpha: float = 1) -> LaneTensor:
    """a + alpha b."""
    if alpha != 1:
        b = scaled(b, alpha) if isinstance(b, LaneTensor) else alpha * b
    if not isinstance(a, LaneTensor):
        a, b = b, a
    assert isinstance(a, LaneTensor)
    return added(a, b) if isinstance(b, LaneTensor) else shifted(a, b)


@carries("sub", "subtract", "__sub__")
def sub(a: Operand, b: Operand, *, alpha: float = 1) -> LaneTensor:
    """a - alpha b."""
    return add(a, b, alpha=-alpha)


@carries("__rsub__", "rsub")
def _rsub(a: Operand, b: Operand, *, alpha: float = 1) -> LaneTensor:
    return add(b, a, alpha=-alpha)


@carries("mul", "multiply", "__mul__", "__rmul__")
def mul(a: Operand, b: Operand) -> LaneTensor:
    """a b, entry by entry."""
    if not isinstance(a, LaneTensor):
        a, b = b, a
    assert isinstance(a, LaneTensor)
    return multiplied(a, b) if isinstance(b, LaneTensor) else scaled(a, b)


@carries("div", "divide", "true_divide", "__truediv__")
def div(a: Operand, b: Operand, *, rounding_mode: str | None = None) -> LaneTensor:
    """a / b."""
    if rounding_mode is not None:
        raise UnknownRuleError(f"div with rounding_mode={rounding_mode!r}: not differentiable")
    if isinstance(b, LaneTensor):
        return mul(a, elementwise(b, reciprocal))
    assert isinstance(a, LaneTensor)
    return scaled(a, b, torch.div)


@carries("__rdiv__", "__rtruediv__")
def _rdiv(a: LaneTensor, b: Operand) -> LaneTensor:
    return div(b, a)


@carries("reciprocal")
def _reciprocal(x: LaneTensor) -> LaneTensor:
    return elementwise(x, reciprocal)


@carries("neg", "negative", "__neg__")
def _neg(x: LaneTensor) -> LaneTensor:
    return scaled(x, -1.0)


@carries("positive", "__pos__")
def _pos(x: LaneTensor) -> LaneTensor:
    return x


@carries("square")
def _square(x: LaneTensor) -> LaneTensor:
    return multiplied(x, x)


@carries("pow", "__pow__")
def _pow(x: Operand, exponent: Operand) -> LaneTensor:
    if isinstance(exponent, Tensor):
        if exponent.dim() or is_lanes(exponent) or not is_lanes(x):
            raise UnknownRuleError(
                "pow: expected a number as exponent; write exp(y * log(x)) for one that varies"
            )
        exponent = exponent.item()
    assert isinstance(x, LaneTensor)
    checked(x, exponent)
    if exponent == 2:
        return multiplied(x, x)
    return elementwise(x, lambda real, order: power(real, order, exponent))


@carries("addcmul")
def _addcmul(x: Operand, a: Operand, b: Operand, *, value: float = 1) -> LaneTensor:
    product = a * b
    return x + (product if value == 1 else product * value)  # type: ignore[return-value]


for _name, _rule in {
    "add_": add,
    "__iadd__": add,
    "sub_": sub,
    "__isub__": sub,
    "mul_": mul,
    "__imul__": mul,
    "div_": div,
    "__itruediv__": div,
    "__idiv__": div,
}.items():
    _in_place(_name, _rule)


# Comparisons, which choose branches by the real part; and what torch says has no derivative.
_OF_THE_REAL_LANE = (
    "gt lt ge le eq ne __eq__ __ne__ __gt__ __lt__ __ge__ __le__ greater less isnan isfinite isinf "
    "argmax argmin any all allclose equal zeros_like ones_like empty_like full_like "
    "randn_like rand_like new_zeros new_ones new_full new_empty new_tensor"
)
_DESCRIPTIONS = (
    "size dim ndimension numel nelement is_floating_point is_complex stride get_device "
    "element_size is_contiguous is_inference __len__ __hash__"
)
_PROPERTIES = (
    "shape dtype device ndim layout is_cuda is_cpu is_meta is_sparse is_quantized is_mps is_mkldnn "
    "requires_grad is_leaf grad_fn itemsize nbytes is_nested"
)


def _of_the_value(function: Any) -> Any:
    def rule(*args: Any, **kwargs: Any) -> Any:
        return function(*map(value_of, args), **{k: value_of(v) for k, v in kwargs.items()})

    return rule


def _of_the_shell(function: Any) -> Any:
    """Shape, type and place of the real lane are those of the lane tensor itself."""

    def rule(x: Tensor, *args: Any, **kwargs: Any) -> Any:
        with torch._C.DisableTorchFunctionSubclass():
            return function(x, *args, **kwargs)

    return rule


@carries("detach")
def _detach(x: LaneTensor) -> Tensor:
    out = x.value.detach()
    # It shares memory with x: while it lives, x is not to be written into.
    x.sharers.append(weakref.ref(out))  # type: ignore[arg-type]
    return out


for _name in _OF_THE_REAL_LANE.split():
    for _home in (torch, Tensor):
        if hasattr(_home, _name):
            carries(getattr(_home, _name))(_of_the_value(getattr(_home, _name)))
for _name in _DESCRIPTIONS.split():
    carries(getattr(Tensor, _name))(_of_the_shell(getattr(Tensor, _name)))
for _name in ("numel", "is_floating_point", "is_complex"):
    carries(getattr(torch, _name))(_of_the_shell(getattr(Tensor, _name)))
for _name in _PROPERTIES.split():
    carries(getattr(Tensor, _name).__get__)(_of_the_shell(getattr(Tensor, _name).__get__))
