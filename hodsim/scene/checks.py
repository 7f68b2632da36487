"""Checks of single values; each returns the value in its plain Python type or raises InputError."""

from __future__ import annotations

import difflib
import math
from collections.abc import Iterable, Sequence
from numbers import Integral, Real
from typing import Any

import numpy as np

from hodsim.errors import InputError

Vector = tuple[float, float, float]


def number(
    value: Any,
    name: str,
    *,
    above: float | None = None,
    least: float | None = None,
    below: float | None = None,
    most: float | None = None,
) -> float:
    """A finite number within the bounds given (`above`, `below` strict; `least`, `most` not)."""
    bounds = ((">", above), (">=", least), ("<", below), ("<=", most))
    wanted = " and ".join(f"{sign} {bound:g}" for sign, bound in bounds if bound is not None)
    if isinstance(value, Real) and not isinstance(value, bool) and math.isfinite(value):
        x = float(value)
        if (
            (above is None or x > above)
            and (least is None or x >= least)
            and (below is None or x < below)
            and (most is None or x <= most)
        ):
            return x
    raise InputError(f"{name}: expected a finite number {wanted}".rstrip() + f", given {value!r}")


def whole(value: Any, name: str, *, least: int) -> int:
    """A whole number of at least `least`."""
    if isinstance(value, Integral) and not isinstance(value, bool) and int(value) >= least:
        return int(value)
    raise InputError(f"{name}: expected a whole number >= {least}, given {value!r}")


def flag(value: Any, name: str) -> bool:
    """True or false."""
    if isinstance(value, bool):
        return value
    raise InputError(f"{name}: expected true or false, given {value!r}")


def text(value: Any, name: str) -> str:
    """A string with something in it."""
    if isinstance(value, str) and value.strip():
        return value
    raise InputError(f"{name}: expected some text in quotes, given {value!r}")


def choice(value: Any, name: str, options: Iterable[str]) -> str:
    """One of `options`."""
    options = tuple(options)
    if isinstance(value, str) and value in options:
        return value
    raise InputError(
        f"{name}: expected one of {', '.join(options)}; given {value!r}{nearest(value, options)}"
    )


def numbers(value: Any, name: str, length: int | None = None) -> tuple[float, ...]:
    """A list of finite numbers, of `length` or of at least one."""
    wanted = f"a list of {'one or more' if length is None else length} numbers"
    items = _items(value, name, wanted)
    if len(items) != length if length is not None else not items:
        raise InputError(f"{name}: expected {wanted}, given {_brief(value)}")
    return tuple(number(item, f"{name}[{i}]") for i, item in enumerate(items))


def vector(value: Any, name: str) -> Vector:
    """Three finite numbers."""
    x, y, z = numbers(value, name, 3)
    return x, y, z


def axis(value: Any, name: str) -> Vector:
    """Three finite numbers, not all zero."""
    result = vector(value, name)
    if not any(result):
        raise InputError(f"{name}: expected a direction, given the zero vector")
    return result


def span(
    value: Any, name: str, *, above: float | None = None, least: float | None = None
) -> tuple[float, float]:
    """A range [low, high] of finite numbers with low <= high."""
    low, high = (
        number(x, f"{name}[{i}]", above=above, least=least)
        for i, x in enumerate(numbers(value, name, 2))
    )
    if low > high:
        raise InputError(f"{name}: expected [low, high] with low <= high, given {_brief(value)}")
    return low, high


def vectors(value: Any, name: str) -> tuple[Vector, ...]:
    """A list of one or more 3-vectors."""
    items = _items(value, name, "a list of one or more 3-vectors")
    if not items:
        raise InputError(f"{name}: expected a list of one or more 3-vectors, given {_brief(value)}")
    return tuple(vector(item, f"{name}[{i}]") for i, item in enumerate(items))


def instances(value: Any, name: str, kind: type) -> tuple[Any, ...]:
    """A sequence of `kind`, as a tuple."""
    items = tuple(_items(value, name, f"a list of {kind.__name__}"))
    for i, item in enumerate(items):
        instance(item, f"{name}[{i}]", kind)
    return items


def instance(value: Any, name: str, kind: type) -> None:
    """Exactly what it says: `value` is a `kind`."""
    if not isinstance(value, kind):
        raise InputError(f"{name}: expected a {kind.__name__}, given {_brief(value)}")


def nearest(given: Any, options: Iterable[str]) -> str:
    """`; did you mean X?` where one of `options` is close to `given`, else nothing."""
    close = difflib.get_close_matches(str(given), list(options), n=1)
    return f"; did you mean {close[0]!r}?" if close else ""


def _items(value: Any, name: str, wanted: str) -> Sequence[Any]:
    if isinstance(value, np.ndarray):  # in scenes built in code
        value = value.tolist()
    if isinstance(value, (list, tuple)):
        return value
    raise InputError(f"{name}: expected {wanted}, given {_brief(value)}")


def _brief(value: Any) -> str:
    shown = " ".join(repr(value).split())
    return shown if len(shown) <= 60 else shown[:57] + "..."
