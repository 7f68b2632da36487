"""Cases: the loads and time schemes in which subspaces are compared."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Final

from hodsim.comparison.measure import HELD_OUT
from hodsim.errors import InputError
from hodsim.files import sha256_of
from hodsim.scene import Scene

OTHER: Final = "other"
_LARGEST = 1e6  # more is no load but a slip of the key, and soon no number
INTEGRATORS: Final = {"euler": "implicit-euler", "bdf2": "bdf2"}


@dataclass(frozen=True)
class Case:
    """One motion to compare in.

    `scene` is as it is played: its loads scaled, its integrator and number of steps chosen. `load`
    says where they are from: "held-out", "1.5x" (or another factor), or "other".
    """

    scene: Scene
    load: str

    def digest(self, mesh: str) -> str:
        """SHA-256 of all that decides the motion in full space, given the mesh's own digest."""
        told = asdict(self.scene)
        for name in ("path", "model", "mesh", "sampling"):
            del told[name]
        return sha256_of({"scene": told, "load": self.load, "mesh": mesh})


def cases_of(
    scenes: Iterable[Scene],
    loads: Sequence[str] = (HELD_OUT, OTHER),
    integrators: Sequence[str] = (),
    steps: int | None = None,
) -> list[Case]:
    """Every scene with the loads asked for, in each of the time schemes.

    `loads` may hold "held-out" (as the scene has them), factors such as "1.5x" that scale those,
    and "other": scenes of another kind of load than training knows are played as they are, and
    only where that is asked for. `integrators` are "euler" and "bdf2", the scene's own unless
    given; `steps` is the most steps of any. Raises `InputError` for another name.
    """
    for name in integrators:
        if name not in INTEGRATORS:
            raise InputError(f"integrators: expected {' or '.join(INTEGRATORS)}, given {name!r}")
    factors = {name: _factor(name) for name in loads}
    found = []
    for scene in scenes:
        other = is_other(scene)
        for load, factor in factors.items():
            if (load == OTHER) != other:
                continue
            for integrator in integrators or (None,):
                time = scene.time
                if integrator is not None:
                    time = replace(time, integrator=INTEGRATORS[integrator])
                if steps is not None:
                    time = replace(time, steps=min(steps, time.steps))
                found.append(Case(replace(_scaled(scene, factor), time=time), load))
    return found


def without_cases(scenes: Iterable[Scene], loads: Sequence[str]) -> list[str]:
    """A line for the scenes of another kind of load, or not, that these loads leave without one."""
    kinds = {load == OTHER for load in loads}
    named: dict[bool, list[str]] = {}
    for scene in scenes:
        if is_other(scene) not in kinds:
            named.setdefault(is_other(scene), []).append(scene.name)
    why = {
        True: "loads of another kind are played as they are, and only with --loads other",
        False: f"these loads have no other; name {HELD_OUT} or a factor in --loads, too",
    }
    return [f"{', '.join(names)}: left out: {why[other]}" for other, names in named.items()]


def is_other(scene: Scene) -> bool:
    """Whether its loads are of another kind than training's: "other-1", or in a folder "other"."""
    folder = None if scene.path is None else scene.path.absolute().parent.name
    return folder == OTHER or re.fullmatch(r"other(-\d+)?", scene.name) is not None


def _factor(load: str) -> float:
    if load in (HELD_OUT, OTHER):
        return 1.0
    match = re.fullmatch(r"([0-9]+(?:\.[0-9]+)?)x", load)
    factor = float(match[1]) if match else 0.0
    if not 0.0 < factor <= _LARGEST:
        raise InputError(
            f"loads: expected {HELD_OUT}, {OTHER} or a factor above 0 and up to {_LARGEST:g} such "
            f"as 1.5x, given {load!r}"
        )
    return factor


def _scaled(scene: Scene, factor: float) -> Scene:
    """The scene with every load, gravity too, `factor` times as strong."""
    loads = tuple(
        replace(load, values=tuple((factor * x, factor * y, factor * z) for x, y, z in load.values))
        for load in scene.loads
    )
    return replace(scene, loads=loads) if factor != 1.0 else scene
