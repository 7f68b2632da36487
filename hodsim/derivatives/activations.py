"""Derivatives of any order of elementwise activations, by exact integer recurrences.

Everything of the sigmoid family rests on ``d = s (1 - s)`` and ``m = 1 - 2 s``, for which
``d' = m d``, ``m' = -2 d`` and ``m^2 = 1 - 4 d``. The derivatives are therefore
``s^(k) = d R_k(d)`` for odd k and ``m d R_k(d)`` for even k, with integer polynomials R_k. d itself
is formed as s(x) s(-x), so the tails keep full relative accuracy (a polynomial in s alone would
not: it cancels near s = 1).
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from math import pi, prod, sqrt
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from hodsim.derivatives.elementary import normal_cdf, times_x
from hodsim.derivatives.partitions import set_partitions

Sigma = Callable[[Any, Tensor, int], list[Tensor]]
_SIGMA: dict[type[nn.Module], Sigma] = {}


def keep_activation(module_type: type[nn.Module], sigma: Sigma) -> None:
    """Enter ``sigma(module, x, order)``, the derivatives of an elementwise module, in the table."""
    _SIGMA[module_type] = sigma


def activation_of(module_type: type[nn.Module]) -> Sigma | None:
    """The derivatives of an activation class, or None if it is not known as one."""
    return _SIGMA.get(module_type)


@cache
def logistic_coefficients(k: int) -> tuple[int, ...]:
    """Integer coefficients of R_k, lowest power of d first (k >= 1)."""
    if k == 1:
        return (1,)
    below = logistic_coefficients(k - 1)
    grown = [(j + 1) * c for j, c in enumerate(below)]  # R + d R'
    if k % 2 == 0:  # (d R)' = m d (R + d R')
        return tuple(grown)
    # (m d R)' = d ( -2 d R + (1 - 4 d)(R + d R') )
    out = [0] * (len(below) + 1)
    for j, (c, g) in enumerate(zip(below, grown, strict=True)):
        out[j] += g
        out[j + 1] -= 2 * c + 4 * g
    return tuple(out)


def logistic(x: Tensor, order: int) -> list[Tensor]:
    """[s, s', ..., s^(order)] of the sigmoid s at x."""
    s = torch.sigmoid(x)
    out = [s]
    if order >= 1:
        mirrored = torch.sigmoid(-x)
        d = s * mirrored
        md = (mirrored - s) * d
        for k in range(1, order + 1):
            base = d if k % 2 else md
            *lower, top = logistic_coefficients(k)
            if not lower:
                out.append(base)
                continue
            polynomial = d * top + lower[-1]
            for c in reversed(lower[:-1]):
                polynomial = polynomial * d + c
            out.append(base * polynomial)
    return out


def tanh(x: Tensor, order: int) -> list[Tensor]:
    """tanh x = 2 s(2 x) - 1; up to order three by d = 1 / cosh^2, as exact and fewer passes:
    d' = -2 t d, d'' = (4 t^2 - 2 d) d."""
    if order <= 3:
        t = torch.tanh(x)
        if order == 0:
            return [t]
        d = torch.cosh(x).reciprocal_().square()
        bend = [(t * d).mul_(-2)] if order >= 2 else []
        return [
            t,
            d,
            *bend,
            *([torch.addcmul(-2 * d, t, t, value=4).mul_(d)] if order == 3 else []),
        ]
    s = logistic(2 * x, order)
    return [torch.tanh(x), *(s[k] * 2 ** (k + 1) for k in range(1, order + 1))]


def silu(x: Tensor, order: int) -> list[Tensor]:
    """x s(x)."""
    return [functional.silu(x), *times_x(x, logistic(x, order))[1:]]


def gelu(x: Tensor, order: int) -> list[Tensor]:
    """x Phi(x), Phi the normal distribution function."""
    return [functional.gelu(x), *times_x(x, normal_cdf(x, order))[1:]]


def logsigmoid(x: Tensor, order: int) -> list[Tensor]:
    """log s(x); its derivative is s(-x)."""
    mirrored = logistic(-x, order - 1) if order else []
    return [functional.logsigmoid(x), *(s * (-1) ** k for k, s in enumerate(mirrored))]


def softplus(x: Tensor, order: int, beta: float = 1.0, threshold: float = 20.0) -> list[Tensor]:
    """log(1 + e^(beta x)) / beta, and x past the threshold, as torch computes it."""
    scaled = x * beta
    out = [functional.softplus(x, beta, threshold)]
    if order >= 1:
        linear = scaled > threshold
        s = logistic(scaled, order - 1)
        out.append(s[0].masked_fill(linear, 1.0))
        out += [(s[k] * beta**k).masked_fill(linear, 0.0) for k in range(1, order)]
    return out


def elu(
    x: Tensor, order: int, alpha: float = 1.0, scale: float = 1.0, input_scale: float = 1.0
) -> list[Tensor]:
    """scale x for x > 0, else scale alpha (e^(input_scale x) - 1).

    C^1 only (for alpha = 1): from the second derivative on it jumps at 0, where we take the left
    side (torch.autograd takes the left once, then the right).
    """
    positive = x > 0
    left = torch.exp(x.clamp(max=0.0) * input_scale) * (scale * alpha)
    below = torch.expm1(x.clamp(max=0.0) * input_scale) * (scale * alpha)
    out = [torch.where(positive, x * scale, below)]
    slopes = [scale, *[0.0] * order]
    return out + [
        (left * input_scale**k).masked_fill(positive, slopes[k - 1]) for k in range(1, order + 1)
    ]


def gelu_tanh(x: Tensor, order: int) -> list[Tensor]:
    """x s(2 p(x)) with p = sqrt(2/pi) (x + 0.044715 x^3), torch's approximation of GELU."""
    c, d = 2.0 * sqrt(2.0 / pi), 0.044715
    p = [c * (x + d * x**3), c * (1.0 + 3.0 * d * x * x), 6.0 * c * d * x, 6.0 * c * d + 0.0 * x]
    outer = logistic(p[0], order)
    inner: list[Tensor] = [outer[0]]
    for k in range(1, order + 1):
        total = torch.zeros_like(x)
        for partition in set_partitions(k):
            if all(len(block) <= 3 for block in partition):
                total = total + outer[len(partition)] * prod(p[len(b)] for b in partition)
        inner.append(total)
    return [functional.gelu(x, approximate="tanh"), *times_x(x, inner)[1:]]


def selu(x: Tensor, order: int) -> list[Tensor]:
    """ELU with the constants of self-normalising networks, as torch has them."""
    return elu(x, order, alpha=1.6732632423543772848170429916717, scale=1.0507009873554804934193349)


def leaky_relu(x: Tensor, order: int, slope: float = 0.01) -> list[Tensor]:
    """x for x > 0, else slope x; at 0 the left side, as torch has it."""
    zero = torch.zeros_like(x)
    steep = (x > 0).to(x) * (1.0 - slope) + slope
    return [x * steep, steep, *[zero] * (order - 1)][: order + 1]


def relu(x: Tensor, order: int) -> list[Tensor]:
    """max(x, 0)."""
    return leaky_relu(x, order, 0.0)


def _plain(function: Callable[[Tensor, int], list[Tensor]]) -> Sigma:
    return lambda _, x, order: function(x, order)


for _type, _function in {
    nn.Sigmoid: logistic,
    nn.Tanh: tanh,
    nn.SiLU: silu,
    nn.SELU: selu,
    nn.ReLU: relu,
    nn.LogSigmoid: logsigmoid,
}.items():
    keep_activation(_type, _plain(_function))
keep_activation(nn.ELU, lambda elu_, x, order: elu(x, order, elu_.alpha))
keep_activation(nn.CELU, lambda celu, x, order: elu(x, order, celu.alpha, 1.0, 1.0 / celu.alpha))
keep_activation(nn.LeakyReLU, lambda leaky, x, order: leaky_relu(x, order, leaky.negative_slope))
keep_activation(nn.Softplus, lambda soft, x, order: softplus(x, order, soft.beta, soft.threshold))
keep_activation(
    nn.GELU,
    lambda module, x, order: (gelu_tanh if module.approximate == "tanh" else gelu)(x, order),
)
