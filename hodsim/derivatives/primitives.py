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

Rows = Callable[[Tensor], Tensor]
Sigma = Callable[[Tensor, int], list[Tensor]]


def linear_map(x: LaneTensor, apply: Rows, transpose: Rows, view: bool = False) -> LaneTensor:
    """A linear map of all lanes alike.

    apply, transpose : the map and its transpose, on any number of rows at once: (rows, *shape).
    view : the result would share x's memory in torch.
    """
    lanes = x.lanes
    y = _with(lanes, apply(lanes.values))
    return x.run.emit(y, [x], lambda c: [_with(c, transpose(c.values))], x if view else None)


def shifted(x: LaneTensor, constant: Tensor | float) -> LaneTensor:
    """x + constant, the shapes broadcast: a constant belongs to the real lane alone."""
    lanes, shape = x.lanes, x.lanes.values.shape[1:]
    constant = torch.as_tensor(
        checked(x, constant), dtype=lanes.values.dtype, device=lanes.values.device
    )
    wide = torch.broadcast_shapes(shape, constant.shape)
    values = _spread(lanes.values, wide)
    y = _with(lanes, torch.cat((values[:1] + constant, values[1:])))
    return x.run.emit(y, [x], lambda c: [_shrunk(c, shape)])


def scaled(
    x: LaneTensor,
    constant: Tensor | float,
    times: Callable[[Tensor, Any], Tensor] = torch.mul,
) -> LaneTensor:
    """x * constant, or x / constant (torch.div); the shapes broadcast."""
    values, shape = x.lanes.values, x.lanes.values.shape[1:]
    constant = checked(x, constant)
    if isinstance(constant, Tensor) and constant.dim() > len(shape):
        values = _lifted(values, constant.dim())
    y = _with(x.lanes, times(values, constant))

    def pullback(c: Lanes) -> list[Lanes]:
        return [_shrunk(_with(c, times(c.values, constant)), shape)]

    return x.run.emit(y, [x], pullback)


def selected(x: LaneTensor, mask: Tensor) -> LaneTensor:
    """x where the mask holds, else 0 (were x infinite or nan, still 0); the shapes broadcast."""
    shape = x.lanes.values.shape[1:]
    values = _spread(x.lanes.values, torch.broadcast_shapes(shape, mask.shape))
    y = _with(x.lanes, torch.where(mask, values, 0.0))

    def pullback(c: Lanes) -> list[Lanes]:
        return [_shrunk(_with(c, torch.where(mask, c.values, 0.0)), shape)]

    return x.run.emit(y, [x], pullback)


def added(a: LaneTensor, b: LaneTensor) -> LaneTensor:
    """a + b, the shapes broadcast."""
    shapes = [part.lanes.values.shape[1:] for part in (a, b)]
    wide = torch.broadcast_shapes(*shapes)
    x, y = (_with(part.lanes, _spread(part.lanes.values, wide)) for part in (a, b))
    return a.run.emit(x + y, [a, b], lambda c: [_shrunk(c, shape) for shape in shapes])


def multiplied(a: LaneTensor, b: LaneTensor) -> LaneTensor:
    """a * b elementwise, the shapes broadcast."""
    x, y = a.lanes, b.lanes

    def pullback(c: Lanes) -> list[Lanes]:
        return [
            _shrunk(product(c, y), x.values.shape[1:]),
            _shrunk(product(c, x), y.values.shape[1:]),
        ]

    return a.run.emit(product(x, y), [a, b], pullback)


def elementwise(x: LaneTensor, sigma: Sigma) -> LaneTensor:
    """sigma(x) entry by entry, by Faa di Bruno.

    sigma : ``sigma(real, k)`` gives [sigma, sigma', ..., sigma^(k)] at the real lane.
    """
    lanes, order = x.lanes, x.run.plan.order
    y = compose(lanes, sigma(lanes.value, order))

    def pullback(c: Lanes) -> list[Lanes]:
        return [product(c, compose(lanes, sigma(lanes.value, order + 1)[1:]))]

    return x.run.emit(y, [x], pullback)


def bilinear_map(
    a: LaneTensor | Tensor,
    b: LaneTensor | Tensor,
    times: Bilinear,
    back_a: Bilinear,
    back_b: Bilinear,
    bias: Tensor | None = None,
) -> Any:
    """``times(a, b) + bias``, linear in a and b: a product with weights, perturbed (Eq. 7) or not.

    times : rows of a (rows, ...) and one lane of b give rows.
    back_a : rows of the cotangent and one lane of b give rows of a's cotangent.
    back_b : rows of the cotangent and one lane of a give rows of b's cotangent.
    bias : a constant, for the real lane alone.
    """

    def biased(rows: Tensor) -> Tensor:
        if bias is not None:
            rows[0] += bias
        return rows

    if not isinstance(b, LaneTensor):
        if not isinstance(a, LaneTensor):  # the bias alone carries lanes
            return biased(times(a.unsqueeze(0), b))[0]
        weight = b
        return linear_map(a, lambda v: biased(times(v, weight)), lambda c: back_a(c, weight))
    if not isinstance(a, LaneTensor):
        given = a

        def apply(rows: Tensor) -> Tensor:
            return biased(torch.cat([times(given.unsqueeze(0), w) for w in rows]))

        return linear_map(b, apply, lambda c: back_b(c, given))
    x, w = a.lanes, b.lanes
    y = bilinear(x, w, times)

    def pullback(c: Lanes) -> list[Lanes]:
        return [bilinear(c, w, back_a), bilinear(c, x, back_b)]

    return a.run.emit(_with(y, biased(y.values)), [a, b], pullback)


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

    def pullback(c: Lanes) -> list[Lanes]:
        pieces = c.values.split(sizes, dim + 1)
        return [_with(c, piece) for piece, carries in zip(pieces, carrying, strict=True) if carries]

    return run.emit(Lanes(torch.cat(blocks, dim + 1), run.plan, filled), carriers, pullback)


def folded(rows: Tensor, operation: Rows) -> Tensor:
    """An operation on batches, applied to all rows as one batch: (rows, batch, ...)."""
    out = operation(rows.flatten(0, 1))
    return out.reshape(rows.shape[0], rows.shape[1], *out.shape[1:])


def each(value: int | Sequence[int], rank: int) -> list[int]:
    """A size for each axis, as torch lets them be given: one for all, or one each."""
    return [value] * rank if isinstance(value, int) else list(value) * (rank // len(value))


def value_of(value: Any) -> Any:
    """The real lane of what carries lanes; anything else as it is."""
    return value.value if isinstance(value, LaneTensor) else value


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


def _lifted(values: Tensor, rank: int) -> Tensor:
    """Axes of length 1 behind the rows, so that `rank` axes follow them."""
    return values.reshape(values.shape[0], *(1,) * (rank + 1 - values.dim()), *values.shape[1:])


def _spread(values: Tensor, shape: torch.Size) -> Tensor:
    if values.shape[1:] == shape:
        return values
    return _lifted(values, len(shape)).expand(values.shape[0], *shape)


def _shrunk(lanes: Lanes, shape: torch.Size) -> Lanes:
    """The transpose of broadcasting from `shape`: sums over the axes that were spread."""
    values = lanes.values
    if values.shape[1:] == shape:
        return lanes
    extra = values.dim() - 1 - len(shape)
    values = values.sum(tuple(range(1, 1 + extra))) if extra else values
    spread = [i for i, n in enumerate(shape, start=1) if n == 1 and values.shape[i] != 1]
    return _with(lanes, values.sum(spread, keepdim=True) if spread else values)
