"""The floor: the bare matrix products of each scheme, into preallocated arrays, and nothing else.

No activation is computed and nothing is copied: a scheme's time cannot fall below that of its
products. Savings that the planner knows are taken here too: the first layer's lanes ARE its
weights, the last layer meets the wanted rows alone, symmetric lanes are carried once, a scalar's
Hessian is formed in upper blocks, and where the first layer is no wider than the input,
derivatives are taken with respect to its output and then contracted with its weights.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from itertools import pairwise, product

import numpy as np
import torch
from cases import Problem
from contender import Contender, Run

Product = tuple[np.ndarray, np.ndarray, np.ndarray]

# Rows that pass through the layers together: such a tile stays in cache.
TILE = 1024
# Pairs of lanes that are multiplied together: each has a row for every hidden neuron.
PAIR_TILE = 512
# Block rows in which the upper half of a symmetric product is formed.
BLOCKS = 4


def floors(p: Problem) -> Iterator[Contender]:
    """Every scheme that applies, by numpy's and by torch's BLAS; answers are not compared."""
    for name, build in _schemes(p).items():
        for library, weights_in_out in (("np", True), ("np", False), ("torch", False)):
            layout = "" if library == "torch" else " (in, out)" if weights_in_out else " (out, in)"
            yield Contender(
                "floor",
                f"{name}, {library}{layout}",
                partial(_make, p, build, library, weights_in_out),
                lambda _: (),
                float(np.prod(p.shape)) * 2,
            )


Build = Callable[["Products"], None]


def _make(p: Problem, build: Build, library: str, weights_in_out: bool) -> Run:
    products = Products(p, weights_in_out)
    build(products)
    if library == "np":
        steps = [partial(np.matmul, a, b, out=out) for a, b, out in products.steps]
    else:
        steps = []
        for a, b, out in products.steps:
            A, B, C = (torch.from_numpy(q) for q in (a, b, out))
            steps.append(partial(torch.mm if A.dim() == 2 else torch.bmm, A, B, out=C))

    def run() -> None:
        for step in steps:
            step()

    return run


class Products:
    """A list of products in the making, with scratch arrays that they share."""

    def __init__(self, p: Problem, weights_in_out: bool) -> None:
        self.p, self.widths = p, p.case.widths
        W = [np.ascontiguousarray(W.T) if weights_in_out else W.T for W, _ in p.layers]
        self.W = W  # each (in, out)
        self.rng = np.random.default_rng(0)
        self.steps: list[Product] = []
        self._scratch: dict[tuple[str, int], np.ndarray] = {}

    def scratch(self, name: str, *shape: int) -> np.ndarray:
        """An array of this shape, in memory shared by all of the same name and last axis."""
        size = int(np.prod(shape))
        held = self._scratch.get((name, shape[-1]))
        if held is None or held.size < size:
            held = self.rng.standard_normal(size).astype(self.p.dtype)
            self._scratch[name, shape[-1]] = held
        return held[:size].reshape(shape)

    def multiply(self, a: np.ndarray, b: np.ndarray, out: np.ndarray) -> None:
        self.steps.append((a, b, out))

    def forward(self, rows: int, first: int, last: int, out: np.ndarray | None = None) -> None:
        """`rows` lanes through layers first..last-1, the last one's products into `out`."""
        for start in range(0, rows, TILE):
            count = min(TILE, rows - start)
            for layer in range(first, last):
                n, m = self.widths[layer], self.widths[layer + 1]
                here, there = self.scratch("in", count, n), self.scratch("out", count, m)
                if layer == last - 1 and out is not None:
                    there = out[start : start + count]
                self.multiply(here, self.W[layer], there)

    def backward(self, rows: int, first: int, last: int, out: np.ndarray | None = None) -> None:
        """`rows` adjoint lanes through layers last-1..first."""
        for start in range(0, rows, TILE):
            count = min(TILE, rows - start)
            for layer in reversed(range(first, last)):
                n, m = self.widths[layer], self.widths[layer + 1]
                here, there = self.scratch("in", count, m), self.scratch("out", count, n)
                if layer == first and out is not None:
                    there = out[start : start + count]
                self.multiply(here, self.W[layer].T, there)

    def upper(self, rows: int, depth: int) -> None:
        """J^T J of (depth, rows) J, a point at a time, in upper blocks."""
        J = self.scratch("J", depth, rows)
        H = self.scratch("H", rows, rows)
        edges = np.linspace(0, rows, (BLOCKS if rows >= 64 else 1) + 1).astype(int)
        for _ in range(self.p.batch):
            for start, stop in pairwise(edges):
                self.multiply(J[:, start:stop].T, J[:, start:], H[start:stop, start:])


def _schemes(p: Problem) -> dict[str, Build]:
    L, n, m, B = len(p.layers), p.case.n, p.case.m, p.batch
    hidden = p.case.hidden
    z = hidden[0]  # width of the bottleneck basis
    S = sum(hidden)
    dtype = p.dtype

    def empty(*shape: int) -> np.ndarray:
        return np.zeros(shape, dtype)

    # The real lane rides with the others: rows are (lanes + 1) * batch, and B alone at layer 0.
    def start(g: Products) -> None:
        g.forward(B, 0, 1)

    def jacobian(g: Products, N: int = n, lanes: int = 1) -> None:
        """`lanes` lanes for each of N inputs and as many without."""
        g.forward(B * lanes, 0, 1)
        g.forward(B * lanes * (N + 1), 1, L - 1)
        g.forward(B * N, L - 1, L, empty(B * N, m))

    def adjoint_jacobian(g: Products, lanes: int = 1) -> None:
        g.forward(B * lanes, 0, L - 1)
        g.backward(B * m * lanes, 1, L - 1)
        g.backward(B * m, 0, 1, empty(B * m, n))

    def to_first(g: Products, rows: int) -> None:  # (rows, z) -> (rows, n)
        out = empty(rows, n)
        for s in range(0, rows, TILE):
            g.multiply(g.scratch("z", min(TILE, rows - s), z), g.W[0].T, out[s : s + TILE])

    def symmetric(g: Products, N: int = n) -> None:
        start(g)
        pairs = N * (N + 1) // 2
        g.forward(B * (1 + N + pairs), 1, L - 1)
        g.forward(B * pairs, L - 1, L, empty(B * pairs, m))

    def pairs(g: Products, N: int = n) -> None:
        """H_k = sum_l sum_p A^l_kp sigma''_lp J^l_p (x) J^l_p: one product over all layers."""
        start(g)
        g.forward(B * (1 + N), 1, L - 1)
        g.backward(B * m, 1, L - 1)
        count = N * (N + 1) // 2
        A = g.scratch("A", m, S)
        H = empty(B, m, count)
        for point in range(B):
            for s in range(0, count, PAIR_TILE):
                JJ = g.scratch("JJ", S, min(PAIR_TILE, count - s))
                g.multiply(A, JJ, H[point, :, s : s + PAIR_TILE])

    def pairs_to_first(g: Products) -> None:
        pairs(g, z)
        H, half = g.scratch("Hz", m * z, z), g.scratch("half", m * z, n)
        full = empty(B, m, n, n)
        edges = np.linspace(0, n, BLOCKS + 1).astype(int)
        for point in range(B):
            g.multiply(H, g.W[0].T, half)
            for k, (s, t) in product(range(m), pairwise(edges)):
                g.multiply(g.W[0][s:t], half[k * z : (k + 1) * z, s:], full[point, k, s:t, s:])

    def left(g: Products) -> None:  # w^T W, where adjoint lanes start
        g.multiply(g.scratch("w", 1, m), g.W[-1].T, g.scratch("wW", 1, p.case.widths[-2]))

    def scalar(g: Products, N: int = n) -> None:
        start(g)
        left(g)
        g.forward(B * (1 + N), 1, L - 1)
        g.backward(B, 1, L - 1)
        g.upper(N, S)

    def scalar_to_first(g: Products) -> None:
        scalar(g, z)
        H, half = g.scratch("Hz", z, z), g.scratch("half", z, n)
        full = empty(B, n, n)
        edges = np.linspace(0, n, BLOCKS + 1).astype(int)
        for point in range(B):
            g.multiply(H, g.W[0].T, half)
            for s, t in pairwise(edges):
                g.multiply(g.W[0][s:t], half[:, s:], full[point, s:t, s:])

    def scalar_adjoint(g: Products) -> None:
        """Backpropagation on lanes: the adjoint carries n lanes back."""
        start(g)
        left(g)
        g.forward(B * (1 + n), 1, L - 1)
        g.backward(B * (1 + n), 1, L - 1)
        g.backward(B * n, 0, 1, empty(B * n, n))

    def number(g: Products) -> None:
        g.forward(B * 4, 0, 1)
        g.forward(B * 8, 1, L - 1)
        left(g)
        out, w = empty(B, 1), g.scratch("wW", 1, p.case.widths[-2]).T
        g.multiply(g.scratch("in", B, p.case.widths[-2]), w, out)

    def lanes(g: Products) -> None:
        count = n + n * (n + 1) // 2 + 2 * n  # e_i, e_i e_j, v e_i, v v e_i
        rest = 3  # {}, v, v v
        g.forward(B * 2, 0, 1)
        g.forward(B * (count + rest), 1, L - 1)
        rows = B * (count + rest)
        g.forward(rows, L - 1, L, empty(rows, m))

    narrow = n > z
    match p.quantity:
        case "jacobian":
            found = {"forward": jacobian, "adjoint": adjoint_jacobian}
            if narrow:
                found["bottleneck"] = lambda g: (jacobian(g, z), to_first(g, B * m))[0]
        case "hessian":
            found = {"forward": symmetric, "pairs": pairs}
            if narrow:
                found["bottleneck pairs"] = pairs_to_first
        case "scalar-hessian":
            found = {"pairs": scalar, "adjoint": scalar_adjoint}
            if narrow:
                found["bottleneck pairs"] = scalar_to_first
        case "third":
            found = {
                "forward": lambda g: jacobian(g, lanes=4),
                "adjoint": lambda g: adjoint_jacobian(g, lanes=4),
            }
            if narrow:
                found["bottleneck"] = lambda g: (jacobian(g, z, 4), to_first(g, B * m))[0]
        case "number":
            found = {"forward": number}
        case _:
            found = {"forward": lanes}
    return found
