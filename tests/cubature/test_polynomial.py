"""The polynomial of a St. Venant-Kirchhoff body against its assembled forces, and on disk."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import oracles
import pytest
import safetensors
import safetensors.numpy
import torch

from hodsim import InputError, beam
from hodsim.cubature import (
    POLYNOMIALS,
    Polynomial,
    Quartic,
    elastic_polynomial,
    load_schemes,
    polynomial_of,
    save_polynomial,
)
from hodsim.cubature import polynomials as stored
from hodsim.fem import Body, make_body
from hodsim.materials import lame
from hodsim.scene import MaterialSpec
from hodsim.subspaces import Linear, Quadratic, Subspace, fit_modal

STVK = MaterialSpec("stvk", 5e3, 0.3, 700.0)


def body_of(
    material: MaterialSpec = STVK, cells: tuple[int, int, int] = (5, 2, 1), shift: float = 0.0
) -> Body:
    mesh = beam(cells, (0.9, 0.31, 0.29))
    fixed = np.flatnonzero(mesh.vertices[:, 0] <= 0.0)
    if shift:
        mesh = type(mesh)(mesh.vertices + shift, mesh.tets)
    return make_body(mesh, material, fixed)


def linear(body: Body, r: int) -> Linear:
    directions = np.random.default_rng(r).standard_normal((body.n_dofs, r))
    return Linear(np.linalg.qr(directions)[0])


def pair(body: Body, subspace: Subspace) -> Quartic:
    return Quartic(body, subspace, elastic_polynomial(body, subspace))


@pytest.mark.parametrize("poisson", [0.3, 0.0, -0.4, 0.49])
@pytest.mark.parametrize("r", [1, 2, 7, 30])
def test_it_is_the_assembled_force(r: int, poisson: float) -> None:
    body = body_of(replace(STVK, poisson=poisson))
    subspace = linear(body, r)
    U, exact = subspace.basis, pair(body, subspace)
    rng = np.random.default_rng(r)
    # From displacements that the assembly still tells from rounding of positions to ten beams.
    for size in (1e-3, 0.1, 1.0, 10.0):
        q = size * rng.standard_normal(r) / np.sqrt(r)
        f = U.T @ body.force(U @ q)
        K = U.T @ (body.stiffness(U @ q) @ U)
        assert np.linalg.norm(exact.force(q) - f) <= 1e-11 * np.linalg.norm(f)
        ours = exact.stiffness(q, np.eye(r))
        assert np.linalg.norm(ours - K) <= 1e-11 * np.linalg.norm(K)
        assert (ours == ours.T).all()
        assert exact.energy(q) == pytest.approx(body.energy(U @ q), rel=1e-11)
        J = rng.standard_normal((r, 3))
        np.testing.assert_allclose(exact.stiffness(q, J), J.T @ ours @ J, rtol=1e-11)


def test_it_is_the_energy_of_singular_values() -> None:
    """Against autograd through singular values, which knows nothing of the assembly."""
    body = body_of(cells=(2, 1, 1))
    subspace = linear(body, 4)
    exact, U = pair(body, subspace), subspace.basis
    rest = (body.mesh.vertices, body.mesh.tets)
    law = ("stvk", *lame(STVK.young, STVK.poisson))
    free = (3 * body.free_vertices[:, None] + np.arange(3)).ravel()
    for seed in range(3):
        q = 0.2 * np.random.default_rng(seed).standard_normal(4)
        full = body.expand(U @ q)
        energy = float(oracles.elastic_energy(*rest, torch.from_numpy(full), *law))
        f = U.T @ oracles.internal_force(*rest, full, *law).ravel()[free]
        K = U.T @ oracles.stiffness(*rest, full, *law)[np.ix_(free, free)] @ U
        assert exact.energy(q) == pytest.approx(energy, rel=1e-10)
        np.testing.assert_allclose(exact.force(q), f, atol=1e-10 * np.abs(f).max())
        ours = exact.stiffness(q, np.eye(4))
        np.testing.assert_allclose(ours, K, atol=1e-10 * np.abs(K).max())


def test_force_and_stiffness_are_slopes() -> None:
    body = body_of()
    exact = pair(body, linear(body, 6))
    rng = np.random.default_rng(5)
    q, d = 0.3 * rng.standard_normal(6), rng.standard_normal(6)
    steps = 0.2 * 0.5 ** np.arange(4)
    errors = oracles.central_errors(
        lambda x: np.array(exact.energy(x)), exact.force(q) @ d, q, d, steps
    )
    assert oracles.observed_orders(errors) == pytest.approx(2.0, abs=0.01)
    slope = exact.stiffness(q, np.eye(6)) @ d
    errors = oracles.central_errors(exact.force, slope, q, d, steps)
    assert oracles.observed_orders(errors) == pytest.approx(2.0, abs=0.01)


def test_a_manifold_has_one_in_its_features() -> None:
    body = body_of()
    rng = np.random.default_rng(0)
    V = linear(body, 3).basis
    curved = Quadratic(V, 0.3 * rng.standard_normal((body.n_dofs, 6)) / 10.0)
    exact, B = pair(body, curved), curved.basis
    q = 0.4 * rng.standard_normal(3)
    at = curved.lanes(q)
    f = at.J.T @ (B.T @ body.force(B @ at.z))
    K = at.J.T @ B.T @ (body.stiffness(B @ at.z) @ B) @ at.J
    assert np.linalg.norm(at.J.T @ exact.force(at.z) - f) <= 1e-11 * np.linalg.norm(f)
    assert np.linalg.norm(exact.stiffness(at.z, at.J) - K) <= 1e-11 * np.linalg.norm(K)


def test_nothing_turns_on_where_the_body_stands() -> None:
    """Positions are never rounded: a micrometre's pull is right 1 km from the origin, too."""
    near, far = body_of(), body_of(shift=1000.0)
    subspace = linear(near, 5)
    q = 1e-6 * np.random.default_rng(1).standard_normal(5)
    wanted = pair(near, subspace).force(q)
    found = pair(far, subspace).force(q)
    # What the rest shape itself loses: eps 1000 m of edges of 0.2 m, some times over.
    assert np.linalg.norm(found - wanted) <= 1e-10 * np.linalg.norm(wanted)
    assembled = subspace.basis.T @ far.force(subspace.basis @ q)
    assert np.linalg.norm(assembled - wanted) > 1e-8 * np.linalg.norm(wanted)


def test_blocks_of_tets_add_up() -> None:
    body = body_of(cells=(9, 3, 3))
    seen: list[tuple[int, int]] = []
    elastic_polynomial(body, linear(body, 2), lambda k, n: seen.append((k, n)))
    m = body.mesh.n_tets
    assert m > 512
    assert seen[0] == (0, m)
    assert seen[-1] == (m, m)
    assert len(seen) == 2 + (m - 1) // 256


@pytest.mark.parametrize("law", ["neo-hookean", "corotational"])
def test_another_material_is_refused_by_name(law: str) -> None:
    body = body_of(replace(STVK, law=law))
    with pytest.raises(InputError, match=f"expected the material law stvk, .* given '{law}'"):
        elastic_polynomial(body, linear(body, 2))


def test_refusals() -> None:
    body = body_of()
    subspace = linear(body, 3)
    found = elastic_polynomial(body, subspace)
    found.check(body, subspace)
    with pytest.raises(InputError, match="free degrees of freedom"):
        elastic_polynomial(body, Linear(np.eye(9)[:, :2]))
    with pytest.raises(InputError, match="at most 64 features, given 65"):
        elastic_polynomial(body, linear(body, 65))
    with pytest.raises(InputError, match="one for this pca-3, given one for another pca-3"):
        Quartic(body, Linear(subspace.basis * (1.0 + 1e-9)), found)
    with pytest.raises(InputError, match="for this modal-3"):
        found.check(body, Linear(subspace.basis, "modal"))
    stiffer = body_of(replace(STVK, young=6e3))
    with pytest.raises(InputError, match="another mesh, clamps or material"):
        found.check(stiffer, subspace)
    # What the elastic energy does not depend on may differ.
    found.check(body_of(replace(STVK, density=1.0)), subspace)
    with pytest.raises(InputError, match="expected 10 finite cubic coefficients of 3 features"):
        replace(found, cubic=found.cubic[:-1])
    with pytest.raises(InputError, match="finite quartic"):
        replace(found, quartic=np.full_like(found.quartic, np.nan))


def test_those_of_modes_go_to_disk_and_back(tmp_path: Path) -> None:
    body = body_of()
    subspace = fit_modal(body, 4, 4).subspace(4, "modal")
    assert load_schemes(tmp_path) == {}
    found = elastic_polynomial(body, subspace)
    place = save_polynomial(tmp_path, found)
    assert place == tmp_path / POLYNOMIALS / "modal-4.safetensors"
    schemes = load_schemes(tmp_path)
    assert list(schemes) == ["modal-4 polynomial"]
    read = polynomial_of(body, subspace, schemes)
    assert read is schemes["modal-4 polynomial"]
    for name in ("quadratic", "cubic", "quartic", "fingerprint"):
        np.testing.assert_array_equal(getattr(read, name), getattr(found, name))
    assert (read.width, read.rank, read.origin) == (4, 4, found.origin)
    # None there: computed; another's there: told.
    fresh = polynomial_of(body, subspace)
    np.testing.assert_array_equal(fresh.quartic, found.quartic)
    other = fit_modal(body_of(cells=(4, 2, 1)), 4, 4).subspace(4, "modal")
    with pytest.raises(InputError, match="compute it again"):
        polynomial_of(body_of(cells=(4, 2, 1)), other, schemes)


def test_long_work_is_not_started_unasked(monkeypatch: pytest.MonkeyPatch) -> None:
    body = body_of()
    subspace = linear(body, 3)
    monkeypatch.setattr(stored, "_PATIENCE", 1.0)
    with pytest.raises(InputError, match="hodsim cubature --subspaces pca-3:polynomial"):
        polynomial_of(body, subspace)


Change = Callable[[dict[str, np.ndarray], dict[str, Any]], Any]


@pytest.mark.parametrize(
    "change",
    [
        lambda arrays, told: told.__setitem__("width", True),
        lambda arrays, told: told.__setitem__("width", 10**9),
        lambda arrays, told: told.__setitem__("width", -2),
        lambda arrays, told: told.__setitem__("rank", 4),
        lambda arrays, told: told.__setitem__("subspace", "../pca"),
        lambda arrays, told: told.__setitem__("origin", None),
        lambda arrays, told: told.__setitem__("format", 99),
        lambda arrays, told: arrays.pop("cubic").size * 0,
        lambda arrays, told: arrays.__setitem__("cubic", arrays["cubic"][:-1]),
        lambda arrays, told: arrays.__setitem__("quartic", arrays["quartic"].astype(np.float32)),
        lambda arrays, told: arrays.__setitem__("quartic", np.nan * arrays["quartic"]),
        lambda arrays, told: "[" * 100_000,
        lambda arrays, told: "null",
    ],
)
def test_hostile_files(tmp_path: Path, change: Change) -> None:
    body = body_of()
    place = save_polynomial(tmp_path, elastic_polynomial(body, linear(body, 3)))
    with safetensors.safe_open(place, "np") as file:
        told = json.loads(file.metadata()["hodsim"])
        arrays = {k: file.get_tensor(k) for k in file.keys()}  # noqa: SIM118
    told = change(arrays, told) or told
    metadata = {"hodsim": told if isinstance(told, str) else json.dumps(told)}
    safetensors.numpy.save_file(arrays, place, metadata)
    with pytest.raises(InputError, match=r"cannot read it .*pca-3:polynomial`") as caught:
        load_schemes(tmp_path)
    assert "\n" not in str(caught.value)


def test_files_cut_anywhere(tmp_path: Path) -> None:
    body = body_of()
    place = save_polynomial(tmp_path, elastic_polynomial(body, linear(body, 2)))
    whole = place.read_bytes()
    for k in range(0, len(whole), 61):
        place.write_bytes(whole[:k])
        with pytest.raises(InputError, match="cannot read it"):
            load_schemes(tmp_path)


def test_coefficients_cannot_be_written_into() -> None:
    body = body_of()
    found = elastic_polynomial(body, linear(body, 2))
    assert isinstance(found, Polynomial)
    with pytest.raises(ValueError, match="read-only"):
        found.cubic[0] = 1.0
