"""Round meshes by formula: a triangulated disc swept along a curve, its prisms cut into tets."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hodsim.errors import InputError
from hodsim.mesh.tetmesh import TetMesh

# cos and sin differ between machines in their last digit; cut off here, a mesh is the same on all.
_DECIMALS = 14


def torus(
    sections: int = 30, rings: int = 2, radius: float = 0.4, thickness: float = 0.1
) -> TetMesh:
    """A closed ring in the xy plane about the origin; 570 vertices, 2,160 tets unless told else.

    Its volume is 2 pi^2 radius thickness^2 as the mesh is refined. The first section lies at
    y = 0, x > 0. The mesh is its own mirror image in z.

    Parameters
    ----------
    sections
        Number of sections around the ring, at least 3.
    rings
        Rings of vertices in a section, at least 1; the outermost has 6 rings vertices.
    radius
        Of the circle that the sections' centres lie on [m].
    thickness
        Radius of the section [m], below `radius`.

    Raises
    ------
    InputError
        A number out of these bounds.
    """
    check_counts("torus", sections=(sections, 3), rings=(rings, 1))
    check_lengths("torus", radius=radius, thickness=thickness)
    if thickness >= radius:
        raise InputError(
            f"torus: expected thickness below the radius {radius:g} m, given {thickness:g} m"
        )
    points, triangles = disc(rings)
    cos, sin = cos_sin(2.0 * np.pi * np.arange(sections) / sections)
    reach = radius + thickness * points[:, 0]
    layers = np.stack(
        [
            cos[:, None] * reach,
            sin[:, None] * reach,
            np.broadcast_to(thickness * points[:, 1], (sections, len(points))),
        ],
        axis=-1,
    )
    return sweep(triangles, layers, closed=True)


def arm(
    sections: int = 29,
    rings: int = 2,
    length: float = 1.0,
    bend: float = 60.0,
    thickness: Sequence[float] = (0.1, 0.05),
) -> TetMesh:
    """An S-shaped arm that tapers; 551 vertices and 2,016 tets unless told otherwise.

    Its centre line lies in the xz plane: it leaves the origin along x, turns towards z by `bend`
    degrees along an arc of a circle, and back along another of the same size, so that both end
    faces stand across x, at x = 0 and x = length. Sections are perpendicular to it, and their
    radius falls linearly along it. The volume is pi s (a^2 + a b + b^2) / 3 for radii a and b and
    the line's length s = length alpha / sin(alpha), alpha = `bend` in radians, as the mesh is
    refined. The mesh is its own mirror image in y.

    Parameters
    ----------
    sections
        Number of sections, both end faces included, at least 2.
    rings
        Rings of vertices in a section, at least 1; the outermost has 6 rings vertices.
    length
        Of the arm along x [m].
    bend
        Angle of each arc [degrees], above 0 and at most 90.
    thickness
        Radii of the section at x = 0 and at x = length [m], below the arcs' radius
        length / (2 sin(alpha)).

    Raises
    ------
    InputError
        A number out of these bounds.
    """
    check_counts("arm", sections=(sections, 2), rings=(rings, 1))
    try:
        first, last = thickness
    except (TypeError, ValueError) as error:
        raise InputError(f"arm: expected thickness as two radii [m], given {thickness}") from error
    check_lengths("arm", length=length, bend=bend, **{"thickness[0]": first, "thickness[1]": last})
    if bend > 90.0:
        raise InputError(f"arm: expected bend of at most 90 degrees, given {bend:g}")
    points, triangles = disc(rings)
    along = np.arange(sections) / (sections - 1.0)
    alpha = np.radians(bend)
    most_cos, most_sin = cos_sin(alpha)
    radius = length / (2.0 * most_sin)
    if max(first, last) >= radius:
        raise InputError(
            f"arm: expected thickness below the arcs' radius {radius:g} m, given {thickness}"
        )
    cos, sin = cos_sin(alpha * (1.0 - np.abs(2.0 * along - 1.0)))
    back = along > 0.5
    x = np.where(back, length - radius * sin, radius * sin)
    z = radius * np.where(back, 1.0 - 2.0 * most_cos + cos, 1.0 - cos)
    radii = first + (last - first) * along
    side = radii[:, None] * points[:, 0]
    layers = np.stack(
        [
            x[:, None] - sin[:, None] * side,
            radii[:, None] * points[:, 1],
            z[:, None] + cos[:, None] * side,
        ],
        axis=-1,
    )
    return sweep(triangles, layers)


def sweep(
    triangles: NDArray[np.int64], layers: NDArray[np.float64], closed: bool = False
) -> TetMesh:
    """The body between copies of one triangulated section.

    Each prism between two copies of a triangle becomes three tets. The diagonal of each of its
    side faces starts at the face's vertex of the smallest index, on both sides of it alike, which
    also cuts every prism properly (Dompierre et al., How to subdivide pyramids, prisms and
    hexahedra into tetrahedra, 1999).

    Parameters
    ----------
    triangles
        Triangles of the section, shape (k, 3), indices of its m vertices.
    layers
        Rest positions [m] of the section's vertices in each copy, shape (n, m, 3).
    closed
        Whether the last copy is joined to the first.

    Raises
    ------
    InputError
        The layers make a tet that is flat or inverted.
    """
    n, m = layers.shape[:2]
    joints = np.stack([np.arange(n - 1), np.arange(1, n)], axis=-1)
    if closed:
        # The lower number first: in it lies the smallest vertex of every side face.
        joints = np.concatenate([joints, [[0, n - 1]]])
    a, b, c = np.sort(triangles, axis=1).T
    one, two = m * joints[:, :1], m * joints[:, 1:]
    cuts = (
        (one + a, one + b, one + c, two + c),
        (one + a, one + b, two + b, two + c),
        (one + a, two + a, two + b, two + c),
    )
    tets = np.stack([np.stack(cut, axis=-1) for cut in cuts], axis=2)
    return TetMesh(layers.reshape(-1, 3), tets.reshape(-1, 4))


def disc(rings: int) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """The unit disc in triangles: vertices (3 rings (rings + 1) + 1, 2), triangles (6 rings^2, 3).

    Ring k has 6k vertices at equal angles. In each ring those at even places have the lower
    numbers, so that the diagonals that `sweep` chooses alternate around it, and a swept body has
    no handedness.
    """
    points, number = [np.zeros((1, 2))], [np.zeros(1, dtype=np.int64)]
    triangles = []
    for k in range(1, rings + 1):
        place = np.arange(6 * k)
        order = np.argsort(place % 2, kind="stable")
        cos, sin = cos_sin(2.0 * np.pi * order / len(place))
        points.append(np.stack([cos, sin], axis=-1) * (k / rings))
        number.append(3 * k * (k - 1) + 1 + np.argsort(order))
        for sixth in range(6):
            inner = np.take(number[k - 1], np.arange(k) + sixth * (k - 1), mode="wrap")
            outer = np.take(number[k], np.arange(k + 1) + sixth * k, mode="wrap")
            triangles.append(np.stack([inner, outer[:-1], outer[1:]], axis=-1))
            triangles.append(np.stack([inner[:-1], outer[1:-1], inner[1:]], axis=-1))
    return np.concatenate(points), np.concatenate(triangles)


def cos_sin(angle: Any) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Of angles [rad], the same on every machine."""
    return np.round(np.cos(angle), _DECIMALS), np.round(np.sin(angle), _DECIMALS)


def check_counts(name: str, **counts: tuple[Any, int]) -> None:
    """Raise `InputError` unless each is a whole number, at least as large as told beside it."""
    for what, (value, least) in counts.items():
        whole = isinstance(value, (int, np.integer)) and not isinstance(value, bool)
        if not whole or value < least:
            raise InputError(
                f"{name}: expected {what} as a whole number from {least} up, given {value!r}"
            )


def check_lengths(name: str, **values: Any) -> None:
    """Raise `InputError` unless each is a number above 0."""
    for what, value in values.items():
        number = isinstance(value, (int, float, np.number)) and not isinstance(value, bool)
        if not number or not np.isfinite(value) or value <= 0.0:
            raise InputError(f"{name}: expected {what} as a number above 0, given {value!r}")
