"""Fitting a cubature to poses (offline)."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from hodsim.cubature.elasticity import Sampled
from hodsim.cubature.samples import Samples, TetForces, measure
from hodsim.cubature.scheme import Cubature, fingerprint_of
from hodsim.cubature.sparse import Chosen, SparseLeastSquares
from hodsim.errors import InputError
from hodsim.fem import Body
from hodsim.subspaces import Subspace

MAX_TETS = 72
# Poses drawn from those given: more cost time and are too alike to tell much.
_FITTED_TO, _HELD_OUT = 1000, 300
# Columns are taken up to this many times the tets wanted, and given up again, which leaves a
# smaller error than taking up alone.
_GENEROUS = 3
# Most numbers that the table of all tets at all poses may hold (float64, 0.8 GB).
_ROOM = 100_000_000


def fit_cubature(
    body: Body,
    subspace: Subspace,
    poses: np.ndarray,
    held_out: np.ndarray,
    tolerance: float = 0.0,
    max_tets: int = MAX_TETS,
    seed: int = 0,
    progress: Callable[[int, int], None] | None = None,
) -> Cubature:
    """Choose tets and weights by sparse non-negative least squares (An, Kim and James 2008).

    What is made small over the poses is not the relative error of the reduced force but that of
    the displacement which it causes, `samples.Measures.moved`: on the shipped beam 34 tets chosen
    by it move the tip less wrongly than 56 chosen by the other.

    Parameters
    ----------
    body, subspace
        Whose forces.
    poses, held_out
        Displacements [m], (n_poses, n_dofs), of motions to fit to and of others to measure by.
        Several hundred are drawn from each; the error is that of u = B z(q) with q = encode(u).
    tolerance
        RMS error over the poses fitted to at which tets are enough: the fewest that keep to it are
        taken, or `max_tets` where that is not reached.
    max_tets
        Most tets to take.
    seed
        Of the draw of poses.
    progress
        Told (done, total).

    Raises
    ------
    InputError
        No poses or none that moves; not finite; of another body; a tolerance below 0 or fewer than
        one tet asked for.
    """
    _check(body, subspace, poses, held_out, tolerance, max_tets, seed)
    r, m = subspace.rank, body.mesh.n_tets
    rng = np.random.default_rng(seed)
    q = subspace.encode(_draw(poses, max(1, min(_FITTED_TO, _ROOM // (r * m))), rng))
    q_out = subspace.encode(_draw(held_out, _HELD_OUT, rng))
    most = min(_GENEROUS * max_tets, m)
    total = len(q) + most

    def told(done: int) -> None:
        if progress is not None:
            progress(done, total)

    told(0)
    forces = TetForces(body)
    fitted = measure(forces, subspace, q, with_forces=False, progress=told)
    if not fitted.sizes[0] > 0.0:
        raise InputError("poses: expected some that move, given rest alone; give others")
    search = SparseLeastSquares(fitted.moved.columns, fitted.moved.total)
    grown: list[Chosen] = []
    for chosen in search.grow(most):
        grown.append(chosen)
        told(len(q) + len(chosen[0]))
    if not grown:
        raise InputError("poses: expected some that strain the body, given none; give others")
    # Pruned schemes are better at every size; the longest is grown.
    path = [*reversed(list(search.prune())), grown[-1]]
    union = path[-1][0]
    unseen = measure(forces, subspace, q_out, union, fitted.sizes)
    rows = []
    for tets, w in path:
        places = np.searchsorted(union, tets)
        rows.append(
            (
                len(tets),
                _rms(fitted.moved.errors(tets, w)),
                _rms(unseen.moved.errors(places, w)),
                _rms(unseen.forced.errors(places, w)),
            )
        )
    curve = np.array(rows)
    allowed = np.flatnonzero(curve[:, 0] <= max_tets)
    enough = allowed[curve[allowed, 1] <= tolerance]
    k = int(enough[0] if len(enough) else allowed[-1])
    tets, w = path[k]
    told(total)
    return Cubature(
        tets=tets,
        weights=w,
        n_tets=m,
        mesh=body.mesh.digest,
        subspace=subspace.kind,
        rank=r,
        fingerprint=fingerprint_of(subspace),
        training_error=float(curve[k, 1]),
        held_out_error=float(curve[k, 2]),
        worst_error=float(unseen.moved.errors(np.searchsorted(union, tets), w).max()),
        force_error=float(curve[k, 3]),
        curve=curve,
        seed=seed,
    )


def pose_errors(
    body: Body, subspace: Subspace, cubature: Cubature, poses: np.ndarray
) -> dict[str, np.ndarray]:
    """Errors of a cubature pose by pose, each (S,), for displacements [m] (S, n_dofs).

    `displacement` and `force` are relative errors as in `samples.Measures`; `stiffness` is that of
    J^T B^T K B J, in the Frobenius norm.
    """
    cubature.check(body, subspace)
    q = subspace.encode(np.asarray(poses, dtype=np.float64))
    found = measure(TetForces(body), subspace, q, cubature.tets)
    every = np.arange(len(cubature.tets))
    sampled = Sampled(body, subspace.basis, cubature)

    def of(samples: Samples) -> np.ndarray:
        return samples.errors(every, cubature.weights)

    stiffness = np.empty(len(q))
    for k, at in enumerate(q):
        lanes = subspace.lanes(at)
        B = subspace.basis
        K = body.elastic.projected_stiffness(B @ lanes.z, B @ lanes.J)
        off = sampled.stiffness(lanes.z, lanes.J) - K
        stiffness[k] = np.linalg.norm(off) / np.linalg.norm(K)
    return {"displacement": of(found.moved), "force": of(found.forced), "stiffness": stiffness}


def _draw(poses: np.ndarray, n: int, rng: np.random.Generator) -> np.ndarray:
    """At most n of the poses, in their order."""
    rows = np.sort(rng.permutation(len(poses))[:n])
    return np.asarray(poses[rows], dtype=np.float64)


def _check(
    body: Body,
    subspace: Subspace,
    poses: np.ndarray,
    held_out: np.ndarray,
    tolerance: float,
    max_tets: int,
    seed: int,
) -> None:
    if subspace.basis.shape[0] != body.n_dofs:
        raise InputError(
            f"subspace: expected {body.n_dofs} free degrees of freedom, as the body has; given "
            f"one of {subspace.basis.shape[0]}; train one for this body"
        )
    for name, u in (("poses", poses), ("held-out poses", held_out)):
        if u.ndim != 2 or u.shape[1] != body.n_dofs or not len(u):
            raise InputError(
                f"{name}: expected displacements of shape (n, {body.n_dofs}), given {u.shape}; "
                "give some of this body"
            )
        if not np.isfinite(u).all():
            raise InputError(f"{name}: expected finite displacements; remove the others")
    if not 0.0 <= tolerance < np.inf:
        raise InputError(f"tolerance: expected a number of at least 0, given {tolerance}")
    if max_tets < 1 or seed < 0:
        raise InputError(
            f"cubature: expected at least 1 tet and a seed of at least 0, given {max_tets} and "
            f"{seed}; choose others"
        )


def _rms(x: np.ndarray) -> float:
    return float(np.sqrt((x * x).mean()))
