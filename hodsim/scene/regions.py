"""Regions: which vertices a clamp or a load acts on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hodsim.errors import InputError
from hodsim.scene.checks import Vector, axis, choice, nearest, number, numbers, text, vector, whole

# Kind of region -> the fields that it has, and must have.
_FIELDS = {
    "box": ("min", "max"),
    "sphere": ("center", "radius"),
    "vertices": ("vertices",),
    "nearest": ("nearest",),
    "plane": ("point", "normal", "within"),
    "tag": ("tag",),
}
# Names of tags that a message lists.
_LISTED = 12


@dataclass(frozen=True)
class Region:
    """Some of a mesh's vertices, chosen by their rest positions [m] or by number.

    Parameters
    ----------
    kind
        "box" (vertices from `min` to `max`, both included), "sphere" (within `radius` of
        `center`), "vertices" (these indices, from 0), "nearest" (the one vertex nearest to the
        point `nearest`; the lowest index of equals), "plane" (at a distance of at most `within`
        from the plane through `point` with the normal `normal`), or "tag" (all that a tag of the
        mesh's file names).

    Raises
    ------
    InputError
        Another kind, a field missing, one that the kind does not have, or a value out of range.
    """

    kind: str
    min: Vector | None = None
    max: Vector | None = None
    center: Vector | None = None
    radius: float | None = None
    vertices: tuple[int, ...] | None = None
    nearest: Vector | None = None
    point: Vector | None = None
    normal: Vector | None = None
    within: float | None = None
    tag: str | None = None

    def __post_init__(self) -> None:
        fields = _FIELDS[choice(self.kind, "kind", _FIELDS)]
        for name in dict.fromkeys(name for each in _FIELDS.values() for name in each):
            value = getattr(self, name)
            if (value is not None) != (name in fields):
                verb = "missing" if value is None else "not a part"
                raise InputError(
                    f"{name}: {verb} of a {self.kind} region, which has {' and '.join(fields)}"
                )
            if value is not None:
                object.__setattr__(self, name, _field(name, value))
        if self.min and self.max and any(a > b for a, b in zip(self.min, self.max, strict=True)):
            raise InputError(
                f"min: expected at most max {self.max} on every axis, given {self.min}"
            )


def select(
    region: Region,
    vertices: NDArray[np.float64],
    tags: Mapping[str, NDArray[np.int64]] | None = None,
) -> NDArray[np.int64]:
    """Indices, ascending, of the vertices in `region`, shape (k,) with k >= 1.

    Parameters
    ----------
    region
        The region.
    vertices
        Rest positions [m], shape (n_vertices, 3).
    tags
        The mesh's tags: ascending indices by name.

    Raises
    ------
    InputError
        No vertex lies in the region, or it names an index or a tag that the mesh does not have.
    """
    if region.kind == "tag":
        return _tagged(region, tags or {})
    if region.kind == "vertices":
        chosen = np.unique(np.array(region.vertices, dtype=np.int64))
        if chosen[-1] >= len(vertices):
            raise InputError(
                f"{describe(region)}: expected indices below {len(vertices)}, the number of "
                f"vertices of the mesh, given {chosen[-1]} and {np.sum(chosen < len(vertices))} "
                "that are"
            )
        return chosen
    if region.kind == "nearest":
        distance = np.linalg.norm(vertices - np.array(region.nearest), axis=1)
        return np.array([np.argmin(distance)], dtype=np.int64)
    if region.kind == "box":
        low, high = np.array(region.min), np.array(region.max)
        inside = ((vertices >= low) & (vertices <= high)).all(axis=1)
    elif region.kind == "plane":
        assert region.within is not None
        inside = _heights(region, vertices) <= region.within
    else:
        inside = np.linalg.norm(vertices - np.array(region.center), axis=1) <= region.radius
    chosen = np.flatnonzero(inside)
    if not len(chosen):
        span = f"{vertices.min(axis=0).tolist()} to {vertices.max(axis=0).tolist()}"
        raise InputError(
            f"{describe(region)}: expected at least one vertex inside, found none of "
            f"{len(vertices)}; "
            f"the mesh spans {span} m"
        )
    return chosen


def region_to_dict(region: Region) -> dict[str, Any]:
    """The region as a scene file writes it, ready for JSON."""
    values = {name: getattr(region, name) for name in _FIELDS[region.kind]}
    plain = {name: list(v) if isinstance(v, tuple) else v for name, v in values.items()}
    return plain if region.kind in plain else {region.kind: plain}


def describe(region: Region) -> str:
    """The region in a few words, for messages."""
    values = ", ".join(f"{name} {getattr(region, name)}" for name in _FIELDS[region.kind])
    return f"region {values}" if len(values) <= 90 else f"region {values[:87]}..."


def _tagged(region: Region, tags: Mapping[str, NDArray[np.int64]]) -> NDArray[np.int64]:
    name = str(region.tag)
    if name in tags:
        return np.array(tags[name])
    listed = ", ".join(repr(tag) for tag in list(tags)[:_LISTED]) or "none"
    more = f" and {len(tags) - _LISTED} more" if len(tags) > _LISTED else ""
    raise InputError(
        f"{describe(region)}: expected a tag of the mesh, which has {listed}{more}; "
        f"found 0 vertices{nearest(name, tags)}"
    )


def _heights(region: Region, vertices: NDArray[np.float64]) -> NDArray[np.float64]:
    """Distances [m] from a region's plane, (n_vertices,)."""
    normal = np.array(region.normal)
    return np.abs((vertices - np.array(region.point)) @ (normal / np.linalg.norm(normal)))


def _field(name: str, value: Any) -> Any:
    if name == "radius":
        return number(value, name, above=0.0)
    if name == "within":
        return number(value, name, least=0.0)
    if name == "normal":
        return axis(value, name)
    if name == "tag":
        return text(value, name)
    if name == "vertices":
        # Each is checked below to be whole; `numbers` sees to the list itself.
        numbers(value, name)
        return tuple(whole(item, f"vertices[{i}]", least=0) for i, item in enumerate(value))
    return vector(value, name)
