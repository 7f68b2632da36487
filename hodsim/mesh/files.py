"""Reading and writing meshes through meshio."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from hodsim.errors import InputError
from hodsim.files import atomic
from hodsim.mesh.tetmesh import TetMesh

WRITABLE = {".vtu": "vtu", ".vtk": "vtk", ".msh": "gmsh", ".mesh": "medit"}
"""Suffixes that `write_mesh` accepts, with meshio's name of each format: all keep float64."""


def read_mesh(path: str | Path) -> TetMesh:
    """Read the tets of a mesh file in any format that meshio knows by its suffix.

    All blocks of linear tets are joined; other cells, and vertices that no tet uses, are dropped.

    Raises
    ------
    InputError
        The file is missing, unreadable, without linear tets, or its tets are refused by
        `TetMesh`; the message begins with the file's name. Tets are counted in file order, and
        vertices after unused ones were dropped.
    """
    path = Path(path)
    if not path.is_file():
        raise InputError(f"{path}: expected a mesh file, but there is none; check the path")
    import meshio  # here and not above: it takes as long to import as all else in this room

    if path.suffix.lower() not in meshio.extension_to_filetypes:
        raise InputError(
            f"{path}: expected a mesh format known by its suffix ({', '.join(WRITABLE)} and "
            f"others of meshio), given {path.suffix!r}; convert it"
        )
    with _quiet(path, "read"):
        data = meshio.read(path)
    blocks = [block.data for block in data.cells if block.type == "tetra" and len(block.data)]
    if not blocks:
        found = sorted({block.type for block in data.cells}) or ["nothing"]
        raise InputError(
            f"{path}: expected linear tets (4 vertices each), found {', '.join(found)}; "
            "export a volume mesh of linear tets"
        )
    points, tets = np.asarray(data.points), np.concatenate(blocks)
    # An index out of range is left for TetMesh to name.
    if points.ndim == 2 and tets.min() >= 0 and tets.max() < len(points):
        used, tets = np.unique(tets, return_inverse=True)
        points, tets = points[used], tets.reshape(-1, 4)
    try:
        return TetMesh(points, tets)
    except InputError as error:
        raise InputError(f"{path}: {error}") from error


def write_mesh(mesh: TetMesh, path: str | Path) -> None:
    """Write `mesh` in one move to `path`, as .vtu, .vtk, .msh (Gmsh 4.1) or .mesh (Medit).

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

    data = meshio.Mesh(mesh.vertices, [("tetra", mesh.tets)])
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
