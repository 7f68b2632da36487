"""Flat bodies by formula: a triangulated outline swept along a straight line, cut into tets."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from hodsim.errors import InputError
from hodsim.mesh.sweep import check_counts, check_lengths, cos_sin, sweep
from hodsim.mesh.tetmesh import TetMesh

Points = NDArray[np.float64]
Triangles = NDArray[np.int64]


def starfish(
    cells: tuple[int, int, int] = (9, 3, 2),
    arms: int = 5,
    reach: float = 0.5,
    width: tuple[float, float] = (0.16, 0.06),
    thickness: tuple[float, float] = (0.12, 0.05),
) -> TetMesh:
    """Tapering arms about a polygon, in the xy plane; 633 vertices, 1,890 tets unless told else.

    The middle is a regular polygon whose sides are the arms' roots; the first arm points along y.
    Width and thickness fall linearly from an arm's root to its tip, and the middle is as thick as
    the roots. The volume is, exactly, that of a prism and of `arms` wedges that taper twice.

    Parameters
    ----------
    cells
        Along an arm, across it and through the thickness, each at least 1.
    arms
        Their number, at least 3.
    reach
        From the middle to the tips [m].
    width, thickness
        At the root and at the tip of an arm [m].

    Raises
    ------
    InputError
        A number out of these bounds, or roots as long as the arms reach.
    """
    along, across, layers = _counts("starfish", cells)
    check_counts("starfish", arms=(arms, 3))
    root, tip = _pair("starfish", "width", width)
    thick, thin = _pair("starfish", "thickness", thickness)
    check_lengths("starfish", reach=reach)
    cos, sin = cos_sin(np.pi / arms)
    apothem = 0.5 * root * float(cos / sin)
    if apothem >= reach:
        raise InputError(
            f"starfish: expected roots narrower than {2.0 * reach * float(sin / cos):g} m for a "
            f"reach of {reach:g} m, given {root:g} m"
        )
    points, triangles = _polygon(across, arms, apothem)
    ring = _outermost(across, arms)
    halves = np.full(len(points), 0.5 * thick)
    share = np.arange(1, along + 1)[:, None] / along
    lateral = 2.0 * np.arange(across + 1) / across - 1.0
    for k in range(arms):
        angle = 2.0 * np.pi * (k / arms + 0.25)
        c, s = cos_sin(angle)
        x = np.repeat(apothem + share * (reach - apothem), across + 1, axis=1)
        y = 0.5 * (root + share * (tip - root)) * lateral
        arm = np.stack([c * x - s * y, s * x + c * y], axis=-1).reshape(-1, 2)
        roots = ring[(k * across + np.arange(across + 1)) % len(ring)]
        new = len(points) + np.arange(along * (across + 1)).reshape(along, across + 1)
        points = np.concatenate([points, arm])
        triangles = np.concatenate([triangles, _grid(np.vstack([roots, new]), points)])
        taper = np.repeat(thick + share * (thin - thick), across + 1, axis=1)
        halves = np.concatenate([halves, 0.5 * taper.ravel()])
    heights = halves * (2.0 * np.arange(layers + 1)[:, None] / layers - 1.0)
    flat = np.broadcast_to(points, (layers + 1, *points.shape))
    return sweep(triangles, np.concatenate([flat, heights[:, :, None]], axis=2))


def pierced(
    cells: tuple[int, int, int] = (10, 4, 3),
    rings: int = 2,
    size: tuple[float, float, float] = (1.0, 0.15, 0.25),
    radius: float = 0.0625,
) -> TetMesh:
    """A beam along x with a round hole through its middle, along y; 592 vertices, 2,016 tets unless
    told otherwise.

    About the hole lies a square block as high as the beam, beside it two blocks of boxes. The
    hole is a polygon of 4 x `cells[1]` corners on its circle.

    Parameters
    ----------
    cells
        Along each block beside the hole, over the height (z) and through the thickness (y), each
        at least 1; those over the height at least 2.
    rings
        Of cells between the hole and the square about it, at least 1.
    size
        Edge lengths along x, y and z [m], x above z. x runs from 0 to size[0]; y and z are centred
        on 0.
    radius
        Of the hole [m], below half of size[2].

    Raises
    ------
    InputError
        A number out of these bounds.
    """
    along, over, through = _counts("pierced", cells)
    check_counts("pierced", rings=(rings, 1), **{"cells[1]": (over, 2)})
    try:
        length, depth, height = size
    except (TypeError, ValueError) as error:
        raise InputError(f"pierced: expected size as three lengths [m], given {size}") from error
    check_lengths("pierced", length=length, depth=depth, height=height, radius=radius)
    if length <= height or radius >= 0.5 * height:
        raise InputError(
            f"pierced: expected a height below the length {length:g} m and a radius below half the "
            f"height, given {height:g} m and {radius:g} m"
        )
    # Round the square from its lower left corner; the ends of the beam's blocks lie on it.
    side = 2.0 * np.arange(over) / over - 1.0
    one = np.ones(over)
    square = np.concatenate(
        [np.stack(xz, axis=-1) for xz in ((side, -one), (one, side), (-side, one), (-one, -side))]
    )
    cos, sin = cos_sin(2.0 * np.pi * (np.arange(4 * over) / (4.0 * over) - 0.375))
    circle = radius * np.stack([cos, sin], axis=-1)
    share = np.arange(rings + 1)[:, None, None] / rings
    points = (1.0 - share) * circle + share * 0.5 * height * square
    number = np.arange((rings + 1) * 4 * over).reshape(rings + 1, -1)
    plane, edge = points.reshape(-1, 2), number[-1]
    triangles = _grid(np.hstack([number, number[:, :1]]), plane)
    right, left = edge[over : 2 * over + 1], np.roll(edge, -3 * over)[: over + 1][::-1]
    start = np.arange(1, along + 1)[:, None] / along * 0.5 * (length - height) + 0.5 * height
    z = np.broadcast_to(0.5 * height * np.append(side, 1.0), (along, over + 1))
    for joint, sign in ((right, 1.0), (left, -1.0)):
        new = len(plane) + np.arange(z.size).reshape(z.shape)
        x = np.broadcast_to(sign * start, z.shape)
        plane = np.concatenate([plane, np.stack([x, z], axis=-1).reshape(-1, 2)])
        triangles = np.concatenate([triangles, _grid(np.vstack([joint, new]), plane)])
    depths = depth * (np.arange(through + 1) / through - 0.5)
    layers = np.empty((through + 1, len(plane), 3))
    layers[..., 0], layers[..., 2] = plane[:, 0] + 0.5 * length, plane[:, 1]
    layers[..., 1] = depths[:, None]
    return sweep(triangles, layers)


def _polygon(rings: int, sides: int, apothem: float) -> tuple[Points, Triangles]:
    """A regular polygon in triangles, side 0 across y; ring k has k vertices on each side."""
    cos, sin = cos_sin(2.0 * np.pi * ((np.arange(sides) - 0.5) / sides + 0.25))
    half, _ = cos_sin(np.pi / sides)
    corners = apothem / half * np.stack([cos, sin], axis=-1)
    points, triangles, number = [np.zeros((1, 2))], [], np.zeros(1, dtype=np.int64)
    for k in range(1, rings + 1):
        share = np.arange(k)[:, None] / k
        nexts = np.roll(corners, -1, axis=0)
        edges = (1.0 - share) * corners[:, None] + share * nexts[:, None]
        points.append(edges.reshape(-1, 2) * (k / rings))
        ring = number[-1] + 1 + np.arange(sides * k)
        for j in range(sides):
            inner = np.take(number, np.arange(k) + j * (k - 1), mode="wrap")
            outer = np.take(ring, np.arange(k + 1) + j * k, mode="wrap")
            triangles.append(np.stack([inner, outer[:-1], outer[1:]], axis=-1))
            triangles.append(np.stack([inner[:-1], outer[1:-1], inner[1:]], axis=-1))
        number = ring
    return np.concatenate(points), np.concatenate(triangles)


def _outermost(rings: int, sides: int) -> Triangles:
    """Numbers of a polygon's last ring, round it."""
    return 1 + sides * rings * (rings - 1) // 2 + np.arange(sides * rings)


def _grid(number: Triangles, points: Points) -> Triangles:
    """Triangles of a lattice of vertices (p + 1, q + 1): quadrangles cut along their shorter
    diagonals, which alternate where both are alike."""
    a, b, c, d = number[:-1, :-1], number[1:, :-1], number[1:, 1:], number[:-1, 1:]
    i, j = np.indices(a.shape)
    one, two = (np.linalg.norm(points[p] - points[q], axis=-1) for p, q in ((a, c), (b, d)))
    # A millionth: no rounding of the points decides.
    alike = np.abs(one - two) < 1e-6 * (one + two)
    first = np.where(alike, (i + j) % 2 == 0, one < two)[..., None]
    halves = [
        np.where(first, np.stack(x, axis=-1), np.stack(y, axis=-1))
        for x, y in (((a, b, c), (a, b, d)), ((a, c, d), (b, c, d)))
    ]
    return np.concatenate([half.reshape(-1, 3) for half in halves])


def _counts(name: str, cells: tuple[int, int, int]) -> tuple[int, int, int]:
    try:
        a, b, c = cells
    except (TypeError, ValueError) as error:
        raise InputError(f"{name}: expected cells as three counts, given {cells}") from error
    check_counts(name, **{f"cells[{k}]": (n, 1) for k, n in enumerate((a, b, c))})
    return a, b, c


def _pair(name: str, what: str, values: tuple[float, float]) -> tuple[float, float]:
    try:
        first, last = values
    except (TypeError, ValueError) as error:
        raise InputError(f"{name}: expected {what} as two lengths [m], given {values}") from error
    check_lengths(name, **{f"{what}[0]": first, f"{what}[1]": last})
    return first, last
