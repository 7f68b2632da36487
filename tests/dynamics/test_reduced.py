"""The reduced integrator: its matrix and residual against slow truths, its limits, its failures."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import oracles
import pytest
import torch
from torch import Tensor

from hodsim import ConvergenceError, InputError, beam
from hodsim.cubature import Cubature, Sampled, fingerprint_of
from hodsim.dynamics import FullSpace, Motion, ReducedSpace, State, Terms, simulate
from hodsim.dynamics.reduced import _Step
from hodsim.fem import Body, Loads, make_body
from hodsim.materials import lame
from hodsim.networks import HoDNet, Shape
from hodsim.scene import Damping, Load, MaterialSpec, NewtonSpec, Region
from hodsim.subspaces import HoD, Linear, Quadratic, Subspace

YOUNG, POISSON = 2e4, 0.4
R, H = 3, 0.02
TIP = Region("box", min=(0.999, -1, -1), max=(2, 1, 1))
EVERY = Terms()
FEWER = {
    "no D3": Terms(second=True, third=False),
    "no D2": Terms(second=False, third=True),
    "J alone": Terms(second=False, third=False),
}
every_formulation = pytest.mark.parametrize("formulation", ["lagrangian", "incremental"])
every_integrator = pytest.mark.parametrize("integrator", ["implicit-euler", "bdf2"])
every_kind = pytest.mark.parametrize("kind", ["hod", "quadratic", "linear"])


def _body(
    cells: tuple[int, int, int] = (4, 1, 1),
    damping: Damping | None = None,
    mass: str = "lumped",
) -> Body:
    mesh = beam(cells, (1.0, 0.2, 0.2))
    fixed = np.flatnonzero(mesh.vertices[:, 0] <= 0.0)
    material = MaterialSpec("neo-hookean", YOUNG, POISSON, 1000.0)
    return make_body(mesh, material, fixed, mass, damping or Damping(0.5, 0.01))


def _modes(body: Body, r: int = R) -> np.ndarray:
    """The softest displacements, orthonormal: what a subspace is for."""
    return np.linalg.eigh(body.stiffness(np.zeros(body.n_dofs)).toarray())[1][:, :r]


def _subspace(kind: str, body: Body, seed: int = 0) -> Subspace:
    """One with q ~ 1 for displacements of about a third of the beam's length, curved all over."""
    rng = np.random.default_rng(seed)
    V = _modes(body, R)
    if kind == "linear":
        return Linear(V)
    if kind == "quadratic":
        n = R * (R + 1) // 2
        return Quadratic(V, 0.2 * _modes(body, 12) @ rng.standard_normal((12, n)))
    torch.manual_seed(seed)
    network = HoDNet(Shape(body.n_dofs, R, (8, 8), (4,), 7)).double()
    decoder = network.decoder
    with torch.no_grad():
        for layer in decoder.hidden:
            if isinstance(layer, torch.nn.Linear):
                layer.weight.mul_(2.0)
        decoder.out.weight.copy_(torch.from_numpy(_modes(body, 7)))
        decoder.mix.weight[:, -R:] = torch.eye(7, R)
    return HoD(network)


def _decode(subspace: Subspace) -> Callable[[Tensor], Tensor]:
    """f in torch, differentiable, without anything of the subspace's own lanes."""
    if isinstance(subspace, HoD):
        return lambda q: subspace.network.decoder(q)
    B = torch.from_numpy(subspace.basis)
    if isinstance(subspace, Quadratic):
        i, j = np.triu_indices(subspace.rank)
        return lambda q: B @ torch.cat([q, q[i] * q[j]])
    return lambda q: B @ q


def _loads(body: Body, scale: float = 1.0) -> Loads:
    given = (
        Load("force", (0.0,), ((2 * scale, 3 * scale, -9 * scale),), TIP),
        Load("torque", (0.0,), ((3 * scale, -1 * scale, 2 * scale),), TIP),
        Load("gravity", (0.0,), ((0.0, scale, -2 * scale),)),
    )
    return Loads(body, given)


def _random_step(
    kind: str, integrator: str, formulation: str, seed: int, terms: Terms = EVERY
) -> tuple[ReducedSpace, _Step, np.ndarray]:
    """A step from a random past, which BDF2 reaches two steps back, and a random q."""
    rng = np.random.default_rng(seed)
    body = _body()
    subspace = _subspace(kind, body)
    space = ReducedSpace(body, _loads(body), subspace, H, integrator, formulation, terms)
    q = 0.5 * rng.standard_normal(R)
    near = [q - 8.0 * H * rng.standard_normal(R) for _ in range(2)]  # fast: D3 counts
    motion = Motion(near[0], rng.standard_normal(R), near[1], rng.standard_normal(R))
    features = None
    if formulation == "incremental":
        z = [subspace.features(x) for x in near]
        dz = [rng.standard_normal(len(z[0])) for _ in z]
        features = Motion(z[0], dz[0], z[1], dz[1])
    zero = np.zeros(subspace.basis.shape[1])
    return space, _Step(space, State(0.1, motion, zero, zero, features)), q


@every_kind
@every_formulation
@every_integrator
def test_newtons_matrix_is_the_slope_of_the_residual(
    kind: str, formulation: str, integrator: str
) -> None:
    for seed in range(3):
        space, step, q = _random_step(kind, integrator, formulation, seed)
        assert (step.G != 0.0).any()  # the torque's load stiffness takes part
        A = step.matrix(q.copy(), space.terms)
        direction = np.random.default_rng(seed + 50).standard_normal(R)
        steps = (2e-2, 1e-2, 5e-3)
        errors = oracles.central_errors(
            lambda x, step=step: step.residual(x)[0], A @ direction, q, direction, steps
        )
        # Second order or better: of these cubes the h^4 still shows, 1.9 to 2.1 measured.
        print(kind, errors, np.abs(A @ direction).max(), oracles.observed_orders(errors))
        assert oracles.observed_orders(errors) == pytest.approx(2.0, abs=0.25)
        assert errors[-1] < 0.01 * np.abs(A @ direction).max()


@every_formulation
@pytest.mark.parametrize("kind", ["hod", "quadratic"])
def test_every_term_counts_in_the_matrix_and_none_in_the_residual(
    kind: str, formulation: str
) -> None:
    _, step, q = _random_step(kind, "implicit-euler", formulation, 1)
    g, A = step.residual(q.copy())[0], step.matrix(q.copy(), EVERY)
    for name, terms in FEWER.items():
        _, fewer, _ = _random_step(kind, "implicit-euler", formulation, 1, terms)
        g_fewer, A_fewer = fewer.residual(q.copy())[0], fewer.matrix(q.copy(), terms)
        # The lanes of another order come by other sums: rounding only.
        np.testing.assert_allclose(g_fewer, g, rtol=0, atol=1e-12 * np.abs(g).max())
        changed = np.abs(A_fewer - A).max() / np.abs(A).max()
        # The incremental form and a quadratic map have no third derivative to leave out.
        none = name == "no D3" and (formulation == "incremental" or kind == "quadratic")
        assert changed == 0.0 if none else changed > 1e-3, (
            name
        )  # 1.2e-3 for D3, 0.04 and more for D2


def _histories(integrator: str, past: Motion, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """x' and x'' by each scheme's own difference formula."""
    if integrator == "bdf2":
        v = (3 * x - 4 * past.x + past.x_before) / (2 * H)
        return v, (3 * v - 4 * past.v + past.v_before) / (2 * H)
    v = (x - past.x) / H
    return v, (v - past.v) / H


@every_kind
@every_formulation
@every_integrator
def test_residual_is_virtual_work_in_all_degrees_of_freedom(
    kind: str, formulation: str, integrator: str
) -> None:
    """g = J^T (M u'' + C u' + f_int - f_ext), each on the mesh, u' and u'' by nested autograd."""
    for seed in range(3):
        space, step, q = _random_step(kind, integrator, formulation, seed)
        body, f = space.body, _decode(space.subspace)
        if formulation == "lagrangian":
            v, a = _histories(integrator, step.state.motion, q)
            u, du, ddu = (
                x.numpy() for x in oracles.along_curve(f, *map(torch.from_numpy, (q, v, a)))
            )
        else:
            past = step.state.features
            B = space.subspace.basis
            wide = Motion(*(x @ B.T for x in (past.x, past.v, past.x_before, past.v_before)))
            u = f(torch.from_numpy(q)).detach().numpy()
            du, ddu = _histories(integrator, wide, u)
        J = oracles.derivative_tensor(f, torch.from_numpy(q), 1).numpy()
        loads = _loads(body)
        forces = [
            body.mass @ ddu,
            body.damping @ du,
            body.force(u),
            -loads.force(loads.amplitudes(step.t), u),
        ]
        g, scale = step.residual(q)
        np.testing.assert_allclose(g, J.T @ sum(forces), rtol=0, atol=1e-11 * scale)
        # The scale is the sum of the parts' own sizes.
        assert scale == pytest.approx(sum(np.linalg.norm(J.T @ part) for part in forces))
        assert np.linalg.norm(g) > 0.01 * scale


@pytest.mark.parametrize("mass", ["lumped", "consistent"])
@every_kind
def test_residual_is_the_euler_lagrange_equation(kind: str, mass: str) -> None:
    """Nothing of the mesh's assembly: energies of single tets, T and V differentiated by q."""
    body = _body((1, 1, 1), Damping(), mass)
    subspace = _subspace(kind, body)
    loads = Loads(body, (Load("gravity", (0.0,), ((0.0, 1.0, -3.0),)),))
    space = ReducedSpace(body, loads, subspace, H, formulation="lagrangian")
    mesh, f = body.mesh, _decode(subspace)
    M = oracles.consistent_mass(mesh.vertices, mesh.tets, 1000.0)
    pull = np.outer(M.sum(axis=1), [0.0, 1.0, -3.0])[body.free_vertices].ravel()
    if mass == "lumped":
        M = np.diag(M.sum(axis=1))
    M = torch.from_numpy(np.kron(M[np.ix_(body.free_vertices, body.free_vertices)], np.eye(3)))
    mu, lam = lame(YOUNG, POISSON)

    def kinetic(q: Tensor, v: Tensor) -> Tensor:
        _, du = torch.autograd.functional.jvp(f, q, v, create_graph=True)
        return du @ M @ du / 2

    def potential(q: Tensor) -> Tensor:
        u = torch.zeros(mesh.n_vertices, 3, dtype=torch.float64)
        free = f(q)
        u = u.index_put((torch.from_numpy(body.free_vertices),), free.reshape(-1, 3))
        energy = oracles.elastic_energy(mesh.vertices, mesh.tets, u, "neo-hookean", mu, lam)
        return energy - free @ torch.from_numpy(pull)

    rng = np.random.default_rng(4)
    for _ in range(2):
        q, v, before = 0.3 * rng.standard_normal((3, R))
        past = Motion(q - H * v, before)
        step = _Step(space, State(0.0, past, np.zeros(1), np.zeros(1)))
        wanted = oracles.euler_lagrange(
            kinetic, potential, *map(torch.from_numpy, (q, v, (v - before) / H))
        )
        g, scale = step.residual(q)
        np.testing.assert_allclose(g, wanted.numpy(), rtol=0, atol=1e-10 * scale)


@every_formulation
@every_integrator
def test_a_complete_basis_is_full_space(formulation: str, integrator: str) -> None:
    body, spec = _body(), NewtonSpec(1e-11)
    Q = np.linalg.qr(np.random.default_rng(0).standard_normal((body.n_dofs,) * 2))[0]
    loads = _loads(body)
    full = simulate(FullSpace(body, loads, H, integrator, spec), 15)
    space = ReducedSpace(body, loads, Linear(Q), H, integrator, formulation, newton_spec=spec)
    reduced = simulate(space, 15, basis=Q)
    assert np.abs(full.z).max() > 0.1
    # Far above 1e-11: inertia, M / h^2, is what the residual measures, and 15 steps add up.
    scale = np.abs(full.z).max()
    np.testing.assert_allclose(reduced.displacements(), full.z, rtol=0, atol=1e-8 * scale)
    scale = np.abs(full.dz).max()
    np.testing.assert_allclose(reduced.velocities(), full.dz, rtol=0, atol=1e-7 * scale)


@every_formulation
@every_integrator
def test_a_network_without_its_nonlinear_part_is_pca(formulation: str, integrator: str) -> None:
    body = _body()
    V = _modes(body)
    network = HoDNet(Shape(body.n_dofs, R, (8,), (4,), R)).double()
    with torch.no_grad():
        network.decoder.out.weight.copy_(torch.from_numpy(V))
        network.decoder.mix.weight.zero_()
        network.decoder.mix.weight[:, -R:] = torch.eye(R)
    loads = _loads(body)
    a, b = (
        simulate(ReducedSpace(body, loads, s, H, integrator, formulation), 15)
        for s in (HoD(network), Linear(V))
    )
    assert np.abs(a.z).max() > 0.1
    np.testing.assert_allclose(a.coordinates, b.coordinates, rtol=0, atol=1e-11)
    np.testing.assert_allclose(a.dz, b.dz, rtol=0, atol=1e-9)
    assert a.iterations.tolist() == b.iterations.tolist()


@every_formulation
def test_newton_converges_quadratically(formulation: str) -> None:
    """One long step under a blow from a fast motion, with fewer and fewer of the matrix's terms."""
    body = _body()
    subspace = _subspace("hod", body)
    found = {}
    for name, terms in {"all": EVERY, **FEWER}.items():
        space = ReducedSpace(
            body,
            _loads(body, 3.0),
            subspace,
            0.1,
            formulation=formulation,
            terms=terms,
            newton_spec=NewtonSpec(1e-13, 200),
        )
        start = space.start(np.array([0.2, -0.1, 0.1]), np.array([1.0, -2.0, 1.0]))
        end, result = space.step(start)
        print(f"{formulation}, {name}: " + " ".join(f"{x:.1e}" for x in result.residuals))
        assert result.converged, name
        found[name] = end.z, result
    z, best = found["all"]
    for name, (other, result) in found.items():
        # One root, however it is reached: the terms are no part of the equation.
        np.testing.assert_allclose(other, z, rtol=0, atol=1e-10, err_msg=name)
        assert best.iterations <= result.iterations, name
    assert best.iterations < found["J alone"][1].iterations
    r = np.array(best.residuals)
    near = np.flatnonzero((r[:-1] < 0.1) & (r[:-1] > 1e-7))
    assert len(near) >= 2
    ratios = r[near + 1] / r[near] ** 2
    print(f"{formulation}: r_next / r^2 " + " ".join(f"{x:.1g}" for x in ratios))
    assert (r[near + 1] < 10 * r[near] ** 2 + 1e-13).all()
    # Without any D2 and D3 each iteration gains a factor, no more.
    slow = np.array(found["J alone"][1].residuals)
    assert slow[-1] > 1e-3 * slow[-2] > 0.0


@every_kind
@every_formulation
@every_integrator
def test_rest_stays_rest(kind: str, formulation: str, integrator: str) -> None:
    # Lengths that binary numbers do not hold: rounding leaves forces at rest, nothing else does.
    body = _body((3, 1, 2))
    assert body.force(np.zeros(body.n_dofs)).any()
    space = ReducedSpace(body, Loads(body, ()), _subspace(kind, body), H, integrator, formulation)
    motion = simulate(space, 5)
    for what in (motion.coordinates, motion.z, motion.dz, motion.iterations):
        assert not what.any()


@every_formulation
def test_energy_only_falls(formulation: str) -> None:
    """Implicit Euler from a bent pose, without loads: dissipation by the scheme and by C."""
    body = _body(damping=Damping(1.0, 0.0))
    subspace = _subspace("hod", body)
    space = ReducedSpace(body, Loads(body, ()), subspace, H, formulation=formulation)
    motion = simulate(
        space, 150, start=space.start(np.array([0.4, -0.3, 0.2])), basis=subspace.basis
    )
    u, v = motion.displacements(), motion.velocities()
    energy = np.array(
        [dv @ (body.mass @ dv) / 2 + body.energy(x) for x, dv in zip(u, v, strict=True)]
    )
    assert energy[0] > 0.1
    assert (np.diff(energy) < 1e-9 * energy[0]).all()
    assert energy[-1] < 0.05 * energy[0]
    assert np.abs(v).max() > 0.1  # it swings on its way, and is not merely held


@every_formulation
def test_step_and_start(formulation: str) -> None:
    body = _body()
    subspace = _subspace("hod", body)
    space = ReducedSpace(body, _loads(body), subspace, H, "bdf2", formulation)
    q, v = np.array([0.1, -0.2, 0.3]), np.array([1.0, 0.5, -1.0])
    state = space.start(q, v)
    u, du, _ = oracles.along_curve(_decode(subspace), *map(torch.from_numpy, (q, v, np.zeros(R))))
    np.testing.assert_allclose(subspace.basis @ state.z, u.numpy(), atol=1e-14)
    np.testing.assert_allclose(subspace.basis @ state.dz, du.numpy(), atol=1e-13)
    for _ in range(2):  # a step changes nothing of the state it starts from
        before = [x.copy() for x in (state.z, state.dz, state.motion.x, state.motion.v)]
        after, again = space.step(state)[0], space.step(state)[0]
        for x, kept in zip(
            (state.z, state.dz, state.motion.x, state.motion.v), before, strict=True
        ):
            np.testing.assert_array_equal(x, kept)
        np.testing.assert_array_equal(after.z, again.z)
        np.testing.assert_array_equal(after.z, subspace.lanes(after.motion.x).z)
        assert after.t == pytest.approx(state.t + H)
        state = after


def test_what_does_not_fit_is_refused() -> None:
    body, other = _body(), _body((3, 1, 1))
    loads = Loads(body, ())
    with pytest.raises(InputError, match=f"expected {body.n_dofs} .* given .* {other.n_dofs}"):
        ReducedSpace(body, loads, Linear(_modes(other)), H)
    with pytest.raises(InputError, match="'potential'"):
        ReducedSpace(body, loads, Linear(_modes(body)), H, formulation="potential")
    space = ReducedSpace(body, loads, Linear(_modes(body)), H, "newmark")
    with pytest.raises(InputError, match="'newmark'"):
        space.step(space.start())


@every_formulation
def test_a_step_that_fails_is_told(formulation: str) -> None:
    body = _body()
    blow = Load("force", (0.0, 0.041, 0.042), ((0, 0, -0.01), (0, 0, -0.01), (0, 0, -90)), TIP)
    subspace = _subspace("hod", body)

    def space(most: int) -> ReducedSpace:
        spec = NewtonSpec(1e-6, most)
        return ReducedSpace(
            body, Loads(body, (blow,)), subspace, H, formulation=formulation, newton_spec=spec
        )

    with pytest.raises(ConvergenceError, match=r"step 3 \(t = 0\.06 s\): .* max_iterations"):
        simulate(space(1), 5)
    told: list[int] = []
    motion = simulate(space(1), 5, on_failure="stop", progress=told.append)
    assert not motion.converged
    assert motion.failure.startswith("step 3 (t = 0.06 s): max_iterations")
    assert told == [1, 2]
    good = simulate(space(30), 2)
    for name in ("times", "coordinates", "z", "dz", "iterations"):
        np.testing.assert_array_equal(getattr(motion, name), getattr(good, name))
    assert simulate(space(30), 5).converged
    _, result = space(1).step(space(1).start(v=np.full(R, np.nan)))
    assert result.status == "not_finite"


@every_formulation
def test_directions_get_safer(formulation: str) -> None:
    """Newton's own, then that of J alone, then three along which |g|^2 falls for sure."""
    for seed in range(3):
        space, step, q = _random_step("hod", "implicit-euler", formulation, seed)
        g = step.residual(q)[0]
        A, simple = (step.matrix(q, terms) for terms in (EVERY, FEWER["J alone"]))
        given = list(step.directions(q, g))
        assert len(given) == 5
        np.testing.assert_allclose(A @ given[0], -g, atol=1e-10 * np.abs(g).max())
        np.testing.assert_allclose(simple @ given[1], -g, atol=1e-10 * np.abs(g).max())
        J = space.subspace.lanes(q).J
        symmetric = simple + J.T @ step.G @ J  # but for the torque's own turning
        np.testing.assert_allclose(symmetric, symmetric.T, atol=1e-12 * np.abs(A).max())
        for direction in given[2:]:
            assert (A.T @ g) @ direction < 0.0
        sizes = [np.linalg.norm(d) for d in given[2:]]
        assert sizes == sorted(sizes, reverse=True)


def test_a_singular_matrix_is_no_error() -> None:
    """A latent coordinate that moves nothing: Newton's matrix is singular, its row of g is 0."""
    body = _body()
    V = np.hstack([_modes(body, 2), np.zeros((body.n_dofs, 1))])
    motion = simulate(ReducedSpace(body, _loads(body), Linear(V), H), 5)
    wanted = simulate(ReducedSpace(body, _loads(body), Linear(V[:, :2]), H), 5)
    np.testing.assert_allclose(
        motion.z[:, :2], wanted.z, rtol=0, atol=1e-5 * np.abs(wanted.z).max()
    )
    assert not motion.z[:, 2].any()


def _cubature(body: Body, subspace: Subspace, tets: np.ndarray, weights: np.ndarray) -> Cubature:
    facts = (body.mesh.n_tets, body.mesh.digest, subspace.kind, subspace.rank)
    return Cubature(
        tets, weights, *facts, fingerprint_of(subspace), 0.0, 0.0, 0.0, 0.0, np.zeros((0, 4)), 0
    )


@every_kind
@every_formulation
def test_a_cubature_of_every_tet_moves_as_the_whole_mesh(kind: str, formulation: str) -> None:
    body = _body()
    subspace = _subspace(kind, body)
    every = np.arange(body.mesh.n_tets)
    cubature = _cubature(body, subspace, every, np.ones(len(every)))
    whole, sampled = (
        simulate(
            ReducedSpace(body, _loads(body, 0.3), subspace, H, formulation=formulation, cubature=c),
            10,
        )
        for c in (None, cubature)
    )
    np.testing.assert_array_equal(sampled.iterations, whole.iterations)
    np.testing.assert_allclose(sampled.z, whole.z, rtol=0, atol=1e-11 * np.abs(whole.z).max())


@every_kind
@every_formulation
def test_with_a_cubature_the_matrix_is_the_slope_and_the_force_the_sampled_one(
    kind: str, formulation: str
) -> None:
    whole, step, q = _random_step(kind, "implicit-euler", formulation, 2)
    body, subspace = whole.body, whole.subspace
    rng = np.random.default_rng(0)
    tets = np.sort(rng.choice(body.mesh.n_tets, 7, replace=False))
    cubature = _cubature(body, subspace, tets, rng.uniform(1.0, 9.0, 7))
    space = ReducedSpace(
        body, _loads(body), subspace, H, formulation=formulation, cubature=cubature
    )
    assert isinstance(space.elastic, Sampled)
    mine = _Step(space, step.state)
    g, _ = mine.residual(q.copy())
    at = subspace.lanes(q)
    moved = at.J.T @ (space.elastic.force(at.z) - whole.elastic.force(at.z))
    wanted = step.residual(q.copy())[0] + moved
    np.testing.assert_allclose(g, wanted, rtol=0, atol=1e-11 * np.abs(wanted).max())
    assert np.abs(moved).max() > 0.01 * np.abs(g).max()
    A = mine.matrix(q.copy(), space.terms)
    direction = rng.standard_normal(R)
    errors = oracles.central_errors(
        lambda x: mine.residual(x)[0], A @ direction, q, direction, (2e-2, 1e-2, 5e-3)
    )
    assert oracles.observed_orders(errors) == pytest.approx(2.0, abs=0.25)


def test_at_rest_with_a_cubature_nothing_moves() -> None:
    body = _body()
    subspace = _subspace("hod", body)
    cubature = _cubature(body, subspace, np.array([2, 9, 40]), np.array([3.0, 10.0, 20.0]))
    motion = simulate(ReducedSpace(body, Loads(body, ()), subspace, H, cubature=cubature), 5)
    assert np.abs(motion.z @ subspace.basis.T).max() < 1e-12
    assert motion.iterations.max() == 0


def test_a_cubature_for_another_subspace_is_refused() -> None:
    body = _body()
    cubature = _cubature(body, _subspace("hod", body), np.array([2]), np.ones(1))
    with pytest.raises(InputError, match="expected one for quadratic-3, given one for hod-3"):
        ReducedSpace(body, _loads(body), _subspace("quadratic", body), H, cubature=cubature)
    with pytest.raises(InputError, match="another model's"):
        ReducedSpace(body, _loads(body), _subspace("hod", body, 1), H, cubature=cubature)
    other = _body((3, 1, 1))
    with pytest.raises(InputError, match="for this mesh"):
        ReducedSpace(other, _loads(other), _subspace("hod", other), H, cubature=cubature)
