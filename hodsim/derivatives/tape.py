"""One evaluation at a point, recorded: derivatives along any direction run over it again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from hodsim.derivatives.lane_tensor import LaneTensor, Pullback, Run
from hodsim.derivatives.lanes import LanePlan, Lanes
from hodsim.derivatives.steps import Step


@dataclass(frozen=True, eq=False)
class Entry:
    """An operation: the place of its result, those of what it was given, and what it is."""

    place: int
    parents: tuple[int, ...]
    step: Step


class Recording(Run):
    """A pass of the real lane alone that writes down every operation as a `Step`."""

    def __init__(self) -> None:
        super().__init__(LanePlan.closure([()], 0))
        self.entries: list[Entry] = []

    def emit(
        self,
        lanes: Lanes,
        parents: Sequence[LaneTensor],
        pullback: Pullback,
        view_of: LaneTensor | None = None,
        step: Step | None = None,
    ) -> LaneTensor:
        """An operation's result; the pullback of all lanes is not needed."""
        assert step is not None
        out = super().emit(lanes, parents, pullback, view_of)
        self.entries.append(Entry(out.place, tuple(p.place for p in parents), step))
        return out


class Tape:
    """What was recorded of f, from its leaves to its result.

    mark : the number of operations of the function inside, where f is a loss of its result.
    """

    def __init__(
        self,
        recording: Recording,
        leaves: Sequence[LaneTensor],
        out: LaneTensor,
        mark: int = 0,
    ) -> None:
        self.leaves, self.out, self.value = leaves, out.place, out.value
        reached = {out.place}
        entries: list[Entry] = []
        inside = 0
        for number in reversed(range(len(recording.entries))):
            entry = recording.entries[number]
            if entry.place in reached:
                reached.update(entry.parents)
                entries.append(entry)
                inside += number < mark
        self.entries, self.mark = entries[::-1], inside
        # A result that is linear in the leaves needs no real cotangent: nothing behind it bends.
        self.bent: set[int] = set()
        for entry in self.entries:
            if entry.step.bends or any(p in self.bent for p in entry.parents):
                self.bent.add(entry.place)
        last = {p: number for number, entry in enumerate(self.entries) for p in entry.parents}
        self._done: list[list[int]] = [[] for _ in self.entries]
        for place, number in last.items():
            self._done[number].append(place)
        self._met = False

    def push(self, seeds: Sequence[Tensor]) -> list[Any]:
        """The direction's lane forward; gives what each operation needs of it on the way back.

        seeds : the direction, for each leaf.
        """
        found = {
            leaf.place: seed.unsqueeze(0) for leaf, seed in zip(self.leaves, seeds, strict=True)
        }
        kept = []
        for entry, done in zip(self.entries, self._done, strict=True):
            found[entry.place], rest = entry.step.push([found[p] for p in entry.parents])
            kept.append(rest)
            for place in done:
                del found[place]
        return kept

    def gradient(self, left: Tensor) -> list[Tensor]:
        """Backpropagation of the real lane; operations keep what later directions need of it."""
        found = {self.out: left.unsqueeze(0)}
        for entry in reversed(self.entries):
            self._back(entry, found, leaves=True)
        self._met = True
        return self._leaves(found)

    def _back(self, entry: Entry, found: dict[int, Tensor], leaves: bool) -> None:
        c = found.pop(entry.place, None)
        if c is None:
            return
        wanted = [leaves or p in self.bent for p in entry.parents]
        if entry.step.bends and not self._met:
            parts = entry.step.meet(c, wanted)
        else:
            parts = entry.step.pull(c, wanted)
        _add(found, entry, [p if w else None for p, w in zip(parts, wanted, strict=True)])

    def turn(
        self, kept: list[Any], left: Tensor, outer: bool = False, last: bool = False
    ) -> list[Tensor]:
        """The direction's lane backward: Hessian times direction (CSFD-BP).

        The first time the real lane goes beside it, without the leaves, which do not need it.

        kept : what `push` gave; it is used up.
        left : weights over the result, as the gradient's.
        outer : of the loss alone, the function inside taken as linear (Gauss-Newton).
        last : the tape is used up, too, its memory free for what is still to be computed.
        """
        real = {} if self._met else {self.out: left.unsqueeze(0)}
        found: dict[int, Tensor] = {}
        for number in reversed(range(len(self.entries))):
            entry, rest = self.entries[number], kept.pop()
            if last:
                self.entries.pop()
            self._back(entry, real, leaves=False)
            c = found.pop(entry.place, None)
            if entry.step.bends and not (outer and number < self.mark):
                _add(found, entry, entry.step.turn(c, rest))
            elif c is not None:
                _add(found, entry, entry.step.pull(c, [True] * len(entry.parents)))
        self._met = True
        return self._leaves(found)

    def _leaves(self, found: dict[int, Tensor]) -> list[Tensor]:
        return [
            found[leaf.place][0].contiguous()
            if leaf.place in found
            else torch.zeros_like(leaf.value)
            for leaf in self.leaves
        ]


def _add(found: dict[int, Tensor], entry: Entry, parts: Sequence[Tensor | None]) -> None:
    for parent, part in zip(entry.parents, parts, strict=True):
        if part is not None:
            found[parent] = found[parent] + part if parent in found else part
