"""Fits on a small beam: what they report is what is measured again, by other means."""

from __future__ import annotations

import numpy as np
import pytest

from hodsim import InputError, beam
from hodsim.cubature import Cubature, Sampled, WholeMesh, fit_cubature, pose_errors
from hodsim.cubature.samples import TetForces
from hodsim.fem import Body, make_body
from hodsim.scene import MaterialSpec
from hodsim.subspaces import Linear, Quadratic, Subspace

R = 3


@pytest.fixture(scope="module")
def body() -> Body:
    mesh = beam((6, 1, 1), (1.0, 0.2, 0.2))
    fixed = np.flatnonzero(mesh.vertices[:, 0] <= 0.0)
    return make_body(mesh, MaterialSpec("neo-hookean", 2e4, 0.4, 1000.0), fixed)


def subspace_of(body: Body, curved: bool = False) -> Subspace:
    V = np.linalg.eigh(body.stiffness(np.zeros(body.n_dofs)).toarray())[1]
    if not curved:
        return Linear(V[:, :R])
    n = R * (R + 1) // 2
    return Quadratic(V[:, :R], 0.2 * V[:, R : 2 * R] @ np.random.default_rng(0).normal(size=(R, n)))


def poses_of(subspace: Subspace, seed: int, n: int = 60) -> np.ndarray:
    """Bends and twists of up to a third of the beam's length; every tenth at rest."""
    q = 0.4 * np.random.default_rng(seed).standard_normal((n, R))
    q[::10] = 0.0
    return subspace.decode(q)


def fit(body: Body, subspace: Subspace, **options: object) -> Cubature:
    poses, held_out = poses_of(subspace, 1), poses_of(subspace, 2)
    return fit_cubature(body, subspace, poses, held_out, **options)


def test_tet_forces_are_those_of_the_body(body: Body) -> None:
    forces, rng = TetForces(body), np.random.default_rng(0)
    u, U = 0.02 * rng.standard_normal(body.n_dofs), rng.standard_normal((body.n_dofs, 4))
    f = np.zeros((body.mesh.n_vertices, 3))
    np.add.at(f, body.mesh.tets, forces.at(u))
    wanted = body.force(u)
    np.testing.assert_allclose(body.restrict(f), wanted, atol=1e-12 * np.abs(wanted).max())
    np.testing.assert_allclose(
        forces.work(u, U).sum(axis=1), U.T @ wanted, atol=1e-11 * np.abs(U.T @ wanted).max()
    )


@pytest.mark.parametrize("curved", [False, True])
def test_errors_are_those_measured_by_integrators_forces(body: Body, curved: bool) -> None:
    """Each pose's error anew, from the forces that a step would use."""
    subspace = subspace_of(body, curved)
    c = fit(body, subspace, max_tets=12)
    assert len(c.tets) <= 12 < c.curve[-1, 0]
    sampled = Sampled(body, subspace.basis, c)
    whole = WholeMesh(body, subspace.basis)

    def errors(poses: np.ndarray, sizes: tuple[float, float] | None = None) -> np.ndarray:
        rows = []
        K0 = body.stiffness(np.zeros(body.n_dofs)).toarray()
        at = subspace.lanes(np.zeros(R))
        Q = np.linalg.qr(subspace.basis @ at.J)[0]
        softest = np.linalg.eigvalsh(Q.T @ K0 @ Q)[0]
        for q in subspace.encode(poses):
            at = subspace.lanes(q)
            u, U = subspace.basis @ at.z, subspace.basis @ at.J
            g = at.J.T @ whole.force(at.z)
            dg = at.J.T @ sampled.force(at.z) - g
            # Along the tangent space the displacement is U dq with U^T K U dq = dg, but for
            # directions softer than the body at rest.
            Q, T = np.linalg.qr(U)
            values, V = np.linalg.eigh(Q.T @ body.stiffness(u).toarray() @ Q)
            moved = V.T @ np.linalg.solve(T.T, dg) / np.maximum(values, softest)
            rows.append([np.linalg.norm(x) for x in (moved, u, dg, g)])
        return np.array(rows)

    rms = lambda x: float(np.sqrt((x * x).mean()))  # noqa: E731
    seen, unseen = errors(poses_of(subspace, 1)), errors(poses_of(subspace, 2))
    moved, forced = (0.15 * rms(seen[:, 1]), 0.05 * rms(seen[:, 3]))
    held_out = unseen[:, 0] / np.maximum(unseen[:, 1], moved)
    # The forces' own rounding, in errors of a few per mille.
    close = {"rel": 1e-8}
    assert c.training_error == pytest.approx(
        rms(seen[:, 0] / np.maximum(seen[:, 1], moved)), **close
    )
    assert c.held_out_error == pytest.approx(rms(held_out), **close)
    assert c.worst_error == pytest.approx(held_out.max(), **close)
    assert c.force_error == pytest.approx(
        rms(unseen[:, 2] / np.maximum(unseen[:, 3], forced)), **close
    )
    row = c.curve[c.curve[:, 0] == len(c.tets)]
    np.testing.assert_array_equal(row[-1, 1:], [c.training_error, c.held_out_error, c.force_error])
    # Pose by pose, floored by these poses' own sizes.
    told = pose_errors(body, subspace, c, poses_of(subspace, 1))
    np.testing.assert_allclose(
        told["displacement"], seen[:, 0] / np.maximum(seen[:, 1], moved), rtol=1e-8, atol=1e-12
    )
    at = subspace.lanes(subspace.encode(poses_of(subspace, 1))[3])
    K = whole.stiffness(at.z, at.J)
    wanted = np.linalg.norm(sampled.stiffness(at.z, at.J) - K) / np.linalg.norm(K)
    assert told["stiffness"][3] == pytest.approx(wanted, rel=1e-10)


def test_more_tets_less_error_and_weights_add_up_to_the_mesh(body: Body) -> None:
    subspace = subspace_of(body)
    c = fit(body, subspace, max_tets=20)
    tets, training = c.curve[:, 0], c.curve[:, 1]
    assert (np.diff(tets) > 0).all()
    assert (np.diff(training) <= 0).all()
    assert training[-1] < 0.1 * training[len(training) // 4]
    assert c.held_out_error < 0.02
    # Uniform strain is nearly in the span of what is fitted: volumes add up, roughly.
    volume = (c.weights * body.mesh.volumes[c.tets]).sum()
    assert volume == pytest.approx(body.mesh.volumes.sum(), rel=0.2)


def test_tolerance_takes_the_fewest_tets_that_keep_to_it(body: Body) -> None:
    subspace = subspace_of(body)
    c = fit(body, subspace, tolerance=0.01, max_tets=40)
    assert c.training_error <= 0.01
    fewer = c.curve[c.curve[:, 0] < len(c.tets)]
    assert (fewer[:, 1] > 0.01).all()
    assert len(fit(body, subspace, tolerance=0.01, max_tets=3).tets) == 3


def test_the_same_seed_is_the_same_scheme(body: Body) -> None:
    subspace = subspace_of(body)
    poses, held_out = poses_of(subspace, 1, 1200), poses_of(subspace, 2)
    told: list[tuple[int, int]] = []
    a, b, other = (
        fit_cubature(body, subspace, poses, held_out, max_tets=5, seed=s, progress=p)
        for s, p in ((3, lambda *row: told.append(row)), (3, None), (4, None))
    )
    np.testing.assert_array_equal(a.tets, b.tets)
    np.testing.assert_array_equal(a.weights, b.weights)
    assert a.training_error != other.training_error
    done = [row[0] for row in told]
    assert done == sorted(done)
    assert told[0] == (0, told[-1][1])
    assert told[-1] == (1015, 1015)


def test_it_is_checked_against_body_and_subspace(body: Body) -> None:
    subspace = subspace_of(body)
    c = fit(body, subspace, max_tets=5)
    assert (c.name, c.n_tets) == ("pca-3", body.mesh.n_tets)
    c.check(body, subspace)
    # As a model comes back from float32.
    c.check(body, Linear(subspace.basis.astype(np.float32)))
    mesh = beam((6, 1, 1), (1.0, 0.2, 0.21))
    fixed = np.flatnonzero(mesh.vertices[:, 0] <= 0.0)
    with pytest.raises(InputError, match=r"for this mesh of .*; fit one with `hodsim cubature`"):
        c.check(make_body(mesh, body.material, fixed), subspace)
    with pytest.raises(InputError, match="expected one for quadratic-3, given one for pca-3"):
        c.check(body, subspace_of(body, curved=True))
    with pytest.raises(InputError, match="expected one for pca-2"):
        c.check(body, Linear(subspace.basis[:, :2]))
    with pytest.raises(InputError, match="given one for another model's"):
        c.check(body, Linear(subspace.basis[:, [1, 0, 2]]))


def test_refusals(body: Body) -> None:
    subspace = subspace_of(body)
    good = poses_of(subspace, 1)
    for poses, told in (
        (good[:, 1:], "poses: expected displacements of shape"),
        (good[:0], "poses: expected displacements of shape"),
        (np.where(good == good[1, 0], np.nan, good), "poses: expected finite"),
        (0.0 * good, "expected some that move"),
    ):
        with pytest.raises(InputError, match=told):
            fit_cubature(body, subspace, poses, good)
        if "move" not in told:
            with pytest.raises(InputError, match="held-out " + told):
                fit_cubature(body, subspace, good, poses)
    for options in ({"tolerance": -1.0}, {"tolerance": np.nan}, {"max_tets": 0}, {"seed": -1}):
        with pytest.raises(InputError, match="at least"):
            fit_cubature(body, subspace, good, good, **options)
    with pytest.raises(InputError, match="train one for this body"):
        fit_cubature(body, Linear(np.eye(4)), good, good)
