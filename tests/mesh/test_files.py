"""Mesh files: round trips, what is dropped, what is refused."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import meshio
import numpy as np
import pytest

from hodsim import InputError, TetMesh, beam, read_mesh, write_mesh
from hodsim.files import data_dir
from hodsim.mesh import arm, pierced, starfish, torus

CORNERS = np.array([[0.0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1]])
TET = np.array([[0, 1, 2, 3]])


@pytest.mark.parametrize("suffix", [".vtu", ".msh", ".vtk", ".mesh", ".VTU"])
def test_round_trip_is_exact(tmp_path: Path, suffix: str) -> None:
    mesh = beam((3, 2, 2), (1.0, 1 / 3, 0.7))
    path = tmp_path / "new folder" / f"beam{suffix}"
    write_mesh(mesh, path)
    again = read_mesh(path)
    assert again.digest == mesh.digest
    assert [p.name for p in path.parent.iterdir()] == [path.name]


@pytest.mark.parametrize("make", [beam, torus, arm, starfish, pierced])
def test_shipped_meshes_are_what_their_formulas_make(make: Callable[[], TetMesh]) -> None:
    assert read_mesh(data_dir("meshes") / f"{make.__name__}.vtu").digest == make().digest


def test_blocks_are_joined_and_the_rest_is_dropped(tmp_path: Path) -> None:
    mesh = beam((2, 1, 1))
    stray = np.array([[9.0, 9, 9]])
    blocks = [
        ("triangle", mesh.surface + 1),
        ("tetra", mesh.tets[:5] + 1),
        ("tetra", mesh.tets[5:] + 1),
    ]
    meshio.Mesh(np.vstack([stray, mesh.vertices, stray]), blocks).write(tmp_path / "a.vtu")
    assert read_mesh(tmp_path / "a.vtu").digest == mesh.digest


def _write(path: Path, points: np.ndarray = CORNERS, kind: str = "tetra", cells=TET) -> None:
    meshio.Mesh(points, [(kind, cells)]).write(path)


def _cut(path: Path) -> None:
    write_mesh(beam(), path)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


BAD_FILES = {
    "missing": ("a.vtu", lambda _: None, "none"),
    "folder": ("a.vtu", lambda path: path.mkdir(), "none"),
    "unknown suffix": ("a.xyzzy", lambda path: path.write_text("x"), "'.xyzzy'"),
    "no suffix": ("mesh", lambda path: path.write_text("x"), "suffix"),
    "not what its suffix says": ("a.vtu", lambda path: path.write_text("hello"), "could not read"),
    "empty vtk": ("a.vtk", lambda path: path.write_text(""), "could not read"),
    "empty msh": ("a.msh", lambda path: path.write_text(""), "could not read"),
    "cut vtu": ("a.vtu", _cut, "could not read"),
    "cut vtk": ("a.vtk", _cut, "could not read"),
    "cut msh": ("a.msh", _cut, "could not read"),
    "cut medit": ("a.mesh", _cut, "a.mesh"),
    "surface only": ("a.vtu", lambda p: _write(p, kind="triangle", cells=TET[:, :3]), "triangle"),
    "quadratic": (
        "a.vtu",
        lambda p: _write(p, np.random.default_rng(0).random((10, 3)), "tetra10", [range(10)]),
        "tetra10",
    ),
    "NaN": ("a.vtu", lambda p: _write(p, CORNERS * [1, 1, np.nan]), "vertex 0"),
    "flat": ("a.vtu", lambda p: _write(p, CORNERS * [1, 1, 0]), "tet 0"),
    "index too large": ("a.vtu", lambda p: _write(p, cells=TET + 1), "tet 0"),
    "negative index": ("a.vtu", lambda p: _write(p, cells=TET - 1), "tet 0"),
}


@pytest.mark.parametrize("case", BAD_FILES)
def test_bad_files_are_refused_in_one_line(
    case: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    name, make, message = BAD_FILES[case]
    path = tmp_path / name
    make(path)
    capfd.readouterr()
    with pytest.raises(InputError) as caught:
        read_mesh(path)
    assert message in str(caught.value)
    assert str(caught.value).startswith(f"{path}: ")
    assert "\n" not in str(caught.value)
    assert capfd.readouterr() == ("", "")


def test_a_failed_write_leaves_the_old_file_and_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.vtu"
    path.write_text("old")

    def fail(_: meshio.Mesh, target: Path, file_format: str) -> None:
        Path(target).write_text(f"half of a {file_format}")
        raise OSError("disk full")

    monkeypatch.setattr(meshio.Mesh, "write", fail)
    with pytest.raises(InputError, match="disk full"):
        write_mesh(TetMesh(CORNERS, TET), path)
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_unknown_suffix_is_not_written(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"'\.stl'"):
        write_mesh(TetMesh(CORNERS, TET), tmp_path / "a.stl")
    assert not list(tmp_path.iterdir())
