"""Complex-step finite differences (CSFD) of any order: no subtraction, hence no cancellation.

``f(x + h (i_1 a_1 + ... + i_n a_n))`` has ``h^n D^n f(x)[a_1, ..., a_n] + O(h^(n+2))`` as its
coefficient of ``i_1 i_2 ... i_n`` (Eqs. 2-5): one evaluation gives the mixed derivative, whatever
the number of inputs, at 2^n times the numbers.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from hodsim.derivatives.multicomplex import Multicomplex
from hodsim.errors import InputError

# h^n stays this far above the smallest normal number, so that derivatives and intermediate
# values far below 1 do not underflow either.
_ROOM = 2.0**24


def step_window(dtype: torch.dtype, order: int) -> tuple[float, float, float]:
    """The lowest, default and highest step h for derivatives of a dtype and order n.

    - lowest ``(2^24 tiny)^(1/n)``, tiny being the smallest normal number: below it h^n times
      numbers of moderate size underflows, and the result is garbage without a warning.
    - highest ``sqrt(eps)``: above it the truncation error, h^2 times the ratio of the derivatives
      of order n + 2 and n, exceeds rounding.
    - default their geometric mean, as far from one failure as from the other, rounded to a power
      of two so that h^n divides out exactly.

    Order 1 in float64 gives [3.7e-301, 1.5e-8], order 3 [7.2e-101, 1.5e-8]; order 3 in float32
    [5.8e-11, 3.5e-4]. Both ends suppose x and the directions to be of the order of 1, and f to
    vary over lengths of that order.

    Raises
    ------
    InputError
        Not float32 or float64, an order below 1, or one so high that no step is safe (above 8 in
        float32, 38 in float64).
    """
    if dtype not in (torch.float32, torch.float64):
        raise InputError(
            f"dtype: expected torch.float32 or torch.float64, given {dtype}; convert x"
        )
    if not isinstance(order, int) or isinstance(order, bool) or order < 1:
        raise InputError(
            f"order: expected an integer of at least 1, given {order!r}; give one direction for "
            "each order of the derivative"
        )
    kind = torch.finfo(dtype)
    low, high = (_ROOM * kind.tiny) ** (1 / order), math.sqrt(kind.eps)
    if low > high:
        most = int(math.log(_ROOM * kind.tiny) / math.log(high))
        raise InputError(
            f"order: expected at most {most} in {dtype}, given {order}: no step is safe; "
            "use float64 or a lower order"
        )
    default = 2.0 ** round((math.log2(low) + math.log2(high)) / 2)
    return low, min(max(default, low), high), high


def complex_step(
    f: Callable[[Any], Any], x: Tensor, directions: Sequence[Tensor], step: float | None = None
) -> Tensor:
    """``D^n f(x)[a_1, ..., a_n]`` from one evaluation of f at a multicomplex point (Eqs. 2-5).

    Parameters
    ----------
    f : a function of one tensor, written with torch functions and operators that `Multicomplex`
        has rules for. Comparisons inside it look at the real part.
    x : the point, any shape, float32 or float64.
    directions : n >= 1 of them, each of x's shape, dtype and device; they may repeat.
    step : h, within `step_window` of x's dtype and order n; its default if not given.

    Returns
    -------
    Tensor of f(x)'s shape. NaN where f has no real value.

    Raises
    ------
    InputError
        Unfit x or directions, a step outside its window, or an f that drops imaginary parts.
    UnknownRuleError
        f uses an operation that is not holomorphic or that `Multicomplex` has no rule for.
    """
    _check_point(x, directions)
    n = len(directions)
    low, h, high = step_window(x.dtype, n)
    if step is not None:
        if isinstance(step, bool) or not isinstance(step, int | float) or not low <= step <= high:
            raise InputError(
                f"step: expected one within [{low:.2g}, {high:.2g}] for order {n} in {x.dtype}, "
                f"given {step!r}; leave it out to get {h:.2g}"
            )
        h = step
    out = f(perturbed(x, directions, h))
    if not isinstance(out, Multicomplex) or out.order != n:
        told = f"one of order {out.order}" if isinstance(out, Multicomplex) else type(out).__name__
        raise InputError(
            f"f: expected a Multicomplex of order {n} back, given {told}: an operation of f "
            "dropped the imaginary parts; write f with torch functions of its argument"
        )
    return out.imag / h**n


def perturbed(x: Tensor, directions: Sequence[Tensor], step: float) -> Multicomplex:
    """``x + h (i_1 a_1 + ... + i_n a_n)``, on the reals (see `Multicomplex`)."""
    parts = x.new_zeros(1 << len(directions), *x.shape)
    parts[0] = x
    for j, a in enumerate(directions):
        parts[1 << j] = step * a
    return Multicomplex(parts, on_reals=True)


def _check_point(x: Tensor, directions: Sequence[Tensor]) -> None:
    if not isinstance(x, Tensor) or x.dtype not in (torch.float32, torch.float64):
        kind = x.dtype if isinstance(x, Tensor) else type(x).__name__
        raise InputError(f"x: expected a float32 or float64 tensor, given {kind}; convert it")
    if isinstance(directions, Tensor) or not isinstance(directions, Sequence) or not directions:
        told = "none" if directions in ((), []) else type(directions).__name__
        raise InputError(
            f"directions: expected a list of at least one tensor of shape {tuple(x.shape)}, "
            f"given {told}; give one for each order of the derivative"
        )
    for k, a in enumerate(directions):
        if not isinstance(a, Tensor):
            raise InputError(f"directions[{k}]: expected a tensor, given {type(a).__name__}")
        if a.shape != x.shape or a.dtype != x.dtype or a.device != x.device:
            raise InputError(
                f"directions[{k}]: expected shape {tuple(x.shape)}, {x.dtype} on {x.device} as x, "
                f"given {tuple(a.shape)}, {a.dtype} on {a.device}; make it like x"
            )
