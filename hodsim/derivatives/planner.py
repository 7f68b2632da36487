"""Which scheme a contraction takes, by counted multiply-adds of its matrix products.

With widths w_0 .. w_K of what linear maps L_0 .. L_K put out (an activation follows each but the
last), r lanes of the directions on the right, and N2 = n (n + 1) / 2, and "between" for the
products L_1 .. L_(K-1) on one row:

    one open index   forward      n (r between + L_K)
                     adjoint      m (r between + L_0), and L_K once more with `left`
                     bottleneck   w_0 (r between + L_K) + n w_0 m
    a Hessian        forward      N2 (between + L_K) + n between
                     pairs        (n + m) between + m N2 sum_l w_l
                     bottleneck   (w_0 + m) between
                                  + m (w_0 (w_0 + 1) / 2 sum_l w_l + w_0^2 n + w_0 N2)
    anything else    forward      lanes (between + L_K)

With `left`, m is 1 for adjoint rows and for pairs: the outputs' product is one row. What forward
lanes before the first activation are (L_0 itself) costs nothing, nor does a last
linear map that adjoint rows start from.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from math import comb

from hodsim.errors import InputError


@dataclass(frozen=True)
class Choice:
    """A scheme, and why.

    Attributes
    ----------
    scheme : "forward", "adjoint", "pairs" or "bottleneck".
    costs : multiply-adds a point of each scheme that applies.
    reason : one line to read.
    """

    scheme: str
    costs: dict[str, float]
    reason: str


def choose(
    dims: Sequence[Sequence[int]],
    k: int,
    free: int,
    left: bool = False,
    batch: int = 1,
    lanes: int | None = None,
    scheme: str | None = None,
) -> Choice:
    """The cheapest scheme of ``[w .] D^(k + free) f[k directions, free open indices]``.

    Parameters
    ----------
    dims : for each linear map, the widths it goes through: (in, out), or (in, inner, ..., out) if
        it is several layers, or (width,) if it is none.
    k, free : numbers of directions and of open indices.
    left : are the outputs contracted?
    batch : points; it scales all costs alike.
    lanes : how many lanes the directions make; 2^k if not given (they differ).
    scheme : force this one.

    Raises
    ------
    InputError : the scheme forced does not apply here.
    """
    key = tuple(tuple(through) for through in dims)
    return _choose(key, k, free, left, batch, 2**k if lanes is None else lanes, scheme)


@lru_cache(maxsize=1024)
def _choose(
    dims: tuple[tuple[int, ...], ...],
    k: int,
    free: int,
    left: bool,
    batch: int,
    lanes: int,
    scheme: str | None,
) -> Choice:
    costs = {name: batch * cost for name, cost in _costs(dims, k, free, left, lanes).items()}
    if scheme is not None:
        if scheme not in costs:
            raise InputError(
                f"scheme: expected one of {', '.join(costs)} for k={k}, free={free}"
                f"{' with left' if left else ''}, got {scheme!r}"
            )
        best, how = scheme, "forced"
    else:
        best, how = min(costs, key=lambda name: costs[name]), "fewest multiply-adds"
    ranked = sorted(costs, key=lambda name: costs[name])
    listed = ", ".join(f"{name} {costs[name] / 1e6:.4g} M" for name in ranked)
    return Choice(best, costs, f"{best}: {how} ({listed}; {batch} points)")


def _costs(
    dims: tuple[tuple[int, ...], ...], k: int, free: int, left: bool, lanes: int
) -> dict[str, float]:
    n, m = dims[0][0], dims[-1][-1]
    first, last = _row(dims[0]), _row(dims[-1]) if len(dims) > 1 else 0
    between = sum(_row(through) for through in dims[1:-1])
    widths = [through[-1] for through in dims[:-1]]
    w0, total, rows = dims[0][-1], sum(widths), 1 if left else m
    if free == 0:
        return {"forward": lanes * (first + between) + last}
    if free == 1:
        costs = {"forward": float(n * (lanes * between + last))}
        if widths:
            costs["adjoint"] = rows * (lanes * between + first) + (last if left else 0)
            costs["bottleneck"] = w0 * (lanes * between + last) + n * w0 * m
        return costs
    N2 = comb(n + 1, 2)
    if free == 2 and k == 0:
        costs = {"forward": float(N2 * (between + last) + n * between)}
        if widths:
            costs["pairs"] = (n + rows) * between + rows * N2 * total
            costs["bottleneck"] = (w0 + rows) * between + rows * (
                comb(w0 + 1, 2) * total + w0 * w0 * n + w0 * N2
            )
        return costs
    # Every part of the directions goes with every order of the open indices below the top.
    top = comb(n + free - 1, free)
    below = sum(comb(n + f - 1, f) for f in range(free + 1)) * lanes - top
    return {"forward": (top + below) * between + top * last}


def _row(through: tuple[int, ...]) -> int:
    return sum(a * b for a, b in pairwise(through))
