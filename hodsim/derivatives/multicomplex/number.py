"""The number itself: its parts, its matrix, and how operators and torch find their rules."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor

from hodsim.derivatives.multicomplex.algebra import cayley, lifted
from hodsim.derivatives.multicomplex.table import TABLE, unknown
from hodsim.errors import InputError

Operand = Any  # a Multicomplex, a tensor, a numpy array or a real number
_NUMPY = {"equal": "eq", "not_equal": "ne"}  # torch.equal is another thing


def _ruled(name: str) -> Callable[[Any, Any], Any]:
    """An operator that does what the rule of this name says."""

    def operator(x: Operand, y: Operand) -> Any:
        return TABLE[name](x, y)

    return operator


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
        if not isinstance(order, int) or isinstance(order, bool) or order < 0:
            raise InputError(f"order: expected an integer of at least 0, given {order!r}")
        return Multicomplex(lifted(real.unsqueeze(0), 1 << order))

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
        rows, signs = cayley(size, self.parts.dtype, self.parts.device)
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
        return TABLE["add"](self, y)

    def __sub__(self, y: Operand) -> Multicomplex:
        return TABLE["add"](self, y, alpha=-1)

    def __rsub__(self, y: Operand) -> Multicomplex:
        return TABLE["add"](-self, y)

    def __mul__(self, y: Operand) -> Multicomplex:
        return TABLE["mul"](self, y)

    def __truediv__(self, y: Operand) -> Multicomplex:
        return TABLE["div"](self, y)

    def __rtruediv__(self, y: Operand) -> Multicomplex:
        return TABLE["div"](y, self)

    def __pow__(self, y: Operand) -> Multicomplex:
        return TABLE["pow"](self, y)

    def __rpow__(self, y: Operand) -> Multicomplex:
        return TABLE["pow"](y, self)

    def __matmul__(self, y: Operand) -> Multicomplex:
        return TABLE["matmul"](self, y)

    def __rmatmul__(self, y: Operand) -> Multicomplex:
        return TABLE["matmul"](y, self)

    __radd__, __rmul__ = __add__, __mul__

    __lt__, __le__, __gt__, __ge__ = map(_ruled, ("lt", "le", "gt", "ge"))
    __eq__, __ne__ = map(_ruled, ("eq", "ne"))
    __hash__ = object.__hash__

    def __getattr__(self, name: str) -> Any:
        if name in TABLE:
            return partial(TABLE[name], self)
        if name.startswith("__") or getattr(Tensor, name, None) is None:
            raise AttributeError(f"'Multicomplex' has no attribute {name!r}")
        raise unknown(name)

    def __abs__(self) -> Multicomplex:
        raise unknown("abs")

    def __bool__(self) -> bool:
        raise unknown("bool")

    def __float__(self) -> float:
        raise unknown("float")

    def __int__(self) -> int:
        raise unknown("int")

    def __array__(self, *_: Any, **__: Any) -> np.ndarray:
        raise unknown("numpy.asarray")

    @classmethod
    def __torch_function__(
        cls, func: Any, types: Any, args: Sequence[Any] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        name = func.__name__
        rule = TABLE.get(name.removeprefix("special_").strip("_")) if _plain(name) else None
        if rule is None:
            raise unknown(name)
        return rule(*args, **(kwargs or {}))

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: Any, **kwargs: Any) -> Any:
        rule = TABLE.get(_NUMPY.get(ufunc.__name__, ufunc.__name__))
        if rule is None or method != "__call__" or kwargs:
            raise unknown(f"numpy.{ufunc.__name__}")
        return rule(*inputs)


def _plain(name: str) -> bool:
    """Not an operation that writes in place: a Multicomplex never changes."""
    return not name.endswith("_") or name.startswith("__")
