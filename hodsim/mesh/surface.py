"""Bodies from closed surfaces: .obj, .stl, .ply and .off filled with tets by fTetWild."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from hodsim.errors import InputError
from hodsim.isolation import FailedError, isolated
from hodsim.mesh.bridge import bridges, check_gap
from hodsim.mesh.clean import MeshFile, Raw, clean, parts, pieces
from hodsim.mesh.crossings import crossing_pairs
from hodsim.mesh.files import SURFACES, read_cells, size_of
from hodsim.mesh.tetmesh import TetMesh

# Tets as long as this part of the bounding box's diagonal, unless told otherwise: some hundreds to
# a few thousand vertices.
EDGE = 0.08
# The tets' surface lies this close to the given one, as a part of the diagonal: three times
# fTetWild's own default, for two thirds of the vertices.
_TOLERANCE = 3e-3
_SECONDS, _MEMORY = 1800, 16 << 30
# A piece of less than this part of the volume is left out with a word: a stray shell in a scan.
_CRUMB = 0.01
_ROUNDS = 4  # of bridging at most: fTetWild may leave hinges of its own


def is_surface(path: Path) -> bool:
    """Whether a file is of a format that holds surfaces, by its suffix."""
    return path.suffix.lower() in SURFACES


def read_surface(path: str | Path) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Vertices [m] (n, 3), coinciding ones merged, and triangles (k, 3); quads are cut in two.

    Triangles with two corners in one place are dropped. Raises InputError for a file that is
    missing, cannot be read, or has no triangles, or others than triangles and quads.
    """
    path = Path(path)
    if not path.is_file():
        raise InputError(f"{path}: expected a surface file, but there is none; check the path")
    if not is_surface(path):
        raise InputError(
            f"{path}: expected a surface ({', '.join(SURFACES)}), given {path.suffix!r}; convert it"
        )
    found, about = read_cells(path.absolute(), str(path), size_of(path)[0])
    points, triangles = found["points"], found["triangles"]
    others = sorted(set(about["cells"]) - {"triangle", "quad", "vertex", "line"})
    if not len(triangles) or others:
        raise InputError(
            f"{path}: expected a surface of triangles and quads, found "
            f"{', '.join(sorted(about['cells'])) or 'nothing'}; triangulate it"
        )
    if points.ndim != 2 or points.shape[1] != 3 or not np.isfinite(points).all():
        raise InputError(f"{path}: expected vertices of three finite numbers, given others")
    if triangles.min() < 0 or triangles.max() >= len(points):
        raise InputError(
            f"{path}: expected vertices from 0 to {len(points) - 1}, given a triangle of "
            f"{triangles.min()} to {triangles.max()}"
        )
    places, number = np.unique(points, axis=0, return_inverse=True)
    triangles = number.ravel()[triangles]
    a, b, c = triangles.T
    whole = (a != b) & (b != c) & (c != a)
    used, triangles = np.unique(triangles[whole], return_inverse=True)
    return places[used], triangles.reshape(-1, 3)


def faults(points: NDArray[np.float64], triangles: NDArray[np.int64]) -> list[str]:
    """What keeps a surface from being closed, sound and without self-intersections: a line each.

    Every edge must belong to two triangles that run along it in opposite senses.
    """
    found = []
    ends = triangles[:, [[0, 1], [1, 2], [2, 0]]].reshape(-1, 2)
    edges, number, count = np.unique(
        np.sort(ends, axis=1), axis=0, return_inverse=True, return_counts=True
    )
    for wrong, what in (
        (count == 1, "open edges, with one triangle"),
        (count > 2, "edges with more than two triangles"),
    ):
        if wrong.any():
            middle = points[edges[np.flatnonzero(wrong)[0]]].mean(axis=0)
            found.append(f"{wrong.sum()} {what} (first: near {_place(middle)})")
    forwards = np.where(ends[:, 0] < ends[:, 1], 1, -1)
    sense = np.bincount(number.ravel(), forwards)
    turned = (count == 2) & (sense != 0)
    if turned.any():
        middle = points[edges[np.flatnonzero(turned)[0]]].mean(axis=0)
        found.append(
            f"{turned.sum()} edges whose two triangles face opposite sides (first: near "
            f"{_place(middle)})"
        )
    try:
        pairs = crossing_pairs(points, triangles)
    except InputError as error:
        return [*found, str(error)]
    if len(pairs):
        middle = points[triangles[pairs[0]]].mean(axis=(0, 1))
        found.append(
            f"{len(pairs)} pairs of triangles that cut each other (first: near {_place(middle)})"
        )
    return found


def fill_surface(
    path: str | Path, edge: float | None = None, mend: bool = False, join: float | None = None
) -> MeshFile:
    """Fill a closed surface with tets.

    fTetWild draws random numbers that cannot be seeded: every call gives another mesh of the same
    surface. Write it to a file and work with that.

    Parameters
    ----------
    path
        A surface file.
    edge
        Length of the tets' edges [m] that is aimed at; 0.08 of the bounding box's diagonal unless
        given. Thin parts get shorter ones.
    mend
        Take a surface with faults: what is inside is then decided by how often the surface winds
        around a point, which closes holes and joins parts that overlap.
    join
        Bridge gaps between parts up to this wide [m] (`bridges`).

    Raises
    ------
    InputError
        The surface cannot be read; it has faults and is not to be mended; hodsim[mesh] is not
        installed; `edge` or `join` is no length; or fTetWild fails.
    """
    path = Path(path)
    points, triangles = read_surface(path)
    diagonal = float(np.linalg.norm(np.ptp(points, axis=0)))
    edge = EDGE * diagonal if edge is None else edge
    if not np.isfinite(edge) or not 1e-3 * diagonal <= edge <= diagonal:
        raise InputError(
            f"edge: expected a length from {1e-3 * diagonal:.3g} to {diagonal:.3g} m (the diagonal "
            f"of {path.name}), given {edge:g}"
        )
    if join is not None:
        check_gap(points, join)
    wrong = faults(points, triangles)
    if wrong and not mend:
        raise InputError(
            f"{path}: expected a closed surface that does not cut itself, found "
            f"{'; '.join(wrong)}; repair it, or use --mend to have holes closed and overlaps joined"
        )
    try:
        import pytetwild  # noqa: F401  (the child's import; here to tell that it is missing)
    except ImportError as error:
        raise InputError(
            f"{path}: expected pytetwild to fill a surface, which is not installed; "
            "pip install hodsim[mesh], or give a mesh of tets"
        ) from error
    found = _without_crumbs(_filled(path, points, triangles, edge))
    notes = tuple(f"mended: {line}" for line in wrong)
    if join is not None:
        found, told = _joined(path, found, join, edge)
        notes = (*notes, told)
    return MeshFile(found.mesh, (*notes, *found.notes))


def _joined(path: Path, found: MeshFile, join: float, edge: float) -> tuple[MeshFile, str]:
    """The tets of a body and its `bridges`, and what became of its parts."""
    before = int(parts(found.mesh).max()) + 1
    for _ in range(_ROUNDS):
        mesh = found.mesh
        more, necks = bridges(mesh, join)
        if not len(necks):
            break
        # The surface of tets is wound outwards, as necks are: where the two overlap is inside.
        both = np.vstack([mesh.surface, necks + mesh.n_vertices])
        found = _without_crumbs(_filled(path, np.vstack([mesh.vertices, more]), both, edge))
    return found, f"joined: {before} parts to {int(parts(found.mesh).max()) + 1}"


def _filled(
    path: Path, points: NDArray[np.float64], triangles: NDArray[np.int64], edge: float
) -> MeshFile:
    """fTetWild's tets in a surface; `path` names it."""
    with tempfile.TemporaryDirectory(prefix="hodsim-") as folder:
        given = Path(folder) / "surface.npz"
        np.savez(given, points=points, triangles=triangles)
        try:
            made = isolated(
                "fill", given, seconds=_SECONDS, memory=_MEMORY, edge=edge, tolerance=_TOLERANCE
            )
        except FailedError as error:
            raise InputError(
                f"{path}: fTetWild could not fill it ({error}); repair it, or choose another --edge"
            ) from error
    if not len(made["tets"]):
        raise InputError(f"{path}: fTetWild found no inside; check that the surface is closed")
    try:
        return clean(Raw(made["points"], made["tets"], {}, {"tetra": len(made["tets"])}, ()))
    except InputError as error:
        raise InputError(
            f"{path}: fTetWild's tets cannot be used ({error}); choose another --edge"
        ) from error


def _without_crumbs(found: MeshFile) -> MeshFile:
    mesh = found.mesh
    piece = pieces(mesh)[mesh.tets[:, 0]]
    share = np.bincount(piece, mesh.volumes) / mesh.volumes.sum()
    small = share < _CRUMB
    if not small.any():
        return found
    kept = mesh.tets[~small[piece]]
    used, tets = np.unique(kept, return_inverse=True)
    note = f"left out {small.sum()} pieces with {share[small].sum():.2g} of the volume"
    rest = TetMesh(mesh.vertices[used], tets.reshape(-1, 4).astype(np.int32))
    return MeshFile(rest, (*found.notes, note))


def _place(x: NDArray[np.float64]) -> str:
    return f"[{', '.join(f'{v:.3g}' for v in x)}]"
