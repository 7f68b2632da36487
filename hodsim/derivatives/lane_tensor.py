"""A tensor with lanes: goes through any torch code as an ordinary tensor does, and takes the lanes
along (Fig. 2).

Every torch function that meets one is looked up in the rule table; an unknown one raises, naming
itself, so that no lane is ever lost in silence. Values and shapes are those of the real lane, and
so are comparisons: branches, ReLU and max-pooling choose by the real part.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from hodsim.derivatives.lanes import LanePlan, Lanes
from hodsim.derivatives.rules import UnknownRuleError, function_rule
from hodsim.derivatives.steps import Step

Pullback = Callable[[Lanes], Sequence[Lanes]]


class Run:
    """One pass of lanes through a function: their plan and, to be run backward, its tape.

    reverse : keep the tape. It is no autograd graph: a list of pullbacks, each a map of lanes.

    Attributes
    ----------
    widest : the most entries that one lane had anywhere.
    """

    def __init__(self, plan: LanePlan, reverse: bool = False) -> None:
        self.plan = plan
        self.widest = 1
        self._tape: list[tuple[int, tuple[int, ...], Pullback]] | None = [] if reverse else None
        self._count = 0

    def leaf(self, lanes: Lanes) -> LaneTensor:
        """What the function is given."""
        self._count += 1
        self.widest = max(self.widest, lanes.values[0].numel())
        return LaneTensor(lanes, self, self._count)

    def emit(
        self,
        lanes: Lanes,
        parents: Sequence[LaneTensor],
        pullback: Pullback,
        view_of: LaneTensor | None = None,
        step: Step | None = None,  # noqa: ARG002 (for a run that records it)
    ) -> LaneTensor:
        """An operation's result.

        pullback : from the cotangent lanes of the result those of each parent, of its shape.
        view_of : the tensor whose memory the result would share in torch.
        step : the operation at the real lanes, for a run that records it.
        """
        out = self.leaf(lanes)
        if self._tape is not None:
            self._tape.append((out.place, tuple(p.place for p in parents), pullback))
        if view_of is not None:
            out.sharers = view_of.sharers
            out.sharers.append(weakref.ref(out))
        return out

    def pull(self, out: LaneTensor, seed: Lanes, leaves: Sequence[LaneTensor]) -> list[Lanes]:
        """Backpropagation on lanes (CSFD-BP): cotangents of the leaves from that of the result."""
        assert self._tape is not None
        found = {out.place: seed}
        for index, parents, pullback in reversed(self._tape):
            cotangent = found.pop(index, None)
            if cotangent is None:
                continue
            for parent, lanes in zip(parents, pullback(cotangent), strict=True):
                found[parent] = found[parent] + lanes if parent in found else lanes
        return [
            found[leaf.place]
            if leaf.place in found
            else Lanes(torch.zeros_like(leaf.lanes.values[:1]), self.plan, 0)
            for leaf in leaves
        ]


class LaneTensor(Tensor):
    """The lanes of one quantity inside a function; to the function, its real lane.

    Attributes
    ----------
    lanes : the `Lanes`, values of shape (rows, *shape).
    run : the pass it belongs to.
    place : where it stands on the run's tape.
    sharers : the tensors that would share memory with this one, itself among them.
    """

    lanes: Lanes
    run: Run
    place: int
    sharers: list[weakref.ref[LaneTensor]]

    @staticmethod
    def __new__(cls, lanes: Lanes, run: Run, place: int) -> LaneTensor:
        real = lanes.values[0]
        made = Tensor._make_wrapper_subclass(cls, real.shape, dtype=real.dtype, device=real.device)
        made.lanes, made.run, made.place = lanes, run, place
        made.sharers = [weakref.ref(made)]
        return made

    @property
    def value(self) -> Tensor:
        """The real lane, an ordinary tensor."""
        return self.lanes.values[0]

    def become(self, other: LaneTensor, name: str) -> LaneTensor:
        """What an in-place operation does to this tensor."""
        if sum(ref() is not None for ref in self.sharers) > 1:
            raise UnknownRuleError(
                f"{name}: expected a tensor that shares no memory, got a view or one with views; "
                "lanes do not follow in-place operations through views, use it out of place"
            )
        if other.lanes.values.shape[1:] != self.lanes.values.shape[1:]:
            raise UnknownRuleError(f"{name}: an in-place operation cannot change the shape")
        self.lanes, self.place = other.lanes, other.place
        return self

    def __repr__(self) -> str:  # type: ignore[override]
        return f"LaneTensor({self.lanes.values.shape[0]} lanes, {self.value})"

    @classmethod
    def __torch_function__(
        cls,
        func: Any,
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        rule = function_rule(func)
        if rule is None:
            raise UnknownRuleError(
                f"{_name(func)}: no rule carries lanes through this function (it may not be "
                "differentiable); give one with hodsim.derivatives.register_rule"
            )
        try:
            return rule(*args, **(kwargs or {}))
        except TypeError as error:
            if error.__traceback__ is None or error.__traceback__.tb_next is not None:
                raise
            # Raised by the call itself: arguments that the rule does not know.
            told = str(error).partition("() ")[2]
            raise UnknownRuleError(f"{_name(func)}: its rule {told}") from error

    @classmethod
    def __torch_dispatch__(  # type: ignore[override]
        cls, func: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        # Whatever slips past the functions above must not go on with the real lane alone.
        raise UnknownRuleError(f"{func}: no rule carries lanes through this operation")


def is_lanes(value: Any) -> bool:
    """Whether a value carries lanes."""
    return isinstance(value, LaneTensor)


def _name(func: Any) -> str:
    owner = getattr(getattr(func, "__self__", None), "__name__", None)  # a property's getter
    name = getattr(func, "__name__", str(func))
    return owner if name in ("__get__", "__set__") and owner else str(name)
