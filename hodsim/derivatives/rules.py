"""The rule table: how each kind of module carries lanes. An unknown one raises, naming itself."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import torch
from torch import Tensor, nn

from hodsim.derivatives.activations import activation_of
from hodsim.derivatives.lanes import Lanes
from hodsim.derivatives.mixing import compose
from hodsim.errors import InputError

Rule = Callable[[nn.Module, Lanes], Lanes]
_RULES: dict[type[nn.Module], Rule] = {}
R = TypeVar("R", bound=Callable[..., Lanes])


class UnknownRuleError(NotImplementedError):
    """No rule says how this module carries lanes."""


def register_rule(module_type: type[nn.Module]) -> Callable[[R], R]:
    """Decorator for ``rule(module, lanes) -> lanes``, for a module class of torch's or of your own.

    A rule for a network with branches calls `propagate` on its children and joins the results with
    `concatenate` or ``+``. Use plain torch operations, so that autograd can flow through lanes.
    """

    def keep(rule: R) -> R:
        _RULES[module_type] = rule
        return rule

    return keep


def rule_of(module: nn.Module) -> Rule:
    """The rule of a module's class, or of a base class whose ``forward`` it inherits unchanged.

    Raises `UnknownRuleError` if there is none, or if hooks change what the module computes.
    """
    cls = type(module)
    if module._forward_hooks or module._forward_pre_hooks:
        raise UnknownRuleError(
            f"{cls.__name__}: expected a module without forward hooks; remove them"
        )
    rule = _RULES.get(cls)
    if rule is not None:
        return rule
    for base in cls.__mro__:
        if getattr(base, "forward", None) is not cls.forward:
            continue
        if base in _RULES:
            return _RULES[base]
        if activation_of(base) is not None:
            return _elementwise
    raise UnknownRuleError(
        f"{cls.__name__}: no rule carries lanes through this module; "
        f"give one with hodsim.derivatives.register_rule({cls.__name__})"
    )


def propagate(module: nn.Module, lanes: Lanes) -> Lanes:
    """The lanes after a module, from the lanes before it (Fig. 2)."""
    return rule_of(module)(module, lanes)


def linear_rows(module: nn.Linear, values: Tensor, real: bool) -> Tensor:
    """Lane values (rows, ..., in_features) through a linear layer as ONE matrix product.

    The bias goes to the first row alone, and only if that is the real lane.
    """
    weight = module.weight
    if values.shape[-1] != module.in_features or values.dtype is not weight.dtype:
        raise InputError(
            f"{module}: expected {weight.dtype} input with last axis {module.in_features}, "
            f"got {values.dtype}, shape {tuple(values.shape[1:])}"
        )
    shape = (*values.shape[:-1], module.out_features)
    out = torch.mm(values.reshape(-1, module.in_features), weight.t()).view(shape)
    if real and module.bias is not None:
        out[0].add_(module.bias)
    return out


@register_rule(nn.Linear)
def linear_rule(module: nn.Linear, lanes: Lanes) -> Lanes:
    """All lanes as rows of one matrix product (Eq. 7 with V = 0)."""
    return Lanes(linear_rows(module, lanes.values, real=True), lanes.plan, lanes.filled)


@register_rule(nn.Sequential)
def sequential_rule(module: nn.Sequential, lanes: Lanes) -> Lanes:
    """One child after the other."""
    for child in module:  # not children(): it skips a module that is used twice
        lanes = propagate(child, lanes)
    return lanes


@register_rule(nn.Identity)
def _identity(_: nn.Identity, lanes: Lanes) -> Lanes:
    return lanes


def _elementwise(module: nn.Module, lanes: Lanes) -> Lanes:
    sigma = next(s for base in type(module).__mro__ if (s := activation_of(base)) is not None)
    return compose(lanes, sigma(module, lanes.value, lanes.plan.order))
