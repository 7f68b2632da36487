"""Full space against an obstacle: rest, slopes and bounces that have answers on paper."""

from __future__ import annotations

import numpy as np
import oracles
import pytest

from hodsim import beam
from hodsim.dynamics import FullSpace, Trajectory, simulate
from hodsim.dynamics.contact import Contact
from hodsim.fem import Body, Loads, make_body, pardiso_available
from hodsim.scene import Damping, Load, MaterialSpec, NewtonSpec, Obstacle, Shape

SIZE = (0.3, 0.3, 0.2)
AREA, DENSITY, G = 0.09, 1000.0, 9.81
MASS = DENSITY * 0.3 * 0.3 * 0.2
STIFFNESS = 1e6  # N/m^3
WEIGHT_DEPTH = MASS * G / (AREA * STIFFNESS)


def _block(
    young: float = 1e6, damping: float = 0.02, cells: tuple[int, int, int] = (3, 3, 2)
) -> Body:
    material = MaterialSpec("neo-hookean", young, 0.3, DENSITY)
    return make_body(
        beam(cells, SIZE), material, np.empty(0, dtype=np.int64), damping=Damping(0.0, damping)
    )


def _floor(
    height: float, friction: float = 0.0, smoothing: float = 0.0, slip: float = 1e-3
) -> Obstacle:
    shape = Shape("half_space", point=(0.0, 0.0, height), normal=(0.0, 0.0, 1.0))
    return Obstacle(shape, STIFFNESS, friction, smoothing, slip)


def _gravity(body: Body, angle: float = 0.0) -> Loads:
    """Gravity on a slope that falls towards x: the floor stays level, the weight leans."""
    pull = (G * np.sin(angle), 0.0, -G * np.cos(angle))
    return Loads(body, (Load("gravity", (0.0,), (pull,)),))


@pytest.mark.parametrize("solver", ["superlu", "pardiso"])
@pytest.mark.parametrize("smoothing", [0.0, 1e-3, 1e-2])
def test_a_dropped_block_comes_to_rest_at_the_analytic_depth(smoothing: float, solver: str) -> None:
    if solver == "pardiso" and not pardiso_available():
        pytest.skip("pypardiso is not installed")
    body, tolerance = _block(), 1e-9
    space = FullSpace(
        body,
        _gravity(body),
        0.005,
        newton_spec=NewtonSpec(tolerance),
        solver=solver,
        obstacles=(_floor(-0.12, 0.5, smoothing),),
    )
    motion = simulate(space, 400)
    assert space.contact.depth(motion.z[0]).max() < -0.019  # it falls 2 cm first
    fastest = np.abs(motion.dz).max()
    assert fastest > 0.5
    u, areas = motion.z[-1], space.contact.points.areas
    depth = space.contact.depth(u)
    on = depth > 0
    assert areas[on].sum() == pytest.approx(AREA)  # its whole bottom, and nothing else
    # What is left of the motion, by momentum: k A times the error is M (u'' + alpha u').
    left = np.abs(motion.dz[-1] - motion.dz[-2]).max() / 0.005 / G
    pressure = MASS * G / AREA
    wanted = WEIGHT_DEPTH + smoothing / 2
    if wanted < smoothing:
        wanted = np.sqrt(2 * smoothing * pressure / STIFFNESS)
    mean = np.average(depth[on], weights=areas[on])
    print(f"{smoothing}: depth {mean:.9f} m, wanted {wanted:.9f} m, g left {left:.1e}")
    # Neither the mesh nor Young's modulus has a part in it where the pressure is linear in depth;
    # where it is a square, the waviness of the bottom has, squared.
    waves = 0.0 if smoothing < WEIGHT_DEPTH else np.var(depth[on]) / mean**2
    assert mean == pytest.approx(wanted, rel=10 * tolerance + 2 * left + waves)
    assert left < 1e-4
    force = space.contact.force(u, motion.dz[-1]).reshape(-1, 3).sum(axis=0)
    assert force[2] == pytest.approx(MASS * G, rel=10 * tolerance + 2 * left)
    print(np.ptp(depth[on]), left)


def test_the_depth_does_not_depend_on_the_mesh() -> None:
    depths = []
    for cells in ((1, 1, 1), (2, 3, 1), (4, 4, 2)):
        body = _block(cells=cells, young=1e7)
        space = FullSpace(body, _gravity(body), 0.02, obstacles=(_floor(-0.1),))
        u = simulate(space, 150).z[-1]
        d, a = space.contact.depth(u), space.contact.points.areas
        depths.append(np.average(d[d > 0], weights=a[d > 0]))
    assert depths == pytest.approx([WEIGHT_DEPTH] * 3, rel=1e-4)


def test_forces_come_of_the_potential_and_the_matrix_of_the_forces() -> None:
    """On a bent body with clamped vertices, against three obstacles at once; rate 2."""
    rng = np.random.default_rng(2)
    mesh = beam((3, 2, 2), SIZE)
    fixed = np.flatnonzero(mesh.vertices[:, 0] <= 0.0)
    body = make_body(mesh, MaterialSpec("stvk", 1e5, 0.3, DENSITY), fixed)
    obstacles = (
        _floor(-0.09, 0.4, slip=20.0),
        Obstacle(Shape("sphere", center=(0.3, 0.0, 0.2), radius=0.15), 3e5, 0.3, 0.05, name="ball"),
        Obstacle(Shape("box", center=(0.35, 0.1, 0), size=(0.2, 0.2, 0.5)), 1e5, 0.2, name="box"),
    )
    contact = Contact(body, obstacles)
    level = Contact(
        body,
        tuple(Obstacle(o.shape, o.stiffness, 0.0, o.smoothing, name=o.name) for o in obstacles),
    )
    u, v = rng.normal(size=(2, body.n_dofs)) * [[1e-3], [2.0]]
    d = rng.normal(size=body.n_dofs)
    c = 40.0
    depth = contact.depth(u)
    assert (depth > 0).sum() > 20
    steps = np.array([4e-6, 2e-6, 1e-6])
    assert np.abs(depth).min() > 1e-6 * np.abs(d).max()
    slope = level.force(u, v) @ d
    errors = oracles.central_errors(lambda w: np.array(-level.energy(w)), slope, u, d, steps)
    scale = abs(slope)
    print("energy", errors, scale)
    assert errors[-1] < 1e-5 * scale
    symmetric, rest = contact.stiffness(u, v, c, len(body.pattern.indices))
    assert rest is not None
    S, R = body.pattern.matrix(symmetric), body.pattern.matrix(rest)
    assert abs(S - S.T).max() < 1e-9 * abs(S).max()
    wanted = -((S + R) @ d)
    errors = oracles.central_errors(
        lambda w: contact.force(w, v + c * (w - u)), wanted, u, d, steps
    )
    print("force", errors, np.abs(wanted).max())
    assert errors[-1] < 1e-4 * np.abs(wanted).max()
    assert oracles.observed_orders(errors) == pytest.approx(2.0, abs=0.2)


def _slide(
    angle: float, friction: float, steps: int, slip: float = 1e-3, h: float = 0.005
) -> tuple[Trajectory, np.ndarray]:
    """Motion, and velocities of the centre of mass (T, 3), of a block that lies on a slope."""
    body = _block()
    space = FullSpace(
        body,
        _gravity(body, angle),
        h,
        newton_spec=NewtonSpec(1e-9),
        obstacles=(_floor(-0.1, friction, slip=slip),),
    )
    u = np.tile([0.0, 0.0, -WEIGHT_DEPTH * np.cos(angle)], body.mesh.n_vertices)
    motion = simulate(space, steps, start=space.start(u))
    m = body.mass.diagonal()[::3]
    return motion, np.tensordot(body.expand(motion.dz), m, (1, 0)) / m.sum()


@pytest.mark.parametrize("slip", [2e-3, 1e-2])
def test_below_the_friction_angle_a_block_creeps_as_slowly_as_said(slip: float) -> None:
    """mu N h(s) = m g sin a with h = 2 s/e - (s/e)^2 has the root s = e (1 - sqrt(1 - ...))."""
    friction, angle = 0.5, np.arctan(0.3)
    motion, v = _slide(angle, friction, 120, slip, 0.02)  # long steps damp
    wanted = slip * (1.0 - np.sqrt(1.0 - np.tan(angle) / friction))
    print(f"creep {v[-1, 0]:.6e} m/s, wanted {wanted:.6e}")
    assert v[-1, 0] == pytest.approx(wanted, rel=1e-4)
    assert abs(v[-1, 1]) < 1e-3 * slip
    # Every point of it, not only the middle, and never faster than the bound.
    assert np.abs(motion.dz[-1].reshape(-1, 3) - [wanted, 0, 0]).max() < 1e-2 * slip


@pytest.mark.parametrize(("friction", "slope"), [(0.3, 0.5), (0.5, 0.6), (0.0, 0.4)])
def test_above_the_friction_angle_it_slides_as_on_paper(friction: float, slope: float) -> None:
    angle = np.arctan(slope)
    motion, v = _slide(angle, friction, 120, h=0.02)
    wanted = G * (np.sin(angle) - friction * np.cos(angle))
    t = motion.times
    between = (v[-1] - v[60]) / (t[-1] - t[60])
    print(f"mu {friction}: {between[0]:.8f} m/s^2, wanted {wanted:.8f}; across {between[1:]}")
    # What friction has taken is mu times what the floor has pushed, and that is the weight but for
    # the change of v_z; nothing else is lost.
    assert between[0] == pytest.approx(wanted, rel=1e-6, abs=1.1 * friction * abs(between[2]))
    assert abs(between[2]) < 1e-3 * G
    assert motion.iterations.max() < 12


def test_newton_converges_quadratically_with_friction() -> None:
    """A block thrown aslant onto the floor, in one step: GMRES gives the whole matrix's step."""
    body = _block()
    h = 0.005
    space = FullSpace(
        body,
        _gravity(body),
        h,
        newton_spec=NewtonSpec(1e-12, 40),
        obstacles=(_floor(-0.1005, 0.8, 1e-4),),
    )
    state, result = space.step(space.start(None, np.tile([1.0, 0.3, -0.5], body.mesh.n_vertices)))
    assert result.converged
    assert (space.contact.depth(state.z) > 1e-4).any()
    r = np.array(result.residuals)
    print(" ".join(f"{x:.1e}" for x in r), result.steps)
    near = np.flatnonzero((r[:-1] < 1e-2) & (r[:-1] > 1e-6))
    assert len(near) >= 1
    assert (r[near + 1] < 30 * r[near] ** 2 + 1e-9 * r[near] + 1e-12).all()


def test_a_bounce_gains_no_energy() -> None:
    """Implicit Euler loses some at every step, and less with shorter ones: first order."""
    fall, floor, losses = MASS * G * 0.02, _floor(-0.12, 0.4, 5e-4), []
    for h in (4e-4, 2e-4, 1e-4):
        body = _block(damping=0.0, cells=(1, 1, 1))
        space = FullSpace(body, _gravity(body), h, newton_spec=NewtonSpec(1e-9), obstacles=(floor,))
        motion = simulate(space, round(0.15 / h))
        weight = body.mass.diagonal() * np.tile([0.0, 0.0, G], body.mesh.n_vertices)
        stored = np.array([space.contact.energy(u) for u in motion.z])
        total = stored + [
            0.5 * v @ (body.mass @ v) + body.energy(u) + weight @ u
            for u, v in zip(motion.z, motion.dz, strict=True)
        ]
        assert stored.max() > 0.3 * fall  # it has met the floor, and left it again
        assert stored[-1] == 0.0
        assert np.diff(total).max() < 1e-8 * fall
        losses.append((total[0] - total[-1]) / fall)
    orders = oracles.observed_orders(losses)
    print("lost of the fall's energy", losses, orders)
    assert orders == pytest.approx(1.0, abs=0.2)


def test_a_body_held_all_over_meets_nothing() -> None:
    """Only inner vertices move: no triangle of the surface does, and there is no point to touch."""
    mesh = beam((3, 3, 3), (0.3, 0.3, 0.3))
    material = MaterialSpec("neo-hookean", 1e6, 0.3, DENSITY)
    body = make_body(mesh, material, np.unique(mesh.surface))
    loads = _gravity(body)
    motions = [
        simulate(FullSpace(body, loads, 0.005, obstacles=obstacles), 2).z
        for obstacles in ((), (_floor(0.0, 0.5),))
    ]
    assert np.abs(motions[0]).max() > 0.0
    np.testing.assert_array_equal(*motions)
