"""Loads that vary in time, and random ones from which training loads are drawn."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hodsim.errors import InputError
from hodsim.scene.checks import (
    Vector,
    axis,
    choice,
    flag,
    instance,
    number,
    numbers,
    span,
    vectors,
)
from hodsim.scene.regions import Region, region_to_dict

LOAD_KINDS = ("gravity", "force", "torque")


@dataclass(frozen=True)
class Load:
    """A load, piecewise linear in time and constant before its first and after its last time.

    Parameters
    ----------
    kind
        "gravity": an acceleration [m/s^2] of the whole body. "force": a total force [N], shared
        equally by the vertices of the region. "torque": a total torque [N m] about the region's
        moving centroid, its axis fixed in space.
    times
        Times [s], strictly increasing, at least one.
    values
        One vector per time, in the unit of the kind.
    region
        Where it acts; None for gravity, and for gravity only.

    Raises
    ------
    InputError
        Any of this does not hold, or a number is not finite.
    """

    kind: str
    times: tuple[float, ...]
    values: tuple[Vector, ...]
    region: Region | None = None

    def __post_init__(self) -> None:
        choice(self.kind, "kind", LOAD_KINDS)
        _check_region(self.kind, self.region)
        object.__setattr__(self, "times", numbers(self.times, "times"))
        object.__setattr__(self, "values", vectors(self.values, "values"))
        for i, (before, after) in enumerate(zip(self.times, self.times[1:], strict=False)):
            if after <= before:
                raise InputError(
                    f"times[{i + 1}]: expected strictly increasing times [s], "
                    f"given {after:g} after {before:g}"
                )
        if len(self.values) != len(self.times):
            raise InputError(
                f"values: expected one 3-vector for each of the {len(self.times)} times, "
                f"given {len(self.values)}"
            )


@dataclass(frozen=True)
class Direction:
    """How the direction of a random load is drawn.

    `kind` is "any" (uniform on the sphere; no vector), "axis" (along `vector`, forwards or
    backwards), or "plane" (uniform in the plane whose normal is `vector`). Raises InputError.
    """

    kind: str
    vector: Vector | None = None

    def __post_init__(self) -> None:
        if choice(self.kind, "kind", ("any", "axis", "plane")) == "any":
            if self.vector is not None:
                raise InputError(f"vector: not a part of direction any, given {self.vector!r}")
        else:
            object.__setattr__(self, "vector", axis(self.vector, "vector"))


@dataclass(frozen=True)
class RandomLoad:
    """A family of loads; one is drawn for each training trajectory.

    The load rises linearly over `ramp`, stays over `hold` (turning meanwhile, if `turn` says so)
    and is then released within one time step. Pairs are ranges [low, high], drawn uniformly.

    Parameters
    ----------
    kind, region
        As for `Load`.
    magnitude
        Length of the vector, in the unit of the kind.
    direction
        How its direction is drawn.
    ramp, hold
        Durations [s], above 0.
    probability
        Chance that this load is present at all.
    turn
        Angle [degrees] by which the vector turns during `hold`, about a random axis
        perpendicular to it; not for torques.
    release
        False: the last vector stays.

    Raises
    ------
    InputError
        A value of the wrong kind or out of range.
    """

    kind: str
    magnitude: tuple[float, float]
    direction: Direction
    ramp: tuple[float, float]
    hold: tuple[float, float]
    region: Region | None = None
    probability: float = 1.0
    turn: tuple[float, float] = (0.0, 0.0)
    release: bool = True

    def __post_init__(self) -> None:
        choice(self.kind, "kind", LOAD_KINDS)
        _check_region(self.kind, self.region)
        instance(self.direction, "direction", Direction)
        checked = {
            "magnitude": span(self.magnitude, "magnitude", least=0.0),
            "ramp": span(self.ramp, "ramp", above=0.0),
            "hold": span(self.hold, "hold", above=0.0),
            "probability": number(self.probability, "probability", least=0.0, most=1.0),
            "turn": span(self.turn, "turn"),
            "release": flag(self.release, "release"),
        }
        for name, value in checked.items():
            object.__setattr__(self, name, value)
        if self.kind == "torque" and any(self.turn):
            raise InputError("turn: expected only for gravity and force, given for a torque")


def value_at(load: Load, time: float) -> NDArray[np.float64]:
    """The load's vector at `time` [s], shape (3,), in the unit of its kind."""
    values = np.array(load.values)
    return np.array([np.interp(time, load.times, values[:, k]) for k in range(3)])


def load_to_dict(load: Load) -> dict[str, Any]:
    """The load as a scene file writes it, ready for JSON; `load_from_dict` reads it back."""
    plain: dict[str, Any] = {"kind": load.kind}
    if load.region is not None:
        plain["region"] = region_to_dict(load.region)
    plain["times"] = list(load.times)
    plain["values"] = [list(value) for value in load.values]
    return plain


def _check_region(kind: str, region: Any) -> None:
    if kind == "gravity":
        if region is not None:
            raise InputError("region: expected none for gravity, which acts on the whole body")
    elif region is None:
        raise InputError(
            f"region: missing; a {kind} needs one, e.g. region = {{ nearest = [1, 0, 0] }}"
        )
    else:
        instance(region, "region", Region)
