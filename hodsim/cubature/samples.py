"""What a cubature is fitted to: the work of single tets at poses, and how far their sum is off."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from hodsim.cubature.elasticity import constants
from hodsim.fem import Body
from hodsim.fem.assembly import Assembly
from hodsim.mesh import TetMesh
from hodsim.subspaces import Subspace

# Below this part of the poses' RMS size a pose is measured by that part: near rest there is little
# to be right about. On the shipped beam 0.02 to 0.15 serve alike.
_LEAST_MOVED, _LEAST_FORCED = 0.15, 0.05
# A tangent's stiffness is taken to be at least the softest at rest, and this part of the stiffest.
_SOFTEST = 1e-6


class TetForces:
    """The force of each tet on its own four vertices: that of a mesh whose tets stand apart."""

    def __init__(self, body: Body) -> None:
        tets = body.mesh.tets
        self.body, self._tets = body, tets
        own = np.arange(tets.size, dtype=np.int32).reshape(tets.shape)
        apart = TetMesh(body.mesh.vertices[tets].reshape(-1, 3), own)
        a, b = (x * np.ones(len(tets)) for x in constants(body))
        self._elastic = Assembly(apart, body.material.law, a, b, np.empty(0, dtype=np.int64))

    def at(self, u: np.ndarray) -> np.ndarray:
        """Forces [N] at displacements u [m] (n_dofs,), shape (n_tets, 4, 3)."""
        moved = self.body.expand(u)[self._tets]
        return self._elastic.force(moved.ravel()).reshape(moved.shape)

    def work(self, u: np.ndarray, U: np.ndarray) -> np.ndarray:
        """U^T B_e^T f_e(u) of each tet e along directions U (n_dofs, r), shape (r, n_tets)."""
        along = self.body.expand(np.ascontiguousarray(U.T))[:, self._tets]
        r, m = along.shape[:2]
        return np.asarray((along.reshape(r, m, 12) * self.at(u).reshape(m, 12)).sum(axis=2))


@dataclass(frozen=True)
class Samples:
    """S poses, r numbers each, that are linear in the tets' weights and 0 off where all are 1.

    Attributes
    ----------
    columns
        Those of single tets, (S r, m).
    total
        Those of the whole mesh, (S r,).
    poses
        S.
    """

    columns: np.ndarray
    total: np.ndarray
    poses: int

    def errors(self, places: np.ndarray, weights: np.ndarray) -> np.ndarray:
        """|error| of each pose with weights for the columns `places`, (S,)."""
        off = self.columns[:, places] @ weights - self.total
        return np.asarray(np.linalg.norm(off.reshape(self.poses, -1), axis=1))


@dataclass(frozen=True)
class Measures:
    """The same poses measured in two ways, each relative to the pose's own size.

    Attributes
    ----------
    moved
        What a fit makes small: K^-1 Q^T B_e^T f_e over |u|, Q an orthonormal basis of the tangent
        space at the pose and K = Q^T K(u) Q. It is how far forces that are off would move a body
        in balance: a stiff direction's force may be off by more than a soft one's.
    forced
        J^T B_e^T f_e over |J^T B^T f_int|, as the literature measures.
    sizes
        RMS of |u| and of |J^T B^T f_int| over the poses; measure other poses by the same ones.
    """

    moved: Samples
    forced: Samples
    sizes: tuple[float, float]


def measure(
    forces: TetForces,
    subspace: Subspace,
    q: np.ndarray,
    tets: np.ndarray | slice = slice(None),
    sizes: tuple[float, float] | None = None,
    with_forces: bool = True,
    progress: Callable[[int], None] | None = None,
) -> Measures:
    """Measure tets (all unless given) at latent poses q (S, r); `progress(k)` after pose k.

    Without forces, `forced` has no columns: they are as large as those of `moved`.
    """
    body, B = forces.body, subspace.basis
    softest = _softest(body, subspace)
    moved, forced = [], []
    moved_total, forced_total = np.empty(q.shape), np.empty(q.shape)
    travel = np.empty(len(q))
    for k, at in enumerate(q):
        lanes = subspace.lanes(at)
        u, U = B @ lanes.z, B @ lanes.J
        Q, R = np.linalg.qr(U)
        along = forces.work(u, Q)
        values, V = np.linalg.eigh(_symmetric(body.elastic.projected_stiffness(u, Q)))
        compliance = (V / np.maximum(values, softest)) @ V.T
        whole = along.sum(axis=1)
        moved_total[k], forced_total[k] = compliance @ whole, R.T @ whole
        moved.append(compliance @ along[:, tets])
        forced.append(R.T @ along[:, tets] if with_forces else np.empty((len(whole), 0)))
        travel[k] = np.linalg.norm(u)
        if progress is not None:
            progress(k + 1)
    force = np.linalg.norm(forced_total, axis=1)
    sizes = sizes or (_rms(travel), _rms(force))
    return Measures(
        _scaled(moved, moved_total, np.maximum(travel, _LEAST_MOVED * sizes[0])),
        _scaled(forced, forced_total, np.maximum(force, _LEAST_FORCED * sizes[1])),
        sizes,
    )


def _scaled(rows: list[np.ndarray], total: np.ndarray, size: np.ndarray) -> Samples:
    # Poses that are all at rest have no size, and nothing to divide by it.
    size = np.where(size > 0.0, size, 1.0)
    columns = np.concatenate([row / s for row, s in zip(rows, size, strict=True)])
    return Samples(columns, (total / size[:, None]).ravel(), len(total))


def _softest(body: Body, subspace: Subspace) -> float:
    lanes = subspace.lanes(np.zeros(subspace.rank))
    B = subspace.basis
    Q = np.linalg.qr(B @ lanes.J)[0]
    values = np.linalg.eigvalsh(_symmetric(body.elastic.projected_stiffness(B @ lanes.z, Q)))
    return float(max(values[0], _SOFTEST * values[-1]))


def _symmetric(K: np.ndarray) -> np.ndarray:
    return 0.5 * (K + K.T)


def _rms(x: np.ndarray) -> float:
    return float(np.sqrt((x * x).mean()))
