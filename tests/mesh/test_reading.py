"""Mesh files of other programs: formats, tags, what is said, and files that mean no good."""

from __future__ import annotations

import time
from pathlib import Path

import h5py
import meshio
import numpy as np
import pytest

from hodsim import InputError, TetMesh, beam, read_mesh, write_mesh
from hodsim.mesh import files as reader
from hodsim.mesh import open_mesh, pieces

CORNERS = np.array([[0.0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1], [1, 1, 1]])
TWO = np.array([[0, 1, 2, 3], [4, 1, 2, 3]])


@pytest.mark.parametrize("suffix", [".msh", ".vtk", ".vtu", ".mesh", ".inp", ".xdmf", ".bdf"])
def test_formats_that_meshio_writes(tmp_path: Path, suffix: str) -> None:
    mesh = beam((2, 1, 1))
    meshio.Mesh(mesh.vertices, [("tetra", mesh.tets)]).write(tmp_path / f"a{suffix}")
    found = open_mesh(tmp_path / f"a{suffix}")
    np.testing.assert_array_equal(found.mesh.tets, mesh.tets)
    np.testing.assert_allclose(found.mesh.vertices, mesh.vertices, rtol=1e-12, atol=0)
    assert found.notes == ()


def test_a_file_too_large_to_read_is_refused_by_its_size(tmp_path: Path) -> None:
    for name, most in (("a.veg", 256 << 20), ("a.vtu", 4 << 30)):
        with (tmp_path / name).open("wb") as file:
            file.truncate(most + 1)  # a hole: it takes no room
        with pytest.raises(InputError, match=rf"{name}: expected .* at most {most >> 20} MiB"):
            open_mesh(tmp_path / name)


def test_a_file_is_read_again_when_it_or_its_arrays_have_changed(tmp_path: Path) -> None:
    path = tmp_path / "a.xdmf"
    for size in (1.0, 2.0):
        mesh = beam((2, 1, 1), (size, 1.0, 1.0))
        meshio.Mesh(mesh.vertices, [("tetra", mesh.tets)]).write(tmp_path / "b.xdmf")
        (tmp_path / "b.h5").replace(tmp_path / "a.h5")
        if size == 1.0:
            path.write_text((tmp_path / "b.xdmf").read_text().replace("b.h5", "a.h5"))
        assert open_mesh(path).mesh.vertices[:, 0].max() == size
        assert open_mesh(path) is open_mesh(path)


def test_gmsh_s_physical_groups_are_tags(tmp_path: Path) -> None:
    # Gmsh 2.2, ASCII, by hand: a triangle in the group "foot", tets in "core" and in number 7.
    (tmp_path / "a.msh").write_text(
        "$MeshFormat\n2.2 0 8\n$EndMeshFormat\n$PhysicalNames\n2\n"
        '2 1 "foot"\n3 1 "core"\n$EndPhysicalNames\n$Nodes\n5\n'
        + "".join(f"{k + 1} {x} {y} {z}\n" for k, (x, y, z) in enumerate(CORNERS))
        + "$EndNodes\n$Elements\n3\n1 2 2 1 1 1 2 3\n2 4 2 1 1 1 2 3 4\n3 4 2 7 1 5 2 3 4\n"
        "$EndElements\n"
    )
    tags = read_mesh(tmp_path / "a.msh").tags
    assert tags["foot"].tolist() == [0, 1, 2]
    assert tags["core"].tolist() == [0, 1, 2, 3]
    assert tags["gmsh:physical=7"].tolist() == [1, 2, 3, 4]


def test_abaqus_sets_are_tags(tmp_path: Path) -> None:
    (tmp_path / "a.inp").write_text(
        "*NODE\n"
        + "".join(f"{k + 1}, {x}, {y}, {z}\n" for k, (x, y, z) in enumerate(CORNERS))
        + "*ELEMENT, TYPE=C3D4, ELSET=both\n1, 1, 2, 3, 4\n2, 5, 2, 3, 4\n"
        "*NSET, NSET=foot\n1, 3\n*ELSET, ELSET=upper\n2\n"
    )
    tags = read_mesh(tmp_path / "a.inp").tags
    assert tags["foot"].tolist() == [0, 2]
    assert tags["upper"].tolist() == [1, 2, 3, 4]


def test_arrays_of_whole_numbers_are_tags_and_follow_dropped_vertices(tmp_path: Path) -> None:
    stray = np.vstack([[[9.0, 9, 9]], CORNERS])
    meshio.Mesh(
        stray,
        [("tetra", TWO + 1)],
        cell_data={"material": [np.array([4, 6])], "stress": [np.array([0.5, 0.7])]},
        point_data={"side": np.array([3, 3, 0, 0, 0, 3])},
    ).write(tmp_path / "a.vtu")
    found = open_mesh(tmp_path / "a.vtu")
    tags = {name: chosen.tolist() for name, chosen in found.mesh.tags.items()}
    assert tags == {
        "material=4": [0, 1, 2, 3],
        "material=6": [1, 2, 3, 4],
        "side=0": [1, 2, 3],
        "side=3": [0, 4],
    }
    assert found.notes == (
        "dropped 1 of 6 vertices, which no tet uses",
        "turned the winding of 1 of 2 tets",
    )


def test_tags_survive_vtu_and_pickling(tmp_path: Path) -> None:
    import pickle

    mesh = TetMesh(CORNERS, TWO, {"far end": [4, 1]})
    write_mesh(mesh, tmp_path / "a.vtu")
    again = read_mesh(tmp_path / "a.vtu")
    for other in (again, pickle.loads(pickle.dumps(mesh))):
        assert {name: v.tolist() for name, v in other.tags.items()} == {"far end": [1, 4]}
    assert again.digest == TetMesh(CORNERS, TWO).digest
    with pytest.raises(InputError, match="tag 'x': expected indices from 0 to 4, given 5 to 5"):
        TetMesh(CORNERS, TWO, {"x": [5]})


def test_what_is_left_out_is_said(tmp_path: Path) -> None:
    points = np.vstack([CORNERS, np.random.default_rng(0).random((13, 3)) + 3.0])
    blocks = [
        ("tetra", TWO),
        ("tetra10", np.arange(5, 15)[None]),
        ("wedge", np.arange(12, 18)[None]),
        ("triangle", TWO[:, :3]),
    ]
    meshio.Mesh(points, blocks).write(tmp_path / "a.vtu")
    notes = open_mesh(tmp_path / "a.vtu").notes
    assert notes[0].startswith("left out 1 tetra10, 1 wedge (second-order tets")
    assert notes[1] == "dropped 13 of 18 vertices, which no tet uses"


def test_pieces_and_hinges_are_said(tmp_path: Path) -> None:
    tet = CORNERS[:4]
    write_mesh(TetMesh(np.vstack([tet, tet + 5]), [[0, 1, 2, 3], [4, 5, 6, 7]]), tmp_path / "a.vtu")
    found = open_mesh(tmp_path / "a.vtu")
    assert found.notes == ("the body is in 2 pieces that share no vertex",)
    assert pieces(found.mesh).tolist() == [0] * 4 + [1] * 4
    hinged = TetMesh(np.vstack([tet, -tet[1:]]), [[0, 1, 2, 3], [0, 4, 5, 6]])
    write_mesh(hinged, tmp_path / "b.vtu")
    (note,) = open_mesh(tmp_path / "b.vtu").notes
    assert note == "2 parts hang together by single vertices or edges only, as by hinges"


def test_a_file_is_read_once_until_it_changes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.vtu"
    write_mesh(beam((2, 1, 1)), path)
    first = read_mesh(path)
    called = []
    run = reader.isolated
    monkeypatch.setattr(reader, "isolated", lambda *a, **k: called.append(a) or run(*a, **k))
    assert read_mesh(path) is first
    assert not called
    write_mesh(beam((3, 1, 1)), path)
    assert read_mesh(path).n_vertices == beam((3, 1, 1)).n_vertices
    assert len(called) == 1


def _swollen(path: Path) -> None:
    """A few kilobytes of .xdmf and .h5 that announce eight terabytes of points."""
    with h5py.File(path.with_suffix(".h5"), "w") as file:
        file.create_dataset("x", shape=(1 << 40, 1), dtype="f8", chunks=(1 << 16, 1), fillvalue=1.0)
    path.write_text(
        '<Xdmf Version="3.0"><Domain><Grid><Geometry GeometryType="XYZ"><DataItem '
        f'DataType="Float" Precision="8" Dimensions="{1 << 40} 1" Format="HDF">'
        f"{path.stem}.h5:/x</DataItem></Geometry></Grid></Domain></Xdmf>"
    )


def _endless(path: Path) -> None:
    """A file that includes itself."""
    path.write_text(f"*NODE\n1, 0, 0, 0\n*INCLUDE, INPUT={path.name}\n")


def _laughs(path: Path) -> None:
    """Entities that unfold to a gigabyte."""
    inner = "".join(f'<!ENTITY a{k} "{f"&a{k - 1};" * 10}">' for k in range(1, 10))
    path.write_text(
        f'<?xml version="1.0"?><!DOCTYPE x [<!ENTITY a0 "haha">{inner}]>'
        '<VTKFile type="UnstructuredGrid">&a9;</VTKFile>'
    )


@pytest.mark.parametrize(
    ("name", "make"), [("a.xdmf", _swollen), ("a.inp", _endless), ("a.vtu", _laughs)]
)
def test_hostile_files_end_in_one_line(name: str, make, tmp_path: Path) -> None:
    make(tmp_path / name)
    with pytest.raises(InputError, match="meshio could not read it") as caught:
        read_mesh(tmp_path / name)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 700 + len(str(tmp_path))


def test_a_reader_that_hangs_is_stopped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.inp"
    path.write_text("*NODE\n*INCLUDE, INPUT=pipe\n")
    import os

    os.mkfifo(tmp_path / "pipe")  # who opens it to read waits for a writer, for ever
    monkeypatch.setattr(reader, "_SECONDS", 1)
    began = time.monotonic()
    with pytest.raises(InputError, match="took more than 5 s"):
        read_mesh(path)
    assert time.monotonic() - began < 30.0
