"""What a user does to a running simulation, as data: actions by step, and files of them."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

from hodsim.dynamics import Spring
from hodsim.errors import InputError
from hodsim.files import atomic
from hodsim.scene import Damping, Scene, TimeSpec

_FORMAT: Final = 1
Vector = tuple[float, float, float]


@dataclass(frozen=True)
class Drag:
    """A spring from a vertex to the cursor, in place of the one that the same user (`by`) had."""

    by: str
    spring: Spring


@dataclass(frozen=True)
class Release:
    """The user `by` lets go."""

    by: str


@dataclass(frozen=True)
class Gravity:
    """An acceleration [m/s^2] on top of the scene's gravity."""

    acceleration: Vector


@dataclass(frozen=True)
class Damp:
    """Rayleigh's damping from now on, in place of the scene's."""

    damping: Damping


@dataclass(frozen=True)
class TimeStep:
    """The length of the steps from now on [s]."""

    step: float


@dataclass(frozen=True)
class Pose:
    """The body of one subspace ("hod-6") is put at latent q, at rest; other bodies stay."""

    subspace: str
    q: tuple[float, ...]


Action = Drag | Release | Gravity | Damp | TimeStep | Pose


@dataclass(frozen=True)
class Settings:
    """What is in force besides springs: gravity [m/s^2] on top of the scene's, Rayleigh's damping
    [1/s] and [s], and the time step [s]."""

    gravity: Vector
    damping_mass: float
    damping_stiffness: float
    time_step: float


def settings_of(scene: Scene) -> Settings:
    """The settings that a scene begins with."""
    damping = scene.damping
    return Settings((0.0, 0.0, 0.0), damping.mass, damping.stiffness, scene.time.step)


@dataclass(frozen=True)
class Event:
    """An action that is in force from the step on that follows the first `step` steps."""

    step: int
    action: Action


@dataclass(frozen=True)
class Recording:
    """A load history: everything that was done to a simulation since it began.

    Attributes
    ----------
    scene
        Name of the scene.
    origin
        What the body was, as `hodsim.snapshots.origin_of` tells it.
    integrator
        "implicit-euler" or "bdf2".
    steps
        Steps taken until it was saved.
    events
        In the order in which they came.
    """

    scene: str
    origin: dict[str, Any]
    integrator: str
    steps: int
    events: tuple[Event, ...]


def to_dict(action: Action) -> dict[str, Any]:
    """An action, ready for JSON; numbers keep every digit."""
    if isinstance(action, Drag):
        return {"drag": {"by": action.by, **asdict(action.spring)}}
    if isinstance(action, Release):
        return {"release": action.by}
    if isinstance(action, Gravity):
        return {"gravity": list(action.acceleration)}
    if isinstance(action, Damp):
        return {"damping": asdict(action.damping)}
    if isinstance(action, TimeStep):
        return {"time_step": action.step}
    return {"pose": {"subspace": action.subspace, "q": list(action.q)}}


def save_recording(path: str | Path, recording: Recording) -> None:
    """Write a recording as JSON, an event a line, in one move."""
    head = {
        "format": _FORMAT,
        "scene": recording.scene,
        "origin": recording.origin,
        "integrator": recording.integrator,
        "steps": recording.steps,
    }
    lines = [json.dumps({"step": e.step, **to_dict(e.action)}) for e in recording.events]
    events = "[\n  " + ",\n  ".join(lines) + "\n ]" if lines else "[]"
    text = json.dumps(head, indent=1)[:-2] + f',\n "events": {events}\n}}\n'
    with atomic(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def load_recording(path: str | Path) -> Recording:
    """Read a recording.

    Raises
    ------
    InputError
        No such file, not a recording, or a value out of range; the message names the event.
    """
    path = Path(path)
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(
            f"{path}: expected a recording that can be read ({error.strerror}); check the path"
        ) from error
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path}: expected a recording (JSON), given another file") from error
    where = "head"
    try:
        if data["format"] != _FORMAT:
            raise ValueError(f"format {_FORMAT}, not {data['format']!r}")
        events = []
        for k, row in enumerate(data["events"]):
            where = f"events[{k}]"
            events.append(Event(_count(row.pop("step")), _action(row)))
            if k and events[k].step < events[k - 1].step:
                raise ValueError("a step not before that of the event before")
        where = "head"
        origin = data["origin"]
        if not isinstance(origin, dict):
            raise TypeError("origin")
        return Recording(
            str(data["scene"]),
            origin,
            TimeSpec(1.0, 1, data["integrator"]).integrator,
            _count(data["steps"]),
            tuple(events),
        )
    except (InputError, KeyError, TypeError, ValueError, AttributeError) as error:
        told = " ".join(str(error).split())[:160]
        raise InputError(
            f"{path}: {where}: expected what `hodsim view` writes, given something else ({told})"
        ) from error


def _count(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise ValueError(f"a whole number of at least 0, not {value!r}")
    return value


def _action(row: dict[str, Any]) -> Action:
    ((what, value),) = row.items()
    if what == "drag":
        spring = Spring(_count(value["vertex"]), value["target"], float(value["stiffness"]))
        return Drag(str(value["by"]), spring)
    if what == "release":
        return Release(str(value))
    if what == "gravity":
        return gravity(value)
    if what == "damping":
        return Damp(Damping(**value))
    if what == "time_step":
        return TimeStep(TimeSpec(value, 1).step)
    if what == "pose":
        return pose(str(value["subspace"]), value["q"])
    raise ValueError(f"an action, not {what!r}")


def gravity(acceleration: Any) -> Gravity:
    """Checked; raises `InputError` where it is not three finite numbers [m/s^2]."""
    a = np.asarray(acceleration, dtype=np.float64)
    if a.shape != (3,) or not np.isfinite(a).all():
        raise InputError(f"gravity: expected three finite numbers [m/s^2], given {acceleration!r}")
    x, y, z = a.tolist()
    return Gravity((x, y, z))


def pose(subspace: str, q: Any) -> Pose:
    """Checked; raises `InputError` where q is not a row of finite numbers."""
    row = np.asarray(q, dtype=np.float64)
    if row.ndim != 1 or not np.isfinite(row).all():
        raise InputError(f"pose: expected a row of finite latent coordinates, given {q!r}")
    return Pose(subspace, tuple(row.tolist()))
