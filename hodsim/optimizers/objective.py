"""What is minimised: a loss that a network's parameters decide, on one batch."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call

from hodsim.errors import InputError

Parameters = Mapping[str, Tensor]


class Objective:
    """The number that a closure computes by calling a network; also a closure for torch's own.

    network : whose parameters decide the loss.
    closure : takes nothing, calls the network, returns the mean loss over a batch; the same at the
        same parameters, whenever it is called.
    size : samples in that batch, for weighing batches and for counting.

    Raises
    ------
    InputError : a network without parameters, with active dropout, of another type than float32
        or float64; a size below 1.
    """

    def __init__(self, network: nn.Module, closure: Callable[[], Tensor], size: int = 1) -> None:
        check_network(network)
        if not callable(closure):
            raise InputError(f"closure: expected a function, got {type(closure).__name__}")
        if size < 1:
            raise InputError(f"size: expected at least one sample, got {size}")
        self.network, self.size = network, size
        self._called = _Called(network, closure)

    def at(self, parameters: Parameters) -> Tensor:
        """The loss with these in place of the network's parameters of the same names.

        Buffers (running statistics) are left as they are.
        """
        named = {f"network.{k}": t for k, t in (*self._buffers(), *parameters.items())}
        return check_loss(functional_call(self._called, named, ()))

    def __call__(self) -> Tensor:
        """torch's closure: gradients into `.grad`, the loss returned."""
        with torch.enable_grad():
            self.network.zero_grad()
            loss = check_loss(self._called())
            loss.backward()
        return loss.detach()

    def advance(self) -> bool:
        """Let running statistics see the batch once, if there are any; whether there are."""
        if not any(m.training and _keeps_statistics(m) for m in self.network.modules()):
            return False
        with torch.no_grad():
            self._called()
        return True

    def _buffers(self) -> list[tuple[str, Tensor]]:
        return [(k, b.clone()) for k, b in self.network.named_buffers()]


class Batch(Objective):
    """The mean loss of a network on one batch, split into outputs and loss as Gauss-Newton asks.

    network : takes x.
    loss : of (outputs, y); a mean over samples. Gauss-Newton wants it convex in the outputs.
    x, y : inputs, shape (n, ...), and targets.
    """

    def __init__(
        self, network: nn.Module, loss: Callable[[Tensor, Any], Tensor], x: Tensor, y: Any
    ) -> None:
        if not isinstance(x, Tensor) or x.dim() < 1 or not len(x):
            got = tuple(x.shape) if isinstance(x, Tensor) else type(x).__name__
            raise InputError(f"x: expected a tensor with at least one sample, got {got}")
        super().__init__(network, lambda: loss(network(x), y), len(x))
        self.loss, self.x, self.y = loss, x, y

    def outputs(self, parameters: Parameters) -> Tensor:
        """The network's outputs with these parameters, shape (n, ...)."""
        return functional_call(self.network, {**dict(self._buffers()), **parameters}, (self.x,))

    def judged(self, outputs: Tensor) -> Tensor:
        """The loss of outputs."""
        return check_loss(self.loss(outputs, self.y))


class _Called(nn.Module):
    """A closure as a module that holds the network, so that parameters can be put in its place."""

    def __init__(self, network: nn.Module, closure: Callable[[], Tensor]) -> None:
        super().__init__()
        self.network, self.closure = network, closure

    def forward(self) -> Tensor:
        return self.closure()


def check_loss(loss: Any) -> Tensor:
    """Refuse what is not one number."""
    if not isinstance(loss, Tensor) or loss.numel() != 1:
        got = f"shape {tuple(loss.shape)}" if isinstance(loss, Tensor) else type(loss).__name__
        raise InputError(f"loss: expected a tensor of one number, got {got}; take its mean")
    return loss.reshape(())


def check_network(network: nn.Module) -> None:
    """Refuse a network that no exact curvature can be had of, before anything is computed."""
    if not isinstance(network, nn.Module):
        raise InputError(f"network: expected a torch.nn.Module, got {type(network).__name__}")
    if not any(True for _ in network.parameters()):
        raise InputError("network: expected parameters to train, got none")
    for name, p in network.named_parameters():
        if p.dtype not in (torch.float32, torch.float64):
            raise InputError(
                f"network: expected float32 or float64 parameters, got {p.dtype} in {name}"
            )
    for name, module in network.named_modules():
        if isinstance(module, nn.modules.dropout._DropoutNd) and module.training and module.p:
            raise InputError(
                f"network: expected a loss that is the same at the same parameters, got active "
                f"dropout in {name or 'the network itself'}; call eval() on it, or set p = 0"
            )


def finite(x: float) -> float | None:
    """x, or None where it is nan or infinite."""
    return x if math.isfinite(x) else None


def _keeps_statistics(module: nn.Module) -> bool:
    return getattr(module, "running_mean", None) is not None
