"""Modes against a dense eigensolver and a beam's theory, derivatives against autograd."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.linalg
import torch

from hodsim import InputError, beam
from hodsim.fem import Body, make_body
from hodsim.materials import lame
from hodsim.scene import MaterialSpec
from hodsim.subspaces import fit_modal, modal_derivatives, vibration_modes
from hodsim.subspaces.modal import stiffness_slopes

YOUNG, POISSON = 2e4, 0.3


def _body(
    law: str = "neo-hookean",
    cells: tuple[int, int, int] = (2, 1, 1),
    size: tuple[float, float, float] = (0.8, 0.2, 0.3),
    clamped: bool = True,
    density: float = 900.0,
    mass: str = "lumped",
    poisson: float = POISSON,
) -> Body:
    mesh = beam(cells, size)
    fixed = np.flatnonzero(mesh.vertices[:, 0] <= 0.0) if clamped else np.empty(0, dtype=int)
    return make_body(mesh, MaterialSpec(law, YOUNG, poisson, density), fixed, mass)


def _at_rest(body: Body) -> np.ndarray:
    return np.asarray(body.stiffness(np.zeros(body.n_dofs)).toarray())


@pytest.mark.parametrize("mass", ["lumped", "consistent"])
def test_modes_against_a_dense_solver(mass: str) -> None:
    body = _body(mass=mass)
    values, modes = vibration_modes(body, 8)
    M = body.mass.toarray()
    wanted, vectors = scipy.linalg.eigh(_at_rest(body), M)
    np.testing.assert_allclose(values, wanted[:8], rtol=1e-9)
    np.testing.assert_allclose(modes.T @ M @ modes, np.eye(8), atol=1e-9)
    along = np.abs(np.sum(modes * (M @ vectors[:, :8]), axis=0))
    np.testing.assert_allclose(along, 1.0, atol=1e-6)


def test_a_slender_beam_vibrates_as_theory_says() -> None:
    """Euler and Bernoulli: omega = 1.8751^2 sqrt(E I / (rho A L^4)). Linear tets are too stiff, by
    an error that falls as the square of their size."""
    wanted = 1.8751**2 * np.sqrt(YOUNG * 0.06**2 / 12.0 / 900.0)
    errors = []
    for k in (1, 2, 4):
        body = _body(cells=(12 * k, k, k), size=(1.0, 0.06, 0.06), poisson=0.0)
        values, _ = vibration_modes(body, 1)
        errors.append(np.sqrt(values[0]) / wanted - 1.0)
    print(errors)
    assert errors[0] > errors[1] > errors[2] > 0.0
    assert abs(errors[2] - (errors[1] - errors[2]) / 3.0) < 0.02


def _energy(body: Body, law: str, u: torch.Tensor) -> torch.Tensor:
    """Elastic energy of displacements (n_dofs,), by the laws' formulas in invariants of F."""
    mu, lam = lame(YOUNG, POISSON)
    x = torch.tensor(body.mesh.vertices)
    full = torch.zeros_like(x).index_put((torch.from_numpy(body.free_vertices),), u.reshape(-1, 3))
    corners = body.mesh.tets
    edges = (x[corners[:, 1:]] - x[corners[:, :1]]).transpose(1, 2)
    moved = (full[corners[:, 1:]] - full[corners[:, :1]]).transpose(1, 2)
    F = torch.eye(3, dtype=u.dtype) + moved @ torch.linalg.inv(edges)
    C = F.transpose(1, 2) @ F
    trace = C.diagonal(dim1=1, dim2=2).sum(1)
    if law == "stvk":
        E = 0.5 * (C - torch.eye(3, dtype=u.dtype))
        W = mu * (E * E).sum((1, 2)) + 0.5 * lam * E.diagonal(dim1=1, dim2=2).sum(1) ** 2
    else:
        a, b = 4.0 / 3.0 * mu, lam + 5.0 / 6.0 * mu
        J = torch.linalg.det(F) - 1.0 - 0.75 * a / b
        W = 0.5 * (a * (trace - 3.0 - torch.log(trace + 1.0)) + b * J**2)
    return (torch.tensor(body.mesh.volumes) * W).sum()


@pytest.mark.parametrize("law", ["stvk", "neo-hookean"])
def test_derivatives_against_autograd(law: str) -> None:
    """(dK/dq_j) phi_i is the gradient of D^2 E[phi_i, phi_j], by autograd three times."""
    body = _body(law)
    _, modes = vibration_modes(body, 3)
    slopes, derivatives = stiffness_slopes(body, modes), modal_derivatives(body, modes)
    K = _at_rest(body)
    directions = torch.from_numpy(modes)
    for i in range(3):
        for j in range(3):
            u = torch.zeros(body.n_dofs, dtype=torch.float64, requires_grad=True)
            s = torch.zeros(2, dtype=torch.float64, requires_grad=True)
            at = u + s[0] * directions[:, i] + s[1] * directions[:, j]
            (first,) = torch.autograd.grad(_energy(body, law, at), s, create_graph=True)
            (second,) = torch.autograd.grad(first[0], s, create_graph=True)
            (third,) = torch.autograd.grad(second[1], u)
            wanted = third.numpy()
            assert np.abs(slopes[i, j] - wanted).max() < 1e-9 * np.abs(wanted).max()
            np.testing.assert_array_equal(derivatives[i, j], derivatives[j, i])
            left = K @ derivatives[i, j] + wanted
            assert np.abs(left).max() < 1e-9 * np.abs(wanted).max()


def test_a_derivative_is_how_its_mode_changes() -> None:
    """Without symmetrising: K at two poses along a mode, plain central differences."""
    body = _body()
    _, modes = vibration_modes(body, 4)
    slopes = stiffness_slopes(body, modes)
    h = 1e-4 / np.abs(modes).max()
    for i in range(4):
        for j in range(4):
            near, far = (body.stiffness(s * h * modes[:, j]) @ modes[:, i] for s in (1, -1))
            wanted = (near - far) / (2 * h)
            assert np.abs(slopes[i, j] - wanted).max() < 1e-4 * np.abs(slopes).max()


def test_the_reduction_is_the_papers() -> None:
    body = _body()
    values, modes = vibration_modes(body, 5)
    theta = modal_derivatives(body, modes)
    columns = [modes[:, i] * values[0] / values[i] for i in range(5)]
    columns += [
        theta[i, j] * values[0] ** 2 / (values[i] * values[j])
        for i in range(5)
        for j in range(i, 5)
    ]
    root = np.sqrt(body.mass.diagonal())
    U = np.linalg.svd(root[:, None] * np.array(columns).T)[0]
    found = fit_modal(body, 7, 5)
    np.testing.assert_allclose(
        np.abs(np.sum((root[:, None] * found.basis) * U[:, :7], axis=0)), 1.0, atol=1e-5
    )
    again = fit_modal(body, 7, 5)
    np.testing.assert_array_equal(found.basis, again.basis)
    for r in (2, 7):
        assert found.subspace(r, "modal").rank == r


def test_bodies_without_modes() -> None:
    for body in (_body(clamped=False), _body(density=0.0)):
        with pytest.raises(InputError, match="expected a clamped body with mass"):
            fit_modal(body, 2)
    with pytest.raises(InputError, match=r"rank: expected 1 to 5, .*given 6"):
        fit_modal(_body(), 6, 2)
