"""Linear subspaces that are best, or orthogonal, in the inner product of mass or of stiffness."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.linalg
import scipy.sparse as sp

from hodsim.errors import InputError
from hodsim.subspaces.pca import Linear

# A pivot of the weight's Cholesky factor this small beside the largest is rounding.
_SINGULAR = 1e-13


@dataclass(frozen=True)
class Weighted:
    """Directions B (n_dofs, k) with B^T W B = 1, the leading ones first, and `dual` W B.

    The first r of them span the subspace of rank r, on which W projects.
    """

    basis: np.ndarray
    dual: np.ndarray

    def subspace(self, rank: int, kind: str) -> Linear:
        """The subspace of the first `rank` directions, named `kind`.

        Its coordinates are those of an orthonormal basis of the same span, B = V R: in directions
        of unit mass or energy their units would upset the tolerances of Newton's method. With
        q = R (W B)^T u, decoding gives B (W B)^T u, the projection.
        """
        B, F = self.basis[:, :rank], self.dual[:, :rank]
        V, R = np.linalg.qr(B)
        sign = np.sign(np.diag(R))
        # B^T W B is 1 but for the rounding of storage in float32, which this mends.
        dual = F @ np.linalg.solve(B.T @ F, (sign[:, None] * R).T)
        return Linear(V * sign, kind, dual)


def fit_weighted(moments: np.ndarray, weight: sp.sparray, r: int, name: str) -> Weighted:
    """Proper orthogonal decomposition in the inner product of `weight`, W (n_dofs, n_dofs).

    Of all spans of r directions it leaves the least sum of |u - B (W B)^T u|_W^2 over the poses
    (Volkwein 2013, section 1.3). `moments` is U^T U (n_dofs, n_dofs) of poses U (n_poses, n_dofs),
    which are not centred: rest is u = 0.

    Raises
    ------
    InputError
        W, called `name`, is not positive definite, or r exceeds what the poses span.
    """
    try:
        L = scipy.linalg.cholesky(weight.toarray(), lower=True)
    except np.linalg.LinAlgError:
        L = np.zeros((1, 1))
    pivots = np.diag(L)
    if not pivots.min() > _SINGULAR * pivots.max():
        raise InputError(
            f"{name}: expected one that no motion escapes, given one that is singular; clamp the "
            "body and give it mass, or leave this subspace out"
        )
    values, vectors = scipy.linalg.eigh(L.T @ moments @ L)
    values, vectors = values[::-1], vectors[:, ::-1]
    # `moments` squares the poses' condition number: directions below sqrt(eps) are rounding.
    span = int((values > 1e-14 * values[0]).sum()) if values[0] > 0.0 else 0
    if not 1 <= r <= span:
        raise InputError(
            f"rank: expected 1 to {span}, the directions that the poses span in this {name}; "
            f"given {r}; choose a smaller rank or more poses"
        )
    X = vectors[:, :r]
    B = scipy.linalg.solve_triangular(L, X, lower=True, trans="T")
    return Weighted(B, L @ X)
