"""The domain of an equation, and points of it that a seed decides."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from hodsim.errors import InputError


@dataclass(frozen=True)
class Box:
    """All positions between two corners.

    Attributes
    ----------
    lower, upper : corners, d numbers each.
    """

    lower: tuple[float, ...]
    upper: tuple[float, ...]

    def __post_init__(self) -> None:
        pairs = list(zip(self.lower, self.upper, strict=False))
        good = all(math.isfinite(a) and math.isfinite(b) and a < b for a, b in pairs)
        if not pairs or len(self.lower) != len(self.upper) or not good:
            raise InputError(
                "domain: expected corners of one length, finite and lower < upper along every "
                f"axis, got {self.lower} and {self.upper}"
            )

    @staticmethod
    def cube(d: int) -> Box:
        """The unit cube of d dimensions."""
        return Box((0.0,) * d, (1.0,) * d)

    @property
    def d(self) -> int:
        return len(self.lower)

    def interior(self, n: int, seed: int, draw: int = 0) -> Tensor:
        """n points inside by a scrambled Sobol sequence, float64, shape (n, d).

        draw : tells sets of one seed apart.
        """
        return self._placed(_sobol(self.d, n, seed, 2 * draw))

    def boundary(self, n: int, seed: int, draw: int = 0) -> Tensor:
        """n points on the faces, as many on each (up to one), shape (n, d)."""
        # Faces in turn would give each a part of its own alone: of a Sobol sequence every second
        # point lies in one half.
        faces = torch.arange(n) * (2 * self.d) // n
        axis, side = faces // 2, (faces % 2).double()
        unit = _sobol(self.d, n, seed, 2 * draw + 1)
        unit[torch.arange(n), axis] = side
        return self._placed(unit)

    def grid(self, n: int) -> Tensor:
        """n points along every axis, corners included, the last axis fastest, shape (n^d, d)."""
        along = torch.linspace(0.0, 1.0, n, dtype=torch.float64)
        axes = torch.meshgrid([along] * self.d, indexing="ij")
        return self._placed(torch.stack([axis.flatten() for axis in axes], 1))

    def check(self, name: str, x: Tensor) -> Tensor:
        """The points as float64, refused if any lies outside.

        Raises
        ------
        InputError : not of shape (n, d), none, not finite, or outside the domain, with the first.
        """
        if not isinstance(x, Tensor) or x.dim() != 2 or x.shape[1] != self.d or not len(x):
            got = tuple(x.shape) if isinstance(x, Tensor) else type(x).__name__
            raise InputError(f"{name}: expected points of shape (n, {self.d}), got {got}")
        x = x.double()
        lower, upper = (torch.tensor(c, dtype=torch.float64) for c in (self.lower, self.upper))
        slack = 1e-12 * (upper - lower)
        outside = ~((x >= lower - slack) & (x <= upper + slack)).all(1)
        if bool(outside.any()):
            first = int(outside.nonzero()[0])
            raise InputError(
                f"{name}: expected points between {self.lower} and {self.upper}, got "
                f"{int(outside.sum())} of {len(x)} outside, the first {tuple(x[first].tolist())} "
                f"(number {first})"
            )
        return x

    def _placed(self, unit: Tensor) -> Tensor:
        lower, upper = (torch.tensor(c, dtype=torch.float64) for c in (self.lower, self.upper))
        return lower + unit * (upper - lower)


def _sobol(d: int, n: int, seed: int, draw: int) -> Tensor:
    scramble = (1_000_003 * seed + draw) % 2**31
    engine = torch.quasirandom.SobolEngine(d, scramble=True, seed=scramble)
    return engine.draw(n, dtype=torch.float64)
