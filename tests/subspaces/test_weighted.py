"""Weighted decompositions against the singular value decomposition of weighted poses."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse as sp

from hodsim import InputError
from hodsim.subspaces import Weighted, fit_pca, fit_quadratic, fit_weighted, moments

N = 15


def _poses(n: int = 40, rank: int = N) -> np.ndarray:
    rng = np.random.default_rng(0)
    return rng.standard_normal((n, rank)) * 0.6 ** np.arange(rank) @ rng.standard_normal((rank, N))


def _weight(spread: float = 100.0) -> sp.csr_array:
    rng = np.random.default_rng(1)
    Q = np.linalg.qr(rng.standard_normal((N, N)))[0]
    return sp.csr_array(Q * np.geomspace(1.0, spread, N) @ Q.T)


def _size(u: np.ndarray, W: sp.csr_array) -> float:
    return float(np.einsum("ni,ni->", u, u @ W.toarray()))


def test_it_is_the_decomposition_of_weighted_poses() -> None:
    u, W = _poses(), _weight()
    L = np.linalg.cholesky(W.toarray())
    _, s, Vt = np.linalg.svd(u @ L, full_matrices=False)
    found = fit_weighted(moments(u), W, 6, "mass")
    B = found.basis
    np.testing.assert_allclose(B.T @ W @ B, np.eye(6), atol=1e-12)
    np.testing.assert_allclose(found.dual, W @ B, atol=1e-10)
    np.testing.assert_allclose(np.abs(np.sum((L.T @ B) * Vt[:6].T, axis=0)), 1.0, atol=1e-9)
    rng = np.random.default_rng(2)
    for r in (1, 4, 6):
        subspace = found.subspace(r, "masspca")
        assert (subspace.kind, subspace.form, subspace.rank) == ("masspca", "linear", r)
        left = _size(u - subspace.reconstruct(u), W)
        assert left == pytest.approx((s[r:] ** 2).sum(), rel=1e-9)
        for size in (1e-3, 0.1):
            V = np.linalg.qr(L.T @ (B[:, :r] + size * rng.standard_normal((N, r))))[0]
            other = Weighted(np.linalg.solve(L.T, V), L @ V).subspace(r, "masspca")
            assert _size(u - other.reconstruct(u), W) > left


def test_coordinates_are_of_an_orthonormal_basis_and_projections_of_the_weight() -> None:
    """Also where the directions were rounded to float32 in between."""
    u, W = _poses(), _weight(1e6)
    found = fit_weighted(moments(u), W, 8, "stiffness")
    rounded = Weighted(*(x.astype(np.float32).astype(float) for x in (found.basis, found.dual)))
    for source, close in ((found, 1e-9), (rounded, 1e-4)):
        for r in (3, 8):
            subspace = source.subspace(r, "stiffpca")
            V = subspace.basis
            np.testing.assert_allclose(V.T @ V, np.eye(r), atol=1e-13)
            q = np.random.default_rng(3).standard_normal((5, r))
            np.testing.assert_allclose(subspace.encode(subspace.decode(q)), q, atol=1e-11)
            rest = (u - subspace.reconstruct(u)) @ W.toarray() @ V
            assert np.abs(rest).max() < close * np.abs(u @ W.toarray() @ V).max()
            # And the spans are nested.
            np.testing.assert_allclose(V[:, :2], source.subspace(2, "stiffpca").basis, atol=1e-14)


def test_without_a_weight_it_is_pca() -> None:
    u = _poses()
    subspace = fit_weighted(moments(u), sp.csr_array(np.eye(N)), 4, "mass").subspace(4, "masspca")
    np.testing.assert_allclose(subspace.reconstruct(u), fit_pca(u, 4).reconstruct(u), atol=1e-8)


def test_poses_that_weigh_count_as_often() -> None:
    """A pose of weight 3 is the same as three of it, for directions and for manifolds."""
    u, w = _poses(), np.random.default_rng(4).integers(1, 4, 40)
    often = np.repeat(u, w, axis=0)
    np.testing.assert_allclose(moments(u, w.astype(float)), moments(often), rtol=1e-12, atol=1e-12)
    even = fit_weighted(moments(u, w.astype(float)), sp.csr_array(np.eye(N)), 3, "poses")
    V = even.subspace(3, "evenpca").basis
    np.testing.assert_allclose(np.abs(np.sum(V * fit_pca(often, 3).basis, axis=0)), 1.0, atol=1e-9)
    found = fit_quadratic(u, 3, V, w.astype(float), "evenquadratic")
    assert (found.kind, found.rank) == ("evenquadratic", 3)
    np.testing.assert_allclose(found.basis, fit_quadratic(often, 3, V).basis, atol=1e-9)
    assert np.abs(found.basis - fit_quadratic(u, 3, V).basis).max() > 1e-3


def test_what_cannot_be_decomposed() -> None:
    u, W = _poses(rank=4), _weight()
    assert fit_weighted(moments(u), W, 4, "mass").basis.shape == (N, 4)
    for r in (0, 5):
        with pytest.raises(InputError, match=f"expected 1 to 4, .* in this mass; given {r};"):
            fit_weighted(moments(u), W, r, "mass")
    with pytest.raises(InputError, match="1 to 0,"):
        fit_weighted(moments(0 * u), W, 1, "mass")
    singular = W.toarray()
    singular[3] = singular[:, 3] = 0.0
    for bad in (singular, np.outer(np.ones(N), np.ones(N)), -W.toarray()):
        with pytest.raises(InputError, match="stiffness: expected one that no motion escapes"):
            fit_weighted(moments(u), sp.csr_array(bad), 2, "stiffness")
    u[1, 2] = np.nan
    with pytest.raises(InputError, match="finite displacements"):
        moments(u)


def test_moments_of_many_poses() -> None:
    u = np.random.default_rng(0).standard_normal((9000, 5)).astype(np.float32)
    np.testing.assert_allclose(moments(u), u.T.astype(float) @ u.astype(float), rtol=1e-12)
