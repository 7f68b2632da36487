"""Von Mises stress against energies differentiated along principal stretches, and beam theory."""

from __future__ import annotations

import numpy as np
import pytest
from oracles import energy_density, observed_orders
from scipy.optimize import brentq
from scipy.sparse.linalg import spsolve
from scipy.spatial.transform import Rotation
from torch import from_numpy

from hodsim.fem import Body, make_body
from hodsim.fem.stress import LEAST_VOLUME, Stress
from hodsim.materials import LAWS, lame
from hodsim.mesh import beam
from hodsim.scene import MaterialSpec

EPS = np.finfo(float).eps
YOUNG, POISSON = 3e4, 0.3
MU, LAM = lame(YOUNG, POISSON)
NONE = np.empty(0, dtype=np.int64)
every_law = pytest.mark.parametrize("law", list(LAWS))


def _body(law: str) -> Body:
    return make_body(
        beam((2, 1, 1), (0.7, 0.3, 0.2)), MaterialSpec(law, YOUNG, POISSON, 1000), NONE
    )


def _deform(body: Body, F: np.ndarray) -> np.ndarray:
    """Displacements under which every tet has deformation gradient F."""
    return (body.mesh.vertices @ (F - np.eye(3)).T).ravel()


def _principal(law: str, stretches: np.ndarray, h: float) -> np.ndarray:
    """Cauchy's principal stresses l_i dW/dl_i / J by central differences with step h."""

    def energy(x: np.ndarray) -> float:
        return energy_density(law, from_numpy(np.diag(x)), MU, LAM).item()

    slopes = [(energy(stretches + d) - energy(stretches - d)) / (2 * h) for d in h * np.eye(3)]
    return stretches * np.array(slopes) / np.prod(stretches)


def _von_mises(s: np.ndarray) -> float:
    return float(np.sqrt(((s - np.roll(s, 1)) ** 2).sum() / 2.0))


@every_law
@pytest.mark.parametrize("stretches", [(1.3, 1.05, 0.8), (0.7, 0.9, 1.1), (1.6, 0.5, 1.4)])
def test_agrees_with_differentiated_energy(law: str, stretches: tuple[float, ...]) -> None:
    left, right = Rotation.random(2, np.random.default_rng(1)).as_matrix()
    body = _body(law)
    given = Stress(body).von_mises(_deform(body, left @ np.diag(stretches) @ right))
    np.testing.assert_allclose(given, given[0], rtol=1e3 * EPS)
    steps = [0.04, 0.02, 0.01]
    wanted = [_von_mises(_principal(law, np.array(stretches), h)) for h in steps]
    errors = np.abs(np.array(wanted) - given[0])
    if errors[0] > 1e-6 * YOUNG:
        np.testing.assert_allclose(observed_orders(errors.tolist()), 2.0, atol=0.1)
    assert errors[-1] < 2e-3 * given[0]


@every_law
def test_uniaxial_stress_is_the_stress_itself(law: str) -> None:
    stretch, h = 1.2, 1e-4

    def lateral(side: float) -> float:
        return float(_principal(law, np.array([stretch, side, side]), h)[1])

    side = brentq(lateral, 0.7, 1.1)
    wanted = _principal(law, np.array([stretch, side, side]), h)[0]
    body = _body(law)
    given = Stress(body).von_mises(_deform(body, np.diag([stretch, side, side])))
    np.testing.assert_allclose(given, abs(wanted), rtol=1e-6)  # h^2, and roundoff / h


@every_law
def test_pressure_and_rigid_motion_leave_nothing(law: str) -> None:
    body = _body(law)
    stress = Stress(body)
    # Strains are known to eps x (size / least edge), stresses to 2 mu + 3 lam times that.
    noise = 100 * EPS * (2 * MU + 3 * LAM)
    turned = Rotation.from_rotvec([0.4, -1.1, 2.0]).as_matrix()
    for F in (np.eye(3), 0.8 * np.eye(3), 1.3 * turned, turned):
        assert stress.von_mises(_deform(body, F)).max() < noise


@every_law
def test_a_superposed_rotation_changes_nothing(law: str) -> None:
    body = _body(law)
    stress = Stress(body)
    u = 0.02 * np.random.default_rng(0).standard_normal(body.n_dofs)
    turned = Rotation.from_rotvec([0.4, -1.1, 2.0]).as_matrix()
    x = body.mesh.vertices + u.reshape(-1, 3)
    again = (x @ turned.T + [0.3, 0.1, -0.2] - body.mesh.vertices).ravel()
    before = stress.von_mises(u)
    assert before.min() > 0.01 * YOUNG
    np.testing.assert_allclose(stress.von_mises(again), before, rtol=1e4 * EPS)


@every_law
@pytest.mark.parametrize("J", [1e-300, 1e-9, 0.0, -1e-9, -1.0])
def test_flat_and_inverted_tets_have_a_finite_stress(law: str, J: float) -> None:
    body = _body(law)
    given = Stress(body).von_mises(_deform(body, np.diag([1.0, 1.0, J])))
    assert np.isfinite(given).all()
    assert given.max() < 10 * (MU + LAM) / LEAST_VOLUME


def test_vertices_have_the_mean_of_their_tets() -> None:
    body = _body("stvk")
    mesh, values = body.mesh, np.random.default_rng(0).random(body.mesh.n_tets)
    given = Stress(body).at_vertices(values)
    for v in range(mesh.n_vertices):
        around = (mesh.tets == v).any(axis=1)
        assert given[v] == pytest.approx(np.average(values[around], weights=mesh.volumes[around]))


def test_bending_stress_of_a_slender_cantilever() -> None:
    """M c / I around mid-span, where neither end is felt; seen: 0.7 % off."""
    length, b, h, load = 2.0, 0.1, 0.2, 1e-3
    mesh = beam((40, 2, 4), (length, b, h))
    x = mesh.vertices
    body = make_body(mesh, MaterialSpec("neo-hookean", YOUNG, 0.0, 1000), _at(x, 0.0))
    tip = _at(x, length)
    force = np.zeros_like(x)
    force[tip, 2] = load / len(tip)
    u = spsolve(body.stiffness(np.zeros(body.n_dofs)).tocsc(), body.restrict(force))
    given = Stress(body).von_mises(u)
    centre = x[mesh.tets].mean(axis=1)
    c = np.abs(centre[:, 2] - x[:, 2].mean())
    outer = (np.abs(centre[:, 0] - length / 2) < length / 8) & (c > 0.8 * c.max())
    wanted = load * (length - centre[:, 0]) * c / (b * h**3 / 12)
    assert outer.sum() > 50
    assert (given / wanted)[outer].mean() == pytest.approx(1.0, abs=0.03)


def _at(x: np.ndarray, place: float) -> np.ndarray:
    return np.flatnonzero(np.abs(x[:, 0] - place) < 1e-9)
