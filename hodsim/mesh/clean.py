"""From what a file holds to a `TetMesh`, with a word on all that was changed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hodsim.mesh.faces import group_faces
from hodsim.mesh.tetmesh import TetMesh

_LINEAR = "tetra"
_SECOND_ORDER = ("tetra10", "tetra11", "tetra14")


@dataclass(frozen=True)
class Raw:
    """A mesh as its file holds it, unchecked.

    Attributes
    ----------
    points, tets
        Positions (n, d) and vertex indices (m, 4), int64.
    tags
        Vertex indices by name.
    cells
        How many cells of each kind the file has, in meshio's names.
    notes
        What the reader has to tell.
    """

    points: NDArray[np.float64]
    tets: NDArray[np.int64]
    tags: Mapping[str, NDArray[np.int64]]
    cells: Mapping[str, int]
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class MeshFile:
    """A mesh and `notes`, a line each, on what was changed or left out in reading it."""

    mesh: TetMesh
    notes: tuple[str, ...]


def clean(raw: Raw) -> MeshFile:
    """The mesh of a file, without vertices that no tet uses.

    Raises
    ------
    InputError
        What `TetMesh` refuses. Tets are counted in file order, vertices after unused ones were
        dropped.
    """
    points, tets, tags, notes = raw.points, raw.tets, raw.tags, list(raw.notes)
    # Surface cells of a volume mesh only mark its boundary: nothing is lost with them.
    beside = {k: n for k, n in raw.cells.items() if k != _LINEAR and n and _is_volume(k)}
    if beside:
        notes.append(
            "left out "
            + ", ".join(f"{n} {k}" for k, n in sorted(beside.items()))
            + (
                " (second-order tets have 10 vertices or more; export linear ones)"
                if set(beside) & set(_SECOND_ORDER)
                else ""
            )
            + ": only linear tets are taken, and the body lacks the rest"
        )
    # An index out of range is left for TetMesh to name.
    if points.ndim == 2 and len(tets) and tets.min() >= 0 and tets.max() < len(points):
        used, renumbered = np.unique(tets, return_inverse=True)
        dropped = len(points) - len(used)
        if dropped:
            notes.append(f"dropped {dropped} of {len(points)} vertices, which no tet uses")
            tags = {name: _found(used, chosen) for name, chosen in tags.items()}
        points, tets = points[used], renumbered.reshape(-1, 4)
    numbers: Any = tets  # TetMesh checks that they fit into int32
    mesh = TetMesh(points, numbers, {k: v for k, v in tags.items() if len(v)})
    turned = int((mesh.tets != tets).any(axis=1).sum())
    if turned:
        notes.append(f"turned the winding of {turned} of {len(tets)} tets")
    count, by_face = int(pieces(mesh).max()) + 1, int(parts(mesh).max()) + 1
    if count > 1:
        notes.append(f"the body is in {count} pieces that share no vertex")
    if by_face > count:
        notes.append(
            f"{by_face - count + 1} parts hang together by single vertices or edges only, "
            "as by hinges"
        )
    return MeshFile(mesh, tuple(notes))


def pieces(mesh: TetMesh) -> NDArray[np.int64]:
    """The number, from 0, of the connected piece that each vertex belongs to, (n_vertices,)."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    n = mesh.n_vertices
    one, two = mesh.tets[:, [0, 0, 0]].ravel(), mesh.tets[:, 1:].ravel()
    graph = coo_array((np.ones(len(one), np.int8), (one, two)), shape=(n, n))
    return np.asarray(connected_components(graph, directed=False)[1], dtype=np.int64)


def parts(mesh: TetMesh) -> NDArray[np.int64]:
    """The number, from 0, of the part, joined through faces, that each tet belongs to, (n_tets,).

    Parts of one piece hang together by vertices or edges alone, as by hinges.
    """
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    faces, m = group_faces(mesh.tets), mesh.n_tets
    first = faces.start[faces.size == 2]
    one, two = faces.owner[first], faces.owner[first + 1]
    graph = coo_array((np.ones(len(one), np.int8), (one, two)), shape=(m, m))
    return np.asarray(connected_components(graph, directed=False)[1], dtype=np.int64)


def _found(used: NDArray[np.int64], chosen: NDArray[np.int64]) -> NDArray[np.int64]:
    """New numbers of those of the vertices `chosen` that are among `used`, ascending."""
    return np.flatnonzero(np.isin(used, chosen))


def _is_volume(kind: str) -> bool:
    return kind.startswith(("tetra", "hexa", "wedge", "pyramid", "poly", "VTK_LAGRANGE_T"))
