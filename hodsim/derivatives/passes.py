"""Passes over an arbitrary function: lanes forward, and backpropagation on lanes (CSFD-BP)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from hodsim.derivatives.lane_tensor import LaneTensor, Run, is_lanes
from hodsim.derivatives.lanes import LanePlan, Lanes
from hodsim.derivatives.point import Function, Point
from hodsim.derivatives.rules import rules_in_force
from hodsim.errors import InputError


def seeded(leaf: Tensor, seeds: Tensor, plan: LanePlan) -> Lanes:
    """A leaf with its directions as imaginary parts; seeds of shape (n, *leaf.shape)."""
    if plan.order == 0:
        return Lanes(leaf.unsqueeze(0), plan, 0)
    first = plan.seeds(seeds)
    if plan.order == 1:
        first = plan.gather(first)
    return Lanes(torch.cat((leaf.unsqueeze(0), first)), plan, 1)


@dataclass(frozen=True, eq=False)
class Pass:
    """One evaluation of f on lanes.

    leaves : what f was given.
    out : what it gave back.
    """

    run: Run
    leaves: tuple[LaneTensor, ...]
    out: LaneTensor

    def pull(self, left: Tensor) -> list[Lanes]:
        """The gradient of ``left . f`` as lanes, one for each leaf (CSFD-BP).

        left : of the shape of f's result.
        """
        seed = Lanes(left.unsqueeze(0), self.run.plan, 0)
        return self.run.pull(self.out, seed, self.leaves)


def run_lanes(
    f: Function,
    point: Point,
    seeds: Sequence[Tensor],
    plan: LanePlan,
    reverse: bool = False,
) -> Pass:
    """Evaluate f once on the lanes of a plan.

    seeds : for each leaf of the point its directions, shape (n_directions, *leaf.shape).
    reverse : keep what `Pass.pull` needs.
    """
    return evaluated(f, point, seeds, Run(plan, reverse))


def evaluated(f: Function, point: Point, seeds: Sequence[Tensor], run: Run) -> Pass:
    """`run_lanes`, as a run that is given."""
    refuse_autocast(point.leaves[0].device.type)
    plan = run.plan
    leaves = tuple(
        run.leaf(seeded(leaf, seed, plan)) for leaf, seed in zip(point.leaves, seeds, strict=True)
    )
    with rules_in_force(is_lanes):
        # f may write into what it is given (nn.ReLU(inplace=True) does): let that not be `leaves`.
        out = f(point.pack([LaneTensor(leaf.lanes, run, leaf.place) for leaf in leaves]))
    if isinstance(out, Tensor) and not is_lanes(out):
        # A constant: nothing of x reached it.
        out = run.leaf(Lanes(out.unsqueeze(0), plan, 0))
    if isinstance(out, LaneTensor) and not out.lanes.values.is_floating_point():
        raise InputError(f"f: expected real numbers as its result, got {out.lanes.values.dtype}")
    if not isinstance(out, LaneTensor):
        raise InputError(
            f"f: expected one tensor as its result, got {type(out).__name__}; "
            "wrap f in a function that returns the tensor to differentiate"
        )
    return Pass(run, leaves, out)


def refuse_autocast(device: str) -> None:
    """Lanes do not follow torch.autocast into other types."""
    if torch.is_autocast_enabled(device):
        raise InputError(
            f"autocast: lanes keep x's type; call under torch.autocast({device!r}, enabled=False)"
        )
