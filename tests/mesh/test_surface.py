"""Surfaces: what is wrong with them, and the tets that fill them."""

from __future__ import annotations

from pathlib import Path

import meshio
import numpy as np
import pytest

from hodsim import InputError, beam, read_mesh
from hodsim.mesh import arm, crossings, files, fill_surface, torus
from hodsim.mesh.crossings import crossing_pairs
from hodsim.mesh.surface import faults, read_surface

CUBE = beam((2, 2, 2), (1.0, 1.0, 1.0))


def _write(
    path: Path, points: np.ndarray = CUBE.vertices, faces: np.ndarray = CUBE.surface
) -> Path:
    used, renumbered = np.unique(faces, return_inverse=True)
    mesh = meshio.Mesh(points[used], [("triangle", renumbered.reshape(-1, 3))])
    mesh.write(path)
    return path


@pytest.mark.parametrize("suffix", [".obj", ".stl", ".ply", ".off"])
def test_formats(tmp_path: Path, suffix: str) -> None:
    points, triangles = read_surface(_write(tmp_path / f"a{suffix}"))
    assert triangles.shape == CUBE.surface.shape
    assert faults(points, triangles) == []
    a, b, c = np.moveaxis(points[triangles], 1, 0)
    assert np.einsum("ij,ij->", a, np.cross(b, c)) / 6.0 == pytest.approx(1.0, rel=1e-6)


@pytest.mark.parametrize("make", [beam, torus, arm])
def test_sound_surfaces_have_no_faults(make) -> None:
    mesh = make()
    assert faults(mesh.vertices, mesh.surface.astype(np.int64)) == []


def test_faults_are_counted_and_placed() -> None:
    points, faces = CUBE.vertices, CUBE.surface.astype(np.int64)
    (told,) = faults(points, faces[1:])
    assert told.startswith("3 open edges, with one triangle (first: near [")
    told = faults(points, np.vstack([faces, faces[:1]]))
    assert told[0].startswith("3 edges with more than two triangles")
    turned = faces.copy()
    turned[0] = turned[0, ::-1]
    (told,) = faults(points, turned)
    assert told.startswith("3 edges whose two triangles face opposite sides")


def test_crossings_are_those_of_a_plane_and_a_line() -> None:
    """Against every pair tried one by one, by the signs of volumes."""

    def volume(a, b, c, d) -> float:
        return float(np.linalg.det(np.array([b - a, c - a, d - a])))

    def pierces(s, t) -> bool:
        for k in range(3):
            p, q = s[k], s[(k + 1) % 3]
            if volume(*t, p) * volume(*t, q) >= 0:
                continue
            sides = [volume(p, q, t[i], t[(i + 1) % 3]) > 0 for i in range(3)]
            if len(set(sides)) == 1:
                return True
        return False

    rng = np.random.default_rng(3)
    points = rng.random((90, 3))
    points[:, 1] *= 3.0
    triangles = np.arange(90).reshape(-1, 3)
    found = {tuple(sorted(pair)) for pair in crossing_pairs(points, triangles).tolist()}
    corners = points[triangles]
    wanted = {
        (i, j)
        for i in range(30)
        for j in range(i + 1, 30)
        if pierces(corners[i], corners[j]) or pierces(corners[j], corners[i])
    }
    assert len(wanted) > 10
    assert found == wanted
    two = np.vstack([CUBE.vertices, CUBE.vertices + np.array([0.31, 0.17, 0.23])])
    both = np.vstack([CUBE.surface, CUBE.surface + CUBE.n_vertices]).astype(np.int64)
    assert "pairs of triangles that cut each other" in faults(two, both)[0]


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("a.obj", "v 0 0 0\nv 1 0 0\nv 0 1 0\nf 1 2 9\n", "vertices from 0 to 2"),
        ("a.obj", "v 0 0 0\nv 1 0 0\nv 0 nan 0\nf 1 2 3\n", "finite"),
        ("a.obj", "v 0 0 0\n", "found nothing"),
        ("a.obj", "v 0 0 x\n", "could not read"),
        ("a.ply", "ply\n", "could not read"),
        ("a.txt", "", "expected a surface"),
    ],
)
def test_bad_surfaces_are_refused_in_one_line(
    tmp_path: Path, name: str, text: str, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(files, "_SECONDS", 2)  # meshio loops for ever over the .ply
    (tmp_path / name).write_text(text)
    with pytest.raises(InputError, match=message) as caught:
        read_surface(tmp_path / name)
    assert "\n" not in str(caught.value)


def test_a_surface_is_no_mesh_of_tets(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"holds a surface; .*hodsim init a\.stl"):
        read_mesh(_write(tmp_path / "a.stl"))


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_a_flat_sheet_is_swept_along_itself(axis: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Across it, the sweep would look at every pair."""
    n = 40
    y, z = np.meshgrid(np.arange(n + 1.0), np.arange(n + 1.0), indexing="ij")
    points = np.roll(np.stack([0 * y, y, z], -1).reshape(-1, 3), axis, axis=1)
    k = (np.arange(n)[:, None] * (n + 1) + np.arange(n)).ravel()
    triangles = np.concatenate(
        [np.stack([k, k + 1, k + n + 1], 1), np.stack([k + 1, k + n + 2, k + n + 1], 1)]
    )
    monkeypatch.setattr(crossings, "_CHUNK", 1000)
    # A triangle meets those of its row of cells and of the next: 80 each.
    assert len(list(crossings._overlapping(points, triangles))) <= len(triangles) * 160 / 1000
    assert not len(crossing_pairs(points, triangles))


def test_triangles_that_all_reach_over_one_another_are_not_looked_at(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    points = np.tile(np.eye(3), (50, 1)) + 0.01 * np.arange(50).repeat(3)[:, None]
    triangles = np.arange(150).reshape(-1, 3)
    monkeypatch.setattr(crossings, "_MOST", 50 * 49 // 2)
    assert not len(crossing_pairs(points, triangles))
    monkeypatch.setattr(crossings, "_MOST", 50 * 49 // 2 - 1)
    with pytest.raises(InputError, match=r"given 1\.2e\+03 pairs that reach over one another"):
        crossing_pairs(points, triangles)
    assert "reach over one another" in faults(points, triangles)[-1]


def _corner(path: Path, faces: int = 4) -> Path:
    """The surface of one tet, of volume 1/6, or some of its faces."""
    corners = np.array([[0.0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1]])
    triangles = np.array([[0, 2, 1], [0, 1, 3], [0, 3, 2], [1, 2, 3]])
    meshio.Mesh(corners, [("triangle", triangles[:faces])]).write(path)
    return path


def test_filled_it_has_the_volume_of_the_surface(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("pytetwild")
    path = _corner(tmp_path / "a.stl")
    here = tmp_path / "here"
    here.mkdir()
    monkeypatch.chdir(here)
    coarse, fine = (fill_surface(path, edge=edge) for edge in (0.6, 0.07))
    area, diagonal = 1.5 + 3**0.5 / 2, 3**0.5
    for found in (coarse, fine):
        # All of the surface may move by 0.003 of the diagonal.
        wanted = pytest.approx(1 / 6, abs=area * 3e-3 * diagonal)
        assert found.mesh.volumes.sum() == wanted
        assert found.notes == ()
    assert fine.mesh.n_vertices > 1.2 * coarse.mesh.n_vertices
    # fTetWild writes files of its own: none of them where the user is.
    assert not list(here.iterdir())
    with pytest.raises(InputError, match="edge: expected a length from"):
        fill_surface(path, edge=9.0)


def test_a_hole_is_named_and_closed_when_asked(tmp_path: Path) -> None:
    pytest.importorskip("pytetwild")
    path = _corner(tmp_path / "a.obj", faces=3)
    with pytest.raises(InputError, match=r"3 open edges.*--mend"):
        fill_surface(path, edge=0.5)
    found = fill_surface(path, edge=0.5, mend=True)
    assert found.notes[0].startswith("mended: 3 open edges")
    # Where the hole was, half a winding: a bulge inwards, of the corner's own size.
    assert 0.05 < found.mesh.volumes.sum() < 1 / 6 + 0.01
