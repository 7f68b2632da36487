"""The shipped scenes: they read, their regions meet their meshes, and their bodies move far."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from hodsim.comparison import travel, turn
from hodsim.dynamics import FullSpace, simulate
from hodsim.fem import Body, Loads, body_of, dofs_of, tip_vertices
from hodsim.files import data_dir
from hodsim.sampling import draw_loads
from hodsim.scene import Scene, read_scene

SCENES = data_dir("scenes")
MOVES = {  # least and most travel [m]
    "torus": (0.4, 0.8),
    "arm": (0.4, 0.8),
    "starfish": (0.25, 0.6),
    "pierced": (0.4, 0.9),
}
NEW = tuple(MOVES)
FOLDERS = {"beam": SCENES, **{name: SCENES / name for name in NEW}}
KINDS = ("bend", "twist", "swing")
_bodies: dict[str, Body] = {}


def body(name: str) -> Body:
    if name not in _bodies:
        _bodies[name] = body_of(read_scene(FOLDERS[name] / "bend.toml"))
    return _bodies[name]


def plain(scene: Scene) -> Scene:
    """What makes the body and its step: everything but its name and its loads."""
    assert scene.mesh.file is not None
    assert scene.model is not None
    mesh = replace(scene.mesh, file=scene.mesh.file.resolve())
    model = scene.model.resolve()
    return replace(scene, name="x", path=None, loads=(), sampling=(), mesh=mesh, model=model)


@pytest.mark.parametrize("name", FOLDERS)
def test_every_body_has_the_same_kinds_of_loads(name: str) -> None:
    folder = FOLDERS[name]
    held = {f"{kind}-{k}" for kind in KINDS for k in range(1, 6)}
    assert {path.stem for path in (folder / "heldout").iterdir()} == held
    assert {path.stem for path in (folder / "other").iterdir()} == {
        f"other-{k}" for k in range(1, 6)
    }
    assert {*KINDS} <= {path.stem for path in folder.glob("*.toml")}


@pytest.mark.parametrize("name", FOLDERS)
def test_scenes_of_a_body_differ_in_their_loads_only(name: str) -> None:
    first = read_scene(FOLDERS[name] / "bend.toml")
    assert first.mesh.file is not None
    assert first.mesh.file.stem == name
    for kind in KINDS:
        assert plain(read_scene(FOLDERS[name] / f"{kind}.toml")) == plain(first), kind
    for path in _unseen(name):
        scene = read_scene(path)
        assert plain(scene) == plain(first), path
        assert scene.name == path.stem
        assert not scene.sampling
        Loads(body(name), scene.loads)
        assert scene.time.steps - max(load.times[-1] for load in scene.loads) / 0.02 >= 100


@pytest.mark.parametrize(
    ("name", "step"), [("beam", 60), ("torus", 50), ("arm", 50), ("starfish", 60), ("pierced", 60)]
)
def test_training_lets_go_early(name: str, step: int) -> None:
    """A hundred of the 160 steps are free of changes."""
    for kind in KINDS:
        scene = read_scene(FOLDERS[name] / f"{kind}.toml")
        for random in scene.sampling:
            assert (random.ramp[1] + random.hold[1]) / scene.time.step + 1 < step
        Loads(body(name), draw_loads(scene, np.random.default_rng(0)))


@pytest.mark.parametrize("name", FOLDERS)
def test_other_loads_are_none_that_training_draws(name: str) -> None:
    """Each has a kind, a region, a direction or a strength outside all of the scenes' sampling."""
    families = [r for k in KINDS for r in read_scene(FOLDERS[name] / f"{k}.toml").sampling]
    for path in sorted((FOLDERS[name] / "other").iterdir()):
        loads = read_scene(path).loads
        known = [
            any(
                random.kind == load.kind
                and random.region == load.region
                and np.linalg.norm(load.values, axis=1).max() <= random.magnitude[1]
                and (load.kind == "torque" or not np.array(load.values)[:, 0].any())
                for random in families
            )
            for load in loads
        ]
        # A bending force is never drawn together with a torque.
        assert not all(known) or len(loads) > 1, path


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", NEW)
def test_new_bodies_move_far(name: str, kind: str) -> None:
    scene = read_scene(FOLDERS[name] / f"{kind}.toml")
    full = FullSpace(body(name), Loads(body(name), scene.loads), scene.time.step)
    motion = simulate(full, 60)
    assert motion.converged
    tip = tip_vertices(body(name))
    u = motion.displacements(dofs_of(body(name).free_vertices, tip))
    if kind == "twist":
        assert 45.0 < np.abs(turn(body(name).mesh.vertices[tip], u)).max() < 70.0
    else:
        assert MOVES[name][0] < travel(u).max() < MOVES[name][1]


def _unseen(name: str) -> list[Path]:
    return sorted(p for kind in ("heldout", "other") for p in (FOLDERS[name] / kind).iterdir())


def test_scenes_with_obstacles_are_those_said() -> None:
    ball, drop = read_scene(SCENES / "ball.toml"), read_scene(SCENES / "drop.toml")
    assert [o.name for o in ball.obstacles] == ["ball"]
    assert [o.name for o in drop.obstacles] == ["slope", "floor"]
    assert not drop.clamps
    # The ball's body is the shipped model's, so that it can be used.
    first = plain(read_scene(SCENES / "bend.toml"))
    assert replace(plain(ball), obstacles=(), time=first.time) == first
    body = body_of(drop)
    assert body.n_dofs == 3 * body.mesh.n_vertices
