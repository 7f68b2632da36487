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
from typing import TypeVar

import torch
from torch import Tensor, nn
from torch.nn import functional

Sigma = Callable[[nn.Module, Tensor, int], list[Tensor]]
_SIGMA: dict[type[nn.Module], Sigma] = {}
F = TypeVar("F", bound=Callable[..., list[Tensor]])


def register_activation(module_type: type[nn.Module]) -> Callable[[F], F]:
    """Decorator for ``sigma(module, x, order)``, the derivatives of an elementwise module.

    It returns [sigma(x), sigma'(x), ..., sigma^(order)(x)], each of x's shape.
    """

    def keep(sigma: F) -> F:
        _SIGMA[module_type] = sigma
        return sigma

    return keep


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


@register_activation(nn.Sigmoid)
def _sigmoid(_: nn.Sigmoid, x: Tensor, order: int) -> list[Tensor]:
    return logistic(x, order)


@register_activation(nn.Tanh)
def _tanh(_: nn.Tanh, x: Tensor, order: int) -> list[Tensor]:
    s = logistic(2 * x, order)  # tanh(x) = 2 s(2 x) - 1
    return [torch.tanh(x), *(s[k] * 2 ** (k + 1) for k in range(1, order + 1))]


@register_activation(nn.SiLU)
def _silu(_: nn.SiLU, x: Tensor, order: int) -> list[Tensor]:
    s = logistic(x, order)
    out = [functional.silu(x)]
    if order >= 1:
        out.append(torch.addcmul(s[0], x, s[1]))
    # (x s)^(k) = x s^(k) + k s^(k-1)
    return out + [torch.add(x * s[k], s[k - 1], alpha=k) for k in range(2, order + 1)]


@register_activation(nn.Softplus)
def _softplus(module: nn.Softplus, x: Tensor, order: int) -> list[Tensor]:
    beta, scaled = module.beta, x * module.beta
    out = [functional.softplus(x, module.beta, module.threshold)]
    if order >= 1:
        # torch switches to the identity past the threshold: differentiate what the module computes.
        linear = scaled > module.threshold
        s = logistic(scaled, order - 1)
        out.append(s[0].masked_fill(linear, 1.0))
        out += [(s[k] * beta**k).masked_fill(linear, 0.0) for k in range(1, order)]
    return out


@register_activation(nn.ELU)
def _elu(module: nn.ELU, x: Tensor, order: int) -> list[Tensor]:
    # C^1 only (for alpha = 1): from the second derivative on it jumps at 0, where we take the
    # left side (torch.autograd takes the left once, then the right).
    out = [functional.elu(x, module.alpha)]
    if order >= 1:
        positive = x > 0
        left = torch.exp(x.clamp(max=0.0)) * module.alpha
        out.append(left.masked_fill(positive, 1.0))
        if order >= 2:
            out.extend([left.masked_fill(positive, 0.0)] * (order - 1))
    return out
