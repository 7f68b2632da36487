"""`TetMesh`: a valid tetrahedral mesh, or an error that names the offending tet."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hodsim.errors import InputError
from hodsim.mesh.faces import Faces, folded_pairs, group_faces, likely_inverted


@dataclass(frozen=True, eq=False, repr=False)
class TetMesh:
    """A body at rest, cut into linear tets. Both arrays are copied and read-only.

    Each tet is wound so that its volume is positive, by swapping its last two vertices where
    needed; vertex and tet order are kept.

    Parameters
    ----------
    vertices
        Rest positions [m], shape (n_vertices, 3), float64.
    tets
        Vertex indices, shape (n_tets, 4), int32.
    tags
        Named sets of vertices, as regions of scenes name them: ascending indices, shape (k,)
        with k >= 1, int64. They are no part of the digest.

    Raises
    ------
    InputError
        Wrong shape or type, a vertex not finite, an index out of range, a vertex repeated in a
        tet, the same tet twice, a tet without volume, a face of more than two tets, a tet folded
        through its neighbour (inverted), a vertex that no tet uses, or a tag without vertices or
        of others than the mesh's. The tet and its vertices are named.
    """

    vertices: NDArray[np.float64]
    tets: NDArray[np.int32]
    tags: Mapping[str, NDArray[np.int64]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        vertices = _checked_vertices(self.vertices)
        tets = _checked_tets(self.tets, len(vertices))
        with np.errstate(over="ignore", invalid="ignore"):  # refused with the flat ones
            volumes = _signed_volumes(vertices, tets)
            _refuse_flat(vertices, tets, volumes)
        _refuse_repeated(tets)
        negative = volumes < 0.0
        tets[negative, 2:] = tets[negative, :1:-1]
        faces = group_faces(tets)
        _refuse_crowded(tets, faces)
        _refuse_folded(tets, faces)
        unused = np.setdiff1d(np.arange(len(vertices)), tets)
        if len(unused):
            raise InputError(
                f"mesh: expected every vertex to belong to a tet, but {len(unused)} do not "
                f"(first: vertex {unused[0]}); remove them"
            )
        surface = faces.corners[faces.start[faces.size == 1]]
        for name, array in (("vertices", vertices), ("tets", tets), ("_surface", surface)):
            array.flags.writeable = False
            object.__setattr__(self, name, array)
        object.__setattr__(self, "tags", _checked_tags(self.tags, len(vertices)))

    @property
    def n_vertices(self) -> int:
        """Number of vertices."""
        return len(self.vertices)

    @property
    def n_tets(self) -> int:
        """Number of tets."""
        return len(self.tets)

    @cached_property
    def volumes(self) -> NDArray[np.float64]:
        """Rest volume of each tet [m^3], all positive, shape (n_tets,)."""
        volumes = _signed_volumes(self.vertices, self.tets)
        volumes.flags.writeable = False
        return volumes

    @property
    def surface(self) -> NDArray[np.int32]:
        """Boundary triangles, counter-clockwise seen from outside, shape (n_triangles, 3)."""
        surface: NDArray[np.int32] = self.__dict__["_surface"]
        return surface

    @cached_property
    def digest(self) -> str:
        """SHA-256 of vertices and tets, in hexadecimal: the same on every machine."""
        sha = hashlib.sha256(f"{self.n_vertices} {self.n_tets}".encode())
        sha.update(self.vertices.astype("<f8").tobytes())
        sha.update(self.tets.astype("<i4").tobytes())
        return sha.hexdigest()

    def __repr__(self) -> str:
        return f"TetMesh({self.n_vertices} vertices, {self.n_tets} tets)"

    def __reduce__(self) -> tuple[Any, ...]:
        # Built anew in the other process: pickled arrays would come back writable.
        return TetMesh, (self.vertices, self.tets, dict(self.tags))


def scaled(mesh: TetMesh, factor: float) -> TetMesh:
    """The mesh `factor` times as large, its tags with it. Raises InputError as `TetMesh` does."""
    return mesh if factor == 1.0 else TetMesh(factor * mesh.vertices, mesh.tets, mesh.tags)


def _checked_vertices(given: Any) -> NDArray[np.float64]:
    try:
        vertices = np.array(given, dtype=np.float64, order="C")
    except (TypeError, ValueError) as error:
        raise InputError(f"mesh: expected vertices as numbers, shape (n, 3): {error}") from error
    if vertices.ndim != 2 or vertices.shape[1] != 3 or not len(vertices):
        raise InputError(f"mesh: expected vertices of shape (n, 3), given {vertices.shape}")
    bad = np.flatnonzero(~np.isfinite(vertices).all(axis=1))
    if len(bad):
        raise InputError(
            f"mesh: expected finite coordinates, but vertex {bad[0]} is {vertices[bad[0]].tolist()}"
        )
    return vertices + 0.0  # turns -0.0 into 0.0, which would change the digest


def _checked_tets(given: Any, n_vertices: int) -> NDArray[np.int32]:
    try:
        tets = np.array(given)
    except ValueError as error:
        raise InputError(f"mesh: expected tets as indices, shape (m, 4): {error}") from error
    if tets.ndim != 2 or tets.shape[1] != 4 or not len(tets) or tets.dtype.kind not in "iu":
        raise InputError(
            f"mesh: expected tets as integers of shape (m, 4), given {tets.dtype} {tets.shape}"
        )
    bad = np.flatnonzero(((tets < 0) | (tets >= n_vertices)).any(axis=1))
    if len(bad):
        raise InputError(
            f"mesh: {_name(tets, bad[0])} has an index outside 0..{n_vertices - 1}; "
            "indices count from 0"
        )
    ordered = np.sort(tets, axis=1)
    bad = np.flatnonzero((ordered[:, 1:] == ordered[:, :-1]).any(axis=1))
    if len(bad):
        raise InputError(f"mesh: expected four different vertices, but {_name(tets, bad[0])}")
    return np.ascontiguousarray(tets, dtype=np.int32)


def _checked_tags(given: Any, n_vertices: int) -> Mapping[str, NDArray[np.int64]]:
    tags = {}
    for name, vertices in given.items():
        chosen = np.unique(np.asarray(vertices, dtype=np.int64))
        if not len(chosen) or chosen[0] < 0 or chosen[-1] >= n_vertices:
            raise InputError(
                f"mesh: tag {name!r}: expected indices from 0 to {n_vertices - 1}, given "
                + (f"{chosen[0]} to {chosen[-1]}" if len(chosen) else "none")
            )
        chosen.flags.writeable = False
        tags[str(name)] = chosen
    return MappingProxyType(tags)


def _signed_volumes(vertices: NDArray[np.float64], tets: NDArray[np.int32]) -> NDArray[np.float64]:
    a, b, c, d = np.moveaxis(vertices[tets], 1, 0)
    signed: NDArray[np.float64] = np.einsum("ij,ij->i", np.cross(b - a, c - a), d - a) / 6.0
    return signed


def _refuse_flat(
    vertices: NDArray[np.float64], tets: NDArray[np.int32], volumes: NDArray[np.float64]
) -> None:
    corners = vertices[tets]
    edge = np.ptp(corners, axis=1).max(axis=1)
    reach = np.abs(corners).max(axis=(1, 2))
    # An edge is known to eps * reach (its ends were rounded when they were stored) and the
    # determinant to a few eps * edge^3: a volume below that is rounding, and so is its sign.
    rounding = 8.0 * np.finfo(np.float64).eps * edge**2 * (edge + reach)
    flat = np.flatnonzero(~(np.abs(volumes) > rounding))
    if len(flat):
        raise InputError(
            f"mesh: {_name(tets, flat[0])} has no volume ({volumes[flat[0]]:.3g} m^3, longest side "
            f"{edge[flat[0]]:.3g} m){_more(len(flat))}; remove or remesh it"
        )


def _refuse_repeated(tets: NDArray[np.int32]) -> None:
    _, first, number = np.unique(
        np.sort(tets, axis=1), axis=0, return_index=True, return_inverse=True
    )
    again = np.flatnonzero(first[number.ravel()] != np.arange(len(tets)))
    if len(again):
        one = first[number.ravel()[again[0]]]
        raise InputError(
            f"mesh: expected each tet once, but {_name(tets, again[0])} has the vertices of tet "
            f"{one}{_more(len(again), 'are repeated')}; remove one of the two"
        )


def _refuse_crowded(tets: NDArray[np.int32], faces: Faces) -> None:
    crowded = np.flatnonzero(faces.size > 2)
    if len(crowded):
        start, count = faces.start[crowded[0]], faces.size[crowded[0]]
        owners = np.sort(faces.owner[start : start + count])
        raise InputError(
            f"mesh: expected at most two tets on a face, but face "
            f"{sorted(faces.corners[start].tolist())} belongs to {count}: "
            f"{', '.join(_name(tets, tet) for tet in owners)}; remove the overlap"
        )


def _refuse_folded(tets: NDArray[np.int32], faces: Faces) -> None:
    pairs = folded_pairs(faces)
    if len(pairs):
        worst = likely_inverted(faces, pairs)
        pair = pairs[(pairs == worst).any(axis=1)][0]
        other = int(pair[0] + pair[1] - worst)
        raise InputError(
            f"mesh: {_name(tets, worst)} is inverted: it lies on the same side as "
            f"{_name(tets, other)} of the face they share; move its vertices apart or remesh it"
        )


def _name(tets: NDArray[Any], tet: Any) -> str:
    return f"tet {int(tet)} (vertices {', '.join(str(int(v)) for v in tets[tet])})"


def _more(count: int, verb: str = "have") -> str:
    if count < 2:
        return ""
    return f", as have {count - 1} more" if verb == "have" else f", and {count - 1} more {verb}"
