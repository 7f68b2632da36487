"""Bodies of several parts made one: necks across gaps, by a morphological closing on a grid."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from hodsim.errors import InputError
from hodsim.mesh.clean import parts, pieces
from hodsim.mesh.tetmesh import TetMesh

_FINE = 4  # cells of the grid in a gap
_CELLS = 8_000_000  # of the grid, at most: less than 1 GB
_ROUNDING = 1e-9
_SPACING = 0.02  # of the diagonal, between points at which gaps are measured

Floats = NDArray[np.float64]


def bridges(mesh: TetMesh, gap: float) -> tuple[Floats, NDArray[np.int64]]:
    """Closed surfaces that join a body's parts across gaps up to `gap` [m] wide.

    They reach into both parts, and are those of three things on a grid of `gap` / 4. First, of the
    body's closing by a ball of radius `gap`: of what no such ball that stays outside can reach, all
    that touches two parts. Where faces lie opposite each other it is a neck as wide as they are.
    Second, rods of the thickness `gap` between the nearest points of two pieces that are so near.
    Third, such rods along vertices and edges by which alone two parts hang together, as by hinges.
    Away from those the body stays as it is.

    Parameters
    ----------
    mesh
        The body, in parts: tets joined through faces.
    gap
        Width of the widest gap to bridge [m].

    Returns
    -------
    vertices [m] (n, 3) and triangles (k, 3), wound so that their normals point outwards; none where
    there is nothing to join.

    Raises
    ------
    InputError
        `check_gap`'s.
    """
    check_gap(mesh.vertices, gap)
    low, high = mesh.vertices.min(axis=0), mesh.vertices.max(axis=0)
    step = gap / _FINE
    start = low - gap - 2.0 * step
    shape = tuple(math.ceil(n) for n in _size(high - low, gap))
    number = parts(mesh)
    necks = _necks(_part_of(mesh, number, start, step, shape))
    seeds = np.vstack([_hinges(mesh, number, step), _shortest(mesh, gap, step)])
    if len(seeds):
        from scipy.ndimage import distance_transform_edt

        far = np.ones(shape, dtype=bool)
        far[tuple(np.rint((seeds - start) / step).astype(int).T)] = False
        necks |= distance_transform_edt(far) <= _FINE / 2
    if not necks.any():
        return np.empty((0, 3)), np.empty((0, 3), np.int64)
    return _surface(necks, start, step)


def check_gap(points: Floats, gap: float) -> None:
    """Raise InputError unless `gap` [m] is a length that a grid of a body at these points has."""
    extent = np.ptp(points, axis=0)
    diagonal = float(np.linalg.norm(extent))
    if 0.0 < gap <= diagonal and math.prod(_size(extent, gap)) <= _CELLS:
        return
    least, most = 0.0, diagonal
    for _ in range(40):
        middle = 0.5 * (least + most)
        fits = middle > 0.0 and math.prod(_size(extent, middle)) <= _CELLS
        least, most = (least, middle) if fits else (middle, most)
    raise InputError(
        f"join: expected a gap from about {1.01 * most:.3g} to {diagonal:.3g} (the body's "
        f"diagonal), given {gap:g}"
    )


def _size(extent: Floats, gap: float) -> list[float]:
    """Cells of the grid along each axis. Its border has room for the closing's ball."""
    return [(float(length) + 2.0 * gap) * _FINE / gap + 4.0 for length in extent]


def widest_gap(mesh: TetMesh) -> float:
    """The width of the widest gap [m] that must be bridged for the pieces of a body to be one; 0
    where they are. Measured between points of their surfaces, it may come out too wide by as much
    as those are apart, 0.02 of the diagonal."""
    return max((float(np.linalg.norm(b - a)) for a, b in _tree(mesh)), default=0.0)


def _tree(mesh: TetMesh) -> list[tuple[Floats, Floats]]:
    """The ends [m] of the shortest lines that together join all pieces of a body."""
    from scipy.sparse.csgraph import minimum_spanning_tree
    from scipy.spatial import cKDTree

    piece = pieces(mesh)[mesh.surface[:, 0]]
    if not piece.any():
        return []
    spacing = _SPACING * float(np.linalg.norm(np.ptp(mesh.vertices, axis=0)))
    points = [_points(mesh.vertices[mesh.surface[piece == k]], spacing) for k in np.unique(piece)]
    trees = [cKDTree(x) for x in points]
    lines: dict[tuple[int, int], tuple[Floats, Floats]] = {}
    apart = np.zeros((len(trees), len(trees)))
    for i, one in enumerate(trees):
        for j, other in enumerate(points[:i]):
            found, nearest = one.query(other)
            k = int(found.argmin())
            lines[i, j] = points[i][nearest[k]], other[k]
            # Nothing is no edge of a graph: pieces that touch are a hair apart.
            apart[i, j] = max(float(found[k]), _ROUNDING * spacing)
    kept = minimum_spanning_tree(apart).tocoo()
    return [lines[int(i), int(j)] for i, j in zip(kept.row, kept.col, strict=True)]


def _points(corners: Floats, spacing: float) -> Floats:
    """Points of triangles (k, 3, 3), corners among them, at most so far from their neighbours."""
    sides = np.linalg.norm(corners - np.roll(corners, 1, axis=1), axis=2)
    cuts = np.maximum(np.ceil(sides.max(axis=1) / spacing), 1.0).astype(int)
    out = []
    for n in np.unique(cuts):
        share = np.array([(i, j, n - i - j) for i in range(n + 1) for j in range(n + 1 - i)]) / n
        out.append((share @ corners[cuts == n]).reshape(-1, 3))
    return np.vstack(out)


def _shortest(mesh: TetMesh, gap: float, step: float) -> Floats:
    """Points along the shortest lines between pieces, of those that are no longer than a gap."""
    # Lines are measured between points, and the body is known to half a cell.
    lines = [(a, b) for a, b in _tree(mesh) if np.linalg.norm(b - a) <= gap + 0.5 * step]
    return _along(np.array(lines).reshape(-1, 2, 3), step)


def _hinges(mesh: TetMesh, part: NDArray[np.int64], step: float) -> Floats:
    """Points along the edges and vertices in which parts meet without a face."""
    owner = np.unique(np.stack([mesh.tets.ravel(), part.repeat(4)], axis=1), axis=0)
    shared = np.bincount(owner[:, 0], minlength=mesh.n_vertices) > 1
    edges = mesh.tets[:, [[0, 1], [0, 2], [0, 3], [1, 2], [1, 3], [2, 3]]].reshape(-1, 2)
    edges = np.unique(np.sort(edges[shared[edges].all(axis=1)], axis=1), axis=0)
    ends = np.vstack([edges, np.flatnonzero(shared)[:, None].repeat(2, axis=1)])
    return _along(mesh.vertices[ends], step)


def _along(ends: Floats, step: float) -> Floats:
    """Points of lines (n, 2, 3), no farther apart than `step`."""
    if not len(ends):
        return np.empty((0, 3))
    longest = float(np.linalg.norm(ends[:, 1] - ends[:, 0], axis=1).max())
    way = np.linspace(0.0, 1.0, math.ceil(longest / step) + 2)[:, None, None]
    return np.asarray((ends[:, 0] * (1.0 - way) + ends[:, 1] * way).reshape(-1, 3))


def _part_of(
    mesh: TetMesh, part: NDArray[np.int64], start: Floats, step: float, shape: tuple[int, ...]
) -> NDArray[np.int32]:
    """The part, from 1 on, in which each point start + step * (i, j, k) of a grid lies, or 0."""
    out = np.zeros(shape, dtype=np.int32)
    corners = (mesh.vertices[mesh.tets] - start) / step  # (tets, 4, 3), in cells
    for x, number in zip(corners, part, strict=True):
        first = np.ceil(x.min(axis=0) - _ROUNDING).astype(int)
        last = np.floor(x.max(axis=0) + _ROUNDING).astype(int)
        box = tuple(slice(a, b + 1) for a, b in zip(first, last, strict=True))
        points = np.moveaxis(np.mgrid[box], 0, -1) - x[0]
        share = points @ np.linalg.inv(x[1:] - x[0])  # barycentric, but for that of corner 0
        # A point on a face that two tets share is in one of them at least.
        within = (share >= -_ROUNDING).all(axis=-1) & (share.sum(axis=-1) <= 1.0 + _ROUNDING)
        out[box][within] = number + 1
    return out


def _necks(part: NDArray[np.int32]) -> NDArray[np.bool_]:
    """What the closing adds between parts or lies between neighbours of two, and of the parts what
    lies within two cells of it."""
    from scipy.ndimage import distance_transform_edt, find_objects, label

    inside = part > 0
    grown = distance_transform_edt(~inside) <= _FINE
    added = (distance_transform_edt(grown) > _FINE) & ~inside
    for axis in range(3):  # a gap in which there is no point of the grid
        one, two = np.moveaxis(part, axis, 0)[:-1], np.moveaxis(part, axis, 0)[1:]
        np.moveaxis(added, axis, 0)[:-1] |= (one != two) & (one > 0) & (two > 0)
    labels, _ = label(added)
    out = np.zeros(part.shape, dtype=bool)
    for number, box in enumerate(find_objects(labels), start=1):
        wide = tuple(slice(max(s.start - 3, 0), s.stop + 3) for s in box)
        neck = labels[wide] == number
        near = distance_transform_edt(~neck)
        touched = part[wide][(near <= 1.5) & inside[wide]]
        if len(np.unique(touched)) > 1:
            out[wide] |= neck | ((near <= 2.0) & inside[wide])
    return out


def _surface(
    inside: NDArray[np.bool_], start: Floats, step: float
) -> tuple[Floats, NDArray[np.int64]]:
    """The boundary of a set of a grid's points, by marching cubes on its smoothed indicator."""
    import pyvista
    from scipy.ndimage import gaussian_filter

    share = gaussian_filter(inside.astype(np.float32), 0.7)
    grid = pyvista.ImageData(dimensions=share.shape, spacing=(step,) * 3, origin=start)
    grid.point_data["share"] = share.ravel(order="F")
    found = grid.contour([0.4], scalars="share").triangulate()
    points = np.asarray(found.points, dtype=np.float64)
    triangles = found.faces.reshape(-1, 4)[:, 1:].astype(np.int64)
    a, b, c = np.moveaxis(points[triangles], 1, 0)
    inwards = np.einsum("ij,ij->", a - start, np.cross(b - start, c - start)) < 0.0
    return points, triangles[:, ::-1] if inwards else triangles
