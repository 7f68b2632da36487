"""Drawing concrete loads from a scene's random ones."""

from __future__ import annotations

import numpy as np

from hodsim.errors import InputError
from hodsim.scene import Direction, Load, RandomLoad, Scene

# A turning vector is drawn piecewise linearly, one piece for about so many degrees.
_DEGREES_A_PIECE = 5.0


def draw_loads(scene: Scene, rng: np.random.Generator) -> tuple[Load, ...]:
    """One set of loads of the scene's `sampling` families; at least one is present.

    Raises `InputError` for a scene none of whose families can ever be present.
    """
    if not any(random.probability for random in scene.sampling):
        raise InputError(
            f"scene {scene.name}: expected a [[sampling]] load of a probability above 0, given "
            "none; add one"
        )
    while True:
        present = [r for r in scene.sampling if rng.random() < r.probability]
        if present:
            return tuple(_draw(random, scene.time.step, rng) for random in present)


def _draw(random: RandomLoad, h: float, rng: np.random.Generator) -> Load:
    d = _direction(random.direction, rng)
    full = rng.uniform(*random.magnitude) * d
    ramp, hold = rng.uniform(*random.ramp), rng.uniform(*random.hold)
    angle = np.radians(rng.uniform(*random.turn))
    side = np.cross(d, _direction(Direction("any"), rng))
    side /= np.linalg.norm(side)
    pieces = max(1, int(np.ceil(abs(np.degrees(angle)) / _DEGREES_A_PIECE)))
    times, values = [0.0], [np.zeros(3)]
    for k in range(pieces + 1):
        # Rodrigues' rotation about an axis perpendicular to the vector.
        a = angle * k / pieces
        times.append(ramp + hold * k / pieces)
        values.append(np.cos(a) * full + np.sin(a) * np.linalg.norm(full) * side)
    if random.release:
        times.append(ramp + hold + h)
        values.append(np.zeros(3))
    return Load(
        random.kind,
        tuple(float(t) for t in times),
        tuple((float(v[0]), float(v[1]), float(v[2])) for v in values),
        random.region,
    )


def _direction(direction: Direction, rng: np.random.Generator) -> np.ndarray:
    if direction.kind == "axis":
        v = np.array(direction.vector) * rng.choice((-1.0, 1.0))
    else:
        v = rng.standard_normal(3)
        if direction.kind == "plane":
            n = np.array(direction.vector)
            v = v - (v @ n) / (n @ n) * n
    return np.asarray(v / np.linalg.norm(v))
