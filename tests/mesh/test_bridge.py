"""Gaps between pieces, and the necks that bridge them."""

from __future__ import annotations

import re
from pathlib import Path

import meshio
import numpy as np
import pytest

from hodsim import InputError, TetMesh, beam
from hodsim.cli.proposal import propose
from hodsim.mesh import fill_surface, pieces, widest_gap
from hodsim.mesh.bridge import bridges, check_gap
from hodsim.mesh.surface import faults

CUBE = beam((2, 2, 2), (1.0, 1.0, 1.0))
GAP = 0.2


def _boxes(*places: float) -> TetMesh:
    """Cubes of 1 m whose low corners are at these x [m]."""
    tets = np.vstack([CUBE.tets + k * CUBE.n_vertices for k in range(len(places))])
    return TetMesh(np.vstack([CUBE.vertices + np.array([x, 0.0, 0.0]) for x in places]), tets)


def _volume(points: np.ndarray, triangles: np.ndarray) -> float:
    a, b, c = np.moveaxis(points[triangles], 1, 0)
    return float(np.einsum("ij,ij->", a, np.cross(b, c))) / 6.0


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
    least = (1.0 - 2.0 * (dent + cell)) ** 2 * (wide - 2.0 * cell)
    most = (1.0 + cell) ** 2 * (wide + 2.0 * cell)
    assert least < _volume(points, triangles) < most


@pytest.mark.parametrize("share", [1e-3, 0.1, 0.2, 0.5, 0.9, 1.0])
def test_narrower_gaps_are_bridged_too(share: float) -> None:
    points, triangles = bridges(_boxes(0.0, 1.0 + share * GAP), GAP)
    assert faults(points, triangles) == []
    assert points[:, 0].min() < 1.0 - 0.2 * GAP
    assert points[:, 0].max() > 1.0 + (share + 0.2) * GAP
    # As wide as the faces are, but for a cell and the dent of the closing's ball at each side.
    assert _volume(points, triangles) > 0.5 * (0.4 + share) * GAP


@pytest.mark.parametrize("share", [0.5, 1.0])
def test_tips_are_joined_by_a_rod(share: float) -> None:
    """Cubes corner to corner, where a ball reaches everywhere."""
    way = share * GAP * np.ones(3) / np.sqrt(3.0)
    vertices = np.vstack([CUBE.vertices, CUBE.vertices + 1.0 + way])
    mesh = TetMesh(vertices, np.vstack([CUBE.tets, CUBE.tets + CUBE.n_vertices]))
    assert widest_gap(mesh) == pytest.approx(share * GAP, rel=1e-9)
    points, triangles = bridges(mesh, GAP)
    assert faults(points, triangles) == []
    tip = CUBE.vertices.max(axis=0)
    assert (points.min(axis=0) < tip).all()
    assert (points.max(axis=0) > tip + way).all()
    np.testing.assert_allclose(points.mean(axis=0), tip + 0.5 * way, atol=0.1 * GAP)


def test_thin_plates_do_not_fall_through_the_grid() -> None:
    plate = beam((4, 4, 1), (1.0, 1.0, 0.01))
    two = np.vstack([plate.vertices, plate.vertices + np.array([0.0, 0.0, 0.1])])
    tets = np.vstack([plate.tets, plate.tets + plate.n_vertices])
    points, _ = bridges(TetMesh(two, tets), GAP)
    assert points[:, 2].min() < 0.01
    assert points[:, 2].max() > 0.1


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


def _hinged(half: float = 0.15) -> TetMesh:
    """Two wedges of this half angle [rad] that have their sharp edge, x = z = 0, in common."""
    x, z = 1.0, np.tan(half)
    corners = [[0, 0, 0], [0, 1, 0]] + [
        [sign * x, y, up * z] for sign in (-1, 1) for y in (0, 1) for up in (-1, 1)
    ]
    wedge = [[0, 1, 4, 5], [0, 2, 3, 5], [0, 2, 5, 4]]
    other = [[v if v < 2 else v + 4 for v in tet] for tet in wedge]
    return TetMesh(np.array(corners, dtype=float), np.array(wedge + other, dtype=np.int32))


def test_hinges_are_made_stiff() -> None:
    points, triangles = bridges(_hinged(), GAP)
    assert faults(points, triangles) == []
    low, high = points.min(axis=0), points.max(axis=0)
    # A rod of the thickness GAP, to a cell, along all of the edge.
    np.testing.assert_allclose([low[0], high[0]], [-0.5 * GAP, 0.5 * GAP], atol=GAP / 4)
    np.testing.assert_allclose([low[2], high[2]], [-0.5 * GAP, 0.5 * GAP], atol=GAP / 4)
    assert low[1] < 0.0
    assert high[1] > 1.0


def test_a_body_with_hinges_is_refused_by_name() -> None:
    with pytest.raises(InputError, match="as by hinges: bridge them"):
        propose(_hinged())


def test_the_widest_gap_is_that_of_the_shortest_tree() -> None:
    assert widest_gap(CUBE) == 0.0
    # The outer two are 2.3 m apart, and need not be bridged.
    assert widest_gap(_boxes(0.0, 1.1, 2.4)) == pytest.approx(0.3, rel=1e-9)
    assert widest_gap(_boxes(0.0, 1.0)) == pytest.approx(0.0, abs=1e-9)


@pytest.mark.parametrize("gap", [0.0, -1.0, np.nan, np.inf, 1e-4, 9.0])
def test_bad_gaps(gap: float) -> None:
    with pytest.raises(InputError, match=r"join: expected a gap from about .* to 2\.62 \("):
        bridges(_boxes(0.0, 1.2), gap)


@pytest.mark.parametrize("extent", [(1.0, 1.0, 1.0), (1.0, 1e-3, 1e-3), (1.0, 1.0, 1e-3)])
def test_the_narrowest_gap_named_is_one_that_has_a_grid(extent: tuple[float, ...]) -> None:
    points = np.array([np.zeros(3), extent])
    with pytest.raises(InputError, match="expected a gap from about") as caught:
        check_gap(points, 1e-6)
    least = float(str(caught.value).split("about ")[1].split()[0])
    check_gap(points, least)
    with pytest.raises(InputError, match="expected a gap from about"):
        check_gap(points, 0.97 * least)


@pytest.mark.parametrize("turned", [1, -1])
def test_pieces_of_a_surface_become_one(tmp_path: Path, turned: int) -> None:
    """Also of one that is wound inwards, as its tets are not."""
    pytest.importorskip("pytetwild")
    two = _boxes(0.0, 1.0 + GAP)
    path = tmp_path / "two.stl"
    meshio.Mesh(two.vertices, [("triangle", two.surface[:, ::turned])]).write(path)
    found = fill_surface(path, edge=0.4, join=GAP)
    assert len(np.unique(pieces(found.mesh))) == 1
    assert found.notes == ("joined: 2 parts to 1",)
    assert 2.0 < found.mesh.volumes.sum() < 2.0 + 1.1 * GAP
    with pytest.raises(InputError, match="join: expected a gap"):
        fill_surface(path, edge=0.4, join=50.0)


def test_the_message_tells_a_gap_that_works(tmp_path: Path, run) -> None:
    """In the file's unit, at the command line, and nothing lies in the way of the second try."""
    pytest.importorskip("pytetwild")
    two = _boxes(0.0, 1.0 + 0.234)
    path = tmp_path / "two.stl"
    meshio.Mesh(1e3 * two.vertices, [("triangle", two.surface)]).write(path)
    words = ["init", path, "--edge", 400, "--scale", 0.001, "--out", tmp_path / "two.toml"]
    code, _, err = run(*words)
    assert code == 2
    gap = re.search(r"up to ([0-9.]+) in the file's unit", err.replace("\n", " "))
    assert gap is not None
    # fTetWild moves each side by up to 0.003 of the diagonal.
    assert float(gap[1]) == pytest.approx(1.01 * 234.0, abs=0.006 * 2634.0)
    code, out, err = run(*words, "--join", gap[1])
    assert (code, err) == (0, "")
    assert "joined: 2 parts to 1" in out
    code, _, err = run(*words, "--force", "--join", "nan")
    assert (code, "join: expected a length, given nan" in err) == (2, True)
