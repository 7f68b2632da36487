"""The quadratic manifold u = V q + W (q x q), least squares (Geelen, Wright and Willcox 2023)."""

from __future__ import annotations

import numpy as np

from hodsim.subspaces.pca import principal_components
from hodsim.subspaces.subspace import FeatureLanes, Subspace

# Poses taken at once: some tens of megabytes in float64.
_BLOCK = 4096


class Quadratic(Subspace):
    """u = V q + W p(q), p(q) the r(r+1)/2 products q_i q_j, i <= j; V orthonormal."""

    form = "quadratic"

    def __init__(self, V: np.ndarray, W: np.ndarray, kind: str = "quadratic") -> None:
        r = V.shape[1]
        self.kind = kind
        self.basis = np.ascontiguousarray(np.hstack([V, W]))
        self._r = r
        self._i, self._j = np.triu_indices(r)
        n = len(self._i)
        k = np.arange(n)
        self._H = np.zeros((r, r, r + n))
        np.add.at(self._H, (self._i, self._j, r + k), 1.0)
        np.add.at(self._H, (self._j, self._i, r + k), 1.0)

    @property
    def rank(self) -> int:
        return self._r

    def features(self, q: np.ndarray) -> np.ndarray:
        return np.concatenate([q, q[..., self._i] * q[..., self._j]], axis=-1)

    def lanes(self, q: np.ndarray, v: np.ndarray | None = None, order: int = 1) -> FeatureLanes:
        J = q @ self._H  # d(q_i q_j) = H q, by symmetry; the linear part is added below.
        J[:, : self._r] = np.eye(self._r)
        return FeatureLanes(
            z=self.features(q),
            J=J.T,
            H=self._H if order > 1 else None,
            vv=None if v is None else v @ (v @ self._H),
            vve=np.zeros((self._r, self.basis.shape[1])) if order > 2 else None,
        )

    def encode(self, u: np.ndarray) -> np.ndarray:
        return u @ self.basis[:, : self._r]


def fit_quadratic(
    u: np.ndarray,
    r: int,
    V: np.ndarray | None = None,
    w: np.ndarray | None = None,
    kind: str = "quadratic",
) -> Quadratic:
    """Fit to poses u [m] (n_poses, n_dofs): V by PCA unless given, (n_dofs, r); W by
    ridge-regularised least squares, in which poses weigh w (n_poses,), alike unless given.

    The ridge, 1e-10 of the largest normal-equation entry, only decides between products that the
    poses cannot tell apart.
    """
    if V is None:
        V, _ = principal_components(u, r)
    i, j = np.triu_indices(r)
    normal, right = np.zeros((len(i), len(i))), np.zeros((len(i), len(V)))
    for k in range(0, len(u), _BLOCK):
        block = u[k : k + _BLOCK].astype(np.float64)
        q = block @ V
        p = q[:, i] * q[:, j]
        if w is not None:
            root = np.sqrt(w[k : k + _BLOCK, None])
            block, q, p = root * block, root * q, root * p
        normal += p.T @ p
        right += p.T @ (block - q @ V.T)
    normal[np.diag_indices_from(normal)] += 1e-10 * normal.max()
    W = np.linalg.solve(normal, right).T
    return Quadratic(V, W, kind)
