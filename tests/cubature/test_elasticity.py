"""Elasticity in feature space: all tets, and sampled ones, against loops over single tets."""

from __future__ import annotations

import numpy as np
import oracles
import pytest
import torch

from hodsim import InputError, beam
from hodsim.cubature import Cubature, Elasticity, Sampled, WholeMesh, fingerprint_of
from hodsim.fem import Body, make_body
from hodsim.materials import LAWS, lame
from hodsim.scene import MaterialSpec
from hodsim.subspaces import Linear

YOUNG, POISSON = 5e3, 0.3
TETS = np.array([1, 4, 5, 17, 20])
WEIGHTS = np.array([0.3, 7.0, 1.0, 2.5, 0.01])
every_law = pytest.mark.parametrize("law", LAWS)


def body_of_law(law: str = "neo-hookean", cells: tuple[int, int, int] = (3, 1, 1)) -> Body:
    mesh = beam(cells, (0.9, 0.31, 0.29))
    fixed = np.flatnonzero(mesh.vertices[:, 0] <= 0.0)
    return make_body(mesh, MaterialSpec(law, YOUNG, POISSON, 700.0), fixed)


def cubature_of(body: Body, basis: np.ndarray, tets: np.ndarray, weights: np.ndarray) -> Cubature:
    linear = Linear(basis)
    facts = (body.mesh.n_tets, body.mesh.digest, "pca", linear.rank, fingerprint_of(linear))
    return Cubature(tets, weights, *facts, 0.1, 0.2, 0.3, 0.4, np.array([[5, 0.1, 0.2, 0.4]]), 0)


def basis_of(body: Body, w: int = 6) -> np.ndarray:
    return np.random.default_rng(3).standard_normal((body.n_dofs, w))


def loop(body: Body, u: np.ndarray, U: np.ndarray) -> tuple[float, np.ndarray, np.ndarray]:
    """Weighted energy, U^T f and U^T K U, a tet at a time and by autograd."""
    law, (mu, lam) = body.material.law, lame(YOUNG, POISSON)
    free = (3 * body.free_vertices[:, None] + np.arange(3)).ravel()
    energy, f, K = 0.0, np.zeros(U.shape[1]), np.zeros((U.shape[1],) * 2)
    for e, w in zip(TETS, WEIGHTS, strict=True):
        args = (body.mesh.vertices, body.mesh.tets[[e]])
        rest = (law, mu, lam)
        full = body.expand(u)
        energy += w * float(oracles.elastic_energy(*args, torch.from_numpy(full), *rest))
        f += w * U.T @ oracles.internal_force(*args, full, *rest).ravel()[free]
        K += w * U.T @ oracles.stiffness(*args, full, *rest)[np.ix_(free, free)] @ U
    return energy, f, K


@every_law
def test_sampled_is_the_weighted_sum_over_its_tets(law: str) -> None:
    body = body_of_law(law)
    B = basis_of(body)
    elastic = Sampled(body, B, cubature_of(body, B, TETS, WEIGHTS))
    for seed in range(3):
        rng = np.random.default_rng(seed)
        z, J = 0.01 * rng.standard_normal(6), rng.standard_normal((6, 4))
        energy, f, _ = loop(body, B @ z, B)
        _, _, K = loop(body, B @ z, B @ J)
        # The slack of the laws' own tests, summed over five tets.
        assert elastic.energy(z) == pytest.approx(energy, rel=1e-10)
        np.testing.assert_allclose(elastic.force(z), f, atol=1e-10 * np.abs(f).max())
        np.testing.assert_allclose(elastic.stiffness(z, J), K, atol=1e-10 * np.abs(K).max())


@pytest.mark.parametrize("sampled", [False, True], ids=["whole", "sampled"])
@every_law
def test_force_and_stiffness_are_slopes(law: str, sampled: bool) -> None:
    body = body_of_law(law)
    B = basis_of(body)
    cubature = cubature_of(body, B, TETS, WEIGHTS)
    elastic: Elasticity = Sampled(body, B, cubature) if sampled else WholeMesh(body, B)
    rng = np.random.default_rng(5)
    z, d = 0.01 * rng.standard_normal(6), 0.1 * rng.standard_normal(6)
    steps = 0.04 * 0.5 ** np.arange(4)
    errors = oracles.central_errors(
        lambda x: np.array(elastic.energy(x)), elastic.force(z) @ d, z, d, steps
    )
    assert oracles.observed_orders(errors) == pytest.approx(2.0, abs=0.1)
    slope = elastic.stiffness(z, np.eye(6)) @ d
    errors = oracles.central_errors(elastic.force, slope, z, d, steps)
    assert oracles.observed_orders(errors) == pytest.approx(2.0, abs=0.1)


@every_law
def test_every_tet_at_weight_one_is_the_whole_mesh(law: str) -> None:
    body = body_of_law(law)
    B = basis_of(body)
    every = np.arange(body.mesh.n_tets)
    sampled = Sampled(body, B, cubature_of(body, B, every, np.ones(len(every))))
    whole = WholeMesh(body, B)
    rng = np.random.default_rng(7)
    z, J = 0.01 * rng.standard_normal(6), rng.standard_normal((6, 3))
    assert sampled.energy(z) == pytest.approx(whole.energy(z), rel=1e-13)
    assert sampled.noise(z, J) == pytest.approx(whole.noise(z, J), rel=0.5)  # reach: clamps, or not
    for mine, wanted in (
        (sampled.force(z), whole.force(z)),
        (sampled.stiffness(z, J), whole.stiffness(z, J)),
    ):
        np.testing.assert_allclose(mine, wanted, atol=1e-13 * np.abs(wanted).max())


def test_noise_bounds_what_rounding_makes_of_a_rigid_shift() -> None:
    """Far from the origin positions are rounded more; the force should be what it is near it."""
    near = body_of_law()
    B = basis_of(near)
    z, J = 0.01 * np.random.default_rng(9).standard_normal(6), np.eye(6)
    at_home = Sampled(near, B, cubature_of(near, B, TETS, WEIGHTS))
    wanted = at_home.force(z)
    shifted = type(near.mesh)(near.mesh.vertices + 1000.0, near.mesh.tets)
    fixed = np.setdiff1d(np.arange(shifted.n_vertices), near.free_vertices)
    far = make_body(shifted, near.material, fixed)
    sampled = Sampled(far, B, cubature_of(far, B, TETS, WEIGHTS))
    off = float(np.linalg.norm(sampled.force(z) - wanted))
    noise = sampled.noise(z, J)
    # The rest shape is rounded as well: a strain of eps 1000 m / 0.3 m, some times the noise.
    assert 1e-3 * noise < off < 10.0 * noise
    assert noise > 500.0 * at_home.noise(z, J)


def test_only_rows_touched_are_used() -> None:
    body = body_of_law()
    B = basis_of(body)
    cubature = cubature_of(body, B, TETS, WEIGHTS)
    touched = np.unique(body.mesh.tets[TETS])
    rows = 3 * body.pattern.free[touched[body.pattern.free[touched] >= 0], None] + np.arange(3)
    junk = np.full_like(B, np.nan)
    junk[rows.ravel()] = B[rows.ravel()]
    z = 0.01 * np.random.default_rng(1).standard_normal(6)
    np.testing.assert_array_equal(
        Sampled(body, junk, cubature).force(z), Sampled(body, B, cubature).force(z)
    )


def test_refusals() -> None:
    body, other = body_of_law(), body_of_law(cells=(4, 1, 1))
    B = basis_of(body)
    with pytest.raises(InputError, match="for this mesh of"):
        Sampled(other, basis_of(other), cubature_of(body, B, TETS, WEIGHTS))
    # Vertices of the root alone: found by clamping all but one vertex that the tet does not have.
    tet = body.mesh.tets[0]
    free = np.setdiff1d(np.arange(body.mesh.n_vertices), tet)[-1:]
    clamped = make_body(
        body.mesh, body.material, np.setdiff1d(np.arange(body.mesh.n_vertices), free)
    )
    B = basis_of(clamped, 2)
    with pytest.raises(InputError, match="a tet that moves"):
        Sampled(clamped, B, cubature_of(clamped, B, np.array([0]), np.ones(1)))
