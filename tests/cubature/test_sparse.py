"""Sparse non-negative least squares against scipy's, planted answers and brute force."""

from __future__ import annotations

from itertools import combinations, pairwise

import numpy as np
import pytest
from scipy.optimize import nnls

from hodsim.cubature.sparse import Chosen, SparseLeastSquares


def problem(seed: int, n: int = 40, m: int = 25) -> tuple[np.ndarray, np.ndarray]:
    """Columns of very different sizes, so that choosing by size would show."""
    rng = np.random.default_rng(seed)
    A = rng.standard_normal((n, m)) * 10.0 ** rng.uniform(-2, 2, m)
    return A, A @ np.ones(m) + 0.1 * rng.standard_normal(n)


def off(A: np.ndarray, b: np.ndarray, chosen: Chosen) -> float:
    columns, x = chosen
    return float(np.linalg.norm(A[:, columns] @ x - b))


def optimal(A: np.ndarray, b: np.ndarray, chosen: Chosen) -> None:
    """Positive, ascending, and the least squares of its own columns."""
    columns, x = chosen
    assert (np.diff(columns) > 0).all()
    assert (x > 0.0).all()
    exact = np.linalg.lstsq(A[:, columns], b, rcond=None)[0]
    np.testing.assert_allclose(x, exact, rtol=1e-8, atol=1e-9 * np.abs(exact).max())


@pytest.mark.parametrize("seed", range(5))
def test_grown_to_the_end_it_is_non_negative_least_squares(seed: int) -> None:
    A, b = problem(seed)
    if seed > 2:
        b = -b  # few columns are of use
    b = b + 3.0 * np.random.default_rng(seed + 10).standard_normal(len(b)) * np.abs(b).max()
    steps = list(SparseLeastSquares(A, b).grow(A.shape[1]))
    _, least = nnls(A, b)
    assert off(A, b, steps[-1]) == pytest.approx(least, rel=1e-9)
    errors = [off(A, b, chosen) for chosen in steps]
    assert all(later < earlier for earlier, later in pairwise(errors))
    for chosen in steps:
        optimal(A, b, chosen)


@pytest.mark.parametrize("seed", range(5))
def test_planted_columns_are_found(seed: int) -> None:
    rng = np.random.default_rng(seed)
    A = rng.standard_normal((60, 200))
    planted = np.sort(rng.choice(200, 5, replace=False))
    x = rng.uniform(1.0, 3.0, 5)
    *_, last = SparseLeastSquares(A, A[:, planted] @ x).grow(5)
    np.testing.assert_array_equal(last[0], planted)
    np.testing.assert_allclose(last[1], x, rtol=1e-10)


def test_pruning_gives_up_what_costs_least() -> None:
    A, b = problem(1, 30, 9)
    search = SparseLeastSquares(A, b)
    *_, grown = search.grow(9)
    columns, before = grown[0], len(grown[0])
    for chosen in search.prune():
        optimal(A, b, chosen)
        assert set(chosen[0]) < set(columns)
        best = min(
            np.linalg.norm(A[:, list(c)] @ np.linalg.lstsq(A[:, list(c)], b, rcond=None)[0] - b)
            for c in combinations(columns.tolist(), len(columns) - 1)
        )
        if len(chosen[0]) == before - 1:  # none turned negative on the way
            assert off(A, b, chosen) == pytest.approx(best, rel=1e-9)
        columns, before = chosen[0], len(chosen[0])
    assert before == 1


def test_awkward_columns() -> None:
    """Zero, equal and rounding-sized ones; nothing to fit; nothing that helps."""
    rng = np.random.default_rng(4)
    a = rng.standard_normal((12, 3))
    A = np.hstack([np.zeros((12, 1)), a, a[:, :1], 1e-18 * a])
    b = a @ np.array([1.0, 2.0, 3.0])
    *_, last = SparseLeastSquares(A, b).grow(8)
    assert off(A, b, last) < 1e-10 * np.linalg.norm(b)
    assert set(last[0]) <= {1, 2, 3, 4}
    assert list(SparseLeastSquares(A, 0.0 * b).grow(8)) == []
    assert list(SparseLeastSquares(a[:, :1], -a[:, 0]).grow(1)) == []
    assert list(SparseLeastSquares(np.zeros((3, 2)), np.ones(3)).grow(2)) == []


def test_the_size_of_a_column_is_no_merit() -> None:
    A, b = problem(6)
    scale = 10.0 ** np.random.default_rng(7).uniform(-3, 3, A.shape[1])
    one, other = (list(SparseLeastSquares(x, b).grow(8)) for x in (A, A * scale))
    for (columns, x), (same, y) in zip(one, other, strict=True):
        np.testing.assert_array_equal(same, columns)
        np.testing.assert_allclose(y * scale[same], x, rtol=1e-9)
