"""The rule table: what carries lanes through a torch function or a module; unknown ones raise.

A rule has the signature of what it stands for and is written with torch functions on
`LaneTensor` (which have rules themselves) or with the primitives of `hodsim.derivatives.primitives`
(whose pullbacks are known): both make it work forward and, by CSFD-BP, backward.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterable, Iterator
from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.modules import batchnorm, module

Rule = Callable[..., Any]
_FUNCTIONS: dict[Any, Rule] = {}
_MODULES: dict[type[nn.Module], Rule] = {}
_REPLACED: set[Any] = set()  # functions whose rule a user has replaced
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
            if what in _FUNCTIONS:
                _REPLACED.add(what)
            _FUNCTIONS[what] = rule
        return rule

    return keep


def carries(*names: str | Callable[..., Any]) -> Callable[[R], R]:
    """Decorator for our rule of a torch function, in all its spellings where its name is given."""

    def keep(rule: R) -> R:
        for name in names:
            if isinstance(name, str):
                found = [getattr(home, name, None) for home in _HOMES]
                _FUNCTIONS.update(dict.fromkeys((f for f in found if f is not None), rule))
            else:
                _FUNCTIONS[name] = rule
        return rule

    return keep


def function_rule(function: Any) -> Rule | None:
    """The rule of a torch function, or None."""
    return _FUNCTIONS.get(function)


def are_plain(classes: Iterable[type[nn.Module]]) -> bool:
    """Whether none of these classes, and no torch function, follows a rule that a user gave.

    An activation's derivatives (`register_activation`) are no such rule: all paths use them.
    """
    return not _REPLACED and not any(
        cls in _MODULES and not getattr(_MODULES[cls], "elementwise", False) for cls in classes
    )


def has_global_hooks() -> bool:
    """Whether hooks on all modules change what they compute."""
    return bool(module._global_forward_hooks or module._global_forward_pre_hooks)


def module_rule(self: nn.Module) -> Rule | None:
    """The rule of a module's class, or of a base class whose ``forward`` it inherits unchanged.

    Raises `UnknownRuleError` if there is one but hooks change what the module computes.
    """
    cls = type(self)
    rule = next(
        (
            _MODULES[base]
            for base in cls.__mro__
            if base in _MODULES and getattr(base, "forward", None) is cls.forward
        ),
        None,
    )
    hooked = self._forward_hooks or self._forward_pre_hooks or has_global_hooks()
    if rule is not None and hooked:
        raise UnknownRuleError(
            f"{cls.__name__}: expected a module without forward hooks, for its rule does not run "
            "them; remove them"
        )
    return rule


_lock = threading.Lock()
_depth = 0
_plain_call = nn.Module.__call__
_here = threading.local()
# Normalisations that are inside a pass: how often (in how many threads), and their own buffers.
_guards: dict[nn.Module, tuple[int, dict[str, Tensor | None]]] = {}


@contextlib.contextmanager
def _guarded(norm: nn.Module) -> Iterator[None]:
    """Copies in place of a normalisation's running statistics, which it may write into."""
    with _lock:
        count, kept = _guards.get(norm, (0, dict(norm._buffers)))
        if count == 0:
            copies = {k: None if b is None else b.clone() for k, b in kept.items()}
            norm._buffers.update(copies)
        _guards[norm] = count + 1, kept
    try:
        yield
    finally:
        with _lock:
            count, kept = _guards.pop(norm)
            if count > 1:
                _guards[norm] = count - 1, kept
            else:
                norm._buffers.update(kept)


@contextlib.contextmanager
def rules_in_force(applies: Callable[[Any], bool]) -> Iterator[None]:
    """While this lasts, modules that have a rule follow it on inputs for which ``applies``.

    As torch.fx does, ``nn.Module.__call__`` is exchanged for the time; on other inputs, and in
    other threads, it does what it always does. Batch normalisation is kept from writing its
    running statistics: a derivative changes no state.
    """
    global _depth, _plain_call

    def call(self: nn.Module, *args: Any, **kwargs: Any) -> Any:
        if not getattr(_here, "passes", 0):
            return _plain_call(self, *args, **kwargs)
        if any(map(applies, (*args, *kwargs.values()))) and (rule := module_rule(self)) is not None:
            return rule(self, *args, **kwargs)
        if not isinstance(self, batchnorm._NormBase):
            return _plain_call(self, *args, **kwargs)
        with _guarded(self):
            return _plain_call(self, *args, **kwargs)

    with _lock:
        if _depth == 0:
            _plain_call = nn.Module.__call__
            nn.Module.__call__ = call  # type: ignore[method-assign]
        _depth += 1
    _here.passes = getattr(_here, "passes", 0) + 1
    try:
        yield
    finally:
        _here.passes -= 1
        with _lock:
            _depth -= 1
            if _depth == 0:
                nn.Module.__call__ = _plain_call  # type: ignore[method-assign]
