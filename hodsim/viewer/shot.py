"""What pictures and films in three dimensions show, and from where it is seen."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from hodsim.errors import InputError
from hodsim.viewer.obstacles import Surface


@dataclass(frozen=True)
class Solid:
    """One body over k frames.

    Attributes
    ----------
    title, note
        Written above it; the note is smaller and may be "".
    positions
        [m], shape (k, n_vertices, 3).
    values
        What colours it, in the unit that `Shot.colour` names, shape (k, n_vertices).
    arrows
        For each frame its arrows from start to end [m], (m, 2, 3); none at all if left empty.
    """

    title: str
    positions: np.ndarray
    values: np.ndarray
    note: str = ""
    arrows: tuple[np.ndarray, ...] = ()


@dataclass(frozen=True)
class Shot:
    """Bodies of one mesh, side by side, seen by one camera and coloured alike.

    Attributes
    ----------
    vertices, surface, clamped
        Rest positions [m] (n_vertices, 3), boundary triangles (m, 3), indices of clamped vertices.
    times
        [s], shape (k,).
    solids
        The bodies, at least one.
    colour
        What the values are, with their unit: "displacement [m]".
    top
        The value of the colour bar's upper end; the largest of all values unless given. The lower
        end is 0.
    outline
        Whether the sharp edges of the first body are drawn over the others.
    obstacles
        What stands in the bodies' way, the same for all; only what is near them is in the picture.
    azimuth, elevation
        Where the eye is [degrees]: around z from x, and above the xy plane, below 90.

    Raises
    ------
    InputError
        No body, or arrays whose shapes do not fit together, or that are not finite.
    """

    vertices: np.ndarray
    surface: np.ndarray
    clamped: np.ndarray
    times: np.ndarray
    solids: tuple[Solid, ...]
    colour: str
    top: float | None = None
    outline: bool = True
    azimuth: float = -68.0
    elevation: float = 28.0
    obstacles: tuple[Surface, ...] = ()

    def __post_init__(self) -> None:
        k, n = len(self.times), len(self.vertices)
        if not self.solids or not k:
            raise InputError("picture: expected at least one body and one frame, given none")
        if not -90.0 < self.elevation < 90.0:
            raise InputError(
                f"elevation: expected an angle between -90 and 90 degrees, given {self.elevation:g}"
            )
        for solid in self.solids:
            shapes = (solid.positions.shape, solid.values.shape, len(solid.arrows) or k)
            if shapes != ((k, n, 3), (k, n), k):
                raise InputError(
                    f"{solid.title}: expected {k} frames of {n} vertices, given positions of shape "
                    f"{shapes[0]}, values of {shapes[1]} and arrows of {shapes[2]} frames"
                )
            if not (np.isfinite(solid.positions).all() and np.isfinite(solid.values).all()):
                raise InputError(
                    f"{solid.title}: expected finite positions and values; cut the motion where it "
                    "stops being finite"
                )

    @property
    def largest(self) -> float:
        """The largest value of any body in any frame."""
        return max(float(solid.values.max()) for solid in self.solids)

    @property
    def colour_top(self) -> float:
        """The value at the upper end of the colour bar, above 0."""
        top = self.largest if self.top is None else self.top
        return top if top > 0.0 else 1.0

    def axes(self) -> np.ndarray:
        """Unit vectors to the right, up, and towards the eye, rows of (3, 3)."""
        around, above = np.radians([self.azimuth, self.elevation])
        eye = np.array([np.cos(above) * np.cos(around), np.cos(above) * np.sin(around)])
        eye = np.append(eye, np.sin(above))
        right = np.array([-np.sin(around), np.cos(around), 0.0])
        return np.stack([right, np.cross(eye, right), eye])

    def box(self) -> tuple[np.ndarray, np.ndarray]:
        """Lowest and highest coordinates [m] along `axes()` of all that is drawn, (3,) each."""
        drawn = []
        for solid in self.solids:
            drawn += [solid.positions.reshape(-1, 3)]
            drawn += [arrows.reshape(-1, 3) for arrows in solid.arrows]
        low, high = (
            f(np.array([f(x, axis=0) for x in drawn if len(x)]), 0) for f in (np.min, np.max)
        )
        room = 0.25 * float((high - low).max())
        for obstacle in self.obstacles:
            near = obstacle.vertices
            near = near[((near > low - room) & (near < high + room)).all(axis=1)]
            drawn.append(near)
        along = [points @ self.axes().T for points in drawn if len(points)]
        low = np.min([a.min(axis=0) for a in along], axis=0)
        return low, np.max([a.max(axis=0) for a in along], axis=0)
