"""Reading and writing meshes: tets through meshio, and VegaFEM's format by a reader of our own."""

from __future__ import annotations

import contextlib
import io
import json
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from hodsim.errors import InputError
from hodsim.files import atomic
from hodsim.isolation import Arrays, FailedError, isolated
from hodsim.mesh.clean import MeshFile, Raw, clean
from hodsim.mesh.tetmesh import TetMesh
from hodsim.mesh.vega import read_vega

WRITABLE = {".vtu": "vtu", ".vtk": "vtk", ".msh": "gmsh", ".mesh": "medit"}
"""Suffixes that `write_mesh` accepts, with meshio's name of each format: all keep float64."""
SURFACES = (".obj", ".stl", ".ply", ".off")
"""Suffixes of formats that hold surfaces."""

# What reading may take: far more than any sound file does, and an end for the others.
_SECONDS, _SECONDS_A_MB = 10, 4
_MEMORY, _MEMORY_A_BYTE = 2 << 30, 60
_MOST_BYTES = 4 << 30
# Text that is read in this process takes some forty times its size.
_MOST_VEGA = 256 << 20
# How .vtu files name the arrays that hold tags.
_TAG = "set:"


def read_mesh(path: str | Path) -> TetMesh:
    """Read the tets of a mesh file: `open_mesh` without its notes."""
    return open_mesh(path).mesh


def open_mesh(path: str | Path) -> MeshFile:
    """Read the tets of a file in any format that meshio knows by its suffix, or VegaFEM's .veg.

    All blocks of linear tets are joined; other cells, and vertices that no tet uses, are dropped,
    which the notes tell. Point sets, cell sets, physical groups and arrays of whole numbers
    ("material=2") become the mesh's tags. meshio runs in a process of its own, with bounded time
    and memory; a file that this process has read before, and that has not changed, is not read
    again.

    Raises
    ------
    InputError
        The file is missing, too large (4 GiB; .veg 256 MiB), unreadable, a surface, without linear
        tets, or its tets are refused by `TetMesh`; the message begins with the file's name. Tets
        are counted in file order, and vertices after unused ones were dropped.
    """
    path = Path(path)
    size, changed = _checked(path)
    return _open(path.absolute(), str(path), size, (changed, *_beside(path)))


def _beside(path: Path) -> list[int]:
    """The state of the HDF5 file that an .xdmf's arrays are in, by the names that meshio and hodsim
    give it."""
    if path.suffix.lower() not in (".xdmf", ".xmf"):
        return []
    places = [path.with_suffix(".h5"), path.with_name(f"{path.name}.h5")]
    states = [place.stat() for place in places if place.is_file()]
    return [n for told in states for n in (told.st_size, told.st_mtime_ns)]


@lru_cache(maxsize=8)
def _open(path: Path, name: str, size: int, changed: tuple[int, ...]) -> MeshFile:
    """`changed` [ns] and `size` [bytes] tell one state of the files from another."""
    del changed
    try:
        raw = read_vega(path) if path.suffix.lower() == ".veg" else _raw(path, name, size)
        return clean(raw)
    except InputError as error:
        told = str(error).removeprefix(f"{path}: ").removeprefix(f"{name}: ")
        raise InputError(f"{name}: {told}") from error


def read_cells(path: Path, name: str, size: int) -> tuple[Arrays, dict[str, Any]]:
    """What meshio finds in a file of `size` bytes: arrays, and cells by kind and names of tags.

    Raises InputError, beginning with `name`, where it finds nothing that it can read.
    """
    try:
        found = isolated(
            "read",
            path,
            seconds=_SECONDS + _SECONDS_A_MB * size // 10**6,
            memory=_MEMORY + _MEMORY_A_BYTE * size,
        )
    except FailedError as error:
        raise InputError(
            f"{name}: meshio could not read it as {path.suffix} ({error}); check that the file is "
            "whole"
        ) from error
    return found, json.loads(found["about"].tobytes())


def _raw(path: Path, name: str, size: int) -> Raw:
    found, about = read_cells(path, name, size)
    if not len(found["tets"]):
        kinds = sorted(about["cells"]) or ["nothing"]
        raise InputError(
            f"expected linear tets (4 vertices each), found {', '.join(kinds)}; export a volume "
            "mesh of linear tets"
            + (
                ", or give its surface as .obj, .stl or .ply, which is filled"
                if "triangle" in kinds
                else ""
            )
        )
    starts, vertices = found["tag_starts"], found["tag_vertices"]
    tags = {n: vertices[starts[k] : starts[k + 1]] for k, n in enumerate(about["tags"])}
    n = len(found["points"])
    notes = [
        f"tag {tag!r} names vertices that are not there, and is left out"
        for tag, chosen in tags.items()
        if len(chosen) and not 0 <= chosen.min() <= chosen.max() < n
    ]
    tags = {t: v for t, v in tags.items() if len(v) and 0 <= v.min() <= v.max() < n}
    if about["tags_left_out"]:
        notes.append(f"left out {about['tags_left_out']} tags beyond the first {len(tags)}")
    return Raw(found["points"], found["tets"], tags, about["cells"], tuple(notes))


def _checked(path: Path) -> tuple[int, int]:
    """Size [bytes] and time of last change [ns] of a mesh file that may be read."""
    if not path.is_file():
        raise InputError(f"{path}: expected a mesh file, but there is none; check the path")
    suffix = path.suffix.lower()
    if suffix in SURFACES:
        raise InputError(
            f"{path}: expected a mesh of tets, given {suffix}, which holds a surface; fill it with "
            f"tets: hodsim init {path.name}"
        )
    if suffix != ".veg":
        import meshio  # here and not above: it takes as long to import as all else in this room

        if suffix not in meshio.extension_to_filetypes:
            raise InputError(
                f"{path}: expected a mesh format known by its suffix ({', '.join(WRITABLE)}, .veg "
                f"and others of meshio), given {path.suffix!r}; convert it"
            )
    return size_of(path, _MOST_VEGA if suffix == ".veg" else _MOST_BYTES)


def size_of(path: Path, most: int = _MOST_BYTES) -> tuple[int, int]:
    """Size [bytes] and time of last change [ns]. Raises InputError above `most` bytes, 4 GiB."""
    told = path.stat()
    if told.st_size > most:
        raise InputError(
            f"{path}: expected a {path.suffix} file of at most {most >> 20} MiB, given "
            f"{told.st_size / 2**20:.0f}; coarsen it, or convert it"
        )
    return told.st_size, told.st_mtime_ns


def write_mesh(mesh: TetMesh, path: str | Path) -> None:
    """Write `mesh` in one move to `path`, as .vtu, .vtk, .msh (Gmsh 4.1) or .mesh (Medit).

    Tags are kept by .vtu alone, as arrays that are 1 on their vertices.

    Raises
    ------
    InputError
        Another suffix, or a place that cannot be written.
    """
    path = Path(path)
    kind = WRITABLE.get(path.suffix.lower())
    if kind is None:
        raise InputError(
            f"{path}: expected a name ending in {', '.join(WRITABLE)}, given {path.suffix!r}"
        )
    import meshio

    marks = {}
    for name, vertices in mesh.tags.items() if kind == "vtu" else ():
        marks[_TAG + name] = np.zeros(mesh.n_vertices, dtype=np.uint8)
        marks[_TAG + name][vertices] = 1
    data = meshio.Mesh(mesh.vertices, [("tetra", mesh.tets)], point_data=marks)
    with atomic(path) as temporary, _quiet(path, "write"):
        data.write(temporary, file_format=kind)


@contextlib.contextmanager
def _quiet(path: Path, verb: str) -> Iterator[None]:
    """Turn whatever meshio does on a bad file (print, raise anything, sys.exit) into one error."""
    said: Any = io.StringIO()
    try:
        with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
            yield
    except (Exception, SystemExit) as error:
        reason = " ".join((said.getvalue() or str(error) or type(error).__name__).split())
        raise InputError(
            f"{path}: meshio could not {verb} it as {path.suffix} ({reason}); "
            "check that the file is whole"
        ) from error
