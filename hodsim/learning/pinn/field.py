"""A network as a field over positions: its derivatives, asked for one by one, computed together.

A derivative is a weighted sum of lanes (`hodsim.derivatives`): the Laplacian of d dimensions is the
lanes (i, i), each once. What a residual asks for at the same points travels in one pass, and a sum
of lanes of the highest order as one lane. A field remembers what each formula asked for: at the
first points it takes a pass for each new operator, from then on one in all.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Hashable

import torch
from torch import Tensor, nn

from hodsim.derivatives import LanePlan, Lanes, UnknownRuleError, push
from hodsim.errors import InputError

# Weighted lanes whose sum is a differential operator: ((direction numbers), weight), all of one
# order.
Operator = tuple[tuple[tuple[int, ...], float], ...]
VALUE: Operator = (((), 1.0),)


class Field(ABC):
    """What a residual is a formula of; ``u(x)`` are its values.

    network : takes positions, shape (n, d), to values, shape (n, m).
    """

    def __init__(self, network: nn.Module) -> None:
        self.network = network

    def __call__(self, x: Tensor) -> Tensor:
        return self.apply(VALUE, x)

    @abstractmethod
    def apply(self, operator: Operator, x: Tensor) -> Tensor:
        """An operator's value at positions, shape (n, m)."""

    @abstractmethod
    def forget(self, formula: Hashable = None) -> None:
        """Drop what was computed: gradients are wanted of a pass of its own.

        formula : which one is evaluated next; it takes no lanes that only others asked for."""


class LaneField(Field):
    """By Cauchy-Riemann lanes; autograd goes through them to the network's parameters.

    Raises (when applied)
    ------
    InputError : the network does what hodsim.derivatives has no rule for, by name; positions that
        are not (n, d).
    """

    def __init__(self, network: nn.Module) -> None:
        super().__init__(network)
        self._asked: dict[Hashable, list[Operator]] = {}
        self._formula: Hashable = None
        self._x: Tensor | None = None
        self._under: list[object] = []
        self._known: dict[Operator, Tensor] = {}

    def forget(self, formula: Hashable = None) -> None:
        self._formula, self._x, self._known = formula, None, {}

    def apply(self, operator: Operator, x: Tensor) -> Tensor:
        asked = self._asked.setdefault(self._formula, [])
        if operator not in asked:
            asked.append(operator)
        under = _conditions(self.network, x)
        if self._x is not x or under != self._under:
            self._x, self._under, self._known = x, under, {}
            wanted = [o for o in asked if _spans(o) < x.shape[-1]]
        else:
            wanted = [operator]
        if operator not in self._known:
            self._known.update(_together(self.network, x, wanted))
        return self._known[operator]


def _conditions(network: nn.Module, x: Tensor) -> list[object]:
    """What the values at x depend on, and whether gradients flow from them. Places too: a
    parameter that is given other data keeps its version."""
    held = (x, *network.parameters(), *network.buffers())
    places = [(t.data_ptr(), None if t.is_inference() else t._version) for t in held]
    return [torch.is_grad_enabled(), *places, *(m.training for m in network.modules())]


def _spans(operator: Operator) -> int:
    """The highest axis that an operator differentiates along, -1 for none."""
    return max((i for lane, _ in operator for i in lane), default=-1)


def _together(network: nn.Module, x: Tensor, wanted: list[Operator]) -> dict[Operator, Tensor]:
    """The operators at x, in one pass."""
    d = x.shape[1]
    plan = LanePlan.closure([lane for operator in wanted for lane, _ in operator], d)
    top = [o for o in wanted if plan.order and len(o[0][0]) == plan.order]
    if top:
        weights = torch.zeros(len(top), len(plan.blocks[-1]), dtype=torch.float64)
        for row, operator in zip(weights, top, strict=True):
            own = torch.tensor([sorted(lane) for lane, _ in operator])
            row[plan.rows_within(own)] += torch.tensor([w for _, w in operator]).to(row)
        if len(weights) < len(plan.blocks[-1]):
            plan = plan.collapsed(weights)
    directions = torch.eye(d, dtype=x.dtype)
    try:
        lanes = push(network, x, directions, plan)
    except UnknownRuleError as error:
        raise InputError(f"network: {' '.join(str(error).split())}") from error
    out = {}
    for operator in wanted:
        if plan.weights is not None and operator in top:
            out[operator] = lanes.order(plan.order)[top.index(operator)]
        else:
            out[operator] = _summed(lanes, operator)
    return out


def _summed(lanes: Lanes, operator: Operator) -> Tensor:
    (lane, weight), *rest = operator
    total = lanes[lane] if weight == 1.0 else weight * lanes[lane]
    for lane, weight in rest:
        total = total + weight * lanes[lane]
    return total


class AutogradField(Field):
    """By plain torch autograd, gradient of gradient: what the lanes are compared with."""

    def apply(self, operator: Operator, x: Tensor) -> Tensor:
        at = x if x.requires_grad else x.detach().requires_grad_()
        with torch.enable_grad():
            values = self.network(at)
            columns = []
            for k in range(values.shape[1]):
                known: dict[tuple[int, ...], Tensor] = {(): values[:, k]}
                terms = [w * _nested(known, tuple(sorted(lane)), at) for lane, w in operator]
                columns.append(torch.stack(terms).sum(0))
        return torch.stack(columns, 1)

    def forget(self, formula: Hashable = None) -> None:
        """Nothing is kept."""


def _nested(known: dict[tuple[int, ...], Tensor], lane: tuple[int, ...], x: Tensor) -> Tensor:
    """A derivative of one component at every point, from those of lower orders."""
    if lane not in known:
        below = _nested(known, lane[:-1], x)
        if below.requires_grad:
            (slope,) = torch.autograd.grad(
                below.sum(), x, create_graph=True, allow_unused=True, materialize_grads=True
            )
        else:
            slope = torch.zeros_like(x)
        for i in range(x.shape[1]):
            known[(*lane[:-1], i)] = slope[:, i]
    return known[lane]
