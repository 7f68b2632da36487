"""An equation with its boundary conditions, and the loss that a network is trained on."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Final

import torch
from torch import Tensor, nn

from hodsim.errors import InputError
from hodsim.learning.pinn.domain import Box
from hodsim.learning.pinn.field import Field

Residual = Callable[[Field, Tensor], Tensor]
Side = tuple[Residual, tuple[float, ...]]
_TRIAL: Final = (
    256  # points of the trial before training: sources that differ anywhere differ there
)
_ALONE: Final = 1e-6  # of the largest value: rounding of one position and of many


@dataclass(frozen=True, eq=False)
class Problem:
    """What is solved: ``residual(u, x) = 0`` inside and ``boundary(u, x) = 0`` on the faces.

        Problem(
            residual=lambda u, x: laplacian(u, x) - f(x),
            boundary=lambda u, x: u(x) - g(x),
            domain=Box.cube(2),
        )

    The loss is the mean over points of the weighted residuals' sum of squares, inside and on the
    boundary together.

    Attributes
    ----------
    residual, boundary : of the field and positions (n, d), values (n, r); row n depends on
        position n alone.
    domain : a box.
    components : of the field, m.
    weights, boundary_weights : one for each component of the residual, or one for all.
    truth : the solution at positions, shape (n, m), for errors alone; None where none is known.
    names : of the components, for tables.
    name : of the problem.
    """

    residual: Residual
    boundary: Residual
    domain: Box
    components: int = 1
    weights: tuple[float, ...] = (1.0,)
    boundary_weights: tuple[float, ...] = (1.0,)
    truth: Callable[[Tensor], Tensor] | None = None
    names: tuple[str, ...] = ()
    name: str = "pde"

    def __post_init__(self) -> None:
        if self.components < 1:
            raise InputError(f"components: expected at least 1, got {self.components}")
        for name in ("weights", "boundary_weights"):
            given = getattr(self, name)
            if not given or any(not 0.0 < w < math.inf for w in given):
                raise InputError(f"{name}: expected numbers above 0, got {given}")
        if self.names and len(self.names) != self.components:
            raise InputError(
                f"names: expected {self.components}, one for each component, got {len(self.names)}"
            )

    @property
    def told(self) -> list[Any]:
        """What is known of it as plain data."""
        box = (self.domain.lower, self.domain.upper)
        return [self.name, *box, self.components, self.weights, self.boundary_weights]

    def parts(self, u: Field, inside: Tensor, faces: Tensor) -> list[Callable[[], Tensor]]:
        """The weighted residuals inside and on the faces, each divided by its root of points: the
        loss is the sum of squares of both."""

        def part(number: int, side: Side, x: Tensor) -> Callable[[], Tensor]:
            residual, weights = side

            def values() -> Tensor:
                u.forget(number)
                return weighted(residual(u, x), weights, len(x))

            return values

        sides = zip(self.sides, (inside, faces), strict=True)
        return [part(number, side, x) for number, (side, x) in enumerate(sides)]

    @property
    def sides(self) -> tuple[Side, Side]:
        """Residual and weights, of the interior and of the boundary."""
        return (self.residual, self.weights), (self.boundary, self.boundary_weights)

    def loss(self, u: Field, inside: Tensor, faces: Tensor) -> Tensor:
        """The loss at points of the interior, shape (n, d), and of the boundary."""
        parts = [part().square().sum() for part in self.parts(u, inside, faces)]
        return parts[0] + parts[1]

    def check(self, u: Field) -> list[float]:
        """Try both residuals at some points, before anything is trained.

        Returns their values and the truth's there, which tell problem and network apart from
        others.

        Raises
        ------
        InputError : the network or a residual does what no rule knows, or gives values of another
            shape than it should, or a row that depends on other positions, by name.
        """
        told: list[float] = []
        points = (self.domain.interior(_TRIAL, 0), self.domain.boundary(_TRIAL, 0))
        for number, (name, (residual, weights), x) in enumerate(
            zip(("residual", "boundary"), self.sides, points, strict=True)
        ):
            u.forget(number)
            values = u(x)
            if tuple(values.shape) != (_TRIAL, self.components):
                raise InputError(
                    f"network: expected values of shape (n, {self.components}) at n positions, got "
                    f"{tuple(values.shape)} at {_TRIAL}"
                )
            out = residual(u, x)
            if not isinstance(out, Tensor) or out.dim() != 2 or out.shape[0] != _TRIAL:
                got = tuple(out.shape) if isinstance(out, Tensor) else type(out).__name__
                raise InputError(
                    f"{name}: expected values of shape (n, r) at n positions, got {got} at {_TRIAL}"
                )
            if len(weights) not in (1, out.shape[1]):
                raise InputError(
                    f"{name}: expected 1 or {out.shape[1]} weights, one for each component, got "
                    f"{len(weights)}"
                )
            if not out.requires_grad:
                raise InputError(f"{name}: expected values that depend on u, got none that do")
            told += out.detach().flatten().tolist()
            if not _alike(residual(u, x[1:2]).detach(), out[1:2].detach(), out.detach()):
                raise InputError(
                    f"{name}: expected values of shape (n, r) whose row n depends on position n "
                    "alone, got other ones at one position than among many; give what is "
                    "subtracted the shape (n, 1) too"
                )
        return told + self._truth_told(points[0])

    def _truth_told(self, x: Tensor) -> list[float]:
        if self.truth is None:
            return []
        values = self.truth(x)
        if tuple(values.shape) != (len(x), self.components):
            raise InputError(
                f"truth: expected values of shape (n, {self.components}) at n positions, got "
                f"{tuple(values.shape)} at {len(x)}"
            )
        return values.detach().flatten().tolist()

    def errors(self, network: nn.Module, x: Tensor) -> list[float]:
        """For each component the relative L2 error, |u - truth| / |truth| over positions."""
        if self.truth is None:
            return []
        with torch.no_grad():
            truth = self.truth(x)
            missed = torch.linalg.vector_norm(network(x) - truth, dim=0)
            return (missed / torch.linalg.vector_norm(truth, dim=0)).tolist()


def _alike(one: Tensor, among: Tensor, every: Tensor) -> bool:
    """Whether a row at one position is what it was among many, to rounding."""
    largest = float(every.nan_to_num(posinf=0.0, neginf=0.0).abs().max())
    return one.shape == among.shape and torch.allclose(
        one, among, rtol=0.0, atol=_ALONE * largest, equal_nan=True
    )


def weighted(values: Tensor, weights: Sequence[float], n: int) -> Tensor:
    """Values of a residual times their weights, over the root of n points."""
    return values * (torch.tensor(weights, dtype=values.dtype) / math.sqrt(n))


class Centred(nn.Module):
    """A box's positions scaled to -1..1 along every axis; without parameters."""

    middle: Tensor
    reach: Tensor

    def __init__(self, domain: Box) -> None:
        super().__init__()
        lower, upper = (
            torch.tensor(corner, dtype=torch.float64) for corner in (domain.lower, domain.upper)
        )
        self.register_buffer("middle", 0.5 * (lower + upper))
        self.register_buffer("reach", 0.5 * (upper - lower))

    def forward(self, x: Tensor) -> Tensor:
        return (x - self.middle) / self.reach


def tanh_network(
    problem: Problem, seed: int = 0, hidden: Sequence[int] = (100,) * 5, gain: float = 1.0
) -> nn.Sequential:
    """The paper's network, d - 100 - 100 - 100 - 100 - 100 - m with tanh, float64, behind inputs
    scaled to -1..1; weights by Xavier's normal distribution, biases 0.

    gain : times the first layer's weights: more of it gives features of shorter waves.
    """
    widths = [problem.domain.d, *hidden, problem.components]
    if any(width < 1 for width in widths):
        raise InputError(f"hidden: expected widths of at least 1, got {tuple(hidden)}")
    layers: list[nn.Module] = [Centred(problem.domain)]
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        for a, b in pairwise(widths):
            linear = nn.Linear(a, b, dtype=torch.float64)
            nn.init.xavier_normal_(linear.weight, 1.0 if layers[1:] else gain)
            nn.init.zeros_(linear.bias)
            layers += [linear, nn.Tanh()]
    return nn.Sequential(*layers[:-1])
