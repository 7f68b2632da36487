"""The faces of tets and how they are shared: combinatorics only, no coordinates."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

# Faces of a tet (a, b, c, d) of positive volume, each opposite the vertex of its row, seen
# counter-clockwise from outside.
_FACES = np.array([[1, 2, 3], [0, 3, 2], [0, 1, 3], [0, 2, 1]])


class Faces(NamedTuple):
    """Tet faces, four per tet, with the faces on the same three vertices put side by side."""

    corners: NDArray[np.int32]
    """Vertex indices turned outward from `owner`, shape (4 m, 3)."""
    owner: NDArray[np.int64]
    """The tet that each face belongs to, shape (4 m,)."""
    start: NDArray[np.int64]
    """Where each group of coinciding faces begins, shape (n_groups,)."""
    size: NDArray[np.int64]
    """How many tets meet in each group, shape (n_groups,): 1 on the surface, 2 inside."""


def group_faces(tets: NDArray[np.int32]) -> Faces:
    """Group the faces of positively wound `tets`, shape (m, 4), by their vertices."""
    corners = tets[:, _FACES].reshape(-1, 3)
    keys = np.sort(corners, axis=1)
    order = np.lexsort(keys.T)
    keys = keys[order]
    is_first = np.ones(len(keys), dtype=bool)
    is_first[1:] = np.any(keys[1:] != keys[:-1], axis=1)
    start = np.flatnonzero(is_first)
    count = np.diff(np.append(start, len(keys)))
    return Faces(corners[order], order // 4, start, count)


def folded_pairs(faces: Faces) -> NDArray[np.int64]:
    """Pairs of tets that lie on the same side of the face they share, shape (k, 2).

    Two positively wound tets on either side of a face see it turned in opposite senses. Seen in
    the same sense, one of them is folded through the other: it is inverted.
    """
    first = faces.start[faces.size == 2]
    second = first + 1
    same = _is_odd(faces.corners[first]) == _is_odd(faces.corners[second])
    return np.stack([faces.owner[first[same]], faces.owner[second[same]]], axis=1)


def likely_inverted(faces: Faces, pairs: NDArray[np.int64]) -> int:
    """The tet to blame for `folded_pairs`, at least one.

    Joined through their unfolded faces, the sound tets make a large patch and inverted ones small
    patches: the blame falls on a tet of the smallest patch, and there on one in the most folds.
    """
    from scipy.sparse import coo_array  # here and not above: only bad meshes need it
    from scipy.sparse.csgraph import connected_components

    first = faces.start[faces.size == 2]
    joined = _is_odd(faces.corners[first]) != _is_odd(faces.corners[first + 1])
    one, two = faces.owner[first[joined]], faces.owner[first[joined] + 1]
    n_tets = len(faces.owner) // 4
    graph = coo_array((np.ones(len(one)), (one, two)), shape=(n_tets, n_tets))
    _, patch = connected_components(graph, directed=False)
    patch_size, folds = np.bincount(patch), np.bincount(pairs.ravel())
    return int(min(np.unique(pairs), key=lambda tet: (patch_size[patch[tet]], -folds[tet])))


def _is_odd(corners: NDArray[np.int32]) -> NDArray[np.bool_]:
    a, b, c = corners.T
    return (a > b) ^ (a > c) ^ (b > c)
