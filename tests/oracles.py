"""Slow truths that know nothing of hodsim: nested reverse-mode autograd, finite differences."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

Function = Callable[[Tensor], Tensor]


def nested_autograd(f: Function, x: Tensor, directions: Sequence[Tensor]) -> Tensor:
    """``D^k f(x)[a, b, ...]`` at one point: f along x + s a + t b + ..., once reversed for each.

    x and the directions have shape (n,), the result (m,).
    """
    steps = [torch.zeros((), dtype=x.dtype, requires_grad=True) for _ in directions]
    point = x.detach()
    for step, direction in zip(steps, directions, strict=True):
        point = point + step * direction
    out = []
    for value in f(point):
        for step in steps:
            if value.grad_fn is None:  # what no longer depends on the point
                value = torch.zeros((), dtype=x.dtype)
                break
            (gradient,) = torch.autograd.grad(value, step, create_graph=True, allow_unused=True)
            value = torch.zeros((), dtype=x.dtype) if gradient is None else gradient
        out.append(value.detach())
    return torch.stack(out)


def derivative_tensor(f: Function, x: Tensor, order: int) -> Tensor:
    """``D^k f(x)``, shape (m, n, ..., n), by torch.autograd.functional.jacobian upon itself."""
    for _ in range(order):
        f = _jacobian_of(f)
    return f(x).detach()


def _jacobian_of(f: Function) -> Function:
    return lambda x: torch.autograd.functional.jacobian(f, x, create_graph=True)


def scalar_derivatives(f: Function, x: Tensor, order: int) -> list[Tensor]:
    """[f, f', ..., f^(order)] of an elementwise function at every entry of x."""
    x = x.detach().clone().requires_grad_(True)
    value = f(x)
    out = [value.detach()]
    for _ in range(order):
        if value.grad_fn is None:
            value = torch.zeros_like(x)
        else:
            (gradient,) = torch.autograd.grad(value.sum(), x, create_graph=True, allow_unused=True)
            value = torch.zeros_like(x) if gradient is None else gradient
        out.append(value.detach())
    return out


def third_difference(f: Function, x: Tensor, a: Tensor, b: Tensor, c: Tensor, h: float) -> Tensor:
    """``D^3 f(x)[a, b, c]`` by central differences of step h; the error falls as h^2."""
    total = torch.zeros_like(f(x))
    for i in (1, -1):
        for j in (1, -1):
            for k in (1, -1):
                total = total + i * j * k * f(x + h * (i * a + j * b + k * c))
    return total / (2 * h) ** 3
