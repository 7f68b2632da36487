"""Shapes against points set at known distances; forces and derivatives against differences."""

from __future__ import annotations

from itertools import product

import numpy as np
import oracles
import pytest
from scipy.spatial.transform import Rotation

from hodsim.dynamics.contact import Law, solid_of
from hodsim.dynamics.contact.law import potential, pressure, steepness
from hodsim.scene import Obstacle, Shape

SHAPES = {
    "half_space": Shape("half_space", point=(0.1, 0.2, -0.3), normal=(1.0, -2.0, 2.5)),
    "sphere": Shape("sphere", center=(0.3, -0.2, 0.1), radius=0.7),
    "box": Shape("box", center=(0.1, 0.2, -0.1), size=(0.9, 1.2, 1.6), turn=(20, -50, 70)),
    "sharp": Shape("box", center=(0.1, 0.2, -0.1), size=(0.9, 1.2, 1.6), rounding=0.0),
}
every_shape = pytest.mark.parametrize("name", SHAPES)


def _at_distance(shape: Shape, t: float, rng: np.random.Generator) -> np.ndarray:
    """A point [m] whose signed distance from the surface is t > -rounding, built from the shape."""
    if shape.kind == "half_space":
        n = np.array(shape.normal) / np.linalg.norm(shape.normal)
        along = np.cross(n, rng.normal(size=3))
        return np.array(shape.point) + along + t * n
    if shape.kind == "sphere":
        n = rng.normal(size=3)
        return np.array(shape.center) + (shape.radius + t) * n / np.linalg.norm(n)
    # A face, edge or corner of the inner box, and a way out of it there.
    sides = rng.choice([-1.0, 0.0, 1.0], 3)
    sides[0] = sides[0] if sides.any() else 1.0
    half = 0.5 * np.array(shape.size) - shape.rounding
    y = np.where(sides == 0.0, rng.uniform(-1, 1, 3) * half, sides * half)
    out = np.abs(rng.normal(size=3)) * sides
    y = y + (shape.rounding + t) * out / np.linalg.norm(out)
    turn = Rotation.from_rotvec(np.radians(shape.turn or (0, 0, 0)))
    return np.array(shape.center) + turn.apply(y)


@every_shape
def test_distances_are_those_that_points_were_set_at(name: str) -> None:
    rng, shape = np.random.default_rng(3), SHAPES[name]
    least = -0.9 * shape.rounding if shape.kind == "box" else -0.5
    for t in np.linspace(least, 0.6, 60):
        x = _at_distance(shape, t, rng)
        assert solid_of(shape).distance(x[None])[0] == pytest.approx(t, abs=1e-12)


def test_deep_in_a_box_the_nearest_face_counts() -> None:
    shape = Shape("box", center=(1.0, 0.0, 0.0), size=(0.4, 2.0, 2.0), rounding=0.1)
    x = np.array([[1.12, 0.3, -0.2], [0.95, 0.1, 0.1], [1.0, 0.2, -0.93]])
    assert solid_of(shape).distance(x) == pytest.approx([-0.08, -0.15, -0.07])
    n, H = solid_of(shape).geometry(x[:2])
    np.testing.assert_array_equal(n, [[1, 0, 0], [-1, 0, 0]])
    assert not H[1].any()


def test_middles_have_a_finite_normal() -> None:
    for name in ("sphere", "box"):
        shape = SHAPES[name]
        n, H = solid_of(shape).geometry(np.array([shape.center]))
        assert np.linalg.norm(n[0]) == pytest.approx(1.0)
        assert np.isfinite(H).all()


@every_shape
@pytest.mark.parametrize("smoothing", [0.0, 0.2])
def test_forces_and_tangents_are_derivatives(name: str, smoothing: float) -> None:
    """Central differences of the potential and of the forces, at many points, with rate 2."""
    rng, shape = np.random.default_rng(5), SHAPES[name]
    steps = np.array([4e-3, 2e-3, 1e-3])
    x = np.array([_at_distance(shape, t, rng) for t in rng.uniform(-0.4, 0.2, 200)])
    v = rng.normal(size=x.shape)
    speed = np.linalg.norm(v, axis=1)
    solid, e = solid_of(shape), 1.2
    # Not where the pressure sets in, changes its law, or the distance or the friction does.
    away = np.full(len(x), True)
    for h, axis, sign in product(steps, np.eye(3), (-1.0, 1.0)):
        there = solid.distance(x + sign * h * axis)
        here = solid.distance(x)
        away &= (there < 0) == (here < 0)
        away &= (there < -smoothing) == (here < -smoothing)
        n, H = solid.geometry(x)
        n2, H2 = solid.geometry(x + sign * h * axis)
        away &= (np.abs(n - n2).max(axis=1) < 0.1) & ((H == 0) == (H2 == 0)).all(axis=(1, 2))
    slip = np.linalg.norm(v - (v * n).sum(axis=1)[:, None] * n, axis=1)
    away &= np.abs(slip - e) > 0.05
    assert (away & (solid.distance(x) < 0)).sum() > 25
    assert (away & (slip < e)).any()
    assert (away & (slip > e)).any()
    x, v, speed = x[away], v[away], speed[away]
    areas = rng.uniform(0.5, 1.5, len(x))
    law = Law((Obstacle(shape, 7.0, 0.6, smoothing, e),), areas)
    smooth = Law((Obstacle(shape, 7.0, 0.0, smoothing),), areas)
    n = len(x)

    def energies(y: np.ndarray) -> np.ndarray:
        return np.array([Law(smooth.obstacles, areas[[i]]).energy(y[[i]]) for i in range(n)])

    t = law.tangent(x, v)
    assert len(t.points) == (solid.distance(x) < 0).sum()
    place, brake = np.zeros((n, 3, 3)), np.zeros((n, 3, 3))
    place[t.points], brake[t.points] = t.push + t.drag, t.brake
    np.testing.assert_allclose(t.push, t.push.transpose(0, 2, 1), atol=1e-12)
    np.testing.assert_allclose(t.brake, t.brake.transpose(0, 2, 1), atol=1e-12)
    assert np.linalg.eigvalsh(t.brake).max() < 1e-12
    orders = []
    for axis in np.eye(3):
        d = np.tile(axis, (n, 1))
        cases = (
            (energies, x, -(smooth.force(x, v) @ axis)),
            (lambda y: law.force(y, v), x, place @ axis),
            (lambda w: law.force(x, w), v, brake @ axis),
        )
        for f, at, wanted in cases:
            errors = oracles.central_errors(f, wanted, at, d, steps)
            if errors[-1] < 1e-10:  # exact but for rounding: a plane's pressure is linear
                continue
            orders.append(oracles.observed_orders(errors))
    assert len(orders) >= 3
    print(name, smoothing, np.array(orders).round(3).tolist())
    # Measured 1.98 to 2.04.
    assert np.array(orders) == pytest.approx(2.0, abs=0.1)


def test_the_pressure_sets_in_with_two_derivatives() -> None:
    shape = SHAPES["sphere"]
    for smoothing in (0.0, 0.02):
        o = Obstacle(shape, 5e3, smoothing=smoothing)
        edges = np.array([0.0, smoothing]) if smoothing else np.array([0.0])
        for f in (potential, pressure, *((steepness,) if smoothing else ())):
            gap = f(o, edges + 1e-9) - f(o, np.maximum(edges - 1e-9, 0.0))
            assert np.abs(gap).max() < 1e-6 * 5e3
        assert pressure(o, np.array([0.1]))[0] == pytest.approx(5e3 * (0.1 - smoothing / 2))


def test_friction_is_coulombs() -> None:
    """Against the slip, mu N once it is faster than `slip`, and power is only ever lost."""
    rng, shape = np.random.default_rng(0), SHAPES["half_space"]
    n = np.array(shape.normal) / np.linalg.norm(shape.normal)
    x = np.array([_at_distance(shape, -0.01, rng) for _ in range(50)])
    v = rng.normal(size=x.shape) * np.geomspace(1e-6, 10, 50)[:, None]
    law = Law((Obstacle(shape, 1e4, 0.3, slip=1e-2),), np.full(50, 0.02))
    f = law.force(x, v)
    normal = f @ n
    assert normal == pytest.approx(1e4 * 0.01 * 0.02)
    friction = f - normal[:, None] * n
    slip = v - (v @ n)[:, None] * n
    size, speed = np.linalg.norm(friction, axis=1), np.linalg.norm(slip, axis=1)
    assert (size < 0.3 * normal * (1 + 1e-12)).all()
    assert size[speed > 1e-2] == pytest.approx(0.3 * normal[speed > 1e-2])
    np.testing.assert_allclose(friction * speed[:, None], -slip * size[:, None], atol=1e-12)
    s = speed[speed < 1e-2] / 1e-2
    assert size[speed < 1e-2] == pytest.approx(0.3 * 2.0 * (2 * s - s * s))
    assert not law.force(x, 0 * v)[:, 0].max() - f.min() < 0  # finite where nothing slips
    assert np.isfinite(law.tangent(x, 0 * v).brake).all()


def test_forces_of_several_obstacles_add_up() -> None:
    rng = np.random.default_rng(1)
    x, v = rng.normal(size=(40, 3)) * 0.4, rng.normal(size=(40, 3))
    all_ = tuple(Obstacle(s, 10.0 + i, 0.2, name=k) for i, (k, s) in enumerate(SHAPES.items()))
    areas = rng.random(40)
    whole = Law(all_, areas)
    alone = [Law((o,), areas) for o in all_]
    np.testing.assert_allclose(whole.force(x, v), sum(law.force(x, v) for law in alone))
    assert whole.energy(x) == pytest.approx(sum(law.energy(x) for law in alone))
    one, t = np.zeros((40, 3, 3)), whole.tangent(x, v)
    np.add.at(one, t.points, t.push)
    two = np.zeros_like(one)
    for law in alone:
        t = law.tangent(x, v)
        np.add.at(two, t.points, t.push)
    np.testing.assert_allclose(one, two)
