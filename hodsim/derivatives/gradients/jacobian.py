"""The Jacobian of a chain under autograd: products of its matrices from the narrower end."""

from __future__ import annotations

from torch import Tensor, nn

from hodsim.derivatives.gradients.layers import real_lane


def chain_jacobian(f: nn.Module, x: Tensor) -> Tensor:
    """``D f(x)``, shape (batch, m, n); it can be differentiated any number of times.

    f : a chain (see `chain_of`). x : shape (batch, n).
    """
    real = real_lane(f, x, 1)
    weights, slopes = real.weights, [s[1] for s in real.sigmas]
    if weights[-1].shape[0] <= weights[0].shape[1]:
        rows = weights[-1].expand(len(x), -1, -1)
        for slope, weight in zip(reversed(slopes), reversed(weights[:-1]), strict=True):
            rows = (rows * slope.unsqueeze(1)) @ weight
        return rows
    columns = weights[0].mT.expand(len(x), -1, -1)  # one row for each input
    for slope, weight in zip(slopes, weights[1:], strict=True):
        columns = (columns * slope.unsqueeze(1)) @ weight.mT
    return columns.mT
