"""Contact in a subspace: the full space's where the subspace is all of it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import oracles
import pytest
import torch

from hodsim import InputError, beam
from hodsim.dynamics import Applied, FullSpace, ReducedSpace, Spring, simulate
from hodsim.dynamics.compiled import CompiledSpace, TouchingSpace, simulate_batch
from hodsim.dynamics.contact import Contact, ReducedContact, surface_points
from hodsim.dynamics.reduced import _Step
from hodsim.fem import Body, Loads, make_body
from hodsim.networks import HoDNet
from hodsim.networks import Shape as NetShape
from hodsim.scene import Damping, Load, MaterialSpec, NewtonSpec, Obstacle, Region, Shape
from hodsim.subspaces import HoD, Linear, Subspace

H = 0.02
NEWTON = NewtonSpec(1e-10, 40)
TIP = Region("box", min=(0.999, -1, -1), max=(2, 1, 1))
OBSTACLES = (
    Obstacle(Shape("sphere", center=(0.9, 0, -0.4), radius=0.25), 3e5, 0.4, 2e-3, 0.05, "ball"),
    Obstacle(Shape("half_space", point=(0, 0, -0.3), normal=(-0.2, 0, 1)), 2e5, 0.2, name="floor"),
)
LOADS = (Load("force", (0.0, 0.1), ((0, 0, 0), (0, 4.0, -16.0)), TIP),)
every_integrator = pytest.mark.parametrize("integrator", ["implicit-euler", "bdf2"])


@pytest.fixture(scope="module")
def body() -> Body:
    mesh = beam((4, 1, 1), (1.0, 0.2, 0.2))
    fixed = np.flatnonzero(mesh.vertices[:, 0] <= 0.0)
    return make_body(
        mesh, MaterialSpec("neo-hookean", 2e4, 0.3, 1000.0), fixed, damping=Damping(0.5, 0.01)
    )


def _modes(body: Body, r: int) -> np.ndarray:
    return np.linalg.eigh(body.stiffness(np.zeros(body.n_dofs)).toarray())[1][:, :r]


def _network(body: Body) -> HoD:
    torch.manual_seed(0)
    network = HoDNet(NetShape(body.n_dofs, 3, (8, 11), (4,), 7, "silu")).double()
    with torch.no_grad():
        network.decoder.out.weight.copy_(torch.from_numpy(_modes(body, 7)))
        network.decoder.mix.weight[:, -3:] = torch.eye(7, 3)
    return HoD(network)


def _touching(
    body: Body, subspace: Subspace, integrator: str = "implicit-euler", points: int | None = None
) -> TouchingSpace:
    loads = Loads(body, LOADS)

    def reference() -> ReducedSpace:
        return ReducedSpace(
            body,
            loads,
            subspace,
            H,
            integrator,
            newton_spec=NEWTON,
            obstacles=OBSTACLES,
            contact_points=points,
        )

    space = CompiledSpace(body, loads, subspace, None, H, integrator, NEWTON)
    return TouchingSpace(space, OBSTACLES, reference, points)


@every_integrator
def test_where_the_subspace_is_everything_all_spaces_agree(body: Body, integrator: str) -> None:
    loads, whole = Loads(body, LOADS), Linear(np.eye(body.n_dofs))
    common = {"integrator": integrator, "newton_spec": NEWTON, "obstacles": OBSTACLES}
    full = FullSpace(body, loads, H, **common)
    ends = {"full": simulate(full, 40)}
    pushed = [full.contact.depth(u).max() for u in ends["full"].z]
    slid = np.abs(ends["full"].dz[10:]).max()
    assert max(pushed) > 5e-3
    assert slid > 0.1  # well above the speeds at which friction is not yet full
    for form in ("incremental", "lagrangian"):
        space = ReducedSpace(body, loads, whole, H, formulation=form, contact_points=None, **common)
        ends[form] = simulate(space, 40)
    touching = _touching(body, whole, integrator)
    ends["compiled"] = simulate(touching, 40)
    assert not touching.left
    size = np.abs(ends["full"].z).max()
    for name, motion in ends.items():
        off = np.abs(motion.z - ends["full"].z).max()
        print(name, off / size, motion.iterations.mean())
        assert off < 1e-7 * size, name
    free = simulate(FullSpace(body, loads, H, integrator, NEWTON), 40)
    assert np.abs(free.z - ends["full"].z).max() > 0.1 * size  # the obstacles matter


@every_integrator
def test_the_compiled_step_takes_the_readable_ones_on_a_curved_manifold(
    body: Body, integrator: str
) -> None:
    """With a user's spring and gravity on top, and those taken over by a copy."""
    subspace = _network(body)
    applied = Applied((Spring(9, (0.5, 0.1, -0.1), 20.0),), (0.0, 0.0, -2.0))
    one = _touching(body, subspace, integrator)
    two = one._make()
    one.apply_input(applied)
    two.apply_input(applied)
    copy = _touching(body, subspace, integrator)
    one.copy_applied(copy)
    motions = [simulate(space, 40) for space in (one, two, copy)]
    assert max(one.contact.depth(z).max() for z in motions[0].z) > 1e-3
    np.testing.assert_array_equal(motions[0].z, motions[2].z)
    size = np.abs(motions[1].coordinates).max()
    assert np.abs(motions[0].coordinates - motions[1].coordinates).max() < 1e-7 * size
    # Where friction turns round within a step; measured 3 and 0 of 40.
    assert one.left <= 4


def test_a_compiled_step_knows_the_tangent_where_it_ended(body: Body) -> None:
    for subspace in (_network(body), Linear(_modes(body, 4))):
        space = CompiledSpace(body, Loads(body, LOADS), subspace, None, H, newton_spec=NEWTON)
        state = space.start()
        for _ in range(8):
            state, result = space.step(state)
        assert result.iterations
        wanted = subspace.lanes(state.motion.x).J
        np.testing.assert_allclose(space.tangent(), wanted, atol=1e-12)


def test_away_from_obstacles_a_touching_space_is_the_compiled_one(body: Body) -> None:
    subspace = _network(body)
    far = tuple(
        replace(OBSTACLES[1], shape=Shape("half_space", point=(0, 0, z), normal=(0, 0, 1)))
        for z in (-50.0,)
    )
    space = CompiledSpace(body, Loads(body, LOADS), subspace, None, H, newton_spec=NEWTON)
    plain = simulate(space, 20)
    touching = TouchingSpace(space, far, lambda: pytest.fail("not needed"))
    with pytest.raises(InputError, match="simulate_batch: expected a CompiledSpace"):
        simulate_batch(touching)  # type: ignore[arg-type]
    motion = simulate(touching, 20)
    np.testing.assert_array_equal(motion.z, plain.z)
    np.testing.assert_array_equal(motion.iterations, plain.iterations)


def test_what_launches_do_not_solve_is_left_to_the_readable_step(
    body: Body, monkeypatch: pytest.MonkeyPatch
) -> None:
    subspace = _network(body)
    wanted = simulate(_touching(body, subspace)._make(), 20)
    space = _touching(body, subspace)
    monkeypatch.setattr("hodsim.dynamics.compiled.touching._LAUNCHES", 1)
    motion = simulate(space, 20)
    assert space.left > 3
    size = np.abs(wanted.coordinates).max()
    assert np.abs(motion.coordinates - wanted.coordinates).max() < 1e-7 * size


@pytest.mark.parametrize("form", ["incremental", "lagrangian"])
def test_newtons_matrix_is_the_derivative_of_the_residual(body: Body, form: str) -> None:
    """In touch and slipping on a curved manifold; central differences with rate 2."""
    subspace = _network(body)
    space = ReducedSpace(
        body,
        Loads(body, LOADS),
        subspace,
        H,
        formulation=form,
        obstacles=OBSTACLES,
        contact_points=None,
    )
    rng = np.random.default_rng(4)
    modes = subspace.basis
    down = modes.T @ np.tile([0.0, 0.0, -1.0], body.n_dofs // 3)
    q = 0.35 * down[:3] / np.linalg.norm(down[:3]) * np.sqrt(body.n_dofs / 3)
    state = space.start(q, 0.5 * rng.normal(size=3))
    step = _Step(space, state)
    q = state.motion.ahead(H)
    assert space.contact.depth(subspace.lanes(q).z).max() > 5e-3
    A = step.matrix(q, space.terms)
    steps = np.array([4e-6, 2e-6, 1e-6])
    for i, d in enumerate(np.eye(3)):
        errors = oracles.central_errors(lambda y: step.residual(y)[0], A[:, i], q, d, steps)
        print(form, i, errors, np.abs(A).max())
        assert errors[-1] < 1e-6 * np.abs(A).max()


def test_a_linear_force_is_a_tangent(body: Body) -> None:
    """p + G y is the force at z, and near it to second order."""
    contact = ReducedContact(body, OBSTACLES, np.eye(body.n_dofs), None)
    rng = np.random.default_rng(3)
    z = np.tile([0.02, 0.0, -0.22], body.n_dofs // 3) + 1e-3 * rng.normal(size=body.n_dofs)
    dz, c = rng.normal(size=body.n_dofs), 70.0
    assert contact.depth(z).max() > 0.01
    p, G = contact.at(z, dz).affine(c)
    np.testing.assert_allclose(p + G @ z, contact.at(z, dz).force, atol=1e-9)
    d = 1e-2 * rng.normal(size=body.n_dofs)
    off = []
    for h in (4e-3, 2e-3, 1e-3):
        y = z + h * d
        off.append(np.linalg.norm(contact.at(y, dz + c * (y - z)).force - p - G @ y))
    orders = oracles.observed_orders(off)
    print(off, orders)
    assert orders == pytest.approx(2.0, abs=0.25)


def test_all_points_give_the_full_spaces_forces(body: Body) -> None:
    rng = np.random.default_rng(3)
    z = np.tile([0.02, 0.0, -0.22], body.n_dofs // 3) + 1e-3 * rng.normal(size=body.n_dofs)
    dz = rng.normal(size=body.n_dofs)
    full, B = Contact(body, OBSTACLES), rng.normal(size=(body.n_dofs, 5))
    y, dy = rng.normal(size=(2, 5)) * 1e-3
    reduced = ReducedContact(body, OBSTACLES, np.column_stack([B, z, dz]), None)
    y, dy = np.append(y, [1.0, 0.0]), np.append(dy, [0.0, 1.0])
    u, v = reduced_of(B, z, dz, y), reduced_of(B, z, dz, dy)
    wanted = np.column_stack([B, z, dz]).T @ full.force(u, v)
    assert np.abs(wanted).max() > 1.0
    np.testing.assert_allclose(reduced.at(y, dy).force, wanted, rtol=1e-9)
    assert reduced.energy(y) == pytest.approx(full.energy(u))


def reduced_of(B: np.ndarray, z: np.ndarray, dz: np.ndarray, y: np.ndarray) -> np.ndarray:
    return np.column_stack([B, z, dz]) @ y


def test_a_sample_stands_for_the_whole_surface() -> None:
    """Area is kept, face by face even where a plate is thin; forces come near those of all."""
    mesh = beam((8, 8, 1), (1.0, 1.0, 0.02))
    body = make_body(mesh, MaterialSpec("stvk", 1e5, 0.3, 1000.0), np.empty(0, dtype=np.int64))
    points = surface_points(body)
    errors = []
    for count in (50, 200, 800):
        sample = points.sample(count)
        assert len(sample.areas) == count
        assert len(np.unique(sample.rest, axis=0)) == count
        assert sample.areas.sum() == pytest.approx(points.areas.sum())
        for side in (-1.0, 1.0):
            top = sample.normals[:, 2] * side > 0.9
            assert sample.areas[top].sum() == pytest.approx(1.0, rel=1e-9)
        ball = (Obstacle(Shape("sphere", center=(0.4, 0.6, -0.95), radius=1.0), 1e5),)
        B = np.eye(body.n_dofs)
        down, still = np.tile([0.0, 0.0, 0.0], mesh.n_vertices), np.zeros(body.n_dofs)
        pull = [
            ReducedContact(body, ball, B, k).at(down, still).force.reshape(-1, 3).sum(axis=0)
            for k in (count, None)
        ]
        errors.append(np.linalg.norm(pull[0] - pull[1]) / np.linalg.norm(pull[1]))
    print(errors)
    assert errors[-1] < 0.05 < 0.5 > errors[0]
    assert points.sample(len(points.areas)) is points
    with pytest.raises(InputError, match="contact points: expected at least 1, given 0"):
        points.sample(0)


def test_points_carry_what_triangles_carry(body: Body) -> None:
    """W maps linear fields exactly, clamped vertices stay, and areas are the surface's."""
    points = surface_points(body)
    W = points.map(body)
    A = np.random.default_rng(0).normal(size=(3, 3))
    x = body.mesh.vertices.copy()
    x[np.setdiff1d(np.arange(len(x)), body.free_vertices)] = 0.0
    moved = (W @ body.restrict(x @ A.T)).reshape(-1, 3)
    wanted = np.einsum("kc,kci->ki", points.weights, x[points.corners]) @ A.T
    np.testing.assert_allclose(moved, wanted, atol=1e-14)
    # All but the clamped end, 0.2 x 0.2.
    assert points.areas.sum() == pytest.approx(4 * 0.2 + 0.04)
