"""Where a derivative is taken and along what: one tensor or a mapping of tensors, checked."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from math import prod
from typing import Any

import torch
from torch import Tensor, nn

from hodsim.derivatives.lanes import LanePlan
from hodsim.errors import InputError

Function = nn.Module | Callable[..., Tensor]
Tensors = Tensor | Mapping[str, Tensor]


@dataclass(frozen=True, eq=False)
class Matrix:
    """A matrix in place of two directions: ``D^2 f : A = sum_ij A_ij D^2 f[e_i, e_j]``.

    A is symmetrised (the derivative is symmetric) and split into its rank(A) eigendirections; the
    sum over them travels as ONE lane of the highest order.

    A : shape (n, n).
    """

    A: Tensor

    def eigenpairs(self) -> tuple[list[float], list[Tensor]]:
        """Weights and directions with A = sum weight v v^T, the zero ones left out."""
        weights, vectors = torch.linalg.eigh(0.5 * (self.A + self.A.T))
        least = weights.abs().max() * self.A.shape[0] * torch.finfo(self.A.dtype).eps
        kept = [i for i, w in enumerate(weights) if abs(float(w)) > float(least)] or [0]
        return [float(weights[i]) for i in kept], [vectors[:, i] for i in kept]


@dataclass(frozen=True, eq=False)
class Point:
    """The tensors at which f is differentiated.

    names : the keys of a mapping, or None for a single tensor.
    leaves : the tensors.
    """

    names: tuple[str, ...] | None
    leaves: tuple[Tensor, ...]

    @staticmethod
    def of(f: Function, x: Tensors, parameters: bool = True) -> Point:
        """Check f and x; f's parameters too unless that has been done."""
        if not callable(f):
            raise InputError(f"f: expected a torch.nn.Module or a function, got {type(f).__name__}")
        if isinstance(x, Mapping):
            if not x:
                raise InputError("x: expected at least one tensor, got an empty mapping")
            point = Point(tuple(x), tuple(x.values()))
        else:
            point = Point(None, (x,))
        for name, leaf in zip(point.labels("x"), point.leaves, strict=True):
            if not isinstance(leaf, Tensor) or leaf.dtype not in (torch.float32, torch.float64):
                kind = leaf.dtype if isinstance(leaf, Tensor) else type(leaf).__name__
                raise InputError(f"{name}: expected a float32 or float64 tensor, got {kind}")
            point.check_like(name, leaf)
        if point.names is None and isinstance(f, nn.Module):
            _check_module(f, point.leaves[0], parameters)
        return point

    def labels(self, name: str) -> list[str]:
        """What to call each leaf in a message."""
        return [name] if self.names is None else [f"{name}[{key!r}]" for key in self.names]

    def check_like(self, name: str, a: Tensor) -> None:
        first = self.leaves[0]
        if a.dtype is not first.dtype or a.device != first.device:
            raise InputError(
                f"{name}: expected {first.dtype} on {first.device} as x is, "
                f"got {a.dtype} on {a.device}"
            )

    def pack(self, tensors: Sequence[Tensor]) -> Any:
        """Tensors in the form that x has."""
        return tensors[0] if self.names is None else dict(zip(self.names, tensors, strict=True))

    def direction(self, name: str, a: Any) -> tuple[Tensor, ...]:
        """A direction, of x's shape or of a single point's (a mapping may leave out keys: zero)."""
        if self.names is None:
            return (self.like(name, a, self.leaves[0]).expand(self.leaves[0].shape),)
        if not isinstance(a, Mapping) or not set(a) <= set(self.names):
            got = sorted(map(str, a)) if isinstance(a, Mapping) else type(a).__name__
            raise InputError(f"{name}: expected a mapping with keys of x, got {got}")
        labels = self.labels(name)
        return tuple(
            self.like(label, a[key], leaf).expand(leaf.shape)
            if key in a
            else torch.zeros_like(leaf)
            for label, key, leaf in zip(labels, self.names, self.leaves, strict=True)
        )

    def like(self, name: str, a: Any, leaf: Tensor, symbol: str = "n") -> Tensor:
        """A tensor of a leaf's shape, or of its shape without the batch."""
        if not isinstance(a, Tensor):
            raise InputError(f"{name}: expected a tensor, got {type(a).__name__}")
        shape = tuple(leaf.shape)
        allowed = [shape] if len(shape) < 2 or self.names is not None else [shape[1:], shape]
        if tuple(a.shape) not in allowed:
            wanted = " or ".join(str(s) for s in allowed)
            raise InputError(
                f"{name}: expected shape {wanted} ({symbol} = {prod(allowed[0])}), "
                f"got {tuple(a.shape)}"
            )
        self.check_like(name, a)
        return a


def _check_module(f: nn.Module, x: Tensor, parameters: bool) -> None:
    first = f
    while isinstance(first, nn.Sequential) and len(first) > 0:
        first = first[0]
    if isinstance(first, nn.Linear) and (x.dim() < 1 or x.shape[-1] != first.in_features):
        n = first.in_features
        raise InputError(f"x: expected shape ({n},) or (batch, {n}), got {tuple(x.shape)}")
    if x.dim() < 1:
        raise InputError("x: expected shape (n,) or (batch, ...), got ()")
    if not parameters or all(map(_fits(x), _tensors(f))):
        return
    for name, tensor in (*f.named_parameters(), *f.named_buffers()):
        if tensor.is_complex():
            raise InputError(
                f"f: parameter {name} is {tensor.dtype}; complex neurons are not supported, write "
                "their real and imaginary parts as real ones"
            )
        if not _fits(x)(tensor):
            raise InputError(
                f"x: expected {tensor.dtype} on {tensor.device} as f's parameter {name} is, "
                f"got {x.dtype} on {x.device}"
            )


def _fits(x: Tensor) -> Callable[[Tensor], bool]:
    dtype, device = x.dtype, x.device

    def fits(a: Tensor) -> bool:
        kind = a.dtype
        if kind is dtype:
            return a.device == device
        return not (kind.is_floating_point or kind.is_complex)

    return fits


def _tensors(module: nn.Module) -> Iterator[Tensor]:
    """Parameters and buffers, those of a module used twice twice; no names, which cost time."""
    for held in (module._parameters, module._buffers):
        yield from (a for a in held.values() if a is not None)
    for child in module._modules.values():
        if child is not None:
            yield from _tensors(child)


Group = tuple[tuple[tuple[int, ...], float], ...]


@dataclass(frozen=True, eq=False)
class Directions:
    """The right-hand directions, each different one once, and which lanes their product is.

    seeds : one tuple for each different direction, with a tensor of x's shape for each leaf.
    numbers : for each factor the number of its direction; for a `Matrix` None.
    group : the lanes and weights whose sum is meant: one lane, or one for each choice of
        eigendirections.
    """

    seeds: tuple[tuple[Tensor, ...], ...]
    numbers: tuple[int | None, ...]
    group: Group

    @staticmethod
    def of(point: Point, right: Sequence[Any], names: Sequence[str] = ()) -> Directions:
        """Check the directions; a direction repeated (same object or values) travels once.

        names : what to call them in a message; "right[0]" and so on unless given.
        """
        if isinstance(right, Tensor | Mapping | Matrix):
            raise InputError(
                f"right: expected a sequence of directions, got one {type(right).__name__}; "
                "put it in a list"
            )
        seeds: list[tuple[Tensor, ...]] = []
        factors: list[Group] = []
        numbers: list[int | None] = []
        for i, a in enumerate(right):
            name = names[i] if names else f"right[{i}]"
            earlier = next((k for k in range(i) if right[k] is a), None)
            if earlier is not None:
                factors.append(factors[earlier])
                numbers.append(numbers[earlier])
            elif isinstance(a, Matrix):
                values, vectors = _eigenpairs(point, name, a)
                own = [_number(seeds, (v.expand(point.leaves[0].shape),)) for v in vectors]
                factors.append(tuple(((n, n), w) for n, w in zip(own, values, strict=True)))
                numbers.append(None)
            else:
                number = _number(seeds, point.direction(name, a))
                factors.append((((number,), 1.0),))
                numbers.append(number)
        group = tuple(
            (tuple(sorted(n for part, _ in choice for n in part)), prod(w for _, w in choice))
            for choice in product(*factors)
        )
        return Directions(tuple(seeds), tuple(numbers), group)

    @property
    def order(self) -> int:
        """How many indices of the derivative they contract."""
        return len(self.group[0][0])

    def stacked(self, leaf: int) -> list[Tensor]:
        """The directions of one leaf."""
        return [seed[leaf] for seed in self.seeds]


def _eigenpairs(point: Point, name: str, a: Matrix) -> tuple[list[float], list[Tensor]]:
    x = point.leaves[0]
    n = x.shape[-1] if x.dim() else 0
    if point.names is not None or x.dim() not in (1, 2):
        raise InputError(f"{name}: a Matrix goes with points of shape (n,) or (batch, n) only")
    if not isinstance(a.A, Tensor) or tuple(a.A.shape) != (n, n):
        got = tuple(a.A.shape) if isinstance(a.A, Tensor) else type(a.A).__name__
        raise InputError(f"{name}: expected a matrix of shape ({n}, {n}), got {got}")
    point.check_like(name, a.A)
    if not bool(torch.isfinite(a.A).all()):
        raise InputError(f"{name}: expected finite entries, got a matrix with nan or inf")
    if a.A.requires_grad and torch.is_grad_enabled():
        raise InputError(f"{name}: a Matrix cannot require a gradient; detach it")
    return a.eigenpairs()


def _number(seeds: list[tuple[Tensor, ...]], a: tuple[Tensor, ...]) -> int:
    for number, b in enumerate(seeds):
        if all(_same(p, q) for p, q in zip(a, b, strict=True)):
            return number
    seeds.append(a)
    return len(seeds) - 1


def _same(a: Tensor, b: Tensor) -> bool:
    if a is b:
        return True
    # Two equal tensors that both want a gradient must each get their own; under torch.func's
    # transforms values cannot be compared.
    if a.requires_grad or b.requires_grad or torch._C._functorch.peek_interpreter_stack():
        return False
    return a.shape == b.shape and torch.equal(a, b)


def plan_of(groups: Sequence[Group], n: int) -> tuple[LanePlan, list[int]]:
    """A plan whose highest lanes hold these weighted sums, and in which row each of them stands.

    n : the number of directions.
    """
    plan = LanePlan.closure([lane for group in groups for lane, _ in group], n)
    start = plan.starts[plan.order]
    if all(len(group) == 1 and group[0][1] == 1.0 for group in groups):
        return plan, [plan.row(group[0][0]) for group in groups]
    weights = torch.zeros(len(groups), plan.blocks[-1].shape[0], dtype=torch.float64, device="cpu")
    for row, group in zip(weights, groups, strict=True):
        # Different choices may be the same lane: two matrices with an eigendirection in common.
        where = plan.rows_within(
            torch.tensor([lane for lane, _ in group], dtype=torch.int64, device="cpu")
        )
        row.index_add_(
            0, where, torch.tensor([w for _, w in group], dtype=torch.float64, device="cpu")
        )
    return plan.collapsed(weights), list(range(start, start + len(groups)))
