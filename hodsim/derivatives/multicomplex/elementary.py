"""Elementary functions on parts, shape (2^n, ...), by recursion over the Cauchy-Riemann pair."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional

from hodsim.derivatives.multicomplex.algebra import (
    Map,
    choose,
    is_near,
    near_axis,
    plus,
    product,
    quotient,
    reciprocal,
    split,
    square,
)


def power(z: Tensor, p: Tensor) -> Tensor:
    """z^p = x^p exp(p log1p(u)) with z = x (1 + u), for a real exponent of z's shape."""
    x = z[0]

    def near() -> Tensor:
        u = torch.cat((torch.zeros_like(z[:1]), z[1:] / x))
        return torch.pow(x, p) * exp(p * log1p(u))

    def far() -> Tensor:
        return (
            exp(p * log(z)) if len(z) <= 2 else split(lambda y: power(y, p.expand(y.shape[1:])), z)
        )

    if len(z) == 1:
        return torch.pow(z, p)
    real = is_near(z, x.abs()) & ((x > 0) | (p == p.floor())) & (x != 0)
    return torch.where(
        (z == 0).all(0), plus(torch.zeros_like(z), torch.pow(x, p)), choose(real, near, far)
    )


def exp(z: Tensor) -> Tensor:
    """e^(a + i b) = e^a (cos b + i sin b)."""
    if len(z) == 1:
        return torch.exp(z)
    a, b = z.chunk(2)
    e, (s, c) = exp(a), sin_cos(b)
    return torch.cat((product(e, c), product(e, s)))


def expm1(z: Tensor) -> Tensor:
    """e^z - 1 = expm1(a) cos b - (1 - cos b) + i e^a sin b."""
    if len(z) == 1:
        return torch.expm1(z)
    a, b = z.chunk(2)
    s, c = sin_cos(b)
    fall = 2 * square(sin_cos(b / 2)[0])  # 1 - cos b
    return torch.cat((product(expm1(a), c) - fall, product(exp(a), s)))


def sin_cos(z: Tensor) -> tuple[Tensor, Tensor]:
    """Sine and cosine by the addition formulas, sin(i b) = i sinh b and cos(i b) = cosh b."""
    if len(z) == 1:
        return torch.sin(z), torch.cos(z)
    a, b = z.chunk(2)
    (s, c), (sh, ch) = sin_cos(a), sinh_cosh(b)
    return (
        torch.cat((product(s, ch), product(c, sh))),
        torch.cat((product(c, ch), -product(s, sh))),
    )


def sinh_cosh(z: Tensor) -> tuple[Tensor, Tensor]:
    """Their hyperbolic fellows, sinh(i b) = i sin b and cosh(i b) = cos b."""
    if len(z) == 1:
        return torch.sinh(z), torch.cosh(z)
    a, b = z.chunk(2)
    (sh, ch), (s, c) = sinh_cosh(a), sin_cos(b)
    return (
        torch.cat((product(sh, c), product(ch, s))),
        torch.cat((product(ch, c), product(sh, s))),
    )


@near_axis(torch.log, torch.positive)
def log(z: Tensor) -> Tensor:
    """log a + log1p(w^2) / 2 + i atan w, w = b / a."""
    a, b = z.chunk(2)
    w = quotient(b, a)
    return torch.cat((log(a) + log1p(square(w)) / 2, atan(w)))


@near_axis(torch.log1p, lambda x: 1 + x)
def log1p(z: Tensor) -> Tensor:
    """log1p(a) + log1p(w^2) / 2 + i atan w, w = b / (1 + a)."""
    a, b = z.chunk(2)
    w = quotient(b, plus(a, 1))
    return torch.cat((log1p(a) + log1p(square(w)) / 2, atan(w)))


@near_axis(torch.sqrt, torch.positive)
def sqrt(z: Tensor) -> Tensor:
    """u + i b / 2u with u^2 = a (1 + sqrt(1 + w^2)) / 2, w = b / a."""
    a, b = z.chunk(2)
    cosine = plus(sqrt(plus(square(quotient(b, a)), 1)), 1) / 2  # half-angle, both terms > 0
    u = product(sqrt(a), sqrt(cosine))
    return torch.cat((u, quotient(b, 2 * u)))


@near_axis(torch.atan, torch.ones_like)
def _atan_inner(z: Tensor) -> Tensor:
    a, b = z.chunk(2)
    below, above = plus(-b, 1), plus(b, 1)
    angle = (atan(quotient(a, below)) + atan(quotient(a, above))) / 2
    stretch = log1p(quotient(4 * b, square(below) + square(a))) / 4
    return torch.cat((angle, stretch))


def atan(z: Tensor) -> Tensor:
    """Beyond 1 +-pi/2 - atan(1/z), where imaginary parts need be small beside x alone."""
    x = z[0]
    large = (x.abs() > 1) & is_near(z, x.abs())
    if len(z) == 1 or not bool(large.any()):
        return _atan_inner(z)
    t = _atan_inner(torch.where(large, reciprocal(z), z))
    return torch.where(large, plus(-t, torch.copysign(torch.full_like(x, math.pi / 2), x)), t)


@near_axis(torch.atanh, lambda x: 1 - x.abs())
def atanh(z: Tensor) -> Tensor:
    """(log(1 + z) - log(1 - z)) / 2, atanh(a) apart."""
    a, b = z.chunk(2)
    v, w = quotient(b, plus(a, 1)), quotient(b, plus(-a, 1))
    stretch = (log1p(square(v)) - log1p(square(w))) / 4  # of the order of b^2
    return torch.cat((atanh(a) + stretch, (atan(v) + atan(w)) / 2))


@near_axis(torch.asin, lambda x: 1 - x.abs())
def asin(z: Tensor) -> Tensor:
    """atan(z / (sqrt(1 - z) sqrt(1 + z)))."""
    return atan(quotient(z, product(sqrt(plus(-z, 1)), sqrt(plus(z, 1)))))


@near_axis(torch.acos, lambda x: 1 - x.abs())
def acos(z: Tensor) -> Tensor:
    """2 atan(sqrt(1 - z) / sqrt(1 + z))."""
    return 2 * atan(quotient(sqrt(plus(-z, 1)), sqrt(plus(z, 1))))


@near_axis(torch.asinh, lambda x: x.abs().clamp(min=1))
def asinh(z: Tensor) -> Tensor:
    """log(z + sqrt(z^2 + 1)), odd."""
    negative = z[0] < 0  # there z + sqrt(z^2 + 1) would cancel
    y = torch.where(negative, -z, z)

    def small() -> Tensor:
        q = square(y)
        return log1p(y + quotient(q, plus(sqrt(plus(q, 1)), 1)))

    def large() -> Tensor:
        return log(y) + log1p(sqrt(plus(square(reciprocal(y)), 1)))

    out = choose(y[0] <= 1, small, large)
    return torch.where(negative, -out, out)


@near_axis(torch.acosh, lambda x: x - 1)
def acosh(z: Tensor) -> Tensor:
    """2 asinh(sqrt((z - 1) / 2))."""
    return 2 * asinh(sqrt(plus(z, -1) / 2))


def _tangent(t: Tensor, s: Tensor, sign: int) -> Tensor:
    """(t + i s) / (1 - sign i t s), for tan (sign 1) and tanh (-1)."""
    r = reciprocal(plus(square(product(t, s)), 1))
    real = product(t, plus(-sign * square(s), 1))
    imag = product(s, plus(sign * square(t), 1))
    return torch.cat((product(real, r), product(imag, r)))


@near_axis(torch.tan, torch.ones_like)
def tan(z: Tensor) -> Tensor:
    """Of tan a and tanh b."""
    a, b = z.chunk(2)
    return _tangent(tan(a), tanh(b), 1)


@near_axis(torch.tanh, torch.ones_like)
def _tanh_inner(z: Tensor) -> Tensor:
    a, b = z.chunk(2)
    return _tangent(tanh(a), tan(b), -1)


def tanh(z: Tensor) -> Tensor:
    """Of tanh a and tan b about 0, of e^(-2 |z|) in the tails."""
    if len(z) == 1:
        return torch.tanh(z)

    def tail() -> Tensor:  # where 1 - tanh^2 would cancel
        e = exp(torch.where(z[0] > 0, -2 * z, 2 * z))
        out = plus(-2 * quotient(e, plus(e, 1)), 1)
        return torch.where(z[0] > 0, out, -out)

    return choose(z[0].abs() < 0.5, lambda: _tanh_inner(z), tail)


def sigmoid(z: Tensor) -> Tensor:
    """By tanh(z / 2) about 0, by e^(-|z|) in the tails."""
    if len(z) == 1:
        return torch.sigmoid(z)

    def tail() -> Tensor:
        e = exp(torch.where(z[0] > 0, -z, z))
        r = reciprocal(plus(e, 1))
        return torch.where(z[0] > 0, r, product(e, r))

    return choose(z[0].abs() < 1, lambda: plus(tanh(z / 2) / 2, 0.5), tail)


def softplus(z: Tensor) -> Tensor:
    """log(1 + e^z), of the exponential that cannot overflow."""
    if len(z) == 1:
        return functional.softplus(z)
    positive = z[0] > 0
    fold = log1p(exp(torch.where(positive, -z, z)))
    return fold + torch.where(positive, z, torch.zeros_like(z))


def _positive(z: Tensor) -> Tensor:
    return torch.where(z[0] > 0, z, torch.zeros_like(z))


# Those of one argument, beside torch's own on the real part.
UNARY: dict[str, tuple[Map, Map]] = {
    "exp": (exp, torch.exp),
    "exp2": (lambda z: exp(z * math.log(2)), torch.exp2),
    "expm1": (expm1, torch.expm1),
    "log": (log, torch.log),
    "log1p": (log1p, torch.log1p),
    "log2": (lambda z: log(z) / math.log(2), torch.log2),
    "log10": (lambda z: log(z) / math.log(10), torch.log10),
    "sqrt": (sqrt, torch.sqrt),
    "rsqrt": (lambda z: reciprocal(sqrt(z)), torch.rsqrt),
    "square": (square, torch.square),
    "reciprocal": (reciprocal, torch.reciprocal),
    "sin": (lambda z: sin_cos(z)[0], torch.sin),
    "cos": (lambda z: sin_cos(z)[1], torch.cos),
    "tan": (tan, torch.tan),
    "asin": (asin, torch.asin),
    "acos": (acos, torch.acos),
    "atan": (atan, torch.atan),
    "sinh": (lambda z: sinh_cosh(z)[0], torch.sinh),
    "cosh": (lambda z: sinh_cosh(z)[1], torch.cosh),
    "tanh": (tanh, torch.tanh),
    "asinh": (asinh, torch.asinh),
    "acosh": (acosh, torch.acosh),
    "atanh": (atanh, torch.atanh),
    "sigmoid": (sigmoid, torch.sigmoid),
    "logsigmoid": (lambda z: -softplus(-z), functional.logsigmoid),
    "silu": (lambda z: product(z, sigmoid(z)), functional.silu),
    "relu": (_positive, torch.relu),
}
