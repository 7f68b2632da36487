"""The algebra on parts alone, shape (2^n, ...), all operands of one order and number of axes."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

import torch
from torch import Tensor

Map = Callable[[Tensor], Tensor]


@lru_cache(maxsize=64)
def cayley(size: int, dtype: torch.dtype, device: torch.device) -> tuple[Tensor, Tensor]:
    """U = S xor T and the sign of i_U i_T = (-1)^|U and T| i_S, both [T, S]."""
    with torch.inference_mode(False):
        subsets = torch.arange(size)
        rows = subsets[:, None] ^ subsets
        common = rows & subsets[:, None]
        odd = sum((common >> bit) & 1 for bit in range(size.bit_length())) % 2
        return rows.to(device), (1 - 2 * torch.as_tensor(odd)).to(dtype).to(device)


def product(z: Tensor, w: Tensor, op: Callable[[Tensor, Tensor], Tensor] = torch.mul) -> Tensor:
    """The matrix of z (Eq. 6) times w, column by column: sum over T of z_(S xor T) w_T, signed."""
    if len(z) == 1:
        return op(z, w)
    rows, signs = cayley(len(z), z.dtype, z.device)
    signs = signs.reshape(*signs.shape, *(1,) * (z.dim() - 1))
    out = op(z, w[0])
    for t in range(1, len(z)):
        out = out + op(z[rows[t]] * signs[t], w[t])
    return out


def lifted(parts: Tensor, size: int) -> Tensor:
    """The same number with `size` parts: zeros for those that it has not."""
    missing = size - len(parts)
    return torch.cat((parts, parts.new_zeros(missing, *parts.shape[1:]))) if missing > 0 else parts


def aligned(parts: Tensor, ndim: int) -> Tensor:
    """Axes of length 1 put in behind the first, so that shapes broadcast from the right."""
    shape = parts.shape[1:]
    return parts.reshape(len(parts), *(1,) * (ndim - len(shape)), *shape)


def is_near(z: Tensor, scale: Tensor) -> Tensor:
    """Where the imaginary parts are together at most half of what the pair's formula bears."""
    return z[1:].abs().sum(0) <= 0.5 * scale


def choose(mask: Tensor, yes: Callable[[], Tensor], no: Callable[[], Tensor]) -> Tensor:
    """`yes` where the mask holds, else `no`; one that no entry takes is not computed."""
    if bool(mask.all()):
        return yes()
    return torch.where(mask, yes(), no()) if bool(mask.any()) else no()


def split(f: Map, z: Tensor) -> Tensor:
    """f(z) through z = (a - j b) e + (a + j b) e*, with j = i_(n-1) and e, e* = (1 +- j i_n)/2."""
    a, b = z.chunk(2)
    jb = _rotated(b)
    f_minus, f_plus = f(a - jb), f(a + jb)
    return torch.cat(((f_minus + f_plus) / 2, _rotated(f_minus - f_plus) / 2))


def _rotated(z: Tensor) -> Tensor:
    """Z times its own highest unit."""
    a, b = z.chunk(2)
    return torch.cat((-b, a))


def _complex(f: Map, z: Tensor) -> Tensor:
    value = f(torch.complex(z[0], z[1]))
    return torch.stack((value.real, value.imag))


def near_axis(real: Map, scale: Map) -> Callable[[Map], Map]:
    """Decorator: f of C^n, by the given formula where the imaginary parts are small.

    `real` is torch's function, for real and, far from the real axis, complex numbers; `scale`
    says, of the real part, how large the imaginary parts may be for the formula to hold.
    """

    def with_formula(formula: Map) -> Map:
        def f(z: Tensor) -> Tensor:
            if len(z) == 1:
                return real(z)
            return choose(
                is_near(z, scale(z[0])),
                lambda: formula(z),
                lambda: _complex(real, z) if len(z) == 2 else split(f, z),
            )

        return f

    return with_formula


@near_axis(torch.reciprocal, torch.abs)
def reciprocal(z: Tensor) -> Tensor:
    """1 / (a (1 + i w)), w = b / a: no square of a huge or a tiny number."""
    a, b = z.chunk(2)
    r = reciprocal(a)
    w = product(b, r)
    s = product(r, reciprocal(plus(square(w), 1)))
    return torch.cat((s, -product(w, s)))


def quotient(z: Tensor, w: Tensor) -> Tensor:
    """z / w."""
    return z / w if len(w) == 1 else product(z, reciprocal(w))


def plus(z: Tensor, real: float | Tensor) -> Tensor:
    """z plus a real number, or a tensor of them."""
    return torch.cat((z[:1] + real, z[1:]))


def square(z: Tensor) -> Tensor:
    """z^2."""
    return product(z, z)


def integer_power(z: Tensor, k: int) -> Tensor:
    """z^k by squaring."""
    if k < 0:
        return integer_power(reciprocal(z), -k)
    out = plus(torch.zeros_like(z), 1)
    started = False
    for bit in f"{k:b}":
        out = square(out) if started else out
        if bit == "1":
            out = product(out, z) if started else z
            started = True
    return out
