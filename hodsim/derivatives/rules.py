"""The rule table: what carries lanes through a torch function or a module; unknown ones raise.

A rule has the signature of what it stands for and is written with torch functions on
`LaneTensor` (which have rules themselves) or with the primitives of `hodsim.derivatives.primitives`
(whose pullbacks are known): both make it work forward and, by CSFD-BP, backward.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from torch.nn import functional

Rule = Callable[..., Any]
_FUNCTIONS: dict[Any, Rule] = {}
_MODULES: dict[type[nn.Module], Rule] = {}
R = TypeVar("R", bound=Rule)
# Where torch keeps the spellings of one operation.
_HOMES = (torch, Tensor, functional, torch.special, torch._C._nn)


class UnknownRuleError(NotImplementedError):
    """No rule says how this operation carries lanes."""


def register_rule(what: type[nn.Module] | Callable[..., Any]) -> Callable[[R], R]:
    """Decorator for the rule of a module class or of a torch function.

    For a module class, ``rule(module, *inputs)`` stands for its ``forward``; for a function,
    ``rule(*arguments)`` for the function itself. Some of the arguments are `LaneTensor`; torch
    functions that have rules may be applied to them. A rule of a class serves a subclass that
    inherits its ``forward`` unchanged.
    """

    def keep(rule: R) -> R:
        if isinstance(what, type) and issubclass(what, nn.Module):
            _MODULES[what] = rule
        else:
            _FUNCTIONS[what] = rule
        return rule

    return keep


def carries(*names: str) -> Callable[[R], R]:
    """Decorator for the rule of a torch function in all its spellings, found by name."""

    def keep(rule: R) -> R:
        for name in names:
            found = [getattr(home, name, None) for home in _HOMES]
            for function in found:
                if function is not None:
                    _FUNCTIONS[function] = rule
        return rule

    return keep


def function_rule(function: Any) -> Rule | None:
    """The rule of a torch function, or None."""
    return _FUNCTIONS.get(function)


def module_rule(module: nn.Module) -> Rule | None:
    """The rule of a module's class, or of a base class whose ``forward`` it inherits unchanged.

    Raises `UnknownRuleError` if there is one but hooks change what the module computes.
    """
    cls = type(module)
    rule = next(
        (
            _MODULES[base]
            for base in cls.__mro__
            if base in _MODULES and getattr(base, "forward", None) is cls.forward
        ),
        None,
    )
    if rule is not None and (module._forward_hooks or module._forward_pre_hooks):
        raise UnknownRuleError(
            f"{cls.__name__}: expected a module without forward hooks, for its rule does not run "
            "them; remove them"
        )
    return rule


_lock = threading.Lock()
_depth = 0
_plain_call = nn.Module.__call__


@contextlib.contextmanager
def rules_in_force(applies: Callable[[Any], bool]) -> Iterator[None]:
    """While this lasts, modules that have a rule follow it on inputs for which ``applies``.

    As torch.fx does, ``nn.Module.__call__`` is exchanged for the time; on other inputs, those of
    other threads among them, it does what it always does.
    """
    global _depth, _plain_call

    def call(self: nn.Module, *args: Any, **kwargs: Any) -> Any:
        if any(map(applies, args)) and (rule := module_rule(self)) is not None:
            return rule(self, *args, **kwargs)
        return _plain_call(self, *args, **kwargs)

    with _lock:
        if _depth == 0:
            _plain_call = nn.Module.__call__
            nn.Module.__call__ = call  # type: ignore[method-assign]
        _depth += 1
    try:
        yield
    finally:
        with _lock:
            _depth -= 1
            if _depth == 0:
                nn.Module.__call__ = _plain_call  # type: ignore[method-assign]
