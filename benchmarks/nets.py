"""A problem's network as torch sees it, and its points and directions as tensors."""

from __future__ import annotations

from typing import Final

import numpy as np
import torch
from cases import Problem
from torch import Tensor, nn

ACTIVATIONS: Final = {"elu": nn.ELU, "silu": nn.SiLU}


def torch_net(p: Problem) -> nn.Sequential:
    """The network, asking for no gradients: nobody differentiates by its weights here."""
    modules: list[nn.Module] = []
    for W, b in p.layers:
        layer = nn.Linear(W.shape[1], W.shape[0], dtype=torch.from_numpy(W).dtype)
        with torch.no_grad():
            layer.weight.copy_(torch.from_numpy(W))
            layer.bias.copy_(torch.from_numpy(b))
        modules += [layer, ACTIVATIONS[p.case.activation]()]
    return nn.Sequential(*modules[:-1]).requires_grad_(requires_grad=False)


def tensors(*arrays: np.ndarray) -> tuple[Tensor, ...]:
    return tuple(torch.from_numpy(array) for array in arrays)
