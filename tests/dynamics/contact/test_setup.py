"""A scene's obstacles are in the way of every integrator that is made for it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from hodsim.cubature import Cubature, load_cubatures
from hodsim.dynamics import ReducedSpace, Spec, Spring, parse_spec, setup_of, simulate
from hodsim.dynamics.compiled import CompiledSpace, TouchingSpace
from hodsim.fem import Body, body_of
from hodsim.files import data_dir
from hodsim.scene import Scene, read_scene
from hodsim.session import Driven
from hodsim.session.inputs import Drag, Gravity, Release, TimeStep
from hodsim.subspaces import Model, load_model

World = tuple[Scene, Body, Model, dict[str, Cubature]]


@pytest.fixture(scope="module")
def world() -> World:
    scene = read_scene(data_dir("scenes") / "ball.toml")
    assert scene.model is not None
    # Pressed at once, to be there soon.
    loads = tuple(replace(load, times=(0.0,), values=((0.0, 0.0, -50.0),)) for load in scene.loads)
    return (
        replace(scene, loads=loads),
        body_of(scene),
        load_model(scene.model),
        load_cubatures(scene.model),
    )


def test_every_spec_meets_the_obstacles(world: World) -> None:
    scene, body, model, cubatures = world
    specs = ("full", "hod-6", "pca-6", "quadratic-6")
    made = {name: setup_of(scene, body, parse_spec(name), model, cubatures) for name in specs}
    made["reference"] = setup_of(scene, body, Spec("hod", 6, reference=True), model)
    made["lagrangian"] = setup_of(scene, body, Spec("hod", 6, "lagrangian"), model)
    [ball] = scene.obstacles
    free = setup_of(replace(scene, obstacles=()), body, parse_spec("hod-6"), model, cubatures)
    assert isinstance(free.integrator.whole, CompiledSpace)
    for name, setup in made.items():
        space = setup.integrator.whole
        assert space.contact.law.obstacles == (ball,), name
        # So are the parts of a step that is halved.
        assert setup.integrator._make(0.01).contact.law.obstacles == (ball,)
    touching = made["hod-6"].integrator.whole
    assert isinstance(touching, TouchingSpace)
    reference = touching._make()
    assert isinstance(reference, ReducedSpace)
    assert reference.contact is not None
    assert reference.h == touching.h
    assert touching.space.cubature is cubatures["hod-6"]


def test_the_reduced_beam_rests_on_the_ball_as_the_full_one_does(world: World) -> None:
    """Depth and force in a space that never saw a ball, against those of full space."""
    scene, body, model, cubatures = world
    pressed = {}
    for name in ("full", "hod-6", "free"):
        here = replace(scene, obstacles=()) if name == "free" else scene
        spec = parse_spec("hod-6" if name == "free" else name)
        setup = setup_of(here, body, spec, model, cubatures)
        motion = simulate(setup.integrator, 60, basis=setup.basis)
        lowest = motion.displacements(slice(2, None, 3)).min()
        if name == "free":
            assert lowest < 1.3 * pressed["full"][0]
            continue
        contact, z, dz = setup.integrator.whole.contact, motion.z[-1], motion.dz[-1]
        if name == "full":
            force = contact.force(z, dz).reshape(-1, 3).sum(axis=0)
        else:
            touch = contact.at(z, dz)
            force = touch.law.force(touch.x, touch.v).sum(axis=0)
        pressed[name] = lowest, contact.depth(z).max(), force[2]
    print(pressed)
    # Measured 1 % in travel and 3 % in force.
    assert pressed["hod-6"][0] == pytest.approx(pressed["full"][0], rel=0.05)
    assert pressed["hod-6"][2] == pytest.approx(pressed["full"][2], rel=0.1)
    assert 0.0 < pressed["hod-6"][1] < 0.02


@pytest.mark.parametrize("name", ["full", "hod-6"])
def test_a_user_pulls_a_body_about_an_obstacle(world: World, name: str) -> None:
    """Drags, gravity and another time step: no step fails, and the ball is felt all the while."""
    scene, body, model, cubatures = world
    driven = Driven(scene, body, parse_spec(name), model, cubatures)
    tip = int(np.argmax(body.mesh.vertices[:, 0]))
    x, y, z = body.mesh.vertices[tip]
    state, deepest = driven.start(), 0.0
    for k in range(24):
        if k == 4:
            state = driven.do(state, Drag("w", Spring(tip, (x, y + 0.2, z - 0.4), 200.0)))
        if k == 10:
            state = driven.do(state, Gravity((0.0, 1.0, -9.81)))
        if k == 14:
            state = driven.do(state, TimeStep(0.01))
        if k == 20:
            state = driven.do(state, Release("w"))
        state, result = driven.step(state)
        assert result.converged
        deepest = max(deepest, driven.setup.integrator.whole.contact.depth(state.z).max())
    # Measured 38 mm: hard pulls press a small patch of a ball of 1e6 N/m^3.
    assert 1e-4 < deepest < 0.05
