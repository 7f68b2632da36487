"""Obstacles as triangles: on their surfaces, closed, turned outwards, and drawn where they are."""

from __future__ import annotations

import sys
from pathlib import Path
from unittest.mock import MagicMock

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parent))

from fakes import LABELS, FakePresenter

from hodsim.dynamics.contact import solid_of
from hodsim.mesh import beam
from hodsim.scene import Obstacle, Shape
from hodsim.viewer import Shot, Solid, check_drawing
from hodsim.viewer.live.web_world import WebWorld
from hodsim.viewer.obstacles import Surface, surface_of
from hodsim.viewer.render import Renderer

LOW, HIGH = np.array([-1.0, -0.2, -0.1]), np.array([1.0, 0.2, 0.1])
SHAPES = {
    "plane": Shape("half_space", point=(0.3, 0.0, -0.5), normal=(0.2, -0.1, 2.0)),
    "wall": Shape("half_space", point=(2.0, 0.0, 0.0), normal=(-3.0, 0.0, 0.0)),
    "sphere": Shape("sphere", center=(0.3, 0.2, -0.6), radius=0.4),
    "box": Shape("box", center=(0.3, 0.2, -0.6), size=(0.4, 0.8, 1.0), turn=(10, 40, -70)),
    "sharp": Shape("box", center=(0.3, 0.2, -0.6), size=(0.4, 0.8, 1.0), rounding=0.0),
}
VOLUMES = {"sphere": 4 / 3 * np.pi * 0.4**3, "sharp": 0.32}


def made(name: str) -> Surface:
    return surface_of(Obstacle(SHAPES[name], 1.0), LOW, HIGH)


@pytest.mark.parametrize("name", SHAPES)
def test_triangles_lie_on_the_surface_and_look_outwards(name: str) -> None:
    surface, solid = made(name), solid_of(SHAPES[name])
    assert np.abs(solid.distance(surface.vertices)).max() < 1e-12
    corners = surface.vertices[surface.triangles]
    areas = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]) / 2
    real = np.linalg.norm(areas, axis=1) > 1e-12
    assert real.sum() > 8
    n, _ = solid.geometry(corners[real].mean(axis=1) + 1e-9)
    assert ((areas[real] * n).sum(axis=1) > 0.0).all()
    if name in ("plane", "wall"):
        assert np.linalg.norm(areas.sum(axis=0)) > 2.0  # m^2: wider than the body
        return
    assert np.abs(areas.sum(axis=0)).max() < 1e-12  # closed
    volume = (corners.mean(axis=1) * areas).sum() / 3
    if name in VOLUMES:
        assert volume == pytest.approx(VOLUMES[name], rel=0.02)
    assert 0.9 * 0.32 < volume < 0.32 or name != "box"


def test_a_plane_is_drawn_below_the_body() -> None:
    surface = made("plane")
    middle = surface.vertices.mean(axis=0)
    assert np.abs(np.cross(middle, SHAPES["plane"].normal)).max() < 1e-9  # the box's middle is 0


def test_a_picture_shows_them_grey_and_in_place() -> None:
    check_drawing()
    mesh = beam((4, 1, 1), (1.0, 0.2, 0.2))
    still = Solid("body", mesh.vertices[None], np.zeros((1, mesh.n_vertices)))
    ball = surface_of(
        Obstacle(Shape("sphere", center=(0.5, 0.0, -0.4), radius=0.15), 1.0), LOW, HIGH
    )
    shot = Shot(
        mesh.vertices,
        mesh.surface,
        np.arange(0),
        np.zeros(1),
        (still,),
        "displacement [m]",
        obstacles=(ball,),
    )
    with Renderer(shot, 300) as renderer:
        image = renderer.draw(0, 0).astype(int)
        low, high = shot.box()
        at = np.array([0.5, 0.0, -0.4]) @ shot.axes().T - (low + high) / 2
        row = round(renderer.height / 2 - at[1] * renderer.metre)
        column = round(renderer.width / 2 + at[0] * renderer.metre)
    middle = image[row, column]
    assert middle.max() < 230
    assert np.ptp(middle) < 30  # grey
    radius = round(0.15 * renderer.metre)
    assert image[row, column + radius - 4].max() < 230
    assert image[row, column + radius + 4].min() > 250


def test_the_web_shows_one_for_each_body() -> None:
    presenter, server = FakePresenter(), MagicMock()
    presenter.obstacles = (made("sphere"), made("plane"))
    world = WebWorld(server, MagicMock())
    world.show(presenter.picture())
    calls = server.scene.add_mesh_simple.call_args_list
    assert len(calls) == 2 * len(LABELS)
    for k, call in enumerate(calls):
        label, surface = LABELS[k // 2], presenter.obstacles[k % 2]
        name, vertices, triangles = call.args
        assert label in name
        np.testing.assert_allclose(vertices, surface.vertices + presenter.offset(label))
        assert triangles is surface.triangles
    world.show(presenter.picture())
    assert len(server.scene.add_mesh_simple.call_args_list) == len(calls)  # they stand still
    presenter.obstacles = ()
    node = server.scene.add_mesh_simple.return_value
    assert not node.remove.called
    world.show(presenter.picture())
    assert node.remove.call_count == len(calls)
