"""The linear subspace of principal components: u = V q (Treuille, Lewis and Popovic 2006)."""

from __future__ import annotations

import numpy as np

from hodsim.errors import InputError
from hodsim.subspaces.subspace import FeatureLanes, Subspace

# Poses taken at once: some tens of megabytes in float64.
_BLOCK = 4096


class Linear(Subspace):
    """u = V q for a basis V (n_dofs, r) with orthonormal columns.

    q = E^T u for `dual` E (n_dofs, r), V itself unless given: another E with E^T V = 1 projects
    in another inner product than that of displacements.
    """

    form = "linear"
    kind = "pca"

    def __init__(
        self, basis: np.ndarray, kind: str = "pca", dual: np.ndarray | None = None
    ) -> None:
        self.basis = np.ascontiguousarray(basis, dtype=np.float64)
        self.kind = kind
        self._dual = self.basis if dual is None else np.ascontiguousarray(dual, dtype=np.float64)
        r = self.basis.shape[1]
        self._eye, self._H, self._vve = np.eye(r), np.zeros((r, r, r)), np.zeros((r, r))

    @property
    def rank(self) -> int:
        return self.basis.shape[1]

    def features(self, q: np.ndarray) -> np.ndarray:
        return q

    def lanes(self, q: np.ndarray, v: np.ndarray | None = None, order: int = 1) -> FeatureLanes:
        return FeatureLanes(
            z=q,
            J=self._eye,
            H=self._H if order > 1 else None,
            vv=None if v is None else np.zeros_like(q),
            vve=self._vve if order > 2 else None,
        )

    def encode(self, u: np.ndarray) -> np.ndarray:
        return u @ self._dual


def moments(u: np.ndarray, w: np.ndarray | None = None) -> np.ndarray:
    """U^T diag(w) U (n_dofs, n_dofs) in float64 of poses u (n_poses, n_dofs) that weigh w
    (n_poses,), all 1 unless given.

    Raises `InputError` for a pose that is not finite.
    """
    total = np.zeros((u.shape[1], u.shape[1]))
    for k in range(0, len(u), _BLOCK):
        block = u[k : k + _BLOCK].astype(np.float64)
        if w is not None:
            block *= np.sqrt(w[k : k + _BLOCK, None])
        total += block.T @ block
    # A sum of squares is finite only if all of them are.
    if not np.isfinite(np.diag(total)).all():
        raise InputError("poses: expected finite displacements, given NaN or inf; remove that pose")
    return total


def principal_components(
    u: np.ndarray, r: int, least: int | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """The r leading principal directions (n_dofs, r) of poses u (n_poses, n_dofs), and all
    singular values, largest first.

    Poses are not centred: rest is u = 0, and it must stay in the subspace exactly. Where they span
    fewer directions than r but no fewer than `least`, they are all that is given.

    Raises
    ------
    InputError
        r is below 1 or exceeds what the poses span, or a pose is not finite.
    """
    if not np.isfinite(u).all():
        raise InputError("poses: expected finite displacements, given NaN or inf; remove that pose")
    gram = u.T.astype(np.float64) @ u if len(u) > u.shape[1] else None
    if gram is not None:
        values, vectors = np.linalg.eigh(gram)
        s, V = np.sqrt(np.maximum(values[::-1], 0.0)), vectors[:, ::-1]
    else:
        _, s, Vt = np.linalg.svd(u.astype(np.float64), full_matrices=False)
        V = Vt.T
    # The Gram matrix squares the condition number: directions below sqrt(eps) are rounding.
    span = int((s > 1e-7 * s[0]).sum()) if s.any() else 0
    if least is not None:
        r = max(least, min(r, span))
    if not 1 <= r <= span:
        raise InputError(
            f"rank: expected 1 to {span}, the directions that {len(u)} poses span; given {r}; "
            "choose a smaller rank or more poses"
        )
    return np.ascontiguousarray(V[:, :r]), s


def fit_pca(u: np.ndarray, r: int, least: int | None = None) -> Linear:
    """PCA of rank r from poses u [m], shape (n_poses, n_dofs); of `least` at least, if given,
    where they span less."""
    return Linear(principal_components(u, r, least)[0])
