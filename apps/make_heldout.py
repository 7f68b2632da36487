"""Remake the loads that training never sees, of each body: heldout/ and other/ beside its scenes.

heldout/: of each scene's random loads, drawn from seeds that `hodsim train` never uses and no
stronger than seven eighths of what it uses, the first five are kept whose full-space motion is
large (`SHAPES` says how far, half a metre and 60 degrees of twist for the beam), converges, and
goes on for at least 100 steps after the last change of load.

other/: five loads of kinds that no scene draws from. Takes some minutes; bodies may be named:

OMP_NUM_THREADS=1 python apps/make_heldout.py beam torus arm starfish pierced
"""

from __future__ import annotations

import re
import sys
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from hodsim.comparison import travel, turn
from hodsim.dynamics import FullSpace, simulate
from hodsim.fem import Body, Loads, body_of, dofs_of, tip_vertices
from hodsim.files import atomic
from hodsim.sampling import draw_loads
from hodsim.scene import Load, RandomLoad, Region, Scene, load_to_dict, read_scene

SCENES = Path(__file__).parent / "scenes"
SEED = 20_000  # training's seeds begin with its own number, 2 unless told otherwise
KEPT = 5
# Held-out loads stay inside what training covers: at most this share of its strongest loads.
WITHIN = 0.875


@dataclass(frozen=True)
class Shape:
    """Where a body's scenes are, what a large motion is, and what its other loads are made of.

    Large is a `travel` [m] or `twist` [degrees] of the tip of at least so much. A force [N], a
    torque [N m] and a gravity [m/s^2] move the body far; a force acts on its middle besides.
    """

    folder: Path
    travel: float
    twist: float
    force: float
    torque: float
    gravity: float
    middle: Region


def box(low: tuple[float, float, float], high: tuple[float, float, float]) -> Region:
    return Region("box", min=low, max=high)


SHAPES = {
    "beam": Shape(
        folder=SCENES,
        travel=0.5,
        twist=60.0,
        force=60.0,
        torque=22.0,
        gravity=10.0,
        middle=box((0.44, -1, -1), (0.56, 1, 1)),
    ),
    "torus": Shape(
        folder=SCENES / "torus",
        travel=0.4,
        twist=45.0,
        force=90.0,
        torque=45.0,
        gravity=4.0,
        middle=box((-0.08, 0.25, -1), (0.08, 1, 1)),
    ),
    "arm": Shape(
        folder=SCENES / "arm",
        travel=0.5,
        twist=45.0,
        force=12.0,
        torque=2.5,
        gravity=2.0,
        middle=box((0.42, -1, -1), (0.58, 1, 1)),
    ),
    "starfish": Shape(
        folder=SCENES / "starfish",
        travel=0.25,
        twist=40.0,
        force=20.0,
        torque=6.0,
        gravity=3.0,
        middle=box((-1, 0.35, -1), (1, 1, 1)),
    ),
    "pierced": Shape(
        folder=SCENES / "pierced",
        travel=0.4,
        twist=40.0,
        force=80.0,
        torque=26.0,
        gravity=9.0,
        middle=box((0.36, -1, -1), (0.64, 1, 1)),
    ),
}


def main() -> None:
    for name in sys.argv[1:] or SHAPES:
        held_out(name, SHAPES[name])
        others(name, SHAPES[name])


def held_out(name: str, shape: Shape) -> None:
    for kind in ("bend", "twist", "swing"):
        scene = read_scene(shape.folder / f"{kind}.toml")
        body = body_of(scene)
        inside = replace(scene, sampling=tuple(map(weaker, scene.sampling)))
        own = () if name == "beam" else tuple(name.encode())
        kept = k = 0
        while kept < KEPT:
            rng = np.random.default_rng((SEED, *own, *kind.encode(), k))
            loads = tuple(map(rounded, draw_loads(inside, rng)))
            told = judge(scene, body, loads, shape)
            print(f"{name} {kind} draw {k}: {told or 'refused'}", flush=True)
            if told:
                kept += 1
                what = f"Held out: a {kind} that training never sees"
                told = f"{told}.\n# Seed {SEED}, draw {k}"
                write(scene, "heldout", f"{kind}-{kept}", loads, what, told)
            k += 1


def others(name: str, shape: Shape) -> None:
    scene = read_scene(shape.folder / "bend.toml")
    body = body_of(scene)
    end = scene.loads[0].region
    assert end is not None
    for k, (what, loads) in enumerate(kinds(shape, end), start=1):
        loads = tuple(map(rounded, loads))
        told = judge(scene, body, loads, shape)
        print(f"{name} other {k}: {what}: {told}", flush=True)
        assert told is not None, "expected a large motion that converges; change the load"
        write(scene, "other", f"other-{k}", loads, f"Unlike training: {what}", told)


def kinds(shape: Shape, end: Region) -> list[tuple[str, tuple[Load, ...]]]:
    """What no training scene draws: mixed, elsewhere, along the body, sudden, both ways."""
    x, y, z = np.eye(3)
    f, w, g = shape.force, shape.torque, shape.gravity
    held = (0.0, 0.25, 0.8, 0.82)
    return [
        (
            "bent and twisted at once",
            (
                held_load("force", end, held, 0.6 * f * y + 1.1 * f * z),
                held_load("torque", end, (0.0, 0.2, 0.6, 0.62), 0.7 * w * x),
            ),
        ),
        (
            "a force on the middle, not on the free end",
            (held_load("force", shape.middle, held, 1.8 * f * y - 2.8 * f * z),),
        ),
        (
            "gravity along the body, then across it",
            (
                Load(
                    "gravity",
                    (0.0, 0.3, 0.6, 0.9),
                    tuple(map(tuple, (0 * x, -g * x, -0.7 * g * (x + z), g * (0.5 * x - z)))),
                ),
            ),
        ),
        (
            "a kick of two steps",
            (held_load("force", end, (0.0, 0.02, 0.04, 0.06), 15.0 * f * (0.4 * y + z)),),
        ),
        (
            "the middle pushed one way, the free end the other",
            (
                held_load("force", shape.middle, held, -2.4 * f * z),
                held_load("force", end, held, 2.5 * f * z),
            ),
        ),
    ]


def held_load(kind: str, region: Region, times: tuple[float, ...], value: np.ndarray) -> Load:
    """Up to a value, held, and let go."""
    return Load(kind, times, ((0, 0, 0), tuple(value), tuple(value), (0, 0, 0)), region)


def weaker(load: RandomLoad) -> RandomLoad:
    low, high = load.magnitude
    return replace(load, magnitude=(low, max(low, WITHIN * high)))


def rounded(load: Load) -> Load:
    """The load as its file will say it: what is simulated here is what the file holds."""
    values = tuple(tuple(float(f"{x:.6g}") + 0.0 for x in value) for value in load.values)
    return replace(load, times=tuple(round(t, 6) for t in load.times), values=values)


def judge(scene: Scene, body: Body, loads: tuple[Load, ...], shape: Shape) -> str | None:
    """What the full-space motion reaches, or None where that is too little."""
    time = scene.time
    after = time.steps - max(load.times[-1] for load in loads) / time.step
    full = FullSpace(
        body,
        Loads(body, loads),
        time.step,
        time.integrator,
        scene.newton,
        obstacles=scene.obstacles,
    )
    motion = simulate(full, time.steps, on_failure="stop")
    tip = tip_vertices(body)
    u = motion.displacements(dofs_of(body.free_vertices, tip))
    if scene.name == "twist":
        least = shape.twist
        peak = np.abs(turn(body.mesh.vertices[tip], u)).max()
        what = f"peak turn of the tip {peak:.1f} degrees"
    else:
        least = shape.travel
        peak = travel(u).max()
        what = f"peak travel of the tip's centroid {peak:.3f} m"
    if not motion.converged or after < 100 or peak < least:
        return None
    return f"{what}, then {after:.0f} steps after the last change of load"


def write(
    scene: Scene, folder: str, name: str, loads: tuple[Load, ...], what: str, told: str
) -> None:
    """The scene's own file with these loads for its own, and no random ones."""
    assert scene.path is not None
    text = scene.path.read_text(encoding="utf-8")
    head, rest = text.split("[[load]]", 1)
    tail = re.search(r"\[time\].*?(?=\[\[sampling\]\]|\Z)", rest, re.DOTALL)
    assert tail is not None
    head = re.sub(r"\A.*?(?=\[mesh\])", "", head, flags=re.DOTALL)
    body = "".join(load_toml(load) for load in loads)
    text = (
        f"# {what}.\n"
        f"# In full space: {told}. Written by apps/make_heldout.py.\n"
        f'name = "{name}"\n\n{head}{body}{tail[0].rstrip()}\n'
    )
    path = scene.path.parent / folder / f"{name}.toml"
    with atomic(path) as temporary:
        temporary.write_text(text.replace('"../', '"../../'), encoding="utf-8")
    again = read_scene(path)
    assert again.loads == loads
    assert replace(again, name="x", path=None, loads=(), mesh=scene.mesh, model=None) == replace(
        scene, name="x", path=None, loads=(), sampling=(), model=None
    )


def load_toml(load: Load) -> str:
    units = {"gravity": "m/s^2", "force": "N", "torque": "N m"}
    plain = load_to_dict(load)
    text = f'[[load]]\nkind = "{load.kind}"  # {units[load.kind]}\n'
    if "region" in plain:
        box = plain["region"]["box"]
        text += f"region = {{ box = {{ min = {box['min']}, max = {box['max']} }} }}\n"
    text += f"times = {plain['times']}  # s\nvalues = [\n"
    return text + "".join(f"    {value},\n" for value in plain["values"]) + "]\n\n"


if __name__ == "__main__":
    main()
