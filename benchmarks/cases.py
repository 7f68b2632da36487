"""What is differentiated: the networks, the quantities, and the numbers that go in.

Everything is made by numpy from one seed, so that every library gets the same weights, points and
directions.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from math import prod, sqrt
from typing import Final

import numpy as np


@dataclass(frozen=True)
class Case:
    """A chain of fully connected layers, an activation after each but the last."""

    name: str
    widths: tuple[int, ...]
    activation: str

    @property
    def n(self) -> int:
        return self.widths[0]

    @property
    def m(self) -> int:
        return self.widths[-1]

    @property
    def hidden(self) -> tuple[int, ...]:
        return self.widths[1:-1]


def _fig3(n: int, m: int, hidden: int) -> Case:
    return Case(f"{n}-{m}/{hidden}", (n, *[hidden] * 7, m), "elu")


_DECODER = (6, 64, 64, 128, 1542)
# Fig. 3's nets, each at the two hidden widths that the paper leaves open, and a beam's decoder.
CASES: Final = {
    case.name: case
    for case in (
        _fig3(40, 400, 200),
        _fig3(40, 400, 400),
        _fig3(200, 200, 200),
        _fig3(400, 40, 200),
        _fig3(400, 40, 400),
        Case("decoder/silu", _DECODER, "silu"),
        Case("decoder/elu", _DECODER, "elu"),
        # For tests, and to warm a library up; not among the cases taken by default.
        Case("tiny/elu", (4, 6, 5, 3), "elu"),
        Case("tiny/silu", (4, 6, 5, 3), "silu"),
    )
}
QUANTITIES: Final = {
    "jacobian": "D f",
    "hessian": "D^2 f, the whole tensor",
    "scalar-hessian": "D^2 (w.f)",
    "third": "D^3 f[a, b, e_i] for all i",
    "number": "w.D^3 f[a, b, c]",
    "lanes": "D f, D^2 f[e_i, e_j], D^2 f[v, e_i], D^3 f[v, v, e_i], all i and j",
}
DTYPES: Final = ("float32", "float64")
# Relative to the largest entry: what three orders of rounding leave at most.
TOLERANCE: Final = {"float64": 1e-9, "float32": 1e-3}


def asked_by_default(case: Case, quantity: str, quick: bool = False) -> bool:
    """All lanes together is what a reduced simulation asks of a decoder, and nobody of Fig. 3."""
    decoder = not case.name[0].isdigit()
    return (quantity == "lanes") == decoder if quick else quantity != "lanes" or decoder


@dataclass(frozen=True)
class Problem:
    """One row of the benchmark: which derivative of which network, where, in which precision.

    Attributes
    ----------
    layers : weight (out, in) and bias (out,) of each layer.
    x : points, shape (batch, n).
    a, b, c : directions, shape (batch, n); `a` is the `v` of the lanes.
    w : weights over the outputs, shape (m,).
    """

    case: Case
    quantity: str
    dtype: str
    batch: int
    layers: tuple[tuple[np.ndarray, np.ndarray], ...]
    x: np.ndarray
    a: np.ndarray
    b: np.ndarray
    c: np.ndarray
    w: np.ndarray

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the answer, open indices last (the largest one, for the lanes)."""
        n, m = self.case.n, self.case.m
        return {
            "jacobian": (self.batch, m, n),
            "hessian": (self.batch, m, n, n),
            "scalar-hessian": (self.batch, n, n),
            "third": (self.batch, m, n),
            "number": (self.batch,),
            "lanes": (self.batch, m, n, n),
        }[self.quantity]

    @property
    def answer_gb(self) -> float:
        return self.gigabytes(prod(self.shape))

    def gigabytes(self, numbers: float) -> float:
        return numbers * np.dtype(self.dtype).itemsize / 1e9


def problem(case: Case, quantity: str, dtype: str, batch: int, seed: int) -> Problem:
    """The numbers of one row: entries of about 1 all the way through the network."""
    rng = np.random.default_rng((seed, *case.name.encode(), batch))
    layers = []
    for n, m in pairwise(case.widths):
        weight = 1.3 * rng.standard_normal((m, n)) / sqrt(n)
        layers.append((weight.astype(dtype), (0.2 * rng.standard_normal(m)).astype(dtype)))
    x, a, b, c = (rng.standard_normal((batch, case.n)).astype(dtype) for _ in range(4))
    w = (rng.standard_normal(case.m) / sqrt(case.m)).astype(dtype)
    return Problem(case, quantity, dtype, batch, tuple(layers), x, a, b, c, w)
