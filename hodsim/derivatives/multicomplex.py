"""Multicomplex numbers of any order on torch tensors (Eqs. 2-6), exact arithmetic with i_j^2 = -1.

``C^0 = R`` and ``C^n = {z0 + z1 i_n : z0, z1 in C^(n-1)}``. Elementary functions come from
recursion over that Cauchy-Riemann pair, the addition formulas of complex analysis with parts in
C^(n-1). They are arranged so that nothing cancels when the imaginary parts are tiny: each
coefficient keeps its own relative accuracy, at h = 1e-100 as at h = 1e-8. Far from the real axis,
where those formulas may divide by a zero divisor, the idempotent split of C^n into two copies of
C^(n-1) takes over (Price 2018), down to complex numbers; there accuracy is that of the norm.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial, reduce
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from hodsim.derivatives.rules import UnknownRuleError
from hodsim.errors import InputError

Map = Callable[[Tensor], Tensor]
Operand = Any  # a Multicomplex, a tensor, a numpy array or a real number
R = TypeVar("R", bound=Callable[..., Any])
_TABLE: dict[str, Callable[..., Any]] = {}


def _torch(*names: str) -> Callable[[R], R]:
    """Decorator: what torch functions and tensor methods of these names do to a Multicomplex."""

    def keep(rule: R) -> R:
        _TABLE.update(dict.fromkeys(names, rule))
        return rule

    return keep


def _compared(op: Callable[[Tensor, Tensor], Tensor]) -> Callable[[Any, Any], Any]:
    """A comparison of real parts, a bool tensor."""

    def compare(x: Operand, y: Operand) -> Tensor:
        return op(*_reals(x, y))

    return compare


@dataclass(frozen=True, eq=False, repr=False)
class Multicomplex:
    """A number of C^n, or an array of them; immutable.

    torch functions and tensor methods work on it as far as they are holomorphic or merely move
    entries about; any other raises `UnknownRuleError` with its name. Comparisons, ``==`` too, and
    what rests on them (relu, maximum) look at the real part alone, so that branches work.

    Attributes
    ----------
    parts : coefficients, shape (2^n, ...), float32 or float64. Entry S, read as a bit mask,
        belongs to the product of the imaginary units in S, i_1 the lowest bit. That axis is the
        FIRST, so that z0 and z1 are its two halves, each contiguous, shapes broadcast from the
        right as ever, and a linear layer takes all parts as rows of one real matrix product.
    on_reals : where a real function ends (the log of a negative real part, asin beyond 1) the
        value is NaN as torch's, not the principal complex one. `complex_step` sets it: a
        derivative of the principal value would be silently wrong.

    Raises
    ------
    InputError
        The parts are not a floating tensor, or their first axis is not a power of two.
    """

    parts: Tensor
    on_reals: bool = False

    def __post_init__(self) -> None:
        size = self.parts.shape[0] if isinstance(self.parts, Tensor) and self.parts.dim() else 0
        if size == 0 or size & (size - 1) or not self.parts.is_floating_point():
            told = (
                f"{self.parts.dtype}, shape {tuple(self.parts.shape)}"
                if isinstance(self.parts, Tensor)
                else type(self.parts).__name__
            )
            raise InputError(
                f"parts: expected a float tensor of shape (2^n, ...), given {told}; "
                "put the imaginary subsets on the first axis"
            )

    @staticmethod
    def lift(x: Tensor | float, order: int) -> Multicomplex:
        """A real number, or tensor of shape (...), as one of C^order without imaginary parts."""
        real = torch.as_tensor(x)
        real = real if real.is_floating_point() else real.to(torch.get_default_dtype())
        return Multicomplex(_lifted(real.unsqueeze(0), _size(order)))

    @property
    def order(self) -> int:
        """The number n of imaginary units."""
        return len(self.parts).bit_length() - 1

    @property
    def real(self) -> Tensor:
        """The coefficient of 1, shape (...)."""
        return self.parts[0]

    @property
    def imag(self) -> Tensor:
        """The coefficient of i_1 i_2 ... i_n, where CSFD finds the mixed derivative."""
        if self.order == 0:
            raise InputError("imag: expected order 1 or more, given a number of C^0; use real")
        return self.parts[-1]

    def part(self, *units: int) -> Tensor:
        """The coefficient of a product of imaginary units: ``part(1, 3)`` of i_1 i_3, ``part()``
        the real one; shape (...).
        """
        if len(set(units)) != len(units) or not all(
            isinstance(u, int) and 1 <= u <= self.order for u in units
        ):
            raise InputError(
                f"part: expected different units of 1..{self.order}, given {units}; "
                "name each imaginary unit at most once"
            )
        return self.parts[sum(1 << (u - 1) for u in units)]

    def to_matrix(self) -> Tensor:
        """The real Cauchy-Riemann matrix (Eq. 6), shape (..., 2^n, 2^n).

        It is [[Z0, -Z1], [Z1, Z0]] of the matrices of z0 and z1; sums and products of numbers are
        those of their matrices.
        """
        size = len(self.parts)
        rows, signs = _cayley(size, self.parts.dtype, self.parts.device)
        return self.parts.movedim(0, -1)[..., rows.T] * signs.T

    @staticmethod
    def from_matrix(matrix: Tensor) -> Multicomplex:
        """The number whose Cauchy-Riemann matrix, shape (..., 2^n, 2^n), this is to rounding.

        Raises `InputError` if its blocks do not have the structure of Eq. 6.
        """
        shape = tuple(matrix.shape) if isinstance(matrix, Tensor) else type(matrix).__name__
        if (
            not isinstance(matrix, Tensor)
            or matrix.dim() < 2
            or matrix.shape[-1] != matrix.shape[-2]
        ):
            raise InputError(f"matrix: expected shape (..., 2^n, 2^n), given {shape}")
        z = Multicomplex(matrix[..., 0].movedim(-1, 0))
        off = (z.to_matrix() - matrix).abs().amax((-2, -1))
        room = 16 * matrix.shape[-1] * torch.finfo(matrix.dtype).eps
        if not bool((off <= room * matrix.abs().amax((-2, -1))).all()):
            raise InputError(
                "matrix: expected blocks [[Z0, -Z1], [Z1, Z0]] at every level (Eq. 6), given one "
                f"that is off by {float(off.max()):.3g}; it is not the matrix of a number of C^n"
            )
        return z

    @property
    def shape(self) -> torch.Size:
        return self.parts.shape[1:]

    @property
    def ndim(self) -> int:
        return self.parts.dim() - 1

    @property
    def dtype(self) -> torch.dtype:
        return self.parts.dtype

    @property
    def device(self) -> torch.device:
        return self.parts.device

    @property
    def T(self) -> Multicomplex:
        return self.permute(*reversed(range(self.ndim)))

    @property
    def mT(self) -> Multicomplex:
        return self.transpose(-2, -1)

    def dim(self) -> int:
        return self.ndim

    def size(self, dim: int | None = None) -> Any:
        return self.shape if dim is None else self.shape[dim]

    def _map(self, parts: Tensor) -> Multicomplex:
        return Multicomplex(parts, self.on_reals)

    def __len__(self) -> int:
        if not self.shape:
            raise TypeError("len() of a 0-d Multicomplex")
        return self.shape[0]

    def __iter__(self) -> Iterator[Multicomplex]:
        return (self[k] for k in range(len(self)))

    def __getitem__(self, index: Any) -> Multicomplex:
        index = index if isinstance(index, tuple) else (index,)
        return self._map(self.parts[(slice(None), *index)])

    def __repr__(self) -> str:
        said = f"order={self.order}, shape={tuple(self.shape)}, dtype={self.dtype}"
        if self.shape:
            return f"Multicomplex({said})"
        terms = (
            " ".join([f"{c:.6g}", *(f"i{j + 1}" for j in range(self.order) if s >> j & 1)])
            for s, c in enumerate(self.parts.tolist())
        )
        return f"Multicomplex({' + '.join(terms)})"

    def __neg__(self) -> Multicomplex:
        return self._map(-self.parts)

    def __pos__(self) -> Multicomplex:
        return self

    def __add__(self, y: Operand) -> Multicomplex:
        return _add(self, y)

    def __sub__(self, y: Operand) -> Multicomplex:
        return _add(self, y, alpha=-1)

    def __rsub__(self, y: Operand) -> Multicomplex:
        return _add(-self, y)

    def __mul__(self, y: Operand) -> Multicomplex:
        return _mul(self, y)

    def __truediv__(self, y: Operand) -> Multicomplex:
        return _div(self, y)

    def __rtruediv__(self, y: Operand) -> Multicomplex:
        return _div(y, self)

    def __pow__(self, y: Operand) -> Multicomplex:
        return _pow(self, y)

    def __rpow__(self, y: Operand) -> Multicomplex:
        return _pow(y, self)

    def __matmul__(self, y: Operand) -> Multicomplex:
        return _matmul(self, y)

    def __rmatmul__(self, y: Operand) -> Multicomplex:
        return _matmul(y, self)

    __radd__, __rmul__ = __add__, __mul__

    __lt__, __le__, __gt__, __ge__ = map(_compared, (torch.lt, torch.le, torch.gt, torch.ge))
    __eq__, __ne__ = map(_compared, (torch.eq, torch.ne))
    __hash__ = object.__hash__

    def __getattr__(self, name: str) -> Any:
        if name in _TABLE:
            return partial(_TABLE[name], self)
        if name.startswith("__") or getattr(Tensor, name, None) is None:
            raise AttributeError(f"'Multicomplex' has no attribute {name!r}")
        raise _unknown(name)

    def __abs__(self) -> Multicomplex:
        raise _unknown("abs")

    def __bool__(self) -> bool:
        raise _unknown("bool")

    def __float__(self) -> float:
        raise _unknown("float")

    def __int__(self) -> int:
        raise _unknown("int")

    def __array__(self, *_: Any, **__: Any) -> np.ndarray:
        raise _unknown("numpy.asarray")

    @classmethod
    def __torch_function__(
        cls, func: Any, types: Any, args: Sequence[Any] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        name = func.__name__
        rule = _TABLE.get(name.removeprefix("special_").strip("_")) if _plain(name) else None
        if rule is None:
            raise _unknown(name)
        return rule(*args, **(kwargs or {}))

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: Any, **kwargs: Any) -> Any:
        rule = _TABLE.get(_NUMPY.get(ufunc.__name__, ufunc.__name__))
        if rule is None or method != "__call__" or kwargs:
            raise _unknown(f"numpy.{ufunc.__name__}")
        return rule(*inputs)


def _plain(name: str) -> bool:
    """Not an operation that writes in place: a Multicomplex never changes."""
    return not name.endswith("_") or name.startswith("__")


def _unknown(name: str) -> UnknownRuleError:
    return UnknownRuleError(
        f"{name}: expected a holomorphic operation that keeps imaginary parts, given one that is "
        "not or that Multicomplex has no rule for; write f without it"
    )


# Operands: everything is brought to one order and one number of axes.


def _size(order: int) -> int:
    if not isinstance(order, int) or isinstance(order, bool) or order < 0:
        raise InputError(f"order: expected an integer of at least 0, given {order!r}")
    return 1 << order


def _lifted(parts: Tensor, size: int) -> Tensor:
    missing = size - len(parts)
    return torch.cat((parts, parts.new_zeros(missing, *parts.shape[1:]))) if missing > 0 else parts


def _real(x: Operand, like: Multicomplex) -> Tensor:
    if isinstance(x, complex) or (isinstance(x, Tensor) and x.is_complex()):
        raise InputError(
            "operand: expected real numbers or a Multicomplex, given complex ones; "
            "say which imaginary unit is meant by giving their parts"
        )
    if isinstance(x, Tensor | np.ndarray):
        x = torch.as_tensor(x)
        return x if x.is_floating_point() else x.to(like.dtype)
    if not isinstance(x, int | float | np.number):
        raise InputError(f"operand: expected a number or a tensor, given {type(x).__name__}")
    return torch.as_tensor(x, dtype=like.dtype, device=like.device)


def _numbers(*xs: Operand) -> tuple[list[Multicomplex | Tensor], int, bool]:
    """The operands, how many axes their common shape has, and whether one is on the reals."""
    first = next(x for x in xs if isinstance(x, Multicomplex))
    given = [x if isinstance(x, Multicomplex) else _real(x, first) for x in xs]
    on_reals = any(isinstance(x, Multicomplex) and x.on_reals for x in xs)
    return given, max(x.ndim for x in given), on_reals


def _reals(*xs: Operand) -> list[Tensor]:
    return [x.real if isinstance(x, Multicomplex) else x for x in _numbers(*xs)[0]]


def _aligned(parts: Tensor, ndim: int) -> Tensor:
    shape = parts.shape[1:]
    return parts.reshape(len(parts), *(1,) * (ndim - len(shape)), *shape)


def _common(*xs: Operand) -> tuple[list[Tensor], bool]:
    """Parts of all operands, lifted to the largest order and aligned to broadcast."""
    given, ndim, on_reals = _numbers(*xs)
    parts = [x.parts if isinstance(x, Multicomplex) else x.unsqueeze(0) for x in given]
    size = max(map(len, parts))
    return [_lifted(_aligned(p, ndim), size) for p in parts], on_reals


@_torch("add")
def _add(x: Operand, y: Operand, *, alpha: float = 1) -> Multicomplex:
    (p, q), on_reals = _common(x, y)
    return Multicomplex(torch.add(p, q, alpha=alpha), on_reals)


@_torch("sub", "subtract")
def _sub(x: Operand, y: Operand, *, alpha: float = 1) -> Multicomplex:
    return _add(x, y, alpha=-alpha)


@_torch("rsub")
def _rsub(x: Operand, y: Operand, *, alpha: float = 1) -> Multicomplex:
    return _add(y, x, alpha=-alpha)


@_torch("mul", "multiply")
def _mul(x: Operand, y: Operand) -> Multicomplex:
    return _bilinear(torch.mul, x, y)


def _bilinear(op: Callable[[Tensor, Tensor], Tensor], x: Operand, y: Operand) -> Multicomplex:
    """A product, `op` being that of real parts; a real factor costs no more than 2^n products."""
    (x, y), ndim, on_reals = _numbers(x, y)
    if isinstance(y, Tensor):
        return Multicomplex(op(_aligned(x.parts, ndim), y), on_reals)
    if isinstance(x, Tensor):
        return Multicomplex(op(x, _aligned(y.parts, ndim)), on_reals)
    (p, q), _ = _common(x, y)
    return Multicomplex(_product(p, q, op), on_reals)


@_torch("div", "divide", "true_divide", "truediv")
def _div(x: Operand, y: Operand, *, rounding_mode: str | None = None) -> Multicomplex:
    if rounding_mode is not None:
        raise _unknown(f"div(rounding_mode={rounding_mode!r})")
    return _mul(x, y.reciprocal()) if isinstance(y, Multicomplex) else _bilinear(torch.div, x, y)


@_torch("pow", "power")
def _pow(x: Operand, y: Operand) -> Multicomplex:
    """``x ** y``: an integer by squaring, a real exponent or base about the real part, so that a
    large logarithm costs no digits; else exp(y log x).
    """
    if isinstance(x, Multicomplex) and isinstance(y, int | float) and float(y).is_integer():
        return x._map(_integer_power(x.parts, int(y)))
    (x, y), ndim, on_reals = _numbers(x, y)
    base = x.real if isinstance(x, Multicomplex) else x
    exponent = y.real if isinstance(y, Multicomplex) else y
    if isinstance(y, Tensor):
        shape = torch.broadcast_shapes(x.shape, y.shape)
        out = _power(_aligned(x.parts, ndim).expand(-1, *shape), y.expand(shape))
    elif isinstance(x, Tensor) and bool((x > 0).all()):
        deviation = torch.cat((torch.zeros_like(y.parts[:1]), y.parts[1:]))
        out = torch.pow(x, exponent) * _exp(_aligned(deviation, ndim) * torch.log(x))
    else:
        (p, q), _ = _common(x, y)
        out = _exp(_product(_log(p), q))
    if on_reals:
        out = _nan_where(torch.isnan(torch.pow(base, exponent)), out)
    return Multicomplex(out, on_reals)


@_torch("matmul", "mm", "mv", "dot", "bmm")
def _matmul(x: Operand, y: Operand) -> Multicomplex:
    (x, y), _, _ = _numbers(x, y)
    row, column = x.ndim == 1, y.ndim == 1
    out = _bilinear(torch.matmul, x[None, :] if row else x, y[:, None] if column else y)
    out = out[..., 0] if column else out
    return out[..., 0] if row and column else out[..., 0, :] if row else out


@_torch("linear")
def _linear(x: Operand, weight: Operand, bias: Operand | None = None) -> Multicomplex:
    out = _matmul(x, weight.T)
    return out if bias is None else out + bias


# The algebra on parts alone, shape (2^n, ...), all operands of one order and number of axes.


@lru_cache(maxsize=64)
def _cayley(size: int, dtype: torch.dtype, device: torch.device) -> tuple[Tensor, Tensor]:
    """U = S xor T and the sign of i_U i_T = (-1)^|U and T| i_S, both [T, S]."""
    with torch.inference_mode(False):
        subsets = torch.arange(size)
        rows = subsets[:, None] ^ subsets
        common = rows & subsets[:, None]
        odd = sum((common >> bit) & 1 for bit in range(size.bit_length())) % 2
        return rows.to(device), (1 - 2 * torch.as_tensor(odd)).to(dtype).to(device)


def _product(z: Tensor, w: Tensor, op: Callable[[Tensor, Tensor], Tensor] = torch.mul) -> Tensor:
    """The matrix of z (Eq. 6) times w, column by column: sum over T of z_(S xor T) w_T, signed."""
    if len(z) == 1:
        return op(z, w)
    rows, signs = _cayley(len(z), z.dtype, z.device)
    signs = signs.reshape(*signs.shape, *(1,) * (z.dim() - 1))
    out = op(z, w[0])
    for t in range(1, len(z)):
        out = out + op(z[rows[t]] * signs[t], w[t])
    return out


def _near(z: Tensor, scale: Tensor) -> Tensor:
    """Where the imaginary parts are together at most half of what the pair's formula bears."""
    return z[1:].abs().sum(0) <= 0.5 * scale


def _choose(mask: Tensor, yes: Callable[[], Tensor], no: Callable[[], Tensor]) -> Tensor:
    if bool(mask.all()):
        return yes()
    return torch.where(mask, yes(), no()) if bool(mask.any()) else no()


def _split(f: Map, z: Tensor) -> Tensor:
    """f(z) through z = (a - j b) e + (a + j b) e*, with j = i_(n-1) and e, e* = (1 +- j i_n)/2."""
    a, b = z.chunk(2)
    jb = _rotated(b)
    minus, plus = f(a - jb), f(a + jb)
    return torch.cat(((minus + plus) / 2, _rotated(minus - plus) / 2))


def _rotated(z: Tensor) -> Tensor:
    """Z times its own highest unit."""
    a, b = z.chunk(2)
    return torch.cat((-b, a))


def _complex(f: Map, z: Tensor) -> Tensor:
    value = f(torch.complex(z[0], z[1]))
    return torch.stack((value.real, value.imag))


def _near_axis(real: Map, scale: Map) -> Callable[[Map], Map]:
    """Decorator: f of C^n, by the given formula where the imaginary parts are small.

    `real` is torch's function, for real and, far from the real axis, complex numbers; `scale`
    says, of the real part, how large the imaginary parts may be for the formula to hold.
    """

    def with_formula(formula: Map) -> Map:
        def f(z: Tensor) -> Tensor:
            if len(z) == 1:
                return real(z)
            return _choose(
                _near(z, scale(z[0])),
                lambda: formula(z),
                lambda: _complex(real, z) if len(z) == 2 else _split(f, z),
            )

        return f

    return with_formula


@_near_axis(torch.reciprocal, torch.abs)
def _reciprocal(z: Tensor) -> Tensor:
    a, b = z.chunk(2)  # 1 / (a (1 + i w)), w = b / a: no square of a huge or a tiny number
    r = _reciprocal(a)
    w = _product(b, r)
    s = _product(r, _reciprocal(_plus(_square(w), 1)))
    return torch.cat((s, -_product(w, s)))


def _quotient(z: Tensor, w: Tensor) -> Tensor:
    return z / w if len(w) == 1 else _product(z, _reciprocal(w))


def _plus(z: Tensor, real: float | Tensor) -> Tensor:
    return torch.cat((z[:1] + real, z[1:]))


def _square(z: Tensor) -> Tensor:
    return _product(z, z)


def _integer_power(z: Tensor, k: int) -> Tensor:
    if k < 0:
        return _integer_power(_reciprocal(z), -k)
    out = _plus(torch.zeros_like(z), 1)
    started = False
    for bit in f"{k:b}":
        out = _square(out) if started else out
        if bit == "1":
            out = _product(out, z) if started else z
            started = True
    return out


def _power(z: Tensor, p: Tensor) -> Tensor:
    """z^p = x^p exp(p log1p(u)) with z = x (1 + u), for a real exponent of z's shape."""
    x = z[0]

    def near() -> Tensor:
        u = torch.cat((torch.zeros_like(z[:1]), z[1:] / x))
        return torch.pow(x, p) * _exp(p * _log1p(u))

    def far() -> Tensor:
        return (
            _exp(p * _log(z))
            if len(z) <= 2
            else _split(lambda y: _power(y, p.expand(y.shape[1:])), z)
        )

    if len(z) == 1:
        return torch.pow(z, p)
    real = _near(z, x.abs()) & ((x > 0) | (p == p.floor())) & (x != 0)
    return torch.where(
        (z == 0).all(0), _plus(torch.zeros_like(z), torch.pow(x, p)), _choose(real, near, far)
    )


def _exp(z: Tensor) -> Tensor:
    if len(z) == 1:
        return torch.exp(z)
    a, b = z.chunk(2)
    e, (s, c) = _exp(a), _sin_cos(b)
    return torch.cat((_product(e, c), _product(e, s)))


def _expm1(z: Tensor) -> Tensor:
    if len(z) == 1:
        return torch.expm1(z)
    a, b = z.chunk(2)
    s, c = _sin_cos(b)
    fall = 2 * _square(_sin_cos(b / 2)[0])  # 1 - cos b
    return torch.cat((_product(_expm1(a), c) - fall, _product(_exp(a), s)))


def _sin_cos(z: Tensor) -> tuple[Tensor, Tensor]:
    if len(z) == 1:
        return torch.sin(z), torch.cos(z)
    a, b = z.chunk(2)
    (s, c), (sh, ch) = _sin_cos(a), _sinh_cosh(b)
    return (
        torch.cat((_product(s, ch), _product(c, sh))),
        torch.cat((_product(c, ch), -_product(s, sh))),
    )


def _sinh_cosh(z: Tensor) -> tuple[Tensor, Tensor]:
    if len(z) == 1:
        return torch.sinh(z), torch.cosh(z)
    a, b = z.chunk(2)
    (sh, ch), (s, c) = _sinh_cosh(a), _sin_cos(b)
    return (
        torch.cat((_product(sh, c), _product(ch, s))),
        torch.cat((_product(ch, c), _product(sh, s))),
    )


@_near_axis(torch.log, torch.positive)
def _log(z: Tensor) -> Tensor:
    a, b = z.chunk(2)
    w = _quotient(b, a)
    return torch.cat((_log(a) + _log1p(_square(w)) / 2, _atan(w)))


@_near_axis(torch.log1p, lambda x: 1 + x)
def _log1p(z: Tensor) -> Tensor:
    a, b = z.chunk(2)
    w = _quotient(b, _plus(a, 1))
    return torch.cat((_log1p(a) + _log1p(_square(w)) / 2, _atan(w)))


@_near_axis(torch.sqrt, torch.positive)
def _sqrt(z: Tensor) -> Tensor:
    a, b = z.chunk(2)
    cosine = _plus(_sqrt(_plus(_square(_quotient(b, a)), 1)), 1) / 2  # half-angle, both terms > 0
    u = _product(_sqrt(a), _sqrt(cosine))
    return torch.cat((u, _quotient(b, 2 * u)))


@_near_axis(torch.atan, torch.ones_like)
def _atan_inner(z: Tensor) -> Tensor:
    a, b = z.chunk(2)
    below, above = _plus(-b, 1), _plus(b, 1)
    angle = (_atan(_quotient(a, below)) + _atan(_quotient(a, above))) / 2
    stretch = _log1p(_quotient(4 * b, _square(below) + _square(a))) / 4
    return torch.cat((angle, stretch))


def _atan(z: Tensor) -> Tensor:
    # Beyond 1 it is +-pi/2 - atan(1/z): the square of a huge real part would overflow.
    x = z[0]
    large = (x.abs() > 1) & _near(z, x.abs())
    if len(z) == 1 or not bool(large.any()):
        return _atan_inner(z)
    t = _atan_inner(torch.where(large, _reciprocal(z), z))
    return torch.where(large, _plus(-t, torch.copysign(torch.full_like(x, math.pi / 2), x)), t)


@_near_axis(torch.atanh, lambda x: 1 - x.abs())
def _atanh(z: Tensor) -> Tensor:
    a, b = z.chunk(2)
    v, w = _quotient(b, _plus(a, 1)), _quotient(b, _plus(-a, 1))
    stretch = (_log1p(_square(v)) - _log1p(_square(w))) / 4  # of the order of b^2
    return torch.cat((_atanh(a) + stretch, (_atan(v) + _atan(w)) / 2))


@_near_axis(torch.asin, lambda x: 1 - x.abs())
def _asin(z: Tensor) -> Tensor:
    return _atan(_quotient(z, _product(_sqrt(_plus(-z, 1)), _sqrt(_plus(z, 1)))))


@_near_axis(torch.acos, lambda x: 1 - x.abs())
def _acos(z: Tensor) -> Tensor:
    return 2 * _atan(_quotient(_sqrt(_plus(-z, 1)), _sqrt(_plus(z, 1))))


@_near_axis(torch.asinh, lambda x: x.abs().clamp(min=1))
def _asinh(z: Tensor) -> Tensor:
    negative = z[0] < 0  # there z + sqrt(z^2 + 1) would cancel
    y = torch.where(negative, -z, z)

    def small() -> Tensor:
        q = _square(y)
        return _log1p(y + _quotient(q, _plus(_sqrt(_plus(q, 1)), 1)))

    def large() -> Tensor:
        return _log(y) + _log1p(_sqrt(_plus(_square(_reciprocal(y)), 1)))

    out = _choose(y[0] <= 1, small, large)
    return torch.where(negative, -out, out)


@_near_axis(torch.acosh, lambda x: x - 1)
def _acosh(z: Tensor) -> Tensor:
    return 2 * _asinh(_sqrt(_plus(z, -1) / 2))


def _tangent(t: Tensor, s: Tensor, sign: int) -> Tensor:
    """(t + i s) / (1 - sign i t s), for tan (sign 1) and tanh (-1)."""
    r = _reciprocal(_plus(_square(_product(t, s)), 1))
    real = _product(t, _plus(-sign * _square(s), 1))
    imag = _product(s, _plus(sign * _square(t), 1))
    return torch.cat((_product(real, r), _product(imag, r)))


@_near_axis(torch.tan, torch.ones_like)
def _tan(z: Tensor) -> Tensor:
    a, b = z.chunk(2)
    return _tangent(_tan(a), _tanh(b), 1)


@_near_axis(torch.tanh, torch.ones_like)
def _tanh_inner(z: Tensor) -> Tensor:
    a, b = z.chunk(2)
    return _tangent(_tanh(a), _tan(b), -1)


def _tanh(z: Tensor) -> Tensor:
    if len(z) == 1:
        return torch.tanh(z)

    def tail() -> Tensor:  # where 1 - tanh^2 would cancel
        e = _exp(torch.where(z[0] > 0, -2 * z, 2 * z))
        out = _plus(-2 * _quotient(e, _plus(e, 1)), 1)
        return torch.where(z[0] > 0, out, -out)

    return _choose(z[0].abs() < 0.5, lambda: _tanh_inner(z), tail)


def _sigmoid(z: Tensor) -> Tensor:
    if len(z) == 1:
        return torch.sigmoid(z)

    def tail() -> Tensor:
        e = _exp(torch.where(z[0] > 0, -z, z))
        r = _reciprocal(_plus(e, 1))
        return torch.where(z[0] > 0, r, _product(e, r))

    return _choose(z[0].abs() < 1, lambda: _plus(_tanh(z / 2) / 2, 0.5), tail)


def _softplus(z: Tensor) -> Tensor:
    if len(z) == 1:
        return functional.softplus(z)
    positive = z[0] > 0
    fold = _log1p(_exp(torch.where(positive, -z, z)))
    return fold + torch.where(positive, z, torch.zeros_like(z))


# What torch's functions do: those of one argument on parts, beside torch's own on the real part.


def _positive(z: Tensor) -> Tensor:
    return torch.where(z[0] > 0, z, torch.zeros_like(z))


_UNARY: dict[str, tuple[Map, Map]] = {
    "exp": (_exp, torch.exp),
    "exp2": (lambda z: _exp(z * math.log(2)), torch.exp2),
    "expm1": (_expm1, torch.expm1),
    "log": (_log, torch.log),
    "log1p": (_log1p, torch.log1p),
    "log2": (lambda z: _log(z) / math.log(2), torch.log2),
    "log10": (lambda z: _log(z) / math.log(10), torch.log10),
    "sqrt": (_sqrt, torch.sqrt),
    "rsqrt": (lambda z: _reciprocal(_sqrt(z)), torch.rsqrt),
    "square": (_square, torch.square),
    "reciprocal": (_reciprocal, torch.reciprocal),
    "sin": (lambda z: _sin_cos(z)[0], torch.sin),
    "cos": (lambda z: _sin_cos(z)[1], torch.cos),
    "tan": (_tan, torch.tan),
    "asin": (_asin, torch.asin),
    "acos": (_acos, torch.acos),
    "atan": (_atan, torch.atan),
    "sinh": (lambda z: _sinh_cosh(z)[0], torch.sinh),
    "cosh": (lambda z: _sinh_cosh(z)[1], torch.cosh),
    "tanh": (_tanh, torch.tanh),
    "asinh": (_asinh, torch.asinh),
    "acosh": (_acosh, torch.acosh),
    "atanh": (_atanh, torch.atanh),
    "sigmoid": (_sigmoid, torch.sigmoid),
    "logsigmoid": (lambda z: -_softplus(-z), functional.logsigmoid),
    "silu": (lambda z: _product(z, _sigmoid(z)), functional.silu),
    "relu": (_positive, torch.relu),
}
_ARCS = {f"arc{f}{h}": f"a{f}{h}" for f in ("sin", "cos", "tan") for h in ("", "h")}
_NUMPY = {"equal": "eq", "not_equal": "ne"}  # torch.equal is another thing


def _unary(f: Map, real: Map) -> Callable[..., Multicomplex]:
    def apply(z: Multicomplex, inplace: bool = False) -> Multicomplex:  # noqa: ARG001 - never is
        parts = f(z.parts)
        return z._map(_nan_where(torch.isnan(real(z.real)), parts) if z.on_reals else parts)

    return apply


def _nan_where(mask: Tensor, parts: Tensor) -> Tensor:
    return parts.masked_fill(mask, math.nan)


_TABLE |= {name: _unary(*maps) for name, maps in _UNARY.items()}
_TABLE |= {arc: _TABLE[name] for arc, name in _ARCS.items()}
_TABLE |= {"expit": _TABLE["sigmoid"], "log_sigmoid": _TABLE["logsigmoid"]}
_TABLE |= {
    name: getattr(Multicomplex, f"__{name}__") for name in ("lt", "le", "gt", "ge", "eq", "ne")
}
_TABLE |= {"less": _TABLE["lt"], "greater": _TABLE["gt"]}
_TABLE |= dict.fromkeys(("neg", "negative"), Multicomplex.__neg__)


# Piecewise functions: the branch is chosen by the real part.


@_torch("where")
def _where(condition: Tensor, x: Operand, y: Operand) -> Multicomplex:
    if isinstance(condition, Multicomplex):
        raise InputError("condition: expected a bool tensor, given a Multicomplex; compare it")
    (p, q), on_reals = _common(x, y)
    ndim = max(condition.dim(), p.dim() - 1)
    return Multicomplex(torch.where(condition, _aligned(p, ndim), _aligned(q, ndim)), on_reals)


@_torch("maximum")
def _maximum(x: Operand, y: Operand) -> Multicomplex:
    return _where(torch.gt(*_reals(x, y)), x, y)


@_torch("minimum")
def _minimum(x: Operand, y: Operand) -> Multicomplex:
    return _where(torch.lt(*_reals(x, y)), x, y)


@_torch("leaky_relu")
def _leaky_relu(z: Multicomplex, negative_slope: float = 0.01, inplace: bool = False) -> Any:  # noqa: ARG001
    return _where(z.real > 0, z, z * negative_slope)


@_torch("elu")
def _elu(z: Multicomplex, alpha: float = 1.0, inplace: bool = False) -> Multicomplex:  # noqa: ARG001
    below = _where(z.real > 0, 0.0, z)  # the branch not taken must not overflow
    return _where(z.real > 0, z, alpha * below.expm1())


@_torch("softplus")
def _scaled_softplus(z: Multicomplex, beta: float = 1.0, threshold: float = 20.0) -> Multicomplex:
    return _where(z.real * beta > threshold, z, z._map(_softplus(z.parts * beta) / beta))


# Moving entries about and adding them up: linear, so that every part does it alone.


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
    "expand": lambda z, *shape: _aligned(z.parts, len(_sizes(shape))).expand(-1, *_sizes(shape)),
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


_TABLE |= {name: _moved(move) for name, move in _MOVES.items()}
_TABLE |= {"view": _TABLE["reshape"], "broadcast_to": _TABLE["expand"]}


@_torch("sum")
def _sum(z: Multicomplex, dim: Any = None, keepdim: bool = False) -> Multicomplex:
    axes = _axes(z, dim)
    return z._map(z.parts.sum(axes, keepdim)) if axes else z


@_torch("mean")
def _mean(z: Multicomplex, dim: Any = None, keepdim: bool = False) -> Multicomplex:
    return _sum(z, dim, keepdim) / math.prod(z.parts.shape[axis] for axis in _axes(z, dim))


@_torch("prod")
def _prod(z: Multicomplex, dim: int | None = None, keepdim: bool = False) -> Multicomplex:
    if dim is None:
        return _prod(z.reshape(-1), 0)
    factors = z.parts.unbind(_axis(z, dim))
    out = z._map(reduce(_product, factors, _plus(torch.zeros_like(factors[0]), 1)))
    return out.unsqueeze(dim) if keepdim else out


@_torch("logsumexp")
def _logsumexp(z: Multicomplex, dim: int, keepdim: bool = False) -> Multicomplex:
    top = z.real.amax(dim, keepdim=True)  # a constant, no more than a guard against overflow
    out = _sum((z - top).exp(), dim, True).log() + top
    return out if keepdim else out.squeeze(dim)


@_torch("log_softmax")
def _log_softmax(z: Multicomplex, dim: int, **_: Any) -> Multicomplex:
    return z - _logsumexp(z, dim, True)


@_torch("softmax")
def _softmax(z: Multicomplex, dim: int, **_: Any) -> Multicomplex:
    return _log_softmax(z, dim).exp()


@_torch("cat", "concat", "concatenate")
def _cat(tensors: Sequence[Operand], dim: int = 0) -> Multicomplex:
    parts, on_reals = _common(*tensors)
    return Multicomplex(torch.cat(parts, _axis(Multicomplex(parts[0]), dim)), on_reals)


@_torch("stack")
def _stack(tensors: Sequence[Operand], dim: int = 0) -> Multicomplex:
    parts, on_reals = _common(*tensors)
    return Multicomplex(torch.stack(parts, dim % parts[0].dim() + 1), on_reals)


@_torch("unbind")
def _unbind(z: Multicomplex, dim: int = 0) -> tuple[Multicomplex, ...]:
    return tuple(map(z._map, z.parts.unbind(_axis(z, dim))))
