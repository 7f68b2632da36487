"""The few operations that all rules are made of, each with its pullback on lanes.

Linear maps, sums, products and elementwise functions: everything a network does is one of these,
and what backpropagation does to it is one of these again. That is why CSFD-BP (paper, 'CSFD-BP for
More Effective Perturbation') needs no second set of rules.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from hodsim.derivatives.lane_tensor import LaneTensor
from hodsim.derivatives.lanes import Lanes
from hodsim.derivatives.leibniz import Bilinear, bilinear, product
from hodsim.derivatives.mixing import compose
from hodsim.derivatives.rules import UnknownRuleError
from hodsim.derivatives.steps import (
    Linear,
    Product,
    Rows,
    Smooth,
    Step,
    Sums,
    Weighting,
    lifted,
    shrunk,
)
from hodsim.derivatives.tape import Recording

Sigma = Callable[[Tensor, int], list[Tensor]]


def linear_map(x: LaneTensor, apply: Rows, transpose: Rows, view: bool = False) -> LaneTensor:
    """A linear map of all lanes alike.

    apply, transpose : the map and its transpose, on any number of rows at once: (rows, *shape).
    view : the result would share x's memory in torch.
    """
    return _linear(
        _with(x.lanes, apply(x.lanes.values)),
        [x],
        lambda tangents: apply(tangents[0]),
        lambda c: [transpose(c)],
        x if view else None,
    )


def _linear(
    y: Lanes,
    parents: Sequence[LaneTensor],
    apply: Callable[[Sequence[Tensor]], Tensor],
    transpose: Callable[[Tensor], Sequence[Tensor]],
    view_of: LaneTensor | None = None,
) -> LaneTensor:
    """A result that depends linearly on all its parents, but for a constant in the real lane."""

    def pullback(c: Lanes) -> list[Lanes]:
        return [_with(c, part) for part in transpose(c.values)]

    return parents[0].run.emit(y, parents, pullback, view_of, Linear(apply, transpose))


def shifted(x: LaneTensor, constant: Tensor | float) -> LaneTensor:
    """x + constant, the shapes broadcast: a constant belongs to the real lane alone."""
    lanes, shape = x.lanes, x.lanes.values.shape[1:]
    constant = torch.as_tensor(
        checked(x, constant), dtype=lanes.values.dtype, device=lanes.values.device
    )
    wide = torch.broadcast_shapes(shape, constant.shape)
    values = _spread(lanes.values, wide)
    y = _with(lanes, torch.cat((values[:1] + constant, values[1:])))
    return _linear(y, [x], lambda t: _spread(t[0], wide), lambda c: [shrunk(c, shape)])


def scaled(
    x: LaneTensor,
    constant: Tensor | float,
    times: Callable[[Tensor, Any], Tensor] = torch.mul,
) -> LaneTensor:
    """x * constant, or x / constant (torch.div); the shapes broadcast."""
    shape = x.lanes.values.shape[1:]
    constant = checked(x, constant)
    rank = max(len(shape), constant.dim() if isinstance(constant, Tensor) else 0)

    def apply(values: Tensor) -> Tensor:
        return times(lifted(values, rank), constant)

    return _linear(
        _with(x.lanes, apply(x.lanes.values)),
        [x],
        lambda tangents: apply(tangents[0]),
        lambda c: [shrunk(times(c, constant), shape)],
    )


def selected(x: LaneTensor, mask: Tensor) -> LaneTensor:
    """x where the mask holds, else 0 (were x infinite or nan, still 0); the shapes broadcast."""
    shape = x.lanes.values.shape[1:]
    wide = torch.broadcast_shapes(shape, mask.shape)
    return linear_map(
        x,
        lambda values: torch.where(mask, _spread(values, wide), 0.0),
        lambda c: shrunk(torch.where(mask, c, 0.0), shape),
    )


def added(a: LaneTensor, b: LaneTensor) -> LaneTensor:
    """a + b, the shapes broadcast."""
    shapes = [part.lanes.values.shape[1:] for part in (a, b)]
    wide = torch.broadcast_shapes(*shapes)
    x, y = (_with(part.lanes, _spread(part.lanes.values, wide)) for part in (a, b))
    return _linear(
        x + y,
        [a, b],
        lambda tangents: lifted(tangents[0], len(wide)) + lifted(tangents[1], len(wide)),
        lambda c: [shrunk(c, shape) for shape in shapes],
    )


def multiplied(a: LaneTensor, b: LaneTensor) -> LaneTensor:
    """a * b elementwise, the shapes broadcast."""
    x, y = a.lanes, b.lanes

    def pullback(c: Lanes) -> list[Lanes]:
        left, right = product(c, y), product(c, x)
        return [
            _with(left, shrunk(left.values, x.values.shape[1:])),
            _with(right, shrunk(right.values, y.values.shape[1:])),
        ]

    step = Product(x.values, y.values) if is_recorded(a) else None
    return a.run.emit(product(x, y), [a, b], pullback, step=step)


def elementwise(x: LaneTensor, sigma: Sigma) -> LaneTensor:
    """sigma(x) entry by entry, by Faa di Bruno.

    sigma : ``sigma(real, k)`` gives [sigma, sigma', ..., sigma^(k)] at the real lane.
    """
    lanes, recorded = x.lanes, is_recorded(x)
    order = 2 if recorded else x.run.plan.order
    values = sigma(lanes.value, order)
    y = compose(lanes, values)

    def pullback(c: Lanes) -> list[Lanes]:
        return [product(c, compose(lanes, sigma(lanes.value, order + 1)[1:]))]

    step = Smooth(values[1].unsqueeze(0), values[2].unsqueeze(0)) if recorded else None
    return x.run.emit(y, [x], pullback, step=step)


def bilinear_map(
    a: LaneTensor | Tensor,
    b: LaneTensor | Tensor,
    times: Callable[..., Tensor],
    back_a: Bilinear,
    back_b: Bilinear,
    bias: LaneTensor | Tensor | None = None,
    sums: Sums | None = None,
) -> Any:
    """``times(a, b) + bias``, linear in a and b: a product with weights, perturbed (Eq. 7) or not.

    times : rows of a (rows, ...) and one lane of b give rows; where there is a bias it may come
        third, with one row of a.
    back_a : rows of the cotangent and one lane of b give rows of a's cotangent.
    back_b : rows of the cotangent and one lane of a give rows of b's cotangent.
    bias : a summand; one without lanes belongs to the real lane alone.
    sums : the sums of two of each of the three at once, where that is faster; one row each.
    """
    if isinstance(bias, LaneTensor) and not is_recorded(b):
        return bilinear_map(a, b, times, back_a, back_b) + bias

    def biased(rows: Tensor) -> Tensor:
        if bias is not None:
            rows[0] += value_of(bias)
        return rows

    if not isinstance(b, LaneTensor):
        if not isinstance(a, LaneTensor):  # the bias alone carries lanes
            return biased(times(a.unsqueeze(0), b))[0]
        weight = b
        y = _with(a.lanes, biased(times(a.lanes.values, weight)))
        return _linear(y, [a], lambda t: times(t[0], weight), lambda c: [back_a(c, weight)])
    own = () if bias is None else (value_of(bias),)
    shape = bias.lanes.values.shape[1:] if isinstance(bias, LaneTensor) else None
    parents = [part for part in (a, b, bias) if isinstance(part, LaneTensor)]
    if not isinstance(a, LaneTensor):
        given = a

        def apply(tangents: Sequence[Tensor]) -> Tensor:
            each = [times(given.unsqueeze(0), w, *tangents[1:]) for w in tangents[0]]
            return torch.cat(each) if len(each) > 1 else each[0]

        def transpose(c: Tensor) -> list[Tensor]:
            weight = back_b(c, given)
            return [weight] if shape is None else [weight, shrunk(c, shape)]

        if is_recorded(b):
            real = times(given.unsqueeze(0), b.value, *own)
        else:
            real = biased(apply([b.lanes.values]))
        return _linear(_with(b.lanes, real), parents, apply, transpose)
    x, w = a.lanes, b.lanes
    if is_recorded(a):
        sums = sums or Sums.of(times, back_a, back_b)
        step = Weighting(x.values, w.values, (back_a, back_b), sums, shape)
        return recorded(times(x.values, w.values[0], *own)[0], parents, step)
    lanes = bilinear(x, w, times)

    def pullback(c: Lanes) -> list[Lanes]:
        return [bilinear(c, w, back_a), bilinear(c, x, back_b)]

    return a.run.emit(_with(lanes, biased(lanes.values)), parents, pullback)


def joined(parts: Sequence[LaneTensor | Tensor], dim: int) -> LaneTensor:
    """torch.cat of tensors, of which some may be constant; dim counts from the first axis."""
    carriers = [part for part in parts if isinstance(part, LaneTensor)]
    run = carriers[0].run
    filled = max(part.lanes.filled for part in carriers)
    blocks = []
    for part in parts:
        if isinstance(part, LaneTensor):
            blocks.append(part.lanes.fill(filled).values)
        else:
            blocks.append(Lanes(part.unsqueeze(0), run.plan, 0).fill(filled).values)
    sizes = [block.shape[dim + 1] for block in blocks]
    carrying = [isinstance(part, LaneTensor) for part in parts]

    def apply(tangents: Sequence[Tensor]) -> Tensor:
        given = iter(tangents)
        pieces = [
            next(given) if carries else torch.zeros_like(block[:1])
            for carries, block in zip(carrying, blocks, strict=True)
        ]
        return torch.cat(pieces, dim + 1)

    def transpose(c: Tensor) -> list[Tensor]:
        pieces = c.split(sizes, dim + 1)
        return [piece for piece, carries in zip(pieces, carrying, strict=True) if carries]

    y = Lanes(torch.cat(blocks, dim + 1), run.plan, filled)
    return _linear(y, carriers, apply, transpose)


def folded(rows: Tensor, operation: Rows) -> Tensor:
    """An operation on batches, applied to all rows as one batch: (rows, batch, ...)."""
    out = operation(rows.flatten(0, 1))
    return out.reshape(rows.shape[0], rows.shape[1], *out.shape[1:])


def untouched(rows: Tensor, shape: Sequence[int], channels_last: bool) -> Tensor:
    """A batch for torch's transposes, which ask for its size and layout and not for its entries."""
    size = (rows.shape[0], *shape)
    if channels_last:  # never written to, so that it takes no memory
        layout = torch.channels_last
        return torch.empty(size, dtype=rows.dtype, device=rows.device, memory_format=layout)
    return rows.new_empty((1,)).expand(size)


def is_channels_last(x: Any) -> bool:
    """Whether the real lane of images is laid out with its channels last in memory."""
    real = value_of(x)
    return real.dim() == 4 and real.is_contiguous(memory_format=torch.channels_last)


def each(value: int | Sequence[int], rank: int) -> list[int]:
    """A size for each axis, as torch lets them be given: one for all, or one each."""
    return [value] * rank if isinstance(value, int) else list(value) * (rank // len(value))


def value_of(value: Any) -> Any:
    """The real lane of what carries lanes; anything else as it is."""
    return value.value if isinstance(value, LaneTensor) else value


def is_recorded(x: Any) -> bool:
    """Whether a value carries the real lane alone, of a run that records its operations."""
    return isinstance(x, LaneTensor) and isinstance(x.run, Recording)


def recorded(y: Tensor, parents: Sequence[LaneTensor], step: Step) -> LaneTensor:
    """The result of an operation that is written as a `Step`, in a run that records."""

    def pullback(c: Lanes) -> list[Lanes]:
        parts = step.pull(c.values, [True] * len(parents))
        return [_with(c, part) for part in parts if part is not None]

    run = parents[0].run
    return run.emit(Lanes(y.unsqueeze(0), run.plan, 0), parents, pullback, step=step)


def checked(x: LaneTensor, constant: Tensor | float) -> Tensor | float:
    """A constant that leaves the lanes real and of their type."""
    if isinstance(constant, complex) or (isinstance(constant, Tensor) and constant.is_complex()):
        raise UnknownRuleError(
            "complex number: complex neurons are not supported, write their real and imaginary "
            "parts as real ones"
        )
    dtype = x.lanes.values.dtype
    if isinstance(constant, Tensor) and torch.result_type(x.lanes.values, constant) is not dtype:
        raise UnknownRuleError(
            f"{constant.dtype} tensor: would turn lanes of {dtype} into another type; convert it"
        )
    return constant


def _with(lanes: Lanes, values: Tensor) -> Lanes:
    return Lanes(values, lanes.plan, lanes.filled)


def _spread(values: Tensor, shape: torch.Size) -> Tensor:
    if values.shape[1:] == shape:
        return values
    return lifted(values, len(shape)).expand(values.shape[0], *shape)
