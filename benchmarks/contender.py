"""What every contender is to the benchmark: a named way to compute one row's answer."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from cases import Problem

Run = Callable[[], Any]
Answer = tuple[np.ndarray, ...]


@dataclass(frozen=True)
class Contender:
    """One variant of one library for one problem.

    Attributes
    ----------
    family : the library and its mode, such as "torch.func".
    name : the variant, such as "fwd over rev".
    make : builds what is run, compiling nothing yet. A run returns when its answer is there.
    tidy : the answer of a run as arrays of the problem's own shape, not timed.
    live : roughly how many numbers are alive at once at the peak.
    """

    family: str
    name: str
    make: Callable[[], Run]
    tidy: Callable[[Any], Answer]
    live: float = 0.0

    @property
    def label(self) -> str:
        return f"{self.family}: {self.name}"

    @property
    def core(self) -> str:
        """The name without how the batch is gone through: what it is at one point."""
        return re.sub(r"^(vmap|map\(\d+\)|point by point) ", "", self.name)


def moved(*axes: Sequence[int]) -> Callable[[Any], Answer]:
    """`tidy` for one answer for each list of axes, which permutes them to the problem's order."""

    def tidy(result: Any) -> Answer:
        parts = result if isinstance(result, (tuple, list)) else (result,)
        return tuple(
            np.transpose(np.asarray(part), order) for part, order in zip(parts, axes, strict=True)
        )

    return tidy


def shaped(p: Problem) -> Callable[[Any], Answer]:
    """`tidy` for an answer that needs at most a batch axis of 1 put back."""
    return lambda result: (np.asarray(result).reshape(p.shape),)
