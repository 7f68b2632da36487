"""Products with the Hessian at one point, along as many directions as are asked for.

CSFD-BP with all that no direction changes done once: the values inside f and the real lane of the
backward pass. A product runs the direction's lane forward and backward, and no more.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from hodsim.derivatives import whole
from hodsim.derivatives.passes import evaluated, refuse_autocast
from hodsim.derivatives.point import Function, Point, Tensors
from hodsim.derivatives.tape import Recording, Tape
from hodsim.errors import InputError

Loss = Callable[[Tensor], Tensor]


def recorded(f: Function, point: Point, left: Any, loss: Loss | None = None) -> tuple[Tape, Tensor]:
    """f, or a loss of it, evaluated once; and the weights over the result.

    left : as `whole.weights_of` takes it.
    """
    run = Recording()
    inside = 0

    def both(x: Any) -> Tensor:
        nonlocal inside
        y = f(x)
        inside = len(run.entries)
        return y if loss is None else loss(y)

    done = evaluated(both, point, [x.new_empty(0, *x.shape) for x in point.leaves], run)
    weights = whole.weights_of(point, done.out.value, left)
    assert weights is not None
    return Tape(run, done.leaves, done.out, 0 if loss is None else inside), weights


def hessian_vector(f: Function, point: Point, direction: Sequence[Tensor], left: Any) -> Any:
    """One product ``D^2 (left . f)(x)[v, .]`` at a point that is not used again."""
    tape, weights = recorded(f, point, left)
    return point.pack(tape.turn(tape.push(direction), weights, last=True))


class Curvature:
    """The Hessian of ``left . f``, or of a loss of f, at one point. Made by `linearise`.

    It keeps what f computed there, layer by layer, and the real lane of the backward pass. The
    tensors that it was made with must keep their values while it is used.

    Attributes
    ----------
    value : what f (the loss, where there is one) gave.
    """

    def __init__(
        self, f: Function, point: Point, left: Any = whole.ONE, loss: Loss | None = None
    ) -> None:
        self._point, self._loss = point, loss
        self._versions = _versions(point.leaves)
        with torch.no_grad():
            self._tape, self._left = recorded(f, point, left, loss)
        self.value = self._tape.value
        self._gradient: Any = None

    @property
    def gradient(self) -> Any:
        """``D (left . f)(x)``, of x's shape."""
        self._check()
        if self._gradient is None:
            with torch.no_grad():
                self._gradient = self._point.pack(self._tape.gradient(self._left))
        return self._gradient

    def hvp(self, v: Tensors) -> Any:
        """Hessian times vector, ``D^2 (left . f)(x)[v, .]``, of x's shape."""
        return self._along(v, outer=False)

    def gnvp(self, v: Tensors) -> Any:
        """Gauss-Newton matrix times vector, ``J^T H J v``, of x's shape.

        J is f's Jacobian and H the Hessian of the loss by f's result; where the loss is convex the
        matrix is positive semidefinite.

        Raises
        ------
        InputError : linearise was given no loss.
        """
        if self._loss is None:
            raise InputError(
                "gnvp: expected a loss of f's result, got none; call linearise(f, x, loss)"
            )
        return self._along(v, outer=True)

    def _along(self, v: Tensors, outer: bool) -> Any:
        direction = self._point.direction("v", v)
        self._check()
        with torch.no_grad():
            tape = self._tape
            return self._point.pack(tape.turn(tape.push(direction), self._left, outer))

    def _check(self) -> None:
        refuse_autocast(self._point.leaves[0].device.type)
        names = self._point.labels("x")
        for name, now, before in zip(
            names, _versions(self._point.leaves), self._versions, strict=True
        ):
            if now != before:
                raise InputError(
                    f"{name}: expected the values that linearise was given, got a tensor written "
                    "into since; linearise anew"
                )


def _versions(leaves: Sequence[Tensor]) -> list[int | None]:
    """How often each tensor was written into; torch does not count for inference tensors."""
    return [None if leaf.is_inference() else leaf._version for leaf in leaves]


def linearise(
    f: Function, x: Tensors, loss: Loss | None = None, *, left: Tensor | None = None
) -> Curvature:
    """Evaluate f at x once, for its gradient and any number of products with its Hessian.

        curvature = linearise(network_of_parameters, parameters, loss)
        curvature.gradient, curvature.hvp(v), curvature.gnvp(v)

    A product takes about two thirds of what `hvp` does and gives the same. No autograd graph is
    kept or made.

    Parameters
    ----------
    f : a `torch.nn.Module` or any function of torch operations, given what x is.
    x : shape (n,), (batch, ...), or a mapping of tensors. It is not copied and must not be changed
        while products are asked for: those are then refused.
    loss : a function of f's result, in whose place ``loss(f(x))`` is differentiated.
    left : weights over the outputs, of f's shape, or of one point's; may be left out where f (the
        loss) gives one number (a point).

    Raises
    ------
    InputError : an argument of the wrong shape, type or place, by name.
    UnknownRuleError : f does what no rule knows, by name.
    """
    if loss is not None and not callable(loss):
        raise InputError(f"loss: expected a function of f's result, got {type(loss).__name__}")
    point = Point.of(f, x)
    return Curvature(f, point, whole.ONE if left is None else left, loss)
