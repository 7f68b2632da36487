"""Meshes made by formula."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product

import numpy as np
from numpy.typing import NDArray

from hodsim.errors import InputError
from hodsim.mesh.tetmesh import TetMesh


def beam(cells: Sequence[int] = (21, 2, 4), size: Sequence[float] = (1.0, 0.125, 0.25)) -> TetMesh:
    """A box along x as a body-centred lattice; 514 vertices and 2,048 tets unless told otherwise.

    Vertices are the lattice points, the cell centres, and the face centres on the two end caps.
    Four tets span each face between two cells (the two centres and one edge of the face), four
    each end-cap face (the cell's centre, the face's centre and one edge), and two each side face,
    which a diagonal cuts. Diagonals alternate like a chessboard, mirrored about the middle of
    each axis, so that the mesh is its own mirror image along every axis of an even number of
    cells; along an odd one only the middle row of side faces breaks the symmetry.

    Parameters
    ----------
    cells
        Number of cells along x, y and z, each at least 1.
    size
        Edge lengths along x, y and z [m]. x runs from 0 to size[0]; y and z are centred on 0.

    Raises
    ------
    InputError
        `cells` are not three whole numbers from 1 up, or `size` not three positive numbers.
    """
    n, extent = _checked(cells, size)
    shape = n + 1
    lattice = np.arange(shape.prod()).reshape(shape)
    centre = lattice.size + np.arange(n.prod()).reshape(n)
    cap = lattice.size + centre.size + np.arange(2 * n[1] * n[2]).reshape(2, n[1], n[2])

    points = [_grid(*(np.arange(k) for k in shape)), _grid(*(np.arange(k) + 0.5 for k in n))]
    middle_y, middle_z = np.arange(n[1]) + 0.5, np.arange(n[2]) + 0.5
    points.append(_grid(np.array([0.0, n[0]]), middle_y, middle_z))
    origin = np.array([0.0, 0.5, 0.5]) * extent
    vertices = np.concatenate(points) / n * extent - origin

    tets = [_across(axis, lattice, centre) for axis in range(3)]
    tets += [_on_side(axis, end, lattice, centre) for axis, end in product((1, 2), (0, 1))]
    tets += [_on_cap(end, lattice, centre, cap[end]) for end in (0, 1)]
    return TetMesh(vertices, np.concatenate(tets))


def _grid(*axes: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, 3)


def _quads(points: NDArray[np.int64]) -> NDArray[np.int64]:
    """Corners, in order round each face, of a lattice plane (p+1, q+1): shape (..., p, q, 4)."""
    corners = (
        points[..., :-1, :-1],
        points[..., 1:, :-1],
        points[..., 1:, 1:],
        points[..., :-1, 1:],
    )
    return np.stack(corners, axis=-1)


def _fan(
    quads: NDArray[np.int64], one: NDArray[np.int64], two: NDArray[np.int64]
) -> NDArray[np.int64]:
    """Tets from the edge (one, two) to each of the four edges of its quad, shape (4 k, 4)."""
    edges = np.stack([quads, np.roll(quads, -1, axis=-1)], axis=-1)
    axis = np.broadcast_to(np.stack([one, two], axis=-1)[..., None, :], edges.shape)
    return np.concatenate([axis, edges], axis=-1).reshape(-1, 4)


def _across(axis: int, lattice: NDArray[np.int64], centre: NDArray[np.int64]) -> NDArray[np.int64]:
    centre = np.moveaxis(centre, axis, 0)
    inner = _quads(np.moveaxis(lattice, axis, 0)[1:-1])
    return _fan(inner, centre[:-1], centre[1:])


def _on_cap(
    end: int, lattice: NDArray[np.int64], centre: NDArray[np.int64], cap: NDArray[np.int64]
) -> NDArray[np.int64]:
    return _fan(_quads(lattice[-end]), centre[-end], cap)


def _on_side(
    axis: int, end: int, lattice: NDArray[np.int64], centre: NDArray[np.int64]
) -> NDArray[np.int64]:
    quads = _quads(np.moveaxis(lattice, axis, 0)[-end])
    apex = np.moveaxis(centre, axis, 0)[-end][..., None]
    rows, columns = (_phase(k) for k in quads.shape[:2])
    turned = (rows[:, None] + columns) % 2 == 1
    quads = np.where(turned[..., None], np.roll(quads, 1, axis=-1), quads)
    halves = [np.concatenate([apex, quads[..., cut]], axis=-1) for cut in ([0, 1, 2], [0, 2, 3])]
    return np.concatenate(halves).reshape(-1, 4)


def _phase(n: int) -> NDArray[np.int64]:
    """Alternating row numbers; beyond the middle of an odd count one more, to mirror the turns."""
    index = np.arange(n)
    return index + (n % 2) * (index > n // 2)


def _checked(
    cells: Sequence[int], size: Sequence[float]
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    try:
        n, extent = np.array(cells), np.array(size, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise InputError(f"beam: cells and size must be three numbers each: {error}") from error
    if n.shape != (3,) or n.dtype.kind not in "iu" or (n < 1).any():
        raise InputError(f"beam: expected cells as three whole numbers from 1 up, given {cells}")
    if extent.shape != (3,) or not (np.isfinite(extent) & (extent > 0.0)).all():
        raise InputError(f"beam: expected size as three positive lengths [m], given {size}")
    return n.astype(np.int64), extent
