"""A plain chain's real lane under autograd: what enters its activations, and their derivatives."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from hodsim.derivatives.activations import Sigma, activation_of
from hodsim.derivatives.chain import flatten


class Real(NamedTuple):
    """The real lane of a chain ``f = L_K s_K L_(K-1) ... s_1 L_0`` at a batch of points.

    weights : the matrix of each linear map, (out, in).
    sigmas : of each activation its derivatives, orders 0, 1, ..., (batch, width) each.
    out : f(x), (batch, m).
    """

    weights: list[Tensor]
    sigmas: list[list[Tensor]]
    out: Tensor


def real_lane(f: nn.Module, x: Tensor, order: int) -> Real:
    """Evaluate a chain (see `chain_of`), with derivatives of its activations up to ``order``.

    x : shape (batch, n).
    """
    layers: list[nn.Module] = []
    flatten(f, layers)
    h, product = x, None
    weights: list[Tensor] = []
    sigmas: list[list[Tensor]] = []
    for module in layers:
        if isinstance(module, nn.Linear):
            h = functional.linear(h, module.weight, module.bias)
            product = module.weight if product is None else module.weight @ product
            continue
        sigma = activation_of(type(module))
        if sigma is not None:
            weights.append(_or_identity(product, h))
            sigmas.append(derivatives(module, sigma, h, order))
            h, product = sigmas[-1][0], None
    weights.append(_or_identity(product, h))
    return Real(weights, sigmas, h)


class Maps(NamedTuple):
    """A chain as affine maps with activations between them, to be differentiated by both.

    weights, biases : of each map, (out, in) and (out,) or None.
    activations : each module and its derivatives.
    """

    weights: list[Tensor]
    biases: list[Tensor | None]
    activations: list[tuple[nn.Module, Sigma]]


def maps_of(f: nn.Module, x: Tensor) -> Maps:
    """Read a chain (see `chain_of`) given points x, (batch, n); layers in a row become one map."""
    layers: list[nn.Module] = []
    flatten(f, layers)
    out = Maps([], [], [])
    weight: Tensor | None = None
    bias: Tensor | None = None
    width = x.shape[1]
    for module in layers:
        if isinstance(module, nn.Linear):
            if bias is not None:
                bias = functional.linear(bias, module.weight, module.bias)
            else:
                bias = module.bias
            weight = module.weight if weight is None else module.weight @ weight
            width = module.out_features
            continue
        sigma = activation_of(type(module))
        if sigma is not None:
            out.weights.append(
                torch.eye(width, dtype=x.dtype, device=x.device) if weight is None else weight
            )
            out.biases.append(bias)
            out.activations.append((module, sigma))
            weight = bias = None
    out.weights.append(
        torch.eye(width, dtype=x.dtype, device=x.device) if weight is None else weight
    )
    out.biases.append(bias)
    return out


def _or_identity(product: Tensor | None, h: Tensor) -> Tensor:
    return torch.eye(h.shape[1], dtype=h.dtype, device=h.device) if product is None else product


def derivatives(module: nn.Module, sigma: Sigma, z: Tensor, order: int) -> list[Tensor]:
    """[sigma, sigma', ..., sigma^(order)] at z, to be differentiated any number of times."""
    if next(module.parameters(), None) is not None:
        return list(sigma(module, z, order))  # it has parameters, which want gradients too
    return list(_Derivatives.apply(z, module, sigma, order))


class _Derivatives(torch.autograd.Function):
    """The derivatives of an activation; that of each is the next one and not autograd's of its
    formula, which may overflow where the next one does not."""

    @staticmethod
    def forward(ctx: Any, z: Tensor, module: nn.Module, sigma: Sigma, order: int) -> Any:
        ctx.save_for_backward(z)
        ctx.rule = (module, sigma, order)
        ctx.set_materialize_grads(False)
        found = sigma(module, z, order)
        first = {id(a): k for k, a in reversed(list(enumerate(found)))}
        # A result that stands twice would be one result to autograd.
        return tuple(a if first[id(a)] == k else a.clone() for k, a in enumerate(found))

    @staticmethod
    def backward(ctx: Any, *cotangents: Tensor | None) -> Any:
        (z,) = ctx.saved_tensors
        module, sigma, order = ctx.rule
        higher = derivatives(module, sigma, z, order + 1)
        total: Tensor | None = None
        for c, slope in zip(cotangents, higher[1:], strict=True):
            if c is not None:
                total = c * slope if total is None else torch.addcmul(total, c, slope)
        return total, None, None, None
