"""Remake apps/scenes/heldout/: loads of each scene's families that training never sees.

Of each scene's random loads, drawn from seeds that `hodsim train` never uses and no stronger than
seven eighths of what it uses, the first five are kept whose full-space motion is large (tip travel
of half the beam's length, or 60 degrees of twist), converges, and goes on for at least 100 steps
after the last change of load. Takes a minute:

    OMP_NUM_THREADS=1 python apps/make_heldout.py
"""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import numpy as np

from hodsim.comparison import travel, turn
from hodsim.dynamics import FullSpace, simulate
from hodsim.fem import Body, Loads, body_of, dofs_of, tip_vertices
from hodsim.files import atomic
from hodsim.sampling import draw_loads
from hodsim.scene import Load, RandomLoad, Scene, load_to_dict, read_scene

SCENES = Path(__file__).parent / "scenes"
SEED = 20_000  # training's seeds begin with its own number, 2 unless told otherwise
KEPT = 5
# Held-out loads stay inside what training covers: at most this share of its strongest loads.
WITHIN = 0.875
LEAST = {"bend": 0.5, "twist": 60.0, "swing": 0.5}  # m, degrees, m


def main() -> None:
    for kind in LEAST:
        scene = read_scene(SCENES / f"{kind}.toml")
        body = body_of(scene)
        inside = replace(scene, sampling=tuple(map(weaker, scene.sampling)))
        kept = k = 0
        while kept < KEPT:
            seed = (SEED, *kind.encode(), k)
            loads = tuple(map(rounded, draw_loads(inside, np.random.default_rng(seed))))
            told = judge(scene, body, loads)
            print(f"{kind} draw {k}: {told or 'refused'}")
            if told:
                kept += 1
                write(scene, f"{kind}-{kept}", loads, f"{told}.\n# Seed {SEED}, draw {k}")
            k += 1


def weaker(load: RandomLoad) -> RandomLoad:
    low, high = load.magnitude
    return replace(load, magnitude=(low, max(low, WITHIN * high)))


def rounded(load: Load) -> Load:
    """The load as its file will say it: what is simulated here is what the file holds."""
    values = tuple(tuple(float(f"{x:.6g}") + 0.0 for x in value) for value in load.values)
    return replace(load, times=tuple(round(t, 6) for t in load.times), values=values)


def judge(scene: Scene, body: Body, loads: tuple[Load, ...]) -> str | None:
    """What the full-space motion reaches, or None where that is too little."""
    time = scene.time
    after = time.steps - max(load.times[-1] for load in loads) / time.step
    full = FullSpace(body, Loads(body, loads), time.step, time.integrator, scene.newton)
    motion = simulate(full, time.steps, on_failure="stop")
    tip = tip_vertices(body)
    u = motion.displacements(dofs_of(body.free_vertices, tip))
    if scene.name == "twist":
        peak = np.abs(turn(body.mesh.vertices[tip], u)).max()
        what = f"peak turn of the tip {peak:.1f} degrees"
    else:
        peak = travel(u).max()
        what = f"peak travel of the tip's centroid {peak:.3f} m"
    if not motion.converged or after < 100 or peak < LEAST[scene.name]:
        return None
    return f"{what}, then {after:.0f} steps after the last change of load"


def write(scene: Scene, name: str, loads: tuple[Load, ...], told: str) -> None:
    """The scene's own file with these loads for its own, and no random ones."""
    assert scene.path is not None
    text = scene.path.read_text(encoding="utf-8")
    head, rest = text.split("[[load]]", 1)
    tail = re.search(r"\[time\].*?(?=\[\[sampling\]\]|\Z)", rest, re.DOTALL)
    assert tail is not None
    head = re.sub(r"\A.*?(?=\[mesh\])", "", head, flags=re.DOTALL)
    body = "".join(load_toml(load) for load in loads)
    text = (
        f"# Held out: a {scene.name} that training never sees.\n"
        f"# In full space: {told}. Written by apps/make_heldout.py.\n"
        f'name = "{name}"\n\n{head}{body}{tail[0].rstrip()}\n'
    )
    path = SCENES / "heldout" / f"{name}.toml"
    with atomic(path) as temporary:
        temporary.write_text(text.replace('"../../', '"../../../'), encoding="utf-8")
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
