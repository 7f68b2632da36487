"""Triangles of a surface that cut each other."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from hodsim.errors import InputError

# Pairs that are looked at in one go: bounds memory.
_CHUNK = 200_000
# In all: minutes. Of a sound surface of n triangles there are some n^1.5, and more are looked at
# while they are no large part of all n^2.
_MOST, _PART = 2 * 10**9, 0.02


def crossing_pairs(
    points: NDArray[np.float64], triangles: NDArray[np.int64], most: int = 1000
) -> NDArray[np.int64]:
    """Pairs of triangles that share no vertex and of which an edge of one pierces the other.

    Returns the first `most` of them, shape (k, 2). Triangles that lie in one plane and overlap
    there are not found, nor are neighbours folded onto each other.

    Raises
    ------
    InputError
        So many triangles reach over one another that looking would take too long.
    """
    if len(triangles) < 2:
        return np.empty((0, 2), np.int64)
    found: list[NDArray[np.int64]] = []
    for i, j in _overlapping(points, triangles):
        apart = ~(triangles[i][:, :, None] == triangles[j][:, None, :]).any(axis=(1, 2))
        i, j = i[apart], j[apart]
        a, b = points[triangles[i]], points[triangles[j]]
        cut = _pierces(a, b) | _pierces(b, a)
        found.append(np.stack([i[cut], j[cut]], axis=1))
        if sum(map(len, found)) >= most:
            break
    return np.concatenate([np.empty((0, 2), np.int64), *found])[:most]


def _overlapping(
    points: NDArray[np.float64], triangles: NDArray[np.int64]
) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """Pairs whose boxes overlap, in parts: swept along the axis along which fewest do, as sorted by
    their lower ends."""
    low, high = points[triangles].min(axis=1), points[triangles].max(axis=1)
    order, count = min((_sweep(low[:, k], high[:, k]) for k in range(3)), key=lambda s: s[1].sum())
    low, high = low[order], high[order]
    total = np.cumsum(count)
    if total[-1] > max(_MOST, _PART * len(order) ** 2):
        raise InputError(
            f"surface: expected triangles most of which lie apart, given {total[-1]:.1e} pairs "
            "that reach over one another along every axis; remesh it"
        )
    start = 0
    while start < len(order):
        before = total[start - 1] if start else 0
        stop = max(start + 1, int(np.searchsorted(total, before + _CHUNK, side="right")))
        one = np.repeat(np.arange(start, stop), count[start:stop])
        begins = np.repeat(total[start:stop] - count[start:stop] - before, count[start:stop])
        two = one + 1 + np.arange(len(one)) - begins
        near = ((low[one] <= high[two]) & (low[two] <= high[one])).all(axis=1)
        yield order[one[near]], order[two[near]]
        start = stop


def _sweep(
    low: NDArray[np.float64], high: NDArray[np.float64]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Intervals by their lower ends, and how many of those that follow begin before each ends."""
    order = np.argsort(low, kind="stable")
    last = np.searchsorted(low[order], high[order], side="right")
    return order, last - np.arange(len(order)) - 1


def _pierces(edges_of: NDArray[np.float64], t: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Whether an edge of each of the triangles (k, 3, 3) passes through the inside of `t`'s."""
    origin, u, v = t[:, 0], t[:, 1] - t[:, 0], t[:, 2] - t[:, 0]
    normal = np.cross(u, v)
    cut = np.zeros(len(t), dtype=bool)
    height = np.einsum("ij,ikj->ik", normal, edges_of - origin[:, None])
    for k in range(3):
        p, q = edges_of[:, k], edges_of[:, (k + 1) % 3]
        hp, hq = height[:, k], height[:, (k + 1) % 3]
        across = hp * hq < 0.0
        s = np.divide(hp, hp - hq, out=np.zeros_like(hp), where=across)
        x = p + s[:, None] * (q - p) - origin
        # Barycentric coordinates of x, times |normal|^2.
        b = np.einsum("ij,ij->i", np.cross(x, v), normal)
        c = np.einsum("ij,ij->i", np.cross(u, x), normal)
        size = np.einsum("ij,ij->i", normal, normal)
        cut |= across & (b > 0.0) & (c > 0.0) & (b + c < size)
    return cut
