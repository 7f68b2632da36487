"""Gradients and curvature products of one objective at one point: all that meets derivatives.

Products are exact: CSFD-BP on real Cauchy-Riemann lanes (paper, 'Adjoint Perturbation'). This is
the one place that knows how they are made.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cached_property

import torch
from torch import Tensor

from hodsim.derivatives import Curvature, linearise
from hodsim.errors import InputError
from hodsim.optimizers.objective import Batch, Objective
from hodsim.optimizers.record import Spent

HESSIAN = "hessian"
GAUSS_NEWTON = "gauss-newton"
CURVATURES = (HESSIAN, GAUSS_NEWTON)


class Layout:
    """Some parameters of a network, in order, as one vector and back.

    shapes : of each, by its name in the network.
    """

    def __init__(self, shapes: Mapping[str, torch.Size]) -> None:
        self.shapes = dict(shapes)
        self.counts = [shape.numel() for shape in self.shapes.values()]

    def flat(self, tensors: Mapping[str, Tensor]) -> Tensor:
        """One vector of all of them."""
        return torch.cat([tensors[name].reshape(-1) for name in self.shapes])

    def named(self, vector: Tensor) -> dict[str, Tensor]:
        """Views of a vector, by name."""
        parts = vector.split(self.counts)
        return {k: p.view(s) for (k, s), p in zip(self.shapes.items(), parts, strict=True)}


class Counter:
    """What has been spent so far."""

    def __init__(self) -> None:
        self.spent = Spent()

    def value(self, objective: Objective) -> None:
        self.spent += Spent(values=1, value_samples=objective.size)

    def gradient(self, objective: Objective) -> None:
        self.spent += Spent(gradients=1, gradient_samples=objective.size)

    def product(self, objective: Objective) -> None:
        self.spent += Spent(products=1, product_samples=objective.size)


class Products:
    """An objective near one point, with parameters as flat vectors.

    objective : the loss of a batch.
    layout : which parameters are free; the others stay the network's own.
    point : where, as a vector.
    counter : told of each evaluation.
    """

    def __init__(
        self, objective: Objective, layout: Layout, point: Tensor, counter: Counter
    ) -> None:
        self.objective, self.layout, self.point, self.counter = objective, layout, point, counter

    def value(self, vector: Tensor) -> float:
        """The loss at any vector."""
        self.counter.value(self.objective)
        with torch.no_grad():
            return float(self.objective.at(self.layout.named(vector)))

    def gradient(self) -> tuple[float, Tensor]:
        """The loss and its gradient at the point, by plain backpropagation.

        Raises
        ------
        InputError : a parameter that the loss does not depend on.
        """
        self.counter.gradient(self.objective)
        leaves = {k: t.detach().requires_grad_() for k, t in self.layout.named(self.point).items()}
        with torch.enable_grad():
            loss = self.objective.at(leaves)
            if not loss.requires_grad:
                raise InputError(_unreached(list(leaves)))
            parts = torch.autograd.grad(loss, list(leaves.values()), allow_unused=True)
        named = dict(zip(leaves, parts, strict=True))
        if missing := [name for name, part in named.items() if part is None]:
            raise InputError(_unreached(missing))
        return float(loss.detach()), self.layout.flat(named)

    def product(self, curvature: str) -> Callable[[Tensor], Tensor]:
        """v -> curvature times v at the point.

        Raises
        ------
        InputError : Gauss-Newton of an objective that is not split into outputs and loss.
        """
        if curvature == HESSIAN:
            return self.hvp
        if not isinstance(self.objective, Batch):
            raise InputError(
                "closure: expected a Batch, whose outputs and loss are apart, for Gauss-Newton "
                f"products, got {type(self.objective).__name__}; give a Batch, or take "
                f'curvature="{HESSIAN}"'
            )
        return self.gnvp

    def hvp(self, v: Tensor) -> Tensor:
        """Hessian of the loss times v."""
        self.counter.product(self.objective)
        return self.layout.flat(self._kept.hvp(self.layout.named(v)))

    def gnvp(self, v: Tensor) -> Tensor:
        """J^T H_L J v, J the Jacobian of the outputs and H_L the Hessian of the loss in them."""
        self.counter.product(self.objective)
        return self.layout.flat(self._kept.gnvp(self.layout.named(v)))

    @cached_property
    def _kept(self) -> Curvature:
        """What all products at the point share: values inside the network, real cotangents."""
        at, objective = self.layout.named(self.point), self.objective
        if isinstance(objective, Batch):
            return linearise(objective.outputs, at, objective.judged)
        return linearise(objective.at, at)


def _unreached(names: list[str]) -> str:
    told = ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
    return (
        f"parameters: expected all to change the loss, but it does not depend on {told}; leave "
        "them out, or call requires_grad_(False) on them"
    )
