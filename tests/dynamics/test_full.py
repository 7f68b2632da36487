"""The full-space integrator: conservation, orders in time, Newton's rate, honest residuals."""

from __future__ import annotations

import numpy as np
import oracles
import pytest
from scipy.integrate import solve_ivp
from scipy.spatial.transform import Rotation

from hodsim import ConvergenceError, InputError, beam
from hodsim.dynamics import FullSpace, State, Trajectory, rates, simulate
from hodsim.fem import Body, Loads, make_body, pardiso_available
from hodsim.materials import LAWS, lame
from hodsim.scene import Damping, Load, MaterialSpec, NewtonSpec, Region

EPS = np.finfo(float).eps
YOUNG, POISSON, DENSITY = 2e4, 0.4, 1000.0
SIZE = (0.6, 0.3, 0.25)
TIP = Region("box", min=(0.599, -1, -1), max=(1, 1, 1))
INTEGRATORS = {"implicit-euler": 1, "bdf2": 2}
every_law = pytest.mark.parametrize("law", LAWS)
every_integrator = pytest.mark.parametrize("integrator", INTEGRATORS)


def _body(
    *,
    clamped: bool,
    law: str = "neo-hookean",
    cells: tuple[int, int, int] = (2, 1, 1),
    mass: str = "lumped",
    damping: Damping | None = None,
    density: float = DENSITY,
) -> Body:
    mesh = beam(cells, SIZE)
    fixed = np.flatnonzero(mesh.vertices[:, 0] <= 0.0) if clamped else np.empty(0, dtype=np.int64)
    return make_body(mesh, MaterialSpec(law, YOUNG, POISSON, density), fixed, mass, damping)


def _masses(body: Body) -> np.ndarray:
    return body.mass.diagonal()[::3]


def _centred(body: Body) -> np.ndarray:
    """Rest positions from the centre of mass, (n_vertices, 3)."""
    return body.mesh.vertices - np.average(body.mesh.vertices, axis=0, weights=_masses(body))


def _held(kind: str, *value: float) -> Load:
    return Load(kind, (0.0,), (value,), None if kind == "gravity" else TIP)


@every_law
@every_integrator
def test_nothing_moves_what_rests(law: str, integrator: str) -> None:
    body = _body(clamped=True, law=law, cells=(3, 2, 1))
    # Lengths that binary numbers do not hold: rounding leaves forces at rest, nothing else does.
    assert body.force(np.zeros(body.n_dofs)).any()
    motion = simulate(FullSpace(body, Loads(body, ()), 0.02, integrator), 5)
    assert not motion.z.any()
    assert not motion.dz.any()
    assert not motion.iterations.any()


@every_law
def test_nothing_moves_what_rests_elsewhere(law: str) -> None:
    body = _body(clamped=False, law=law)
    x = body.mesh.vertices
    turned = x @ Rotation.from_rotvec([0.3, -1.0, 0.4]).as_matrix().T + [1.0, -2.0, 0.5]
    space = FullSpace(body, Loads(body, ()), 0.02)
    motion = simulate(space, 20, start=space.start((turned - x).ravel()))
    # Rounding makes a velocity of eps |u| / h at most.
    assert np.abs(motion.dz).max() < EPS * 3.0 / 0.02
    assert np.abs(motion.z[-1] - motion.z[0]).max() < 20 * EPS * 3.0


@every_integrator
def test_free_flight_keeps_linear_momentum(integrator: str) -> None:
    """2,000 steps of a body that flies and wobbles: the centre of mass goes straight on."""
    body = _body(clamped=False, cells=(4, 1, 1))
    strain = np.array([[0.1, 0.05, 0.0], [0.05, -0.05, 0.0], [0.0, 0.0, 0.02]])
    velocity, h = np.array([1.0, -0.5, 0.3]), 0.01
    space = FullSpace(body, Loads(body, ()), h, integrator)
    start = space.start((_centred(body) @ strain).ravel(), np.tile(velocity, body.mesh.n_vertices))
    assert body.energy(start.z) > 0.1
    motion = simulate(space, 2000, start=start)
    assert motion.iterations[:50].min() >= 1  # it does wobble
    m = _masses(body)
    mean = np.tensordot(body.expand(motion.dz), m, (1, 0)) / m.sum()
    drift = np.abs(mean - velocity).max()
    centre = np.tensordot(body.expand(motion.z), m, (1, 0)) / m.sum()
    off = np.abs(centre - centre[0] - motion.times[:, None] * velocity).max()
    print(f"{integrator}: momentum drift {drift:.1e}, centre of mass off by {off:.1e} m")
    # Far below the solver's tolerance, 1e-6: K has no rigid translation in its range, so Newton's
    # steps leave momentum alone, and only rounding of u, eps |u| / h a step, adds to it.
    rounding = 2000 * EPS * np.abs(motion.z).max() / h
    assert drift < rounding < 1e-8
    assert off < rounding * motion.times[-1]


def _spinning(body: Body, spin: float) -> tuple[np.ndarray, np.ndarray]:
    """Displacements and velocities of a body that turns about z as if rigid: f_int = M w^2 r."""
    x, n = _centred(body), body.n_dofs
    pull = spin**2 * np.diag(np.kron(_masses(body), [1.0, 1.0, 0.0]))
    u = np.zeros(n)
    for _ in range(8):
        g = body.force(u) - pull @ (x.ravel() + u)
        # Shifts along z and turns about z change nothing: least squares leaves them out.
        u -= np.linalg.lstsq(body.stiffness(u).toarray() - pull, g, rcond=1e-8)[0]
    pulled = pull @ (x.ravel() + u)
    assert np.linalg.norm(body.force(u) - pulled) < 1e-9 * np.linalg.norm(pulled)
    return u, np.cross([0.0, 0.0, spin], x + u.reshape(-1, 3)).ravel()


def _angular_momentum(body: Body, u: np.ndarray, v: np.ndarray) -> np.ndarray:
    x = _centred(body) + body.expand(u)
    return (_masses(body)[:, None] * np.cross(x, body.expand(v))).sum(axis=0)


def _total_energy(body: Body, u: np.ndarray, v: np.ndarray) -> float:
    return float(v @ body.mass @ v / 2 + body.energy(u))


@every_integrator
def test_free_rotation_drifts_at_the_schemes_order(integrator: str) -> None:
    """One second of a third of a turn; for BDF2 the one Euler step at the start is what drifts."""
    body = _body(clamped=False)
    u, v = _spinning(body, spin=2.0)
    drifts = []
    for steps in (50, 100, 200):
        space = FullSpace(body, Loads(body, ()), 1.0 / steps, integrator, NewtonSpec(1e-10))
        end = simulate(space, steps, start=space.start(u, v))
        momentum, energy = (
            [q(body, *at) for at in ((u, v), (end.z[-1], end.dz[-1]))]
            for q in (_angular_momentum, _total_energy)
        )
        drifts.append(
            [
                np.linalg.norm(momentum[1] - momentum[0]) / np.linalg.norm(momentum[0]),
                abs(energy[1] - energy[0]) / energy[0],
            ]
        )
    orders = oracles.observed_orders(drifts)
    print(f"{integrator}: momentum and energy drift {drifts}, orders {orders.tolist()}")
    # Measured 0.89 to 0.96 and 1.96 to 1.98, rising: h w is still 0.04 to 0.01.
    assert orders == pytest.approx(INTEGRATORS[integrator], abs=0.12)


@every_integrator
@pytest.mark.parametrize("damping", [Damping(), Damping(0.5, 0.02)], ids=["undamped", "damped"])
def test_order_in_time(integrator: str, damping: Damping) -> None:
    """A tip force that grows as t^4, so that no mode is struck, against an explicit 8th order."""
    body, T, finest = _body(clamped=True, damping=damping), 1.0, 160
    times = np.linspace(0.0, T, finest + 1)  # the schemes see loads at their own steps alone
    peak = np.array([0.0, 3.0, -60.0])
    load = Load("force", tuple(times), tuple(map(tuple, times[:, None] ** 4 * peak)), TIP)
    loads, n, masses = Loads(body, (load,)), body.n_dofs, body.mass.diagonal()
    pull = loads.columns @ peak

    def motion(t: float, y: np.ndarray) -> np.ndarray:
        u, v = y[:n], y[n:]
        return np.concatenate([v, (t**4 * pull - body.damping @ v - body.force(u)) / masses])

    exact = solve_ivp(motion, (0.0, T), np.zeros(2 * n), "DOP853", rtol=1e-9, atol=1e-11).y[:, -1]
    assert np.abs(exact[:n]).max() > 0.09  # m: a sixth of its length, far from linear
    errors = []
    for steps in (finest // 4, finest // 2, finest):
        end = simulate(FullSpace(body, loads, T / steps, integrator, NewtonSpec(1e-9)), steps)
        errors.append(
            [
                np.linalg.norm(end.z[-1] - exact[:n]) / np.linalg.norm(exact[:n]),
                np.linalg.norm(end.dz[-1] - exact[n:]) / np.linalg.norm(exact[n:]),
            ]
        )
    orders = oracles.observed_orders(errors)
    print(f"{integrator}: errors of position and velocity {errors}, orders {orders.tolist()}")
    # Measured 0.97 to 1.05 and 1.92 to 2.01.
    assert orders == pytest.approx(INTEGRATORS[integrator], abs=0.1)


@every_law
def test_newton_converges_quadratically(law: str) -> None:
    """A tip force that bends the beam by two thirds of its length within one step."""
    body = _body(clamped=True, law=law, cells=(3, 2, 2))
    loads = Loads(body, (_held("force", 0.0, 0.0, -300.0),))
    space = FullSpace(body, loads, 0.2, newton_spec=NewtonSpec(1e-13, 60))
    end, result = space.step(space.start())
    assert result.converged
    assert np.abs(end.z).max() > 0.4
    r = np.array(result.residuals)
    print(law, " ".join(f"{x:.1e}" for x in r), result.steps)
    # Once within reach of the root, each residual is of the order of the last one squared
    # (measured: 0.2 to 4 times that), until rounding, 1e-13, ends it.
    near = np.flatnonzero((r[:-1] < 0.05) & (r[:-1] > 1e-7))
    assert len(near) >= 2
    assert (r[near + 1] < 10 * r[near] ** 2 + 1e-13).all()
    assert result.steps[near[0] :] == (1.0,) * (len(r) - 1 - near[0])


@every_integrator
@pytest.mark.parametrize("mass", ["lumped", "consistent"])
def test_accepted_steps_solve_the_equation_of_motion(integrator: str, mass: str) -> None:
    """M u'' + C u' + f_int = f_ext by the slow loops, rates from the positions alone."""
    body = _body(clamped=True, mass=mass, damping=Damping(0.5, 0.01))
    loads = Loads(
        body,
        (
            Load("force", (0.0, 0.1, 0.12), ((0, 0, 0), (10, 0, -60), (0, 0, 0)), TIP),
            _held("gravity", 0.0, 1.0, -3.0),
            _held("torque", 2.0, 0.0, 1.0),
        ),
    )
    h, spec = 0.02, NewtonSpec(1e-6)
    motion = simulate(FullSpace(body, loads, h, integrator, spec), 10)
    assert motion.iterations.max() > 1
    mesh, (mu, lam) = (body.mesh.vertices, body.mesh.tets), lame(YOUNG, POISSON)
    M = oracles.consistent_mass(*mesh, DENSITY)
    if mass == "lumped":
        M = np.diag(M.sum(axis=1))
    M = np.kron(M[np.ix_(body.free_vertices, body.free_vertices)], np.eye(3))
    C = 0.5 * M + 0.01 * body.stiffness(np.zeros(body.n_dofs)).toarray()
    u, v = motion.z, [motion.dz[0]]
    for k in range(1, 11):
        if integrator == "bdf2" and k > 1:
            v.append((3 * u[k] - 4 * u[k - 1] + u[k - 2]) / (2 * h))
            a = (3 * v[k] - 4 * v[k - 1] + v[k - 2]) / (2 * h)
        else:
            v.append((u[k] - u[k - 1]) / h)
            a = (v[k] - v[k - 1]) / h
        f = oracles.internal_force(*mesh, body.expand(u[k]), "neo-hookean", mu, lam)
        forces = [
            M @ a,
            C @ v[k],
            body.restrict(f),
            -loads.force(loads.amplitudes(motion.times[k]), u[k]),
        ]
        scale = sum(np.linalg.norm(x) for x in forces)
        # 1e-9: rounding of u in the second differences, eps |u| M / h^2.
        assert np.linalg.norm(sum(forces)) < (spec.tolerance + 1e-9) * scale
        np.testing.assert_allclose(motion.dz[k], v[k], atol=1e-12)
    assert motion.times == pytest.approx(0.02 * np.arange(11), abs=1e-14)


def test_mass_damping_slows_a_translation_by_the_schemes_own_factor() -> None:
    alpha, h, steps = 3.0, 0.05, 40
    body = _body(clamped=False, damping=Damping(mass=alpha))
    velocity = np.array([1.0, -2.0, 0.5])
    for integrator in INTEGRATORS:
        space = FullSpace(body, Loads(body, ()), h, integrator)
        start = space.start(None, np.tile(velocity, body.mesh.n_vertices))
        motion = simulate(space, steps, start=start)
        factor = [1.0, 1.0 / (1.0 + alpha * h)]
        for _ in range(steps - 1):
            if integrator == "implicit-euler":
                factor.append(factor[-1] / (1.0 + alpha * h))
            else:  # 3/2 v - 2 v_1 + 1/2 v_2 = -alpha h v
                factor.append((2.0 * factor[-1] - 0.5 * factor[-2]) / (1.5 + alpha * h))
        wanted = np.multiply.outer(factor, np.tile(velocity, body.mesh.n_vertices))
        # One Newton step solves a linear motion to rounding, eps |u| / h a step.
        np.testing.assert_allclose(motion.dz, wanted, atol=1e-9)
        assert factor[-1] < 0.02


@every_integrator
def test_free_fall(integrator: str) -> None:
    """Gravity on all alike: no strain, and the positions of the scheme's own recursion."""
    g, h, steps = np.array([0.0, 3.0, -9.81]), 0.02, 25
    body = _body(clamped=False)
    loads = Loads(body, (_held("gravity", *g),))
    motion = simulate(FullSpace(body, loads, h, integrator), steps)
    x, n = [0.0, h**2], body.mesh.n_vertices
    for k in range(2, steps + 1):
        euler = integrator == "implicit-euler"
        x.append(x[-1] + k * h**2 if euler else (4 * x[-1] - x[-2] + 2 * k * h**2) / 3)
    # One Newton step solves a linear motion to rounding, eps |u| / h a step.
    np.testing.assert_allclose(motion.dz[-1], np.tile(steps * h * g, n), atol=1e-9)
    np.testing.assert_allclose(motion.z[-1], np.tile(x[-1] * g, n), atol=1e-9)
    assert body.energy(motion.z[-1]) < EPS * YOUNG * body.mesh.volumes.sum()


def test_without_mass_a_step_is_a_static_solve() -> None:
    body = _body(clamped=True, density=0.0)
    loads = Loads(body, (_held("force", 0.0, 0.0, -20.0),))
    space = FullSpace(body, loads, 0.1, newton_spec=NewtonSpec(1e-10))
    state, result = space.step(space.start())
    assert result.converged
    f = loads.force(loads.amplitudes(0.1), state.z)
    assert np.linalg.norm(body.force(state.z) - f) < 3e-10 * np.linalg.norm(f)


@pytest.mark.skipif(not pardiso_available(), reason="pypardiso is not installed")
@pytest.mark.parametrize("case", ["bent", "crushed"])
def test_both_solvers_make_the_same_motion(case: str) -> None:
    """Crushed so far that the stiffness is indefinite: both find out and go another way."""
    body = _body(clamped=True, law="stvk")
    loads = Loads(body, (_held("force", 0.0, 5.0, -60.0),))
    u = np.zeros(body.n_dofs)
    if case == "crushed":
        u[::3] = -0.4 * body.mesh.vertices[body.free_vertices, 0]
        assert np.linalg.eigvalsh(body.stiffness(u).toarray())[0] < 0
    ends = []
    for solver in ("superlu", "pardiso"):
        space = FullSpace(body, loads, 0.1, newton_spec=NewtonSpec(1e-10, 60), solver=solver)
        assert space.factorization.name == solver
        ends.append(simulate(space, 5, start=space.start(u)))
    assert ends[0].iterations.tolist() == ends[1].iterations.tolist()
    assert np.abs(ends[0].z - ends[1].z).max() < 1e-8 * np.abs(ends[0].z).max()


def _struck_late() -> tuple[FullSpace, FullSpace]:
    """Two iterations a step are enough until a force of 500 N comes at once, after 0.1 s."""
    body = _body(clamped=True)
    blow = Load("force", (0.0, 0.101, 0.102), ((0, 0, -1), (0, 0, -1), (0, 0, -500)), TIP)
    loads = Loads(body, (blow,))
    return tuple(FullSpace(body, loads, 0.02, newton_spec=NewtonSpec(1e-6, k)) for k in (2, 60))


def test_a_step_that_fails_is_raised() -> None:
    strict, patient = _struck_late()
    with pytest.raises(ConvergenceError, match=r"step 6 \(t = 0\.12 s\): .* max_iterations"):
        simulate(strict, 10)
    assert simulate(patient, 6).converged


def test_a_step_that_fails_ends_the_trajectory_and_leaves_no_trace() -> None:
    strict, patient = _struck_late()
    told: list[int] = []
    motion = simulate(strict, 10, on_failure="stop", progress=told.append)
    assert not motion.converged
    assert motion.failure is not None
    assert motion.failure.startswith("step 6 (t = 0.12 s): max_iterations")
    assert told == [1, 2, 3, 4, 5]
    good = simulate(patient, 5)
    assert good.converged
    for name in ("times", "coordinates", "z", "dz", "iterations"):
        np.testing.assert_array_equal(getattr(motion, name), getattr(good, name))
    assert motion.z.shape == (6, strict.body.n_dofs)
    assert motion.step_ms.shape == motion.iterations.shape == (5,)


def test_a_state_is_never_changed_by_the_step_from_it() -> None:
    space = _struck_late()[1]
    state = _states(space, 3)[-1]
    before = [x.copy() for x in (state.z, state.dz, state.motion.x, state.motion.v)]
    first, second = space.step(state)[0], space.step(state)[0]
    for x, kept in zip((state.z, state.dz, state.motion.x, state.motion.v), before, strict=True):
        np.testing.assert_array_equal(x, kept)
    np.testing.assert_array_equal(first.z, second.z)


def _states(space: FullSpace, steps: int) -> list[State]:
    states = [space.start()]
    for _ in range(steps):
        states.append(space.step(states[-1])[0])
    return states


def test_trajectories_decode_through_their_basis() -> None:
    rng = np.random.default_rng(0)
    z, dz, B = rng.random((4, 2)), rng.random((4, 2)), rng.random((7, 2))
    none = np.zeros(3)
    motion = Trajectory(np.arange(4.0), z, z, dz, B, none, none, None)
    np.testing.assert_allclose(motion.displacements(), z @ B.T)
    np.testing.assert_allclose(motion.velocities(np.array([5, 1])), (dz @ B.T)[:, [5, 1]])
    full = Trajectory(np.arange(4.0), z, z, dz, None, none, none, None)
    np.testing.assert_array_equal(full.displacements(np.array([1])), z[:, [1]])


def test_wrong_words_are_refused() -> None:
    space = _struck_late()[0]
    with pytest.raises(InputError, match="'newmark'"):
        rates("newmark", space.start().motion, 0.1)
    with pytest.raises(InputError, match="'ignore'"):
        simulate(space, 1, on_failure="ignore")
