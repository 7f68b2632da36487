"""Loads: totals, shares, moments, times, and their reduced form."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from hodsim import InputError, beam
from hodsim.fem import Body, Loads, make_body
from hodsim.scene import Load, MaterialSpec, Region

EPS = np.finfo(float).eps
SIZE = (0.7, 0.31, 0.29)
MASS = 700.0 * np.prod(SIZE)
NONE = np.empty(0, dtype=np.int64)
TIP = Region("box", min=(0.699, -1, -1), max=(1, 1, 1))


def _body(fixed: np.ndarray = NONE, mass: str = "lumped") -> Body:
    return make_body(beam((2, 2, 1), SIZE), MaterialSpec("stvk", 5e3, 0.3, 700.0), fixed, mass)


def _load(kind: str, value: tuple[float, ...], region: Region | None = None) -> Load:
    return Load(kind, (0.0,), (value,), region)


def _forces(body: Body, load: Load, u: np.ndarray | None = None) -> np.ndarray:
    """Force on every vertex, (n_vertices, 3)."""
    loads = Loads(body, (load,))
    u = np.zeros(body.n_dofs) if u is None else u
    return body.expand(loads.force(loads.amplitudes(0.0), u))


def _tip(body: Body) -> np.ndarray:
    return np.flatnonzero(body.mesh.vertices[:, 0] > 0.699)


@pytest.mark.parametrize("mass", ["lumped", "consistent"])
def test_gravity_adds_up_to_the_weight(mass: str) -> None:
    g = (1.0, -2.0, -9.81)
    body = _body(mass=mass)
    f = _forces(body, _load("gravity", g))
    np.testing.assert_allclose(f.sum(axis=0), MASS * np.array(g), rtol=100 * EPS)
    # M g, all vertices moving along: the only force that leaves free fall free of stress.
    everywhere = np.tile(g, body.mesh.n_vertices)
    np.testing.assert_allclose(f.ravel(), body.mass @ everywhere, rtol=100 * EPS)


@pytest.mark.parametrize("mass", ["lumped", "consistent"])
def test_gravity_on_free_vertices_does_not_know_of_clamps(mass: str) -> None:
    free, held = _body(mass=mass), _body(np.arange(5), mass)
    load = _load("gravity", (0.0, 0.0, -9.81))
    np.testing.assert_allclose(_forces(held, load)[5:], _forces(free, load)[5:], rtol=10 * EPS)


def test_force_is_shared_equally_by_its_region() -> None:
    body = _body()
    f = _forces(body, _load("force", (3.0, -1.0, 2.0), TIP))
    tip = _tip(body)
    assert 1 < len(tip) < body.mesh.n_vertices
    wanted = np.zeros_like(f)
    wanted[tip] = np.array([3.0, -1.0, 2.0]) / len(tip)
    np.testing.assert_allclose(f, wanted, rtol=10 * EPS)


def test_point_force_is_all_on_one_vertex() -> None:
    body = _body()
    f = _forces(body, _load("force", (3.0, -1.0, 2.0), Region("nearest", nearest=(9, 9, 9))))
    k = np.linalg.norm(body.mesh.vertices - 9.0, axis=1).argmin()
    assert f[k].tolist() == [3.0, -1.0, 2.0]
    assert np.count_nonzero(f) == 3


@pytest.mark.parametrize(
    "region",
    [TIP, Region("box", min=(-1, -1, -1), max=(0.4, 1, 1)), Region("vertices", vertices=(0, 3, 8))],
    ids=["face", "half", "triangle"],
)
@pytest.mark.parametrize("tau", [(2.0, 0.0, 0.0), (0.0, -1.0, 0.0), (1.0, 2.0, -3.0)])
def test_torque_at_rest_has_its_moment_and_no_force(region: Region, tau: tuple[float, ...]) -> None:
    body = _body()
    f = _forces(body, _load("torque", tau, region))
    size = np.abs(f).sum()
    moment = np.cross(body.mesh.vertices, f).sum(axis=0)
    np.testing.assert_allclose(f.sum(axis=0), 0.0, atol=100 * EPS * size)
    np.testing.assert_allclose(moment, tau, atol=1000 * EPS * size)


def test_torque_turns_along_with_its_region() -> None:
    """Turned about the torque's axis, a principal one, and carried off: the same moment still."""
    body = _body()
    x = body.mesh.vertices
    load = _load("torque", (2.0, 0.0, 0.0), TIP)
    rest = _forces(body, load)
    for degrees in (30.0, 90.0, 200.0):
        Q = Rotation.from_euler("x", degrees, degrees=True).as_matrix()
        moved = x @ Q.T + [0.3, -0.2, 0.5]
        f = _forces(body, load, (moved - x).ravel())
        np.testing.assert_allclose(f, rest @ Q.T, atol=100 * EPS * np.abs(rest).max())
        np.testing.assert_allclose(f.sum(axis=0), 0.0, atol=1000 * EPS * np.abs(rest).sum())
        moment = np.cross(moved, f).sum(axis=0)
        np.testing.assert_allclose(moment, [2.0, 0.0, 0.0], atol=1000 * EPS * np.abs(rest).sum())


def test_torque_on_a_region_turned_otherwise() -> None:
    """Q I Q^T I^-1 tau, as documented: no net force, but neither the length nor the axis of tau."""
    body = _body()
    x, tip, tau = body.mesh.vertices, _tip(body), np.array([2.0, 0.0, 0.0])
    Q = Rotation.from_euler("y", 60, degrees=True).as_matrix()
    moved = x @ Q.T
    f = _forces(body, _load("torque", tuple(tau), TIP), (moved - x).ravel())
    r = x[tip] - x[tip].mean(axis=0)
    inertia = (r * r).sum() * np.eye(3) - r.T @ r
    wanted = Q @ inertia @ Q.T @ np.linalg.solve(inertia, tau)
    np.testing.assert_allclose(f.sum(axis=0), 0.0, atol=1000 * EPS * np.abs(f).sum())
    np.testing.assert_allclose(np.cross(moved, f).sum(axis=0), wanted, atol=1e-12)
    assert 0.3 * 2 < wanted[0] < 0.8 * 2


def test_torque_pushes_across_the_arms_about_the_moving_centroid() -> None:
    """Any deformation: f_i = w x (x_i - c) with the w of rest, and no net force."""
    body = _body()
    u = 0.05 * np.random.default_rng(0).standard_normal(body.n_dofs)
    tip, load = _tip(body), _load("torque", (1.0, 2.0, -3.0), TIP)

    def arms(u: np.ndarray) -> np.ndarray:
        x = (body.mesh.vertices + body.expand(u))[tip]
        return x - x.mean(axis=0)

    rest = arms(0.0 * u)
    inertia = sum((r @ r) * np.eye(3) - np.outer(r, r) for r in rest)
    w = np.linalg.solve(inertia, [1.0, 2.0, -3.0])
    f = _forces(body, load, u)
    np.testing.assert_allclose(f[tip], np.cross(w, arms(u)), atol=1e-13 * np.abs(f).max())
    assert np.count_nonzero(f) == 3 * len(tip)
    np.testing.assert_allclose(f.sum(axis=0), 0.0, atol=100 * EPS * np.abs(f).sum())


def test_loads_are_piecewise_linear_in_time_and_add_up() -> None:
    body = _body(np.arange(4))
    ramp = Load("force", (0.1, 0.3, 0.4), ((0, 0, 0), (4, 0, -2), (0, 0, 0)), TIP)
    torque = Load("torque", (0.0, 1.0), ((1, 0, 0), (3, 0, 0)), TIP)
    loads = Loads(body, (ramp, torque))
    table = {
        0.0: (0, 0, 0, 1, 0, 0),
        0.1: (0, 0, 0, 1.2, 0, 0),
        0.15: (1, 0, -0.5, 1.3, 0, 0),
        0.3: (4, 0, -2, 1.6, 0, 0),
        0.35: (2, 0, -1, 1.7, 0, 0),
        0.5: (0, 0, 0, 2, 0, 0),
        7.0: (0, 0, 0, 3, 0, 0),
    }
    u = 0.05 * np.random.default_rng(0).standard_normal(body.n_dofs)
    for t, wanted in table.items():
        s = loads.amplitudes(t)
        np.testing.assert_allclose(s, wanted, atol=10 * EPS * 4)
        parts = [
            _forces(body, _load(load.kind, tuple(s[3 * k : 3 * k + 3]), TIP), u)
            for k, load in enumerate((ramp, torque))
        ]
        np.testing.assert_allclose(body.expand(loads.force(s, u)), sum(parts), atol=1e-13)


def test_reduced_loads_are_the_full_ones_seen_through_the_basis() -> None:
    body = _body(np.arange(4))
    rng = np.random.default_rng(0)
    B, z = rng.standard_normal((body.n_dofs, 5)), rng.standard_normal(5)
    loads = Loads(
        body,
        (
            Load("torque", (0.0, 1.0), ((1, 0, 0), (3, -2, 5)), TIP),
            _load("gravity", (0.0, 1.0, -9.81)),
            Load("force", (0.0, 1.0), ((0, 0, 0), (4, 1, -2)), TIP),
            _load("torque", (0.0, 2.0, 1.0), Region("vertices", vertices=(5, 9, 14, 20))),
        ),
    )
    reduced = loads.reduce(B)
    for t in (0.0, 0.4, 2.0):
        p, G = reduced.at(t)
        wanted = B.T @ loads.force(loads.amplitudes(t), B @ z)
        np.testing.assert_allclose(p + G @ z, wanted, atol=1e-12 * np.abs(wanted).max())


def test_no_loads_at_all() -> None:
    body = _body()
    loads = Loads(body, ())
    u = np.zeros(body.n_dofs)
    assert loads.amplitudes(0.3).shape == (0,)
    np.testing.assert_array_equal(loads.force(loads.amplitudes(0.3), u), u)
    p, G = loads.reduce(np.eye(body.n_dofs)[:, :3]).at(0.3)
    assert not p.any()
    assert G.shape == (3, 3)
    assert not G.any()


def test_torque_needs_a_region_with_extent() -> None:
    body = _body()
    line = Region("box", min=(-1, -1, -1), max=(0, -0.154, 1))  # one edge of the root face
    for region in (Region("nearest", nearest=(1, 0, 0)), line):
        with pytest.raises(InputError, match="torque: expected a region with extent"):
            Loads(body, (_load("torque", (1.0, 0.0, 0.0), region),))
    with pytest.raises(InputError, match="at least one vertex"):
        Loads(
            body, (_load("force", (1.0, 0.0, 0.0), Region("sphere", center=(9, 9, 9), radius=1)),)
        )
