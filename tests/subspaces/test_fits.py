"""PCA against the singular value decomposition, the quadratic manifold against its own kind."""

from __future__ import annotations

import numpy as np
import pytest

from hodsim import InputError
from hodsim.subspaces import Linear, Quadratic, fit_pca, fit_quadratic, principal_components

FEW, MANY = 9, 60  # poses of 20 numbers: the singular value decomposition, or the Gram matrix


def _poses(n: int, rank: int = 20, seed: int = 0) -> np.ndarray:
    """Singular values 1, 1/2, 1/4, ...: directions that are told apart well."""
    rng = np.random.default_rng(seed)
    k = min(n, rank, 20)
    U = np.linalg.qr(rng.standard_normal((n, k)))[0]
    V = np.linalg.qr(rng.standard_normal((20, k)))[0]
    return U * 0.5 ** np.arange(k) @ V.T


@pytest.mark.parametrize("n", [FEW, 20, MANY])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_principal_components(n: int, dtype: type) -> None:
    u = _poses(n).astype(dtype)
    V, s = principal_components(u, 6)
    _, wanted, Vt = np.linalg.svd(u.astype(np.float64), full_matrices=False)
    # The Gram matrix squares: singular values are right to sqrt(eps) of the largest.
    np.testing.assert_allclose(s, wanted, rtol=0, atol=3e-8)
    np.testing.assert_allclose(V.T @ V, np.eye(6), atol=1e-13)
    # Directions up to sign; eps / gap, squared values 4^-k apart.
    np.testing.assert_allclose(np.abs(np.sum(V.T * Vt[:6], axis=1)), 1.0, atol=1e-12)
    assert V.dtype == np.float64


@pytest.mark.parametrize("n", [FEW, MANY])
def test_no_other_subspace_is_nearer(n: int) -> None:
    u, rng = _poses(n), np.random.default_rng(5)
    for r in (1, 3, 6):
        subspace = fit_pca(u, r)
        assert (subspace.rank, subspace.kind) == (r, "pca")
        error = np.linalg.norm(u - subspace.reconstruct(u))
        # Eckart and Young: what is left are the other singular values.
        rest = np.linalg.svd(u, compute_uv=False)[r:]
        assert error == pytest.approx(np.linalg.norm(rest), rel=1e-9)
        for size in (1e-3, 1e-1, 1.0):
            Q = np.linalg.qr(subspace.basis + size * rng.standard_normal((20, r)))[0]
            assert np.linalg.norm(u - Linear(Q).reconstruct(u)) > error
    # Not centred: poses on one side of rest are told by their own direction.
    one = np.ones((n, 20)) + 1e-6 * u
    np.testing.assert_allclose(np.abs(fit_pca(one, 1).basis), 20**-0.5, atol=1e-6)


@pytest.mark.parametrize("n", [FEW, MANY])
def test_ranks_that_poses_do_not_span(n: int) -> None:
    u = _poses(n, 4)
    assert fit_pca(u, 4).rank == 4
    for r in (0, -1, 5):
        with pytest.raises(InputError, match=f"1 to 4, .* {n} poses span; given {r};"):
            fit_pca(u, r)
    with pytest.raises(InputError, match="1 to 0,"):
        fit_pca(np.zeros((n, 20)), 1)
    with pytest.raises(InputError, match=r"1 to 0, .* 0 poses"):
        fit_pca(np.zeros((0, 20)), 1)
    for bad in (np.nan, np.inf):
        u[2, 3] = bad
        with pytest.raises(InputError, match="expected finite"):
            fit_pca(u, 2)


def test_a_linear_subspace_knows_its_own() -> None:
    subspace = fit_pca(_poses(MANY), 3)
    q = np.random.default_rng(1).standard_normal((7, 3))
    np.testing.assert_allclose(subspace.encode(subspace.decode(q)), q, atol=1e-14)


def _curved(r: int, n: int = 200) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Poses of u = V q + W p(q), W across V; V's span leads by far."""
    rng = np.random.default_rng(3)
    Q = np.linalg.qr(rng.standard_normal((40, r + 8)))[0]
    V, across = Q[:, :r], Q[:, r:]
    W = 0.02 * across @ rng.standard_normal((8, r * (r + 1) // 2))
    q = np.concatenate([x := rng.uniform(-1, 1, (n // 2, r)), -x])  # even: V is PCA's exactly
    i, j = np.triu_indices(r)
    return q @ V.T + (q[:, i] * q[:, j]) @ W.T, V, W


@pytest.mark.parametrize("r", [1, 2, 4])
def test_a_quadratic_manifold_is_found_again(r: int) -> None:
    u, V, W = _curved(r)
    found = fit_quadratic(u, r)
    assert (found.rank, found.kind) == (r, "quadratic")
    scale = np.linalg.norm(u)
    # The ridge, 1e-10, is what keeps it from being exact.
    assert np.linalg.norm(found.reconstruct(u) - u) < 1e-8 * scale
    assert np.linalg.norm(fit_pca(u, r).reconstruct(u) - u) > 5e-3 * scale
    fresh = np.random.default_rng(9).uniform(-1, 1, (50, r))
    np.testing.assert_allclose(
        found.reconstruct(Quadratic(V, W).decode(fresh)),
        Quadratic(V, W).decode(fresh),
        atol=1e-8,
    )


def test_the_quadratic_fit_is_the_least_squares_one() -> None:
    """No W does better for the same V, and it never does worse than PCA, whatever the poses."""
    rng = np.random.default_rng(0)
    u = rng.standard_normal((120, 20)) * 0.8 ** np.arange(20)
    best = fit_quadratic(u, 3)
    V, W = best.basis[:, :3], best.basis[:, 3:]
    np.testing.assert_array_equal(V, fit_pca(u, 3).basis)
    error = np.linalg.norm(best.reconstruct(u) - u)
    assert error < np.linalg.norm(fit_pca(u, 3).reconstruct(u) - u)
    for size in (1e-3, 1e-2):
        other = Quadratic(V, W + size * rng.standard_normal(W.shape))
        assert np.linalg.norm(other.reconstruct(u) - u) > error


def test_products_that_poses_cannot_tell_apart() -> None:
    """One direction only: five of the six products of r = 3 are never seen, and stay out."""
    rng = np.random.default_rng(0)
    basis = np.linalg.qr(rng.standard_normal((20, 3)))[0]
    q = np.diag([1.0, 1e-3, 1e-3])[rng.integers(0, 3, 90)] * rng.standard_normal((90, 1))
    found = fit_quadratic(q @ basis.T, 3)
    assert np.isfinite(found.basis).all()
    assert np.abs(found.basis[:, 3:]).max() < 1e-6
