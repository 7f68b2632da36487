"""Obstacles: rigid things that stand still in a body's way."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from hodsim.errors import InputError
from hodsim.scene.checks import Vector, axis, choice, instance, number, text, vector

# Kind of shape -> the fields that it must have, and those that it may have.
_FIELDS: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "half_space": (("point", "normal"), ()),
    "sphere": (("center", "radius"), ()),
    "box": (("center", "size"), ("turn", "rounding")),
}
SHAPES = tuple(_FIELDS)


@dataclass(frozen=True)
class Shape:
    """A solid that stands still in space.

    Parameters
    ----------
    kind
        "half_space" (all that lies below the plane through `point` [m] whose `normal` points out of
        the solid), "sphere" (within `radius` [m] of `center` [m]), or "box" (`size` [m] along its
        three edges about `center` [m]).
    turn
        A box only: the vector about which it is turned, its length the angle [degrees]; not turned
        unless given.
    rounding
        A box only: radius of its edges [m], at most half its smallest size; a tenth of that size
        unless given. With sharp edges (0) the direction of the force jumps near them.

    Raises
    ------
    InputError
        Another kind, a field missing, one that the kind does not have, or a value out of range.
    """

    kind: str
    point: Vector | None = None
    normal: Vector | None = None
    center: Vector | None = None
    radius: float | None = None
    size: Vector | None = None
    turn: Vector | None = None
    rounding: float | None = None

    def __post_init__(self) -> None:
        must, may = _FIELDS[choice(self.kind, "kind", _FIELDS)]
        for name in ("point", "normal", "center", "radius", "size", "turn", "rounding"):
            value = getattr(self, name)
            if value is None and name in must:
                raise InputError(
                    f"{name}: missing of a {self.kind}, which has {' and '.join(must)}"
                )
            if value is not None and name not in must + may:
                raise InputError(
                    f"{name}: not a part of a {self.kind}, which has {' and '.join(must + may)}"
                )
            if value is not None:
                object.__setattr__(self, name, _field(name, value))
        if self.size is not None:
            least = min(self.size)
            rounding = 0.1 * least if self.rounding is None else self.rounding
            object.__setattr__(
                self, "rounding", number(rounding, "rounding", least=0.0, most=0.5 * least)
            )


@dataclass(frozen=True)
class Obstacle:
    """A shape that pushes back what enters it, with friction.

    At depth d [m] the pressure [N/m^2] is stiffness d^2 / (2 smoothing) for d up to `smoothing`,
    and stiffness (d - smoothing/2) beyond: a potential with two continuous derivatives, or one for
    smoothing 0. Friction is Coulomb's, at most friction times the pressure and against the slip;
    below the speed `slip` it falls smoothly to 0, so that what should stick creeps, slower than
    that.

    Parameters
    ----------
    shape
        The solid.
    stiffness
        Pressure a depth [N/m^3], above 0. A body of weight W that stands on area A sinks in by
        W / (A stiffness) + smoothing/2.
    friction
        Coulomb's coefficient, at least 0.
    smoothing
        Depth [m] over which the pressure sets in, at least 0.
    slip
        Speed [m/s] below which friction is not full, above 0.
    name
        What reports and errors call it; every obstacle of a scene has its own.

    Raises
    ------
    InputError
        A value of the wrong kind or out of range.
    """

    shape: Shape
    stiffness: float
    friction: float = 0.0
    smoothing: float = 0.0
    slip: float = 1e-3
    name: str = "obstacle"

    def __post_init__(self) -> None:
        instance(self.shape, "shape", Shape)
        checked = {
            "stiffness": number(self.stiffness, "stiffness", above=0.0),
            "friction": number(self.friction, "friction", least=0.0),
            "smoothing": number(self.smoothing, "smoothing", least=0.0),
            "slip": number(self.slip, "slip", above=0.0),
            "name": text(self.name, "name"),
        }
        for name, value in checked.items():
            object.__setattr__(self, name, value)


def check_names(obstacles: tuple[Obstacle, ...]) -> None:
    """Raises `InputError` where two obstacles have one name."""
    names = [obstacle.name for obstacle in obstacles]
    for k, name in enumerate(names):
        if name in names[:k]:
            raise InputError(
                f"obstacle[{k}].name: expected one that no other has, given {name!r} again"
            )


def obstacle_to_dict(obstacle: Obstacle) -> dict[str, Any]:
    """The obstacle as a scene file writes it, ready for JSON."""
    shape = obstacle.shape
    must, may = _FIELDS[shape.kind]
    fields = {name: getattr(shape, name) for name in must + may}
    plain = {k: list(v) if isinstance(v, tuple) else v for k, v in fields.items() if v is not None}
    return {
        "name": obstacle.name,
        "shape": {shape.kind: plain},
        "stiffness": obstacle.stiffness,
        "friction": obstacle.friction,
        "smoothing": obstacle.smoothing,
        "slip": obstacle.slip,
    }


def _field(name: str, value: Any) -> Any:
    if name in ("radius", "rounding"):
        return number(value, name, **({"above": 0.0} if name == "radius" else {"least": 0.0}))
    if name == "normal":
        return axis(value, name)
    checked = vector(value, name)
    if name == "size":
        for i, x in enumerate(checked):
            number(x, f"size[{i}]", above=0.0)
    return checked
