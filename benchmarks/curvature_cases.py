"""Networks and ways to multiply the Hessian of their loss by a vector, for curvature.py."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Any, Final

import torch
from memory import peak, settle_worker
from torch import Tensor, nn
from torch.func import functional_call, grad, jvp, linearize, replace_all_batch_norm_modules_
from torch.nn import functional

from hodsim.derivatives import hvp, linearise
from hodsim.learning import autoencoder, lenet5, resnet20, vgg11

Parameters = dict[str, Tensor]
Run = Callable[[], Any]


@dataclass(frozen=True)
class Case:
    """A network, the shape of one image, and a small network of the same operations."""

    make: Callable[[], nn.Module]
    image: tuple[int, int, int]
    small: Callable[[], nn.Module]


CASES: Final[dict[str, Case]] = {
    "autoencoder": Case(autoencoder, (1, 28, 28), lambda: autoencoder((784, 8, 4))),
    "lenet5": Case(lenet5, (1, 28, 28), lenet5),
    "vgg11/quarter": Case(lambda: vgg11(0.25), (3, 32, 32), lambda: vgg11(1 / 32)),
    "vgg11/full": Case(vgg11, (3, 32, 32), lambda: vgg11(1 / 32)),
    "resnet20": Case(resnet20, (3, 32, 32), resnet20),
}


class Task:
    """The loss of a network on one random batch as a function of its parameters, and a direction.

    Batch normalisation uses the batch's statistics and keeps none, as torch.func asks for.
    """

    def __init__(
        self, name: str, batch: int, dtype: torch.dtype, seed: int, small: bool = False
    ) -> None:
        case = CASES[name]
        torch.manual_seed(seed)
        self.network = (case.small if small else case.make)().to(dtype)
        replace_all_batch_norm_modules_(self.network)
        self.x = torch.rand(batch, *case.image, dtype=dtype)
        self.y = torch.randint(10, (batch,))
        self.pixels = name == "autoencoder"
        self.leaves = list(self.network.parameters())
        self.point = {key: p.detach() for key, p in self.network.named_parameters()}
        self.v = {key: torch.randn_like(p) for key, p in self.point.items()}

    def of(self, parameters: Parameters) -> Tensor:
        return self.judged(functional_call(self.network, parameters, (self.x,)))

    def judged(self, out: Tensor) -> Tensor:
        """The mean loss of the network's output."""
        if self.pixels:
            return functional.binary_cross_entropy_with_logits(out, self.x.flatten(1))
        return functional.cross_entropy(out, self.y)


# ------------------------------------------------------------------ contenders

OURS: Final = "hodsim: hvp"
OURS_HELD: Final = "hodsim: linearise, kept"
GRADIENT: Final = "autograd: gradient alone"
DOUBLE: Final = "autograd: double backpropagation"


def _ours(task: Task) -> Run:
    def run() -> Parameters:
        with torch.no_grad():
            return hvp(task.of, task.point, task.v)

    return run


def _ours_held(task: Task) -> Run:
    curvature = linearise(task.of, task.point)
    curvature.hvp(
        task.v
    )  # what a first product leaves behind is kept, as the rivals' first pass is
    return lambda: curvature.hvp(task.v)


def _gradient(task: Task) -> Run:
    return lambda: torch.autograd.grad(task.judged(task.network(task.x)), task.leaves)


def _first(task: Task) -> tuple[Tensor, ...]:
    loss = task.judged(task.network(task.x))
    return torch.autograd.grad(loss, task.leaves, create_graph=True)


def _double(task: Task) -> Run:
    """Backward through backward; v enters as weights, which saves the product g . v."""
    v = list(task.v.values())
    return lambda: torch.autograd.grad(_first(task), task.leaves, v)


def _double_held(task: Task) -> Run:
    first, v = _first(task), list(task.v.values())
    return lambda: torch.autograd.grad(first, task.leaves, v, retain_graph=True)


def _forward_over_reverse(task: Task) -> Run:
    gradient = grad(task.of)
    return lambda: jvp(gradient, (task.point,), (task.v,))[1]


def _reverse_over_forward(task: Task) -> Run:
    gradient = grad(lambda p: jvp(task.of, (p,), (task.v,))[1])
    return lambda: gradient(task.point)


def _linearised(task: Task) -> Run:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # of fx, about its own folding of constants
        along = linearize(grad(task.of), task.point)[1]
    return lambda: along(task.v)


# One product from nothing.
ALONE: Final[dict[str, Callable[[Task], Run]]] = {
    DOUBLE: _double,
    "func: jvp of grad": _forward_over_reverse,
    "func: grad of jvp": _reverse_over_forward,
}
# Further products at the same parameters on the same batch, as CG asks for; what the first one
# left behind is kept, and its time does not count.
HELD: Final[dict[str, Callable[[Task], Run]]] = {
    f"{DOUBLE}, graph kept": _double_held,
    "func: linearize of grad": _linearised,
}
ALL: Final = {OURS: _ours, OURS_HELD: _ours_held, GRADIENT: _gradient} | ALONE | HELD


def flat(result: Any) -> Tensor:
    """A product as one vector, in the order of the parameters."""
    parts = result.values() if isinstance(result, dict) else result
    return torch.cat([part.detach().flatten() for part in parts])


def weigh(send: Connection, name: str, batch: int, seed: int, contender: str) -> None:
    """Send the rise of peak resident memory [MB] over two runs, what is kept between included."""
    settle_worker()
    # The same on a small network first: code and tables that any use of the library loads.
    ALL[contender](Task(name, 2, torch.float32, seed, small=True))()
    task = Task(name, batch, torch.float32, seed)
    before = peak()
    run = ALL[contender](task)
    for _ in range(2):
        run()
    send.send(peak() - before)
