"""Bodies of several pieces made one: necks across gaps, by a morphological closing on a grid."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from hodsim.errors import InputError
from hodsim.mesh.clean import parts, pieces
from hodsim.mesh.tetmesh import TetMesh

_FINE = 4  # cells of the grid in a gap
_CELLS = 16_000_000  # of the grid, at most: half a GB of distances
_ROUNDING = 1e-9


def bridges(mesh: TetMesh, gap: float) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Surfaces that join a body's parts across gaps up to `gap` [m] wide, reaching into both.

    They are of the body's closing by a ball of radius `gap`: of what no such ball that stays
    outside can reach, all that touches two parts or more. So the neck across a gap just so wide is
    about as thick as it is long, and away from gaps the body stays as it is. Where parts hang
    together by a vertex or an edge alone, as by a hinge, a rod of the thickness `gap` is added
    along it. Lengths are those of a grid of `gap` / 4.

    Parameters
    ----------
    mesh
        The body, in pieces.
    gap
        Width of the widest gap to bridge [m].

    Returns
    -------
    vertices [m] (n, 3) and triangles (k, 3) of closed surfaces, none where no gap is so narrow.

    Raises
    ------
    InputError
        `gap` is no length, longer than the body, or too short for a grid of all of the body.
    """
    low, high = mesh.vertices.min(axis=0), mesh.vertices.max(axis=0)
    diagonal = float(np.linalg.norm(high - low))
    # The grid has a border in which the closing's ball has room.
    size = [(float(extent) + 2.0 * gap) * _FINE / gap + 4.0 for extent in high - low] if gap else []
    if not 0.0 < gap <= diagonal or math.prod(size) > _CELLS:
        # A grid of (extent / h)^3 cells; of the same shape, so many cells are this gap's.
        least = _FINE * (math.prod(np.maximum(high - low, 0.1 * diagonal)) / _CELLS) ** (1 / 3)
        raise InputError(
            f"join: expected a gap from about {1.3 * least:.2g} to {diagonal:.3g} m (the body's "
            f"diagonal), given {gap:g}"
        )
    step = gap / _FINE
    start = low - gap - 2.0 * step
    part = _part_of(mesh, start, step, tuple(math.ceil(n) for n in size))
    necks = _necks(part) | _rods(mesh, start, step, part.shape)
    if not necks.any():
        return np.empty((0, 3)), np.empty((0, 3), np.int64)
    return _surface(necks, start, step)


def widest_gap(mesh: TetMesh) -> float:
    """The width of the widest gap [m] that must be bridged for the pieces of a body to be one; 0
    where they are. Between points of their surfaces, a twentieth of the diagonal apart or less, so
    that it may come out up to so much too wide."""
    from scipy.sparse.csgraph import minimum_spanning_tree
    from scipy.spatial import cKDTree

    piece = pieces(mesh)
    far = 0.05 * float(np.linalg.norm(np.ptp(mesh.vertices, axis=0)))
    corners = mesh.vertices[mesh.surface]
    longest = np.linalg.norm(corners - np.roll(corners, 1, axis=1), axis=2).max(initial=0.0)
    n = min(8, max(1, math.ceil(longest / far)))
    weights = np.array([(i, j, n - i - j) for i in range(n + 1) for j in range(n + 1 - i)]) / n
    trees = [
        cKDTree((weights @ corners[piece[mesh.surface[:, 0]] == k]).reshape(-1, 3))
        for k in range(piece.max() + 1)
    ]
    apart = np.zeros((len(trees), len(trees)))
    for i, one in enumerate(trees):
        for j, other in enumerate(trees[:i]):
            # Nothing is no edge of a graph: pieces that touch are a hair apart.
            apart[i, j] = max(float(one.query(other.data)[0].min()), 1e-12 * far)
    return float(minimum_spanning_tree(apart).toarray().max(initial=0.0))


def _part_of(
    mesh: TetMesh, start: NDArray[np.float64], step: float, shape: tuple[int, ...]
) -> NDArray[np.int16]:
    """The part, from 1 on, in which each point start + step * (i, j, k) of a grid lies, or 0."""
    out = np.zeros(shape, dtype=np.int16)
    corners = (mesh.vertices[mesh.tets] - start) / step  # (tets, 4, 3), in cells
    for x, number in zip(corners, parts(mesh), strict=True):
        first, last = np.ceil(x.min(axis=0)).astype(int), np.floor(x.max(axis=0)).astype(int)
        box = tuple(slice(a, b + 1) for a, b in zip(first, last, strict=True))
        points = np.moveaxis(np.mgrid[box], 0, -1) - x[0]
        share = points @ np.linalg.inv(x[1:] - x[0])  # barycentric, but for that of corner 0
        # A point on a face that two tets share is in one of them at least.
        within = (share >= -_ROUNDING).all(axis=-1) & (share.sum(axis=-1) <= 1.0 + _ROUNDING)
        out[box][within] = number + 1
    return out


def _necks(part: NDArray[np.int16]) -> NDArray[np.bool_]:
    """What the closing adds between parts, and of them what lies within two cells of it."""
    from scipy.ndimage import distance_transform_edt, find_objects, label

    inside = part > 0
    grown = distance_transform_edt(~inside) <= _FINE
    added = (distance_transform_edt(grown) > _FINE) & ~inside
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


def _rods(
    mesh: TetMesh, start: NDArray[np.float64], step: float, shape: tuple[int, ...]
) -> NDArray[np.bool_]:
    """What lies within half a gap of where parts meet in vertices and edges alone."""
    from scipy.ndimage import distance_transform_edt

    owner = np.unique(np.stack([mesh.tets.ravel(), parts(mesh).repeat(4)], axis=1), axis=0)
    shared = np.bincount(owner[:, 0], minlength=mesh.n_vertices) > 1
    out = np.zeros(shape, dtype=bool)
    if not shared.any():
        return out
    edges = mesh.tets[:, [[0, 1], [0, 2], [0, 3], [1, 2], [1, 3], [2, 3]]].reshape(-1, 2)
    edges = np.unique(np.sort(edges[shared[edges].all(axis=1)], axis=1), axis=0)
    ends = mesh.vertices[np.vstack([edges, np.flatnonzero(shared)[:, None].repeat(2, axis=1)])]
    longest = np.linalg.norm(ends[:, 1] - ends[:, 0], axis=1).max() / step
    way = np.linspace(0.0, 1.0, math.ceil(longest) + 2)[:, None, None]
    points = (ends[:, 0] * (1.0 - way) + ends[:, 1] * way).reshape(-1, 3)
    out[tuple(np.rint((points - start) / step).astype(int).T)] = True
    return np.asarray(distance_transform_edt(~out) <= _FINE / 2)


def _surface(
    inside: NDArray[np.bool_], start: NDArray[np.float64], step: float
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """The boundary of a set of a grid's points, by marching cubes on its smoothed indicator."""
    import pyvista
    from scipy.ndimage import gaussian_filter

    share = gaussian_filter(inside.astype(np.float32), 0.7)
    grid = pyvista.ImageData(dimensions=share.shape, spacing=(step,) * 3, origin=start)
    grid.point_data["share"] = share.ravel(order="F")
    found = grid.contour([0.4], scalars="share").triangulate()
    triangles = found.faces.reshape(-1, 4)[:, 1:].astype(np.int64)
    return np.asarray(found.points, dtype=np.float64), triangles
