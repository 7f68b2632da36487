"""What a user applies: the same force in every space, with its exact matrix."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from small import SCENE

from hodsim.dynamics import Applied, FullSpace, ReducedSpace, Spring, State, simulate
from hodsim.dynamics.compiled import CompiledSpace
from hodsim.errors import InputError
from hodsim.fem import Body, Loads, body_of
from hodsim.scene import NewtonSpec, Scene, read_scene
from hodsim.subspaces import Linear

H = 0.02
NEWTON = NewtonSpec(tolerance=1e-11)
APPLIED = Applied(
    (Spring(20, (0.5, 0.2, 0.3), 150.0), Spring(9, (0.1, -0.3, 0.2), 40.0)), (1.0, -2.0, -9.8)
)


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Scene:
    path = tmp_path_factory.mktemp("scene") / "small.toml"
    path.write_text(SCENE)
    return replace(read_scene(path), loads=())


@pytest.fixture(scope="module")
def body(scene: Scene) -> Body:
    return body_of(scene)


def spaces(body: Body) -> dict[str, FullSpace | ReducedSpace | CompiledSpace]:
    loads, whole = Loads(body, ()), Linear(np.eye(body.n_dofs))
    return {
        "full": FullSpace(body, loads, H, newton_spec=NEWTON),
        "incremental": ReducedSpace(body, loads, whole, H, newton_spec=NEWTON),
        "lagrangian": ReducedSpace(
            body, loads, whole, H, formulation="lagrangian", newton_spec=NEWTON
        ),
        "compiled": CompiledSpace(body, loads, whole, None, H, newton_spec=NEWTON),
    }


def test_every_space_feels_the_same_force(body: Body) -> None:
    ends: dict[str, np.ndarray] = {}
    for name, space in spaces(body).items():
        space.apply_input(APPLIED)
        pulled = simulate(space, 10)
        space.apply_input(Applied())
        last = State(
            pulled.times[-1],
            replace(space.start().motion, x=pulled.coordinates[-1], v=pulled.dz[-1]),
            pulled.z[-1],
            pulled.dz[-1],
            None
            if name in ("full", "lagrangian")
            else replace(space.start().motion, x=pulled.z[-1], v=pulled.dz[-1]),
        )
        let_go = simulate(space, 5, start=last)
        ends[name] = np.concatenate([pulled.z[-1], let_go.z[-1]])
    size = np.abs(ends["full"]).max()
    assert size > 0.05
    for name, end in ends.items():
        assert np.abs(end - ends["full"]).max() < 1e-7 * size, name


def test_the_matrix_holds_the_springs(body: Body) -> None:
    for name, space in spaces(body).items():
        space.apply_input(APPLIED)
        _, result = space.step(space.start())
        assert result.converged
        # Quadratic: the last residual is within a constant of the square of the one before. A
        # matrix without the spring would converge linearly.
        r = [x for x in result.residuals if x > 1e-13]
        assert len(r) < 7, name
        assert min(result.residuals) < 1e-10


def test_at_rest_the_spring_and_the_body_pull_alike(body: Body, scene: Scene) -> None:
    space = FullSpace(body, Loads(body, ()), 10.0, newton_spec=NEWTON)  # so long that inertia is 0
    spring = Spring(20, (0.5, 0.2, 0.3), 30.0)
    space.apply_input(Applied((spring,)))
    motion = simulate(space, 400)
    u = motion.displacements()[-1]
    force = body.expand(body.force(u))[20]
    x = body.mesh.vertices[20] + body.expand(u)[20]
    assert force == pytest.approx(30.0 * (np.array(spring.target) - x), rel=1e-5, abs=1e-6)
    others = body.free_vertices[body.free_vertices != 20]
    rest = body.expand(body.force(u))[others]
    assert np.abs(rest).max() < 1e-4 * np.abs(force).max()


def test_a_copy_feels_it_and_nothing_is_nothing(body: Body) -> None:
    for name, space in spaces(body).items():
        other = spaces(body)[name]
        space.apply_input(APPLIED)
        space.copy_applied(other)
        assert np.array_equal(simulate(other, 2).z, simulate(space, 2).z)
        still = spaces(body)[name]
        still.apply_input(Applied())
        assert not simulate(still, 2).z.any()


def test_what_cannot_be_applied(body: Body) -> None:
    clamped = int(np.setdiff1d(np.arange(body.mesh.n_vertices), body.free_vertices)[0])
    for space in spaces(body).values():
        for vertex, told in ((clamped, "clamped"), (-1, "vertex from 0"), (10**6, "vertex from 0")):
            with pytest.raises(InputError, match=told):
                space.apply_input(Applied((Spring(vertex, (0.0, 0.0, 0.0), 1.0),)))
    with pytest.raises(InputError, match="three finite"):
        Spring(1, (np.nan, 0.0, 0.0), 1.0)
    with pytest.raises(InputError, match="at least 0 N/m"):
        Spring(1, (0.0, 0.0, 0.0), -1.0)
    with pytest.raises(InputError, match="finite acceleration"):
        Applied(gravity=(0.0, np.inf, 0.0))
