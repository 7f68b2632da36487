"""What evaluations cost on this machine, and the budget that they are charged to.

The unit is the gradient-equivalent: the time of one forward and backward pass of one batch. It is
measured once, so that a budget of so many is also one of seconds.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor, nn

from hodsim.errors import InputError
from hodsim.optimizers import Batch, Spent, Stop, conjugate_gradients
from hodsim.optimizers.products import (
    CURVATURES,
    GAUSS_NEWTON,
    HESSIAN,
    Counter,
    Layout,
    Products,
)

Clock = Callable[[], float]

# CPU time of this thread: a busy machine does not slow it, nor does a progress bar's thread count.
CPU: Final[Clock] = time.thread_time
_ROUNDS: Final = 5
_PRODUCTS: Final = 8  # at one point, as conjugate gradients make them


@dataclass(frozen=True)
class Costs:
    """Seconds that one evaluation over `batch` images takes, a product with its vectors' work.

    Attributes
    ----------
    batch : images.
    value, gradient : of the loss; the gradient as torch's optimisers take it.
    flat_gradient : as curvature optimisers take it, at parameters that are one vector.
    hessian, gauss_newton : one product of either with a vector, conjugate gradients' own work on
        vectors included.
    """

    batch: int
    value: float
    gradient: float
    flat_gradient: float
    hessian: float
    gauss_newton: float

    def __post_init__(self) -> None:
        for name in ("value", "gradient", "flat_gradient", "hessian", "gauss_newton"):
            if not getattr(self, name) > 0.0:
                raise InputError(f"{name}: expected a time above 0 s, got {getattr(self, name)}")

    def of(self, spent: Spent, curvature: str) -> float:
        """Gradient-equivalents of evaluations; products are of `curvature`, "" where none are."""
        product = self.hessian if curvature == HESSIAN else self.gauss_newton
        gradient = self.flat_gradient if curvature else self.gradient
        seconds = (
            spent.value_samples * self.value
            + spent.gradient_samples * gradient
            + spent.product_samples * product
        )
        return seconds / self.batch / self.gradient

    def of_seconds(self, seconds: float) -> float:
        """Gradient-equivalents of an optimiser's own work, by the clock; not below 0."""
        return max(0.0, seconds) / self.gradient


def measure_costs(batch: Batch, clock: Clock = CPU, rounds: int = _ROUNDS) -> Costs:
    """Time each kind of evaluation on one batch, in turn, `rounds` times; medians.

    Raises
    ------
    UnknownRuleError : the network does what hodsim.derivatives has no rule for, by name.
    """
    layout, at = everything(batch.network)
    v = torch.randn(at.shape, generator=torch.Generator().manual_seed(0)).to(at)
    near = Products(batch, layout, at, Counter())

    def products(kind: str) -> Callable[[], None]:
        def run() -> None:
            # A point of its own each time, as in a step: what is kept of a point is paid once.
            product = Products(batch, layout, at, Counter()).product(kind)
            for _ in range(_PRODUCTS):
                product(v)

        return run

    runs: dict[str, Callable[[], object]] = {
        "value": lambda: near.value(at),
        "gradient": batch,
        "flat gradient": near.gradient,
        **{kind: products(kind) for kind in CURVATURES},
        "vectors": lambda: _vectors(v),
    }
    times: dict[str, list[float]] = {name: [] for name in runs}
    for k in range(rounds + 1):
        for name, run in runs.items():
            began = clock()
            run()
            if k:  # the first round warms up
                times[name].append(clock() - began)
    seconds = {name: statistics.median(found) for name, found in times.items()}
    own = seconds["vectors"] / _PRODUCTS
    return Costs(
        batch.size,
        seconds["value"],
        seconds["gradient"],
        seconds["flat gradient"],
        seconds[HESSIAN] / _PRODUCTS + own,
        seconds[GAUSS_NEWTON] / _PRODUCTS + own,
    )


def everything(network: nn.Module) -> tuple[Layout, Tensor]:
    """All parameters of a network as one vector: how, and the vector."""
    named = {name: p.detach() for name, p in network.named_parameters()}
    layout = Layout({name: p.shape for name, p in named.items()})
    return layout, layout.flat(named)


def _vectors(v: Tensor) -> None:
    """As many iterations of conjugate gradients as there are products, on a diagonal."""
    diagonal = torch.linspace(1.0, 100.0, len(v), dtype=v.dtype)
    conjugate_gradients(lambda p: diagonal * p, v, stop=Stop(_PRODUCTS, 0.0))
