"""Gaps between pieces, and the necks that bridge them."""

from __future__ import annotations

from pathlib import Path

import meshio
import numpy as np
import pytest

from hodsim import InputError, TetMesh, beam
from hodsim.cli.proposal import propose
from hodsim.mesh import fill_surface, pieces, widest_gap
from hodsim.mesh.bridge import bridges
from hodsim.mesh.surface import faults

CUBE = beam((2, 2, 2), (1.0, 1.0, 1.0))
GAP = 0.2


def _boxes(*places: float) -> TetMesh:
    """Cubes of 1 m whose low corners are at these x [m]."""
    tets = np.vstack([CUBE.tets + k * CUBE.n_vertices for k in range(len(places))])
    return TetMesh(np.vstack([CUBE.vertices + np.array([x, 0.0, 0.0]) for x in places]), tets)


def _volume(points: np.ndarray, triangles: np.ndarray) -> float:
    a, b, c = np.moveaxis(points[triangles], 1, 0)
    return abs(float(np.einsum("ij,ij->", a, np.cross(b, c)))) / 6.0


def test_the_neck_between_two_faces_is_what_a_ball_cannot_reach() -> None:
    points, triangles = bridges(_boxes(0.0, 1.0 + GAP), GAP)
    assert faults(points, triangles) == []
    cell = GAP / 4
    # It reaches two cells into both, and one more or less.
    reach = 2.0 * cell
    low, high = points.min(axis=0), points.max(axis=0)
    np.testing.assert_allclose([low[0], high[0]], [1.0 - reach, 1.0 + GAP + reach], atol=cell)
    # A ball of radius GAP that touches both rims comes in by GAP (1 - cos 30): half of that all
    # around, in the mean, and the grid's half a cell.
    dent = GAP * (1.0 - np.sqrt(0.75))
    wide = GAP + 2.0 * reach
    least, most = (
        (1.0 - 2.0 * (dent + cell)) ** 2 * (wide - 2.0 * cell),
        (1.0 + cell) ** 2 * (wide + 2.0 * cell),
    )
    assert least < _volume(points, triangles) < most


@pytest.mark.parametrize("places", [(0.0,), (0.0, 1.0 + 3.0 * GAP)])
def test_creases_and_wider_gaps_stay(places: tuple[float, ...]) -> None:
    points, triangles = bridges(_boxes(*places), GAP)
    assert len(points) == len(triangles) == 0


def test_a_crease_of_one_piece_is_left_beside_a_gap_that_is_bridged() -> None:
    """An L, in whose corner the ball does not fit, and a cube across a gap from its foot."""
    block = beam((2, 2, 4), (1.0, 1.0, 2.0))
    middle = block.vertices[block.tets].mean(axis=1)
    el = block.tets[(middle[:, 0] < 0.5) | (middle[:, 2] < 1.0)]
    far = CUBE.vertices + np.array([1.0 + GAP, 0.0, 0.0])
    used, number = np.unique(np.vstack([el, CUBE.tets + block.n_vertices]), return_inverse=True)
    mesh = TetMesh(np.vstack([block.vertices, far])[used], number.reshape(-1, 4).astype(np.int32))
    points, _ = bridges(mesh, GAP)
    assert points[:, 0].min() > 0.75  # the corner is at x = 0.5


def _hinged() -> TetMesh:
    """Two cubes that have an edge in common."""
    two = np.vstack([CUBE.vertices, CUBE.vertices + np.array([1.0, 0.0, 1.0])])
    used, number = np.unique(two.round(9), axis=0, return_inverse=True)
    tets = np.vstack([CUBE.tets, CUBE.tets + CUBE.n_vertices])
    return TetMesh(used, number.ravel()[tets].astype(np.int32))


def test_hinges_are_made_stiff() -> None:
    points, triangles = bridges(_hinged(), GAP)
    assert faults(points, triangles) == []
    low, high = points.min(axis=0), points.max(axis=0)
    # On both sides of the edge at x = z = 1, where the ball leaves sqrt(2) - 1 of its radius.
    assert low[0] < 1.0 - 0.4 * GAP
    assert high[0] > 1.0 + 0.4 * GAP
    assert high[1] - low[1] > 0.8


def test_a_body_with_hinges_is_refused_by_name() -> None:
    with pytest.raises(InputError, match="as by hinges: bridge them"):
        propose(_hinged())


def test_the_widest_gap_is_that_of_the_shortest_tree() -> None:
    assert widest_gap(CUBE) == 0.0
    # The outer two are 2.3 m apart, and need not be bridged.
    assert widest_gap(_boxes(0.0, 1.1, 2.4)) == pytest.approx(0.3, rel=1e-9)
    assert widest_gap(_boxes(0.0, 1.0)) == pytest.approx(0.0, abs=1e-9)


@pytest.mark.parametrize("gap", [0.0, -1.0, np.nan, 1e-4, 9.0])
def test_bad_gaps(gap: float) -> None:
    with pytest.raises(
        InputError, match=r"join: expected a gap from about .* to 2\.62 m"
    ) as caught:
        bridges(_boxes(0.0, 1.2), gap)
    least = float(str(caught.value).split("about ")[1].split()[0])
    bridges(_boxes(0.0, 1.2), 1.05 * least)


def test_pieces_of_a_surface_become_one(tmp_path: Path) -> None:
    pytest.importorskip("pytetwild")
    two = _boxes(0.0, 1.0 + GAP)
    path = tmp_path / "two.stl"
    meshio.Mesh(two.vertices, [("triangle", two.surface)]).write(path)
    assert len(np.unique(pieces(fill_surface(path, edge=0.4).mesh))) == 2
    found = fill_surface(path, edge=0.4, join=GAP)
    assert len(np.unique(pieces(found.mesh))) == 1
    assert found.notes[0] == "joined: 2 pieces to 1"
    assert 2.0 < found.mesh.volumes.sum() < 2.0 + 1.1 * GAP
    with pytest.raises(InputError, match="join: expected a gap"):
        fill_surface(path, edge=0.4, join=50.0)
