"""Derivatives of any order of elementary functions: each gives [f, f', ..., f^(order)] at x."""

from __future__ import annotations

from functools import cache
from math import factorial, pi, sqrt

import torch
from torch import Tensor


def exp(x: Tensor, order: int) -> list[Tensor]:
    """e^x, its own derivative."""
    return [torch.exp(x)] * (order + 1)


def power(x: Tensor, order: int, exponent: float) -> list[Tensor]:
    """x^p; f^(k) = p (p-1) ... (p-k+1) x^(p-k). Whole powers p >= 0 end at order p."""
    out, factor = [x**exponent], 1.0
    for k in range(1, order + 1):
        factor *= exponent - k + 1
        if factor == 0.0:
            out.append(torch.zeros_like(x))
        else:
            out.append(factor * x ** (exponent - k))
    return out


def reciprocal(x: Tensor, order: int) -> list[Tensor]:
    """1 / x; f^(k) = (-1)^k k! / x^(k+1)."""
    out = [torch.reciprocal(x)]
    for k in range(1, order + 1):
        out.append(out[-1] * out[0] * -k)
    return out


def log(x: Tensor, order: int) -> list[Tensor]:
    """Natural logarithm; f' = 1 / x."""
    return [torch.log(x), *(reciprocal(x, order - 1) if order else [])]


def log1p(x: Tensor, order: int) -> list[Tensor]:
    """log(1 + x) without cancellation near 0."""
    return [torch.log1p(x), *(reciprocal(1.0 + x, order - 1) if order else [])]


def expm1(x: Tensor, order: int) -> list[Tensor]:
    """e^x - 1 without cancellation near 0."""
    return [torch.expm1(x), *exp(x, order)[1:]]


def sin(x: Tensor, order: int) -> list[Tensor]:
    """sin x; the derivatives go round: sin, cos, -sin, -cos."""
    s, c = torch.sin(x), torch.cos(x)
    return [(s, c, -s, -c)[k % 4] for k in range(order + 1)]


def cos(x: Tensor, order: int) -> list[Tensor]:
    """cos x = the derivative of sin x."""
    return sin(x, order + 1)[1:]


def sinh(x: Tensor, order: int) -> list[Tensor]:
    """sinh x and cosh x in turn."""
    s, c = torch.sinh(x), torch.cosh(x)
    return [(s, c)[k % 2] for k in range(order + 1)]


def cosh(x: Tensor, order: int) -> list[Tensor]:
    """cosh x = the derivative of sinh x."""
    return sinh(x, order + 1)[1:]


@cache
def hermite(k: int) -> tuple[int, ...]:
    """Integer coefficients of the probabilists' Hermite polynomial He_k, lowest power first."""
    if k == 0:
        return (1,)
    below = hermite(k - 1)
    out = [0, *below]  # He_k = x He_(k-1) - He_(k-1)'
    for j, c in enumerate(below[1:], start=1):
        out[j - 1] -= j * c
    return tuple(out)


def normal_cdf(x: Tensor, order: int) -> list[Tensor]:
    """The normal distribution function; f^(k) = (-1)^(k-1) He_(k-1)(x) phi(x)."""
    out = [0.5 * torch.erfc(x * -sqrt(0.5))]
    if order:
        phi = torch.exp(-0.5 * x * x) / sqrt(2.0 * pi)
        for k in range(1, order + 1):
            polynomial = torch.zeros_like(x)
            for c in reversed(hermite(k - 1)):
                polynomial = polynomial * x + c
            out.append(phi * polynomial * (-1.0) ** (k - 1))
    return out


def erf(x: Tensor, order: int) -> list[Tensor]:
    """erf x = 2 Phi(sqrt(2) x) - 1."""
    scaled = normal_cdf(x * sqrt(2.0), order)
    return [torch.erf(x), *(2.0 * sqrt(2.0) ** k * scaled[k] for k in range(1, order + 1))]


def times_x(x: Tensor, f: list[Tensor]) -> list[Tensor]:
    """The derivatives of x f(x) from those of f: (x f)^(k) = x f^(k) + k f^(k-1)."""
    return [x * f[0], *(torch.add(x * f[k], f[k - 1], alpha=k) for k in range(1, len(f)))]


def atan(x: Tensor, order: int) -> list[Tensor]:
    """arctan x; f^(k) = (-1)^(k-1) (k-1)! r^k sin(k theta), from f' = Im 1 / (x - i).

    1 / (x - i) = r e^(i theta) with r = 1 / sqrt(1 + x^2) and theta = arctan2(1, x).
    """
    theta, r = torch.atan2(torch.ones_like(x), x), torch.rsqrt(1.0 + x * x)
    return [torch.atan(x)] + [
        (-1.0) ** (k - 1) * factorial(k - 1) * r**k * torch.sin(k * theta)
        for k in range(1, order + 1)
    ]
