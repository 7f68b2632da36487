"""Penalties on the derivatives of an encoder, one number for each image: parts of a loss.

    loss = mse + alpha * jacobian_norm2(f, x).mean() + beta * hessian_diagonal_norm2(f, x).mean()

is Eq. 11 with Eq. 10 as it is printed, both of `hodsim.derivatives`. Here are what the printed sum
is a part of, |H|_F^2 (Eq. 10 calls it Tr(H H)), and the rival, a stochastic estimate of that. All
take any f that has rules in `hodsim.derivatives`; gradients flow to its parameters.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import torch
from torch import Tensor, nn

from hodsim.derivatives import hessian, jacobian
from hodsim.errors import InputError

_MOST_INPUTS: Final = 64  # of a whole Hessian: it has inputs^2 / 2 lanes


def hessian_norm2(f: nn.Module, x: Tensor) -> Tensor:
    """|D^2 f(x)|_F^2 of every image, shape (batch,): Tr(H H) taken at its word.

    Raises
    ------
    InputError : more than 64 inputs an image.
    """
    n = x[0].numel()
    if n > _MOST_INPUTS:
        raise InputError(
            f"x: expected at most {_MOST_INPUTS} inputs an image for a whole Hessian, got {n}; "
            "take hessian_diagonal_norm2, which has its diagonals alone"
        )
    return hessian(f, x).square().flatten(1).sum(1)


def stochastic_hessian_norm2(
    f: nn.Module,
    x: Tensor,
    noise: float,
    draws: int = 1,
    generator: torch.Generator | None = None,
) -> Tensor:
    """Mean over draws of |D f(x + e) - D f(x)|_F^2 / noise^2, e normal of deviation `noise`.

    An estimate of |D^2 f|_F^2, to which its expectation tends as noise goes to 0 (Rifai et al.
    2011a, who leave out the division; with it the weight does not depend on the noise).
    Shape (batch,).

    Raises
    ------
    InputError : noise not above 0, or draws below 1.
    """
    return stochastic_norms2(f, x, noise, draws, generator)[1]


def stochastic_norms2(
    f: nn.Module,
    x: Tensor,
    noise: float,
    draws: int = 1,
    generator: torch.Generator | None = None,
) -> tuple[Tensor, Tensor]:
    """|D f(x)|_F^2 and `stochastic_hessian_norm2`, which has D f(x) at hand."""
    if not noise > 0.0:
        raise InputError(f"noise: expected a number above 0, got {noise}")
    if draws < 1:
        raise InputError(f"draws: expected a whole number of at least 1, got {draws}")
    step = noise * torch.randn((draws, *x.shape), generator=generator, dtype=x.dtype)
    there = torch.cat([x.unsqueeze(0), x + step]).flatten(0, 1)
    head = _head(f, x)
    if head is None:
        J = jacobian(f, there).flatten(2)
    else:
        J = jacobian(head.rest, head.first(there.flatten(1)))
    J = J.unflatten(0, (draws + 1, len(x)))

    def squares(A: Tensor) -> Tensor:
        return A.square().sum((-2, -1)) if head is None else head.squares(A)

    return squares(J[0]), squares(J[1:] - J[0]).mean(0) / noise**2


class _Head(NamedTuple):
    """A network as its first linear layer and what follows: D f = D rest . W.

    Most images have more pixels than the first layer has outputs: so fewer lanes travel, and
    |A W|_F^2 = tr(A (W W^T) A^T) needs no A W.
    """

    first: nn.Linear
    rest: nn.Sequential

    def squares(self, A: Tensor) -> Tensor:
        """|A W|_F^2 over the last two axes."""
        W = self.first.weight
        return ((A @ (W @ W.T)) * A).sum((-2, -1))


def _head(f: nn.Module, x: Tensor) -> _Head | None:
    """None where f does not begin with a linear layer of flat images that makes them smaller."""
    layers = list(f) if type(f) is nn.Sequential else []
    flat = x.dim() == 2
    if layers and type(layers[0]) is nn.Flatten and layers[0].start_dim == 1:
        flat, layers = layers[0].end_dim in (-1, x.dim() - 1), layers[1:]
    if not flat or len(layers) < 2 or type(layers[0]) is not nn.Linear:
        return None
    first = layers[0]
    if first.out_features >= first.in_features or first._forward_hooks or first._forward_pre_hooks:
        return None
    return _Head(first, nn.Sequential(*layers[1:]))
