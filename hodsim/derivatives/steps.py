"""What single operations do to first derivatives at a point that stays, and how that itself turns.

CSFD-BP on one lane, taken apart by what can be kept: with J an operation's Jacobian at the values
that it was given,

    forward     t  ->  J t                              t the direction's lane
    backward    c  ->  J^T c                            c the real lane of the cotangents
    its lane    c' ->  J^T c' + (dJ along t)^T c

c is the same for every direction, and an operation keeps what it needs of it. All tensors have one
row ahead, as lanes have: (1, *shape).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

Rows = Callable[[Tensor], Tensor]
Bilinear = Callable[[Tensor, Tensor], Tensor]
Sum = Callable[..., Tensor]
Wanted = Sequence[bool]
Parts = Sequence[Tensor | None]


class Step(ABC):
    """One operation at the values that it was given.

    bends : whether its Jacobian depends on them.
    """

    bends: ClassVar[bool] = True

    @abstractmethod
    def push(self, tangents: Sequence[Tensor]) -> tuple[Tensor, Any]:
        """J t from the tangents of what it was given; and what `turn` needs of them."""

    @abstractmethod
    def pull(self, c: Tensor, wanted: Wanted) -> Parts:
        """J^T c, for each parent that is wanted."""

    def meet(self, c: Tensor, wanted: Wanted) -> Parts:
        """`pull`, and keep what `turn` needs of the result's cotangent. Called once."""
        self.keep(c)
        return self.pull(c, wanted)

    def keep(self, c: Tensor) -> None:
        """Keep what `turn` needs of the result's cotangent."""
        raise NotImplementedError

    def turn(self, c: Tensor | None, kept: Any) -> Parts:
        """J^T c + (dJ along t)^T (what it met), for each parent.

        c : None stands for zero.
        kept : what `push` gave with J t.
        """
        raise NotImplementedError


class Linear(Step):
    """A linear map of one or several tensors, by itself and its transpose."""

    bends = False

    def __init__(
        self,
        apply: Callable[[Sequence[Tensor]], Tensor],
        transpose: Callable[[Tensor], Sequence[Tensor]],
    ) -> None:
        self.apply, self.transpose = apply, transpose

    def push(self, tangents: Sequence[Tensor]) -> tuple[Tensor, Any]:
        return self.apply(tangents), None

    def pull(self, c: Tensor, _wanted: Wanted) -> Parts:
        return self.transpose(c)


class Smooth(Step):
    """sigma(x), entry by entry.

    first, second : sigma' and sigma'' at x.
    """

    def __init__(self, first: Tensor, second: Tensor) -> None:
        self.first, self.second = first, second

    def push(self, tangents: Sequence[Tensor]) -> tuple[Tensor, Any]:
        return self.first * tangents[0], tangents[0]

    def pull(self, c: Tensor, _wanted: Wanted) -> Parts:
        return [self.first * c]

    def keep(self, c: Tensor) -> None:
        self.second = self.second * c

    def turn(self, c: Tensor | None, kept: Any) -> Parts:
        bent = self.second * kept
        return [bent if c is None else bent.addcmul_(c, self.first)]


class Product(Step):
    """a b, entry by entry, the shapes broadcast."""

    def __init__(self, a: Tensor, b: Tensor) -> None:
        self.shapes = a.shape[1:], b.shape[1:]
        self.rank = max(a.dim(), b.dim()) - 1
        self.a, self.b = lifted(a, self.rank), lifted(b, self.rank)

    def push(self, tangents: Sequence[Tensor]) -> tuple[Tensor, Any]:
        s, t = (lifted(part, self.rank) for part in tangents)
        return torch.addcmul(s * self.b, self.a, t), (s, t)

    def pull(self, c: Tensor, wanted: Wanted) -> Parts:
        return self._shrunk(
            c * self.b if wanted[0] else None,
            c * self.a if wanted[1] else None,
        )

    def keep(self, c: Tensor) -> None:
        self.c = c

    def turn(self, c: Tensor | None, kept: Any) -> Parts:
        s, t = kept
        a, b = self.c * t, self.c * s
        if c is not None:
            a, b = torch.addcmul(a, c, self.b), torch.addcmul(b, c, self.a)
        return self._shrunk(a, b)

    def _shrunk(self, *parts: Tensor | None) -> Parts:
        return [
            None if part is None else shrunk(part, shape)
            for part, shape in zip(parts, self.shapes, strict=True)
        ]


@dataclass(frozen=True)
class Sums:
    """``op(p, P) + op(q, Q)`` for a product with weights and for its two transposes.

    A bias may come fifth, for the product alone.
    """

    times: Sum
    back_a: Sum
    back_b: Sum

    @staticmethod
    def of(*operations: Callable[..., Tensor]) -> Sums:
        """One after the other."""

        def both(operation: Callable[..., Tensor]) -> Sum:
            def add(p: Tensor, P: Tensor, q: Tensor, Q: Tensor, *bias: Tensor) -> Tensor:
                out = operation(p, P, *bias)
                out += operation(q, Q)
                return out

            return add

        return Sums(*map(both, operations))


class Weighting(Step):
    """``times(a, b) + bias``, linear in a and b: a product with weights (Eq. 7).

    back, sums : as `primitives.bilinear_map` has them.
    bias : the shape of a bias that is a third parent, or None.
    """

    def __init__(
        self,
        a: Tensor,
        b: Tensor,
        back: tuple[Bilinear, Bilinear],
        sums: Sums,
        bias: Sequence[int] | None,
    ) -> None:
        self.a, self.b, self.bias, self.sums = a, b[0], bias, sums
        self.back_a, self.back_b = back

    def push(self, tangents: Sequence[Tensor]) -> tuple[Tensor, Any]:
        s, t, *bias = tangents
        return self.sums.times(s, self.b, self.a, t[0], *bias), (s, t)

    def pull(self, c: Tensor, wanted: Wanted) -> Parts:
        return [
            self.back_a(c, self.b) if wanted[0] else None,
            self.back_b(c, self.a[0]) if wanted[1] else None,
            *self._biases(c if wanted[-1] else None),
        ]

    def keep(self, c: Tensor) -> None:
        self.c = c

    def turn(self, c: Tensor | None, kept: Any) -> Parts:
        s, t = kept
        if c is None:
            return [self.back_a(self.c, t[0]), self.back_b(self.c, s[0]), *self._biases(None)]
        return [
            self.sums.back_a(c, self.b, self.c, t[0]),
            self.sums.back_b(c, self.a[0], self.c, s[0]),
            *self._biases(c),
        ]

    def _biases(self, c: Tensor | None) -> Parts:
        if self.bias is None:
            return []
        return [None if c is None else shrunk(c, self.bias)]


def lifted(values: Tensor, rank: int) -> Tensor:
    """Axes of length 1 behind the rows, so that `rank` axes follow them."""
    if values.dim() == rank + 1:
        return values
    return values.reshape(values.shape[0], *(1,) * (rank + 1 - values.dim()), *values.shape[1:])


def shrunk(values: Tensor, shape: Sequence[int]) -> Tensor:
    """The transpose of broadcasting from `shape`: sums over the axes that were spread."""
    if values.shape[1:] == shape:
        return values
    extra = values.dim() - 1 - len(shape)
    values = values.sum(tuple(range(1, 1 + extra))) if extra else values
    spread = [i for i, n in enumerate(shape, start=1) if n == 1 and values.shape[i] != 1]
    return values.sum(spread, keepdim=True) if spread else values
