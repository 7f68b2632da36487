"""The public face: derivatives of any order, contracted or whole.

Everything is one quantity, ``D^k f(x)`` with some of its k input indices contracted with directions
(`right`), its output index contracted with weights (`left`) or not, and `free` input indices open:

    contract(f, x, [a, b])                  D^2 f(x)[a, b]            m numbers
    contract(f, x, [a], left=w, free=1)     D^2 (w . f)(x)[a, .]      n numbers (hvp)
    contract(f, x, free=2)                  D^2 f(x)                  m n n numbers (hessian)

x is one point of shape (n,); or a batch of points with the batch first and any shape behind it; or
a mapping of tensors (a network's parameters, say) that f takes as one point. Results are batch
first, outputs before inputs. Where f maps a batch to something without that batch (a loss), the
whole of x is one point. Results follow torch's grad mode: gradients flow to parameters, points and
directions where they ask for it; under ``torch.no_grad()`` it is faster.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import torch
from torch import Tensor, nn

from hodsim.derivatives import whole
from hodsim.derivatives.chain import Chain, chain_of, contract_chain, push_chain
from hodsim.derivatives.curvature import hessian_vector
from hodsim.derivatives.gradients.jacobian import chain_jacobian
from hodsim.derivatives.gradients.passes import chain_lanes
from hodsim.derivatives.lanes import LanePlan, Lanes
from hodsim.derivatives.passes import refuse_autocast, run_lanes
from hodsim.derivatives.planner import Choice, choose
from hodsim.derivatives.point import Directions, Function, Matrix, Point, Tensors, plan_of
from hodsim.errors import InputError

FAST_ORDER: Final = 6  # the native mixing has room for Bell(6) terms
MOST_ORDER: Final = 10  # set partitions are Bell(k) many

Right = Sequence[Tensors | Matrix]


def contract(
    f: Function,
    x: Tensors,
    right: Right = (),
    left: Any = None,
    free: int = 0,
    *,
    scheme: str | None = None,
    lower: bool = False,
    packed: bool = False,
    rows: int | None = None,
) -> Any:
    """``D^k f(x)`` contracted with directions, with output weights, or open (Eqs. 8-9).

    With ``free = 0`` its cost does not depend on n or m beyond the plain pass, and grows with the
    order through the lanes only: 2^k of them when the directions differ, k + 1 when they are all
    the same (and with the Bell number of k in the activations). The paper's single perturbation
    for any matrix A does not hold: a `Matrix` costs rank(A) lanes in each lower order.

    Parameters
    ----------
    f : a `torch.nn.Module` or any function of torch operations, given what x is.
    x : shape (n,), (batch, ...), or a mapping of tensors.
    right : directions, each of x's shape, or of one point's, used at every point; or a `Matrix`,
        which stands for two. A direction repeated (the same object, or equal values) travels once.
    left : weights over the outputs, of f's shape, or of one point's.
    free : how many input indices stay open.
    scheme : force "forward" or "adjoint" (for plain chains also "pairs" or "bottleneck", where
        they apply) instead of the cheapest; `explain` tells which that is.
    lower : give also all lower orders, as a tuple: those with the first 0, 1, ..., k directions.
    packed : of a symmetric tensor (free >= 2) only the entries i <= j <= ..., in lexicographic
        order, along one last axis.
    rows : how many lanes to carry at once at most; by default as many as fit 256 MiB per layer.

    Returns
    -------
    ([batch,] *outputs, *inputs repeated ``free`` times); without outputs where left is given. For
    a mapping x and free = 1 a dictionary of them.

    Raises
    ------
    InputError : an argument of the wrong shape, type or place, by name.
    UnknownRuleError : f does what no rule knows, by name.
    """
    return _contract(f, x, right, left, free, scheme, lower, packed, rows)


def _contract(
    f: Function,
    x: Tensors,
    right: Right,
    left: Any = None,
    free: int = 0,
    scheme: str | None = None,
    lower: bool = False,
    packed: bool = False,
    rows: int | None = None,
    names: Sequence[str] = (),
) -> Any:
    """`contract`; ``names`` are what its caller calls the directions."""
    chain = None if lower or rows is not None else chain_at(f, x)
    point = Point.of(f, x, parameters=chain is None)
    if not isinstance(free, int) or isinstance(free, bool) or free < 0:
        raise InputError(f"free: expected a whole number of 0 or more, got {free!r}")
    if free > 1 and point.names is not None:
        raise InputError(
            f"free: expected 0 or 1 where x is a mapping, got {free}; contract with directions"
        )
    whole.check_rows(rows)
    directions = Directions.of(point, right, names)
    if lower and None in directions.numbers:
        raise InputError("lower: expected directions only, got a Matrix, which has no lower orders")
    order = directions.order + free
    check_order(order)
    # What the fast path lacks, the general one has.
    if order > FAST_ORDER or (scheme == "adjoint" and free > 1):
        chain = None
    if chain is not None and _is_fast(f, point, directions, left):
        return _on_chain(chain, point, directions, left, free, scheme, packed)
    if free:
        return whole.contract_open(f, point, directions, left, free, scheme, lower, packed, rows)
    if scheme not in (None, "forward"):
        raise InputError(f"scheme: expected 'forward', which alone applies here, got {scheme!r}")
    return _closed(f, point, directions, left, lower)


def check_order(order: int) -> None:
    """Refuse orders whose mixing tables would never end."""
    if order > MOST_ORDER:
        raise InputError(
            f"order: expected derivatives of order {MOST_ORDER} at most, got order {order}"
        )


def _closed(
    f: Function, point: Point, directions: Directions, left: Tensor | None, lower: bool
) -> Any:
    plan, (top,) = plan_of([directions.group], len(directions.seeds))
    seeds = [whole.stack(directions.stacked(i), leaf) for i, leaf in enumerate(point.leaves)]
    done = run_lanes(f, point, seeds, plan)
    out = done.out.lanes
    weights = whole.weights_of(point, done.out.value, left)

    def finished(row: Tensor) -> Tensor:
        if weights is None:
            return row
        weighted = row * weights
        return weighted.flatten(1).sum(1) if whole.has_batch(point, row) else weighted.sum()

    if lower:
        return tuple(finished(out[lane]) for lane in whole.prefixes(directions))
    return finished(out.fill(plan.order).values[top])


def jvp(f: Function, x: Tensors, v: Tensors) -> Tensor:
    """``D f(x)[v]``, of f's shape; v of x's, or of one point's."""
    point = Point.of(f, x)
    point.direction("v", v)
    return contract(f, x, [v])


def vjp(f: Function, x: Tensors, left: Tensor | None = None) -> Any:
    """``D (left . f)(x)``, of x's shape: the gradient.

    left may be left out where f gives one number (a point).
    """
    return contract(f, x, left=whole.ONE if left is None else left, free=1)


def hvp(f: Function, x: Tensors, v: Tensors, left: Tensor | None = None) -> Any:
    """``D^2 (left . f)(x)[v, .]``, of x's shape: Hessian times vector by CSFD-BP."""
    weights = whole.ONE if left is None else left
    if isinstance(v, Matrix) or chain_at(f, x) is not None:
        return _contract(f, x, [v], weights, free=1, names=("v",))
    point = Point.of(f, x)
    return hessian_vector(f, point, point.direction("v", v), weights)


def jacobian(f: Function, x: Tensors, scheme: str | None = None) -> Any:
    """``D f(x)``, shape ([batch,] m, n)."""
    if (
        scheme is None
        and isinstance(x, Tensor)
        and isinstance(f, nn.Module)
        and chain_at(f, x) is not None
        and _wants_gradient(f, (x,))
    ):
        Point.of(f, x, parameters=False)
        refuse_autocast(x.device.type)
        return chain_jacobian(f, x) if x.dim() == 2 else chain_jacobian(f, x.unsqueeze(0))[0]
    return contract(f, x, free=1, scheme=scheme)


def hessian(
    f: Function,
    x: Tensor,
    packed: bool = False,
    left: Tensor | None = None,
    scheme: str | None = None,
) -> Tensor:
    """``D^2 f(x)``, shape ([batch,] m, n, n), from the entries i <= j alone.

    packed : leave out the mirror images: ([batch,] m, n(n+1)/2), pairs i <= j in lexicographic
        order.
    left : weights over the outputs: the Hessian of ``left . f``, ([batch,] n, n).
    """
    return contract(f, x, left=left, free=2, packed=packed, scheme=scheme)


def third(f: Function, x: Tensor, packed: bool = False, left: Tensor | None = None) -> Tensor:
    """``D^3 f(x)``, shape ([batch,] m, n, n, n), from the entries i <= j <= k alone.

    packed : leave out the mirror images: ([batch,] m, n(n+1)(n+2)/6), triples i <= j <= k in
        lexicographic order.
    left : weights over the outputs.
    """
    return contract(f, x, left=left, free=3, packed=packed)


def hessian_diagonal(f: Function, x: Tensor, rows: int | None = None) -> Tensor:
    """``D^2 f(x)[e_i, e_i]`` for every i, shape ([batch,] m, n)."""
    return whole.diagonal(f, Point.of(f, x), summed=False, rows=rows)


def push(f: Function, x: Tensor, directions: Tensor, plan: LanePlan) -> Lanes:
    """All lanes of a plan at ``f(x)`` in one forward pass (Eq. 7, any order).

    Parameters
    ----------
    f : a module or a function of torch operations.
    x : point or points, shape (n,) or (batch, ...).
    directions : the plan's directions, shape (n_dir, *x.shape), or (n_dir, *x.shape[1:]) for
        directions used at every point.
    plan : which mixed derivatives are wanted.

    Returns
    -------
    Lanes with values of shape (n_lanes, *f(x).shape).
    """
    point = Point.of(f, x)
    if point.names is not None:
        raise InputError("x: expected a tensor, got a mapping; use contract")
    if not isinstance(plan, LanePlan):
        raise InputError(f"plan: expected a LanePlan, got {type(plan).__name__}")
    check_order(plan.order)
    shared: Tensor | None = None
    if isinstance(directions, Tensor) and directions.shape[1:] == x.shape[1:] != x.shape:
        shared = directions
        directions = directions.unsqueeze(1).expand(-1, *x.shape)
    if not isinstance(directions, Tensor) or directions.shape != (plan.n, *x.shape):
        got = tuple(directions.shape) if isinstance(directions, Tensor) else type(directions)
        shape = "n" if x.dim() < 2 else "batch, n"
        raise InputError(
            f"directions: expected shape ({plan.n}, n) or ({plan.n}, {shape}) with x of shape "
            f"{tuple(x.shape)}, got {got}"
        )
    point.check_like("directions", directions)
    chain, wanted = chain_at(f, x), _wants_gradient(f, (x, directions))
    if chain is not None and chain.activations and (wanted or plan.weights is not None):
        if shared is not None and plan.order and not directions.requires_grad:
            assert isinstance(f, nn.Module)
            refuse_autocast(x.device.type)
            return Lanes(chain_lanes(f, x, shared, plan), plan, plan.order)
    elif chain is not None and not wanted and plan.weights is None and plan.order <= FAST_ORDER:
        single = x.dim() == 1
        values = push_chain(
            chain,
            x.unsqueeze(0) if single else x,
            directions.unsqueeze(1) if single else directions,
            plan,
        )
        return Lanes(values.squeeze(1) if single else values, plan, plan.order)
    return run_lanes(f, point, [directions], plan).out.lanes


def explain(
    f: Function, x: Tensors, right: Right = (), left: Tensor | None = None, free: int = 0
) -> Choice:
    """Which scheme `contract` takes for this call under ``torch.no_grad()``, what each would cost.

    The counted costs are multiply-adds for a plain chain of layers, lanes carried for any other f.
    """
    point = Point.of(f, x)
    directions = Directions.of(point, right)
    with torch.no_grad():
        chain = chain_at(f, x)
        if chain is not None and _is_fast(f, point, directions, left):
            return _explain_chain(chain, point, directions, left, free)
        return whole.choice_of(f, point, directions, left, free)


# ------------------------------------------------------------------ the fast path of plain chains


def _is_fast(f: Function, point: Point, directions: Directions, left: Any) -> bool:
    """Whether a chain may take the fast path: single directions, and no gradient wanted."""
    if None in directions.numbers:
        return False
    tensors = [*point.leaves, *(a for seed in directions.seeds for a in seed)]
    if isinstance(left, Tensor):
        tensors.append(left)
    return not _wants_gradient(f, tensors)


def _wants_gradient(f: Function, tensors: Sequence[Tensor]) -> bool:
    if not torch.is_grad_enabled():
        return False
    own = f.parameters() if isinstance(f, nn.Module) else ()
    return any(t.requires_grad for t in (*tensors, *own))


def chain_at(f: Function, x: Any) -> Chain | None:
    """f as a plain chain of layers of x's type, on the CPU."""
    if not isinstance(f, nn.Module) or not isinstance(x, Tensor):
        return None
    if x.device.type != "cpu" or x.dim() not in (1, 2):
        return None
    chain = chain_of(f)
    return chain if chain is not None and chain.dtype in (None, x.dtype) else None


def _on_chain(
    chain: Chain,
    point: Point,
    directions: Directions,
    left: Tensor | None,
    free: int,
    scheme: str | None,
    packed: bool,
) -> Tensor:
    (x,) = point.leaves
    single = x.dim() == 1
    if left is not None:
        m = chain.widths(x.shape[-1])[-1]
        left = whole.weights_of(point, x.new_empty(()).expand(*x.shape[:-1], m), left)
        assert left is not None
        left = left.resolve_neg()
    seeds = [seed for (seed,) in directions.seeds]
    if single:
        x, seeds = x.unsqueeze(0), [a.unsqueeze(0) for a in seeds]
        left = None if left is None else left.unsqueeze(0)
    right = [seeds[number] for number in directions.numbers if number is not None]
    out = contract_chain(chain, x, right, left, free, scheme, packed)
    return out.squeeze(0) if single else out


def _explain_chain(
    chain: Chain, point: Point, directions: Directions, left: Tensor | None, free: int
) -> Choice:
    (x,) = point.leaves
    n, dims = x.shape[-1], []
    for step in chain.maps:
        dims.append((n, *(linear.out_features for linear in step)))
        n = dims[-1][-1]
    lanes = plan_of([directions.group], len(directions.seeds))[0].n_lanes
    batch = 1 if x.dim() == 1 else len(x)
    return choose(dims, directions.order, free, left is not None, batch, lanes)
