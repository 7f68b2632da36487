"""Sparse non-negative least squares: columns taken up one at a time, then given up again."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import scipy.linalg

# Added to a Gram matrix of unit columns: decides between equal columns and changes nothing else.
_RIDGE = 1e-13

Chosen = tuple[np.ndarray, np.ndarray]


class SparseLeastSquares:
    """Few columns of A (n, m) and weights x > 0 for them with A x ~ b.

    Only those rows of A^T A are formed whose column was ever held.
    """

    def __init__(self, A: np.ndarray, b: np.ndarray) -> None:
        norms = np.linalg.norm(A, axis=0)
        # A column of rounding size is of a tet that cannot move.
        self._usable = norms > 1e-12 * norms.max(initial=0.0)
        self._scale = np.where(self._usable, 1.0 / np.where(self._usable, norms, 1.0), 0.0)
        self._A = A
        self._c = self._scale * (A.T @ b)
        self._gram: dict[int, np.ndarray] = {}
        self._held: list[int] = []
        self._x = np.empty(0)

    @property
    def chosen(self) -> Chosen:
        """The columns held, ascending, and their weights."""
        columns = np.array(self._held, dtype=np.int64)
        order = np.argsort(columns)
        return columns[order], (self._x * self._scale[columns])[order]

    def grow(self, most: int) -> Iterator[Chosen]:
        """Take up, one at a time, the column that goes along the residual most, up to `most`.

        Each round is a least squares of the columns held, and drops those whose weight would not
        be positive: Lawson and Hanson's algorithm (1974, chapter 23), stopped early. It ends where
        no column helps.
        """
        least = 1e-12 * float(np.abs(self._c).max(initial=0.0))
        barred: list[int] = []
        while len(self._held) < most:
            slope = self._c.copy()
            if self._held:
                slope -= self._x @ np.array([self._gram[k] for k in self._held])
            slope[[*self._held, *barred]] = -np.inf
            new = int(np.argmax(slope))
            if not (slope[new] > least and self._usable[new]):
                return
            if new not in self._gram:
                a = self._A[:, new] * self._scale[new]
                self._gram[new] = self._scale * (self._A.T @ a)
            before = set(self._held)
            self._solve([*self._held, new], np.append(self._x, 0.0))
            if set(self._held) == before:  # Taken up and dropped at once: rounding, not a gain.
                barred.append(new)
                continue
            barred.clear()
            yield self.chosen

    def prune(self) -> Iterator[Chosen]:
        """Give up, one at a time, the column whose loss costs least, down to a single one.

        Without column k the square error grows by x_k^2 / (G^-1)_kk, G the Gram matrix.
        """
        while len(self._held) > 1:
            factor, _ = self._factor(self._held)
            inverse = scipy.linalg.cho_solve(factor, np.eye(len(self._held)))
            k = int(np.argmin(self._x**2 / np.diag(inverse)))
            self._solve(self._held[:k] + self._held[k + 1 :], np.delete(self._x, k))
            yield self.chosen

    def _factor(self, held: list[int]) -> tuple[tuple[np.ndarray, bool], np.ndarray]:
        G = np.array([self._gram[k][held] for k in held])
        return scipy.linalg.cho_factor(G + _RIDGE * np.eye(len(held)), check_finite=False), G

    def _solve(self, held: list[int], x: np.ndarray) -> None:
        """The least squares of the columns held, reached from x >= 0 by dropping what becomes 0."""
        while held:
            factor, G = self._factor(held)
            c = self._c[held]
            s = scipy.linalg.cho_solve(factor, c)
            s += scipy.linalg.cho_solve(factor, c - G @ s)
            bad = s <= 0.0
            if not bad.any():
                self._held, self._x = held, s
                return
            fall = np.where(bad, x / np.where(bad & (x > 0.0), x - s, 1.0), np.inf)
            first = int(np.argmin(fall))
            x = np.maximum(x + fall[first] * (s - x), 0.0)
            held, x = held[:first] + held[first + 1 :], np.delete(x, first)
        self._held, self._x = [], np.empty(0)
