"""What torch functions and tensor methods do to a Multicomplex, by name."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from hodsim.derivatives.rules import UnknownRuleError

R = TypeVar("R", bound=Callable[..., Any])
TABLE: dict[str, Callable[..., Any]] = {}


def stands_for(*names: str) -> Callable[[R], R]:
    """Decorator: what torch functions and tensor methods of these names do to a Multicomplex."""

    def keep(rule: R) -> R:
        TABLE.update(dict.fromkeys(names, rule))
        return rule

    return keep


def unknown(name: str) -> UnknownRuleError:
    """The error of an operation without a rule, by its name."""
    return UnknownRuleError(
        f"{name}: expected a holomorphic operation that keeps imaginary parts, given one that is "
        "not or that Multicomplex has no rule for; write f without it"
    )
