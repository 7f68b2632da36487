"""Elementwise functions, and softmax and its kin, which are made of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from torch.nn import functional

from hodsim.derivatives import activations, elementary
from hodsim.derivatives.lane_tensor import LaneTensor, is_lanes
from hodsim.derivatives.primitives import (
    Sigma,
    added,
    elementwise,
    linear_map,
    multiplied,
    selected,
    shifted,
    value_of,
)
from hodsim.derivatives.rules import UnknownRuleError, carries, register_rule

S = TypeVar("S", bound=Callable[..., list[Tensor]])


def register_activation(module_type: type[nn.Module]) -> Callable[[S], S]:
    """Decorator for ``sigma(module, x, order)``, the derivatives of an elementwise module.

    It returns [sigma(x), sigma'(x), ..., sigma^(order)(x)], each of x's shape, made with torch
    operations. Backpropagation on lanes asks for one order more than the lanes have.
    """

    def keep(sigma: S) -> S:
        activations.keep_activation(module_type, sigma)

        @register_rule(module_type)
        def rule(module: nn.Module, x: LaneTensor) -> LaneTensor:
            return elementwise(x, lambda value, order: sigma(module, value, order))

        rule.elementwise = True  # type: ignore[attr-defined]
        return sigma

    return keep


def _smooth(name: str, sigma: Sigma) -> None:
    def rule(x: LaneTensor, inplace: bool = False) -> LaneTensor:
        y = elementwise(x, sigma)
        return x.become(y, name) if inplace else y

    carries(name)(rule)
    carries(f"{name}_")(lambda x: rule(x, inplace=True))


for _name, _sigma in {
    "exp": elementary.exp,
    "expm1": elementary.expm1,
    "log": elementary.log,
    "log1p": elementary.log1p,
    "sin": elementary.sin,
    "cos": elementary.cos,
    "sinh": elementary.sinh,
    "cosh": elementary.cosh,
    "atan": elementary.atan,
    "arctan": elementary.atan,
    "erf": elementary.erf,
    "tanh": activations.tanh,
    "sigmoid": activations.logistic,
    "expit": activations.logistic,
    "silu": activations.silu,
    "selu": activations.selu,
    "logsigmoid": activations.logsigmoid,
}.items():
    _smooth(_name, _sigma)

_smooth("sqrt", lambda x, order: elementary.power(x, order, 0.5))
_smooth("rsqrt", lambda x, order: elementary.power(x, order, -0.5))


@carries("gelu")
def _gelu(x: LaneTensor, *, approximate: str = "none") -> LaneTensor:
    return elementwise(x, activations.gelu if approximate == "none" else activations.gelu_tanh)


@carries("softplus")
def _softplus(x: LaneTensor, beta: float = 1.0, threshold: float = 20.0) -> LaneTensor:
    return elementwise(x, lambda v, k: activations.softplus(v, k, beta, threshold))


@carries("elu_")
def _elu_(x: LaneTensor, alpha: float = 1.0) -> LaneTensor:
    return _elu(x, alpha, inplace=True)


@carries("elu")
def _elu(x: LaneTensor, alpha: float = 1.0, inplace: bool = False) -> LaneTensor:
    y = elementwise(x, lambda v, k: activations.elu(v, k, alpha))
    return x.become(y, "elu") if inplace else y


@carries("celu")
def _celu(x: LaneTensor, alpha: float = 1.0, inplace: bool = False) -> LaneTensor:
    y = elementwise(x, lambda v, k: activations.elu(v, k, alpha, input_scale=1.0 / alpha))
    return x.become(y, "celu") if inplace else y


def _chosen(x: LaneTensor, slope: Tensor) -> LaneTensor:
    """All lanes times a slope that the real lane has chosen: what is linear piece by piece."""
    # The slope first: the result is laid out in memory as it is.
    return linear_map(x, lambda v: slope * v, lambda c: slope * c)


@carries("relu")
def relu(x: LaneTensor, inplace: bool = False) -> LaneTensor:
    """max(x, 0), chosen by the real lane; 0 at 0, as torch has it."""
    y = _chosen(x, (x.value > 0).to(x.value))
    return x.become(y, "relu") if inplace else y


@carries("relu_")
def _relu_(x: LaneTensor) -> LaneTensor:
    return relu(x, inplace=True)


@carries("leaky_relu")
def _leaky_relu(x: LaneTensor, negative_slope: float = 0.01, inplace: bool = False) -> LaneTensor:
    slope = torch.full_like(x.value, negative_slope).masked_fill(x.value > 0, 1.0)
    y = _chosen(x, slope)
    return x.become(y, "leaky_relu") if inplace else y


@carries("where")
def _where(condition: Tensor, a: Any, b: Any) -> LaneTensor:
    chosen = value_of(condition)
    like = (a if isinstance(a, LaneTensor) else b).value
    return _part(a, chosen, like) + _part(b, ~chosen, like)


@carries(Tensor.where)
def _where_method(x: Any, condition: Tensor, other: Any) -> LaneTensor:
    return _where(condition, x, other)


def _part(x: Any, mask: Tensor, like: Tensor) -> Any:
    if isinstance(x, LaneTensor):
        return selected(x, mask)
    if isinstance(x, Tensor) and torch.result_type(like, x) is not like.dtype:
        raise UnknownRuleError(f"where: expected {like.dtype} as the lanes have, got {x.dtype}")
    return torch.where(mask, torch.as_tensor(x, dtype=like.dtype, device=like.device), 0.0)


@carries("clamp", "clip")
def _clamp(x: LaneTensor, min: Any = None, max: Any = None) -> LaneTensor:
    if is_lanes(min) or is_lanes(max):
        raise UnknownRuleError("clamp: expected constant bounds")
    free = torch.ones_like(x.value, dtype=torch.bool)
    if min is not None:
        free = free & (x.value >= min)
    if max is not None:
        free = free & (x.value <= max)
    return _where(free, x, torch.clamp(x.value.detach(), min, max))


@carries("hardtanh")
def _hardtanh(
    x: LaneTensor, min_val: float = -1.0, max_val: float = 1.0, inplace: bool = False
) -> LaneTensor:
    inside = (x.value > min_val) & (x.value < max_val)
    y = _where(inside, x, x.value.detach().clamp(min_val, max_val))
    return x.become(y, "hardtanh") if inplace else y


@carries("relu6")
def _relu6(x: LaneTensor, inplace: bool = False) -> LaneTensor:
    return _hardtanh(x, 0.0, 6.0, inplace)


@carries("hardswish")
def _hardswish(x: LaneTensor, inplace: bool = False) -> LaneTensor:
    y: Any = x * _relu6(x + 3.0) / 6.0  # type: ignore[arg-type]
    return x.become(y, "hardswish") if inplace else y


@carries("mish")
def _mish(x: LaneTensor, inplace: bool = False) -> LaneTensor:
    y: Any = x * torch.tanh(_softplus(x))
    return x.become(y, "mish") if inplace else y


@carries("prelu")
def _prelu(x: Any, weight: Any) -> Any:
    slope = weight if weight.numel() == 1 else weight.reshape(-1, *(1,) * (x.dim() - 2))
    return torch.where(value_of(x) > 0, x, x * slope)


@carries("maximum", "minimum")
def _extreme(a: Any, b: Any) -> Any:
    raise UnknownRuleError(
        "maximum: write torch.where(a > b, a, b), which says what it does at a = b"
    )


@carries("masked_fill")
def _masked_fill(x: LaneTensor, mask: Tensor, value: float) -> LaneTensor:
    return _where(~value_of(mask), x, value)


@carries("dropout", "alpha_dropout", "feature_dropout", "dropout1d", "dropout2d", "dropout3d")
def _dropout(
    x: LaneTensor, p: float = 0.5, training: bool = True, inplace: bool = False
) -> LaneTensor:
    if training and p > 0:
        raise UnknownRuleError(
            f"dropout: expected evaluation mode, got active dropout (p = {p}); a random function "
            "has no derivative, call .eval() on the network or set p = 0"
        )
    return x


@carries("softmax")
def softmax(
    x: LaneTensor, dim: int | None = None, _stacklevel: int = 3, dtype: torch.dtype | None = None
) -> LaneTensor:
    """e^x / sum e^x along an axis, shifted by the real lane's maximum."""
    _keep_dtype("softmax", x, dtype)
    if dim is None:  # torch's own choice of an axis
        dim = functional._get_softmax_dim("softmax", x.dim(), _stacklevel)  # type: ignore[attr-defined]
    e = elementwise(shifted(x, -x.value.amax(dim, keepdim=True)), elementary.exp)
    total = e.sum(dim, keepdim=True)
    assert isinstance(total, LaneTensor)
    return multiplied(e, elementwise(total, elementary.reciprocal))


@carries("log_softmax")
def log_softmax(
    x: LaneTensor, dim: int | None = None, _stacklevel: int = 3, dtype: torch.dtype | None = None
) -> LaneTensor:
    """x - log sum e^x along an axis."""
    _keep_dtype("log_softmax", x, dtype)
    if dim is None:  # torch's own choice of an axis
        dim = functional._get_softmax_dim("log_softmax", x.dim(), _stacklevel)  # type: ignore[attr-defined]
    total = _logsumexp(x, dim, keepdim=True)
    return added(x, linear_map(total, lambda v: -v, lambda c: -c))


@carries("logsumexp")
def _logsumexp(x: LaneTensor, dim: int, keepdim: bool = False) -> LaneTensor:
    top = x.value.amax(dim, keepdim=True).detach()
    total = elementwise(shifted(x, -top), elementary.exp).sum(dim, keepdim=keepdim)
    assert isinstance(total, LaneTensor)
    return shifted(elementwise(total, elementary.log), top if keepdim else top.squeeze(dim))


def _keep_dtype(name: str, x: LaneTensor, dtype: torch.dtype | None) -> None:
    if dtype not in (None, x.value.dtype):
        raise UnknownRuleError(f"{name}: expected dtype {x.value.dtype} as its input, got {dtype}")
