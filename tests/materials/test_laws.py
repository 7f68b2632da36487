"""Every law against central differences, symmetry, linear elasticity and float64 autograd."""

from __future__ import annotations

import numpy as np
import pytest
from oracles import central_errors, energy_density, observed_orders, piola, piola_along
from scipy.spatial.transform import Rotation
from torch import tensor

from hodsim import InputError
from hodsim.materials import LAWS, Law, evaluate, lame, law_named

EPS = np.finfo(float).eps
MU, LAM = 3.0, 4.0
# Principal stretches; all differ, and no two add up to 0, where no nearest rotation is unique.
STRETCHES = {
    "mild": (1.1, 1.02, 0.95),
    "stretched": (2.2, 1.5, 0.9),
    "compressed": (0.6, 0.4, 0.25),
    "inverted": (1.2, 0.8, -0.35),
}
every_law = pytest.mark.parametrize("law", LAWS.values(), ids=LAWS.keys())
every_shape = pytest.mark.parametrize("shape", STRETCHES)


def _rotations(k: int, seed: int) -> np.ndarray:
    return Rotation.random(k, np.random.default_rng(seed)).as_matrix()


def _deformations(shape: str, k: int = 5, seed: int = 0) -> np.ndarray:
    return _rotations(k, seed) @ np.diag(STRETCHES[shape]) @ _rotations(k, seed + 1)


def _directions(k: int = 5, seed: int = 2) -> np.ndarray:
    d = np.random.default_rng(seed).standard_normal((k, 3, 3))
    return d / np.linalg.norm(d, axis=(1, 2), keepdims=True)


def _evaluate(law: Law, F: np.ndarray, dF: np.ndarray) -> tuple[np.ndarray, ...]:
    return evaluate(law, F, dF, *law.parameters(MU, LAM))


@every_law
@every_shape
def test_energy_stress_and_tangent_are_those_of_autograd(law: Law, shape: str) -> None:
    F, dF = _deformations(shape), _directions()
    W, P, dP = _evaluate(law, F, dF)
    # All of order mu; a polar decomposition is worth a few tens of eps.
    close = {"rtol": 1000 * EPS, "atol": 1000 * EPS * MU}
    for k in range(len(F)):
        energy = energy_density(law.name, tensor(F[k]), MU, LAM).item()
        np.testing.assert_allclose(W[k], energy, **close)
        np.testing.assert_allclose(P[k], piola(law.name, F[k], MU, LAM), **close)
        # Divided differences of singular values: their least gap here is 0.07.
        wanted = piola_along(law.name, F[k], dF[k], MU, LAM)
        np.testing.assert_allclose(dP[k], wanted, rtol=1e-11, atol=1e-11 * MU)


@every_law
@every_shape
def test_stress_is_the_derivative_of_energy(law: Law, shape: str) -> None:
    F, dF = _deformations(shape), _directions()
    _, P, _ = _evaluate(law, F, dF)
    # At h = 0.02 2^-k the error's h^2 term leads by far, and rounding, eps / h, is unseen.
    errors = central_errors(
        lambda x: _evaluate(law, x, dF)[0], (P * dF).sum((1, 2)), F, dF, 0.02 * 0.5 ** np.arange(4)
    )
    assert observed_orders(errors) == pytest.approx(2.0, abs=0.05)


@every_law
@every_shape
def test_tangent_is_the_derivative_of_stress(law: Law, shape: str) -> None:
    F, dF = _deformations(shape), _directions()
    _, _, dP = _evaluate(law, F, dF)
    errors = central_errors(
        lambda x: _evaluate(law, x, dF)[1], dP, F, dF, 0.02 * 0.5 ** np.arange(4)
    )
    assert observed_orders(errors) == pytest.approx(2.0, abs=0.05)


@every_law
@every_shape
def test_tangent_is_symmetric(law: Law, shape: str) -> None:
    F, a, b = _deformations(shape), _directions(seed=3), _directions(seed=4)
    _, _, along_a = _evaluate(law, F, a)
    _, _, along_b = _evaluate(law, F, b)
    left, right = (b * along_a).sum((1, 2)), (a * along_b).sum((1, 2))
    np.testing.assert_allclose(left, right, rtol=1000 * EPS, atol=1000 * EPS * MU)


@every_law
@every_shape
def test_rotating_the_body_rotates_the_stress(law: Law, shape: str) -> None:
    F, dF, Q = _deformations(shape), _directions(), _rotations(5, seed=5)
    W, P, dP = _evaluate(law, F, dF)
    turned = _evaluate(law, Q @ F, Q @ dF)
    for got, wanted in zip(turned, (W, Q @ P, Q @ dP), strict=True):
        np.testing.assert_allclose(got, wanted, rtol=1000 * EPS, atol=1000 * EPS * MU)


@every_law
@every_shape
def test_isotropy(law: Law, shape: str) -> None:
    F, dF, Q = _deformations(shape), _directions(), _rotations(5, seed=6)
    W, P, dP = _evaluate(law, F, dF)
    turned = _evaluate(law, F @ Q, dF @ Q)
    for got, wanted in zip(turned, (W, P @ Q, dP @ Q), strict=True):
        np.testing.assert_allclose(got, wanted, rtol=1000 * EPS, atol=1000 * EPS * MU)


@every_law
@pytest.mark.parametrize("poisson", [-0.5, 0.0, 0.3, 0.49])
def test_rest_is_free_of_stress_and_linear_elastic(law: Law, poisson: float) -> None:
    mu, lam = lame(7.0, poisson)
    R, dF = _rotations(5, seed=7), _directions()
    W, P, dP = evaluate(law, R, R @ dF, *law.parameters(mu, lam))
    scale = mu + abs(lam)
    np.testing.assert_allclose(W, 0.0, atol=100 * EPS * scale)
    np.testing.assert_allclose(P, 0.0, atol=100 * EPS * scale)
    strain = (dF + dF.transpose(0, 2, 1)) / 2
    hooke = 2 * mu * strain + lam * np.trace(strain, axis1=1, axis2=2)[:, None, None] * np.eye(3)
    np.testing.assert_allclose(dP, R @ hooke, atol=100 * EPS * scale)


def test_lame() -> None:
    """A bar pulled along x: stress E, lateral strain -nu."""
    for young, poisson in ((5e5, 0.4), (2.0, 0.0), (3.0, -0.4)):
        mu, lam = lame(young, poisson)
        strain = np.diag([1.0, -poisson, -poisson])
        stress = 2 * mu * strain + lam * np.trace(strain) * np.eye(3)
        np.testing.assert_allclose(stress, np.diag([young, 0, 0]), atol=10 * EPS * young)


@every_law
def test_flat_and_pointlike_tets_give_finite_stress(law: Law) -> None:
    F = np.array([np.diag(s) for s in ((1.0, 1.0, 0.0), (1.0, 0.0, 0.0), (0.0, 0.0, 0.0))])
    W, P, _ = _evaluate(law, F, _directions(3))
    assert np.isfinite(W).all()
    assert np.isfinite(P).all()


def test_unknown_law_is_refused() -> None:
    with pytest.raises(InputError, match=r"neo-hookean.*'rubber'"):
        law_named("rubber")
