"""Scene files: everything that the format has, and a refusal by name for everything else."""

from __future__ import annotations

import copy
import pickle
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from hodsim import InputError, Scene, read_scene
from hodsim.scene import (
    BeamSpec,
    Damping,
    Direction,
    Load,
    MaterialSpec,
    MeshSpec,
    NewtonSpec,
    Obstacle,
    RandomLoad,
    Region,
    Shape,
    TimeSpec,
    obstacle_to_dict,
)

FULL = """
name = "everything"
[mesh]
file = "../meshes/beam.vtu"
[material]
law = "neo-hookean"
young = 5e5
poisson = 0.4
density = 1000
[mass]
kind = "consistent"
[damping]
mass = 1.0
stiffness = 0.01
[[clamp]]
box = { min = [-1e9, -1, -1], max = [1e-6, 1, 1] }
[[clamp]]
vertices = [0, 3, 7]
[[clamp]]
sphere = { center = [0.5, 0, 0], radius = 0.1 }
[[load]]
kind = "force"
region = { nearest = [1, 0, 0] }
times = [0.0, 0.6, 0.62]
values = [[0, 0, -40], [0, 0, -40], [0, 0, 0]]
[[load]]
kind = "gravity"
times = [0]
values = [[0, 0, -9.81]]
[[obstacle]]
name = "floor"
shape = { half_space = { point = [0, 0, -1], normal = [0, 0, 2] } }
stiffness = 1e6
friction = 0.3
smoothing = 1e-3
slip = 0.01
[[obstacle]]
shape = { sphere = { center = [1, 0, 0], radius = 0.5 } }
stiffness = 1e5
[[obstacle]]
shape = { box = { center = [1, 0, 0], size = [1, 2, 3], turn = [0, 0, 45], rounding = 0.2 } }
stiffness = 1e5
[time]
step = 0.02
steps = 150
integrator = "bdf2"
[newton]
tolerance = 1e-8
max_iterations = 12
[subspace]
model = "../trained_models/beam"
[[sampling]]
kind = "force"
region = { nearest = [1, 0, 0] }
magnitude = [5.0, 80.0]
direction = { around = [1, 0, 0] }
probability = 0.5
ramp = [0.02, 0.4]
hold = [0.5, 0.9]
turn = [-90, 90]
release = false
[[sampling]]
kind = "torque"
region = { vertices = [500] }
magnitude = [1, 2]
direction = { any = true }
ramp = [0.1, 0.1]
hold = [0.1, 0.1]
"""

SMALL: dict[str, Any] = {
    "mesh": {"beam": {}},
    "material": {"law": "stvk", "young": 1e5, "poisson": 0.3, "density": 1000.0},
    "time": {"step": 0.01, "steps": 10},
    "clamp": [{"nearest": [0, 0, 0]}],
    "load": [
        {"kind": "force", "region": {"vertices": [1]}, "times": [0.0, 1.0], "values": [[0] * 3] * 2}
    ],
    "obstacle": [
        {"shape": {"sphere": {"center": [0, 0, 0], "radius": 1.0}}, "stiffness": 1e5},
        {"shape": {"box": {"center": [0, 0, 0], "size": [1.0, 2.0, 3.0]}}, "stiffness": 1e5},
    ],
    "sampling": [
        {
            "kind": "force",
            "region": {"vertices": [1]},
            "magnitude": [1.0, 2.0],
            "direction": {"axis": [0, 0, 1]},
            "ramp": [0.1, 0.2],
            "hold": [0.1, 0.2],
        }
    ],
}


def test_every_key(tmp_path: Path) -> None:
    path = tmp_path / "full.toml"
    path.write_text(FULL)
    tip = Region("nearest", nearest=(1.0, 0.0, 0.0))
    expected = Scene(
        name="everything",
        path=path,
        mesh=MeshSpec(file=tmp_path / "../meshes/beam.vtu"),
        material=MaterialSpec("neo-hookean", 5e5, 0.4, 1000.0),
        mass="consistent",
        damping=Damping(1.0, 0.01),
        clamps=(
            Region("box", min=(-1e9, -1.0, -1.0), max=(1e-6, 1.0, 1.0)),
            Region("vertices", vertices=(0, 3, 7)),
            Region("sphere", center=(0.5, 0.0, 0.0), radius=0.1),
        ),
        loads=(
            Load("force", (0.0, 0.6, 0.62), ((0, 0, -40), (0, 0, -40), (0, 0, 0)), tip),
            Load("gravity", (0.0,), ((0.0, 0.0, -9.81),)),
        ),
        obstacles=(
            Obstacle(
                Shape("half_space", point=(0.0, 0.0, -1.0), normal=(0.0, 0.0, 2.0)),
                stiffness=1e6,
                friction=0.3,
                smoothing=1e-3,
                slip=0.01,
                name="floor",
            ),
            Obstacle(Shape("sphere", center=(1.0, 0.0, 0.0), radius=0.5), 1e5, name="obstacle-1"),
            Obstacle(
                Shape(
                    "box",
                    center=(1.0, 0.0, 0.0),
                    size=(1.0, 2.0, 3.0),
                    turn=(0.0, 0.0, 45.0),
                    rounding=0.2,
                ),
                1e5,
                name="obstacle-2",
            ),
        ),
        time=TimeSpec(0.02, 150, "bdf2"),
        newton=NewtonSpec(1e-8, 12),
        model=tmp_path / "../trained_models/beam",
        sampling=(
            RandomLoad(
                kind="force",
                magnitude=(5.0, 80.0),
                direction=Direction("plane", (1.0, 0.0, 0.0)),
                ramp=(0.02, 0.4),
                hold=(0.5, 0.9),
                region=tip,
                probability=0.5,
                turn=(-90.0, 90.0),
                release=False,
            ),
            RandomLoad(
                kind="torque",
                magnitude=(1.0, 2.0),
                direction=Direction("any"),
                ramp=(0.1, 0.1),
                hold=(0.1, 0.1),
                region=Region("vertices", vertices=(500,)),
            ),
        ),
    )
    scene = read_scene(path)
    assert scene == expected
    assert pickle.loads(pickle.dumps(scene)) == scene


def test_obstacles_can_be_written_as_they_are_read(tmp_path: Path) -> None:
    path = tmp_path / "full.toml"
    path.write_text(FULL)
    obstacles = read_scene(path).obstacles
    data = copy.deepcopy(SMALL) | {"obstacle": [obstacle_to_dict(o) for o in obstacles]}
    assert read_scene(_write(tmp_path, data)).obstacles == obstacles


def test_defaults(tmp_path: Path) -> None:
    scene = read_scene(_write(tmp_path, SMALL))
    assert (scene.name, scene.mass, scene.model) == ("scene", "lumped", None)
    assert scene.mesh.beam == BeamSpec((21, 2, 4), (1.0, 0.125, 0.25))
    assert scene.damping == Damping(0.0, 0.0)
    ball, box = scene.obstacles
    assert (ball.friction, ball.smoothing, ball.slip, ball.name) == (0, 0, 1e-3, "obstacle-0")
    assert (box.shape.rounding, box.shape.turn) == (0.1, None)
    assert scene.newton == NewtonSpec(1e-6, 30)
    assert scene.time.integrator == "implicit-euler"
    drawn = scene.sampling[0]
    assert (drawn.probability, drawn.turn, drawn.release) == (1.0, (0.0, 0.0), True)


def test_massless_needs_a_clamp(tmp_path: Path) -> None:
    data = copy.deepcopy(SMALL)
    data["material"]["density"] = 0.0
    assert read_scene(_write(tmp_path, data)).material.density == 0.0
    data["clamp"] = []
    with pytest.raises(InputError, match=r"material\.density.*nothing clamped"):
        read_scene(_write(tmp_path, data))


DROP = object()
NAN, INF = float("nan"), float("inf")
# Where in SMALL, what to put there, and what the message must hold beside the file's name.
BAD = [
    ("mesh", DROP, "mesh: missing"),
    ("material", DROP, "material: missing"),
    ("time", DROP, "time: missing"),
    ("material.law", DROP, "material.law: missing"),
    ("material.young", DROP, "material.young: missing"),
    ("time.step", DROP, "time.step: missing"),
    ("load.0.times", DROP, "load[0].times: missing"),
    ("load.0.region", DROP, "load[0].region: missing"),
    ("sampling.0.magnitude", DROP, "sampling[0].magnitude: missing"),
    ("materials", {}, "materials: unknown key"),
    ("materials", {}, "did you mean 'material'?"),
    ("material.yuong", 1.0, "material.yuong: unknown key"),
    ("material.yuong", 1.0, "did you mean 'young'?"),
    ("mesh.beam.cell", [1, 1, 1], "mesh.beam.cell: unknown key"),
    ("load.0.regoin", {}, "load[0].regoin: unknown key"),
    ("clamp.0.nerest", [0, 0, 0], "clamp[0].nerest: unknown key"),
    ("sampling.0.direction.axes", [0, 0, 1], "sampling[0].direction.axes: unknown key"),
    ("time.integrator", "bdf3", "time.integrator: expected one of implicit-euler, bdf2"),
    ("time.integrator", "bdf3", "did you mean 'bdf2'?"),
    ("name", "", "name: expected some text"),
    ("name", 3, "name: expected some text"),
    ("mesh", 3, "mesh: expected a table"),
    ("mesh", {}, "mesh.file: expected either file or beam"),
    ("mesh.file", "a.vtu", "mesh.file: expected either file or beam"),
    ("mesh", {"file": 3}, "mesh.file: expected some text"),
    ("mesh.beam.cells", [1, 2], "mesh.beam.cells: expected a list of 3 numbers"),
    ("mesh.beam.cells", [1, 2, 0], "mesh.beam.cells[2]: expected a whole number"),
    ("mesh.beam.cells", [1, 2, 2.5], "mesh.beam.cells[2]: expected a whole number"),
    ("mesh.beam.size", [1, 2, 0], "mesh.beam.size[2]: expected a finite number > 0"),
    ("material.law", "rubber", "material.law: expected one of stvk, neo-hookean, corotational"),
    ("material.young", 0, "material.young: expected a finite number > 0"),
    ("material.young", NAN, "material.young"),
    ("material.young", "5e5", "material.young: expected a finite number > 0, given '5e5'"),
    ("material.young", True, "material.young"),
    ("material.poisson", 0.5, "material.poisson: expected a finite number > -1 and < 0.5"),
    ("material.poisson", -1, "material.poisson"),
    ("material.density", -1, "material.density"),
    ("material.density", INF, "material.density"),
    ("mass", {"kind": "lump"}, "mass.kind: expected one of lumped, consistent"),
    ("mass", {}, "mass.kind: missing"),
    ("damping", {"mass": -1}, "damping.mass"),
    ("damping", {"stiffness": NAN}, "damping.stiffness"),
    ("clamp", {}, "clamp: expected [[clamp]] tables"),
    ("clamp", [3], "clamp[0]: expected a table"),
    ("clamp", [{}], "clamp[0]: expected exactly one of box"),
    ("clamp.0.vertices", [1], "clamp[0]: expected exactly one of box"),
    ("clamp.0.nearest", [0, NAN, 0], "clamp[0].nearest[1]"),
    ("clamp", [{"vertices": []}], "clamp[0].vertices"),
    ("clamp", [{"vertices": [1, -1]}], "clamp[0].vertices[1]"),
    ("clamp", [{"vertices": [1.5]}], "clamp[0].vertices[0]"),
    ("clamp", [{"vertices": 3}], "clamp[0].vertices"),
    ("clamp", [{"box": {"min": [0, 0, 0]}}], "clamp[0].box.max: missing"),
    ("clamp", [{"box": {"min": [0, 0, 2], "max": [1, 1, 1]}}], "clamp[0].box.min: expected at"),
    ("clamp", [{"box": {"min": [0, 0, -INF], "max": [1, 1, 1]}}], "clamp[0].box.min[2]"),
    ("clamp", [{"sphere": {"center": [0, 0, 0], "radius": 0}}], "clamp[0].sphere.radius"),
    ("clamp", [{"sphere": {"centre": [0, 0, 0], "radius": 1}}], "did you mean 'center'?"),
    ("load.0.kind", "wind", "load[0].kind: expected one of gravity, force, torque"),
    ("load.0.kind", "gravity", "load[0].region: expected none for gravity"),
    ("load.0.region", [1], "load[0].region: expected a table"),
    ("load.0.region", {"vertices": [-3]}, "load[0].region.vertices[0]"),
    ("load.0.times", [], "load[0].times: expected a list of one or more"),
    ("load.0.times", [1.0, 1.0], "load[0].times[1]: expected strictly increasing"),
    ("load.0.times", [1.0, 0.5], "load[0].times[1]: expected strictly increasing"),
    ("load.0.times", [0.0, NAN], "load[0].times[1]"),
    ("load.0.times", 0.0, "load[0].times: expected a list"),
    ("load.0.values", [], "load[0].values"),
    ("load.0.values", [[0, 0, 0]], "load[0].values: expected one 3-vector for each of the 2 times"),
    ("load.0.values", [[0, 0, 0], [0, 0]], "load[0].values[1]: expected a list of 3 numbers"),
    ("load.0.values", [[0, 0, 0], [0, NAN, 0]], "load[0].values[1][1]"),
    ("load.0.values", [[0, 0, 0], [0, -INF, 0]], "load[0].values[1][1]"),
    ("load.0.values", [0, 0], "load[0].values[0]: expected a list"),
    ("obstacle", {}, "obstacle: expected [[obstacle]] tables"),
    ("obstacle", [{}], "obstacle[0].shape: missing"),
    ("obstacle.0.stiffness", DROP, "obstacle[0].stiffness: missing"),
    ("obstacle.0.stiffness", 0, "obstacle[0].stiffness: expected a finite number > 0"),
    ("obstacle.0.friction", -0.1, "obstacle[0].friction: expected a finite number >= 0"),
    ("obstacle.0.smoothing", NAN, "obstacle[0].smoothing: expected a finite number >= 0"),
    ("obstacle.0.slip", 0, "obstacle[0].slip: expected a finite number > 0"),
    ("obstacle.0.name", "", "obstacle[0].name: expected some text"),
    ("obstacle.0.name", "obstacle-1", "obstacle[1].name: expected one that no other has"),
    ("obstacle.0.frictoin", 1, "did you mean 'friction'?"),
    ("obstacle.0.shape", 3, "obstacle[0].shape: expected a table"),
    ("obstacle.0.shape", {}, "obstacle[0].shape: expected exactly one of half_space, sphere, box"),
    ("obstacle.0.shape", {"ball": {}}, "obstacle[0].shape.ball: unknown key"),
    ("obstacle.0.shape.sphere", 3, "obstacle[0].shape.sphere: expected a table"),
    ("obstacle.0.shape.sphere.radius", DROP, "obstacle[0].shape.sphere.radius: missing of a sph"),
    ("obstacle.0.shape.sphere.radius", 0, "obstacle[0].shape.sphere.radius: expected a finite"),
    ("obstacle.0.shape.sphere.size", [1, 1, 1], "obstacle[0].shape.sphere.size: not a part of a"),
    ("obstacle.0.shape.sphere.centre", [0, 0, 0], "did you mean 'center'?"),
    ("obstacle.1.shape.box.size", [1, 0, 1], "obstacle[1].shape.box.size[1]: expected a finite"),
    ("obstacle.1.shape.box.rounding", 0.6, "obstacle[1].shape.box.rounding: expected a finite"),
    ("obstacle.1.shape.box.turn", [1, INF, 0], "obstacle[1].shape.box.turn[1]"),
    (
        "obstacle.0.shape",
        {"half_space": {"point": [0, 0, 0], "normal": [0, 0, 0]}},
        "obstacle[0].shape.half_space.normal: expected a direction",
    ),
    ("time.step", 0, "time.step"),
    ("time.steps", 0, "time.steps: expected a whole number >= 1"),
    ("time.steps", 10.5, "time.steps"),
    ("time.steps", True, "time.steps"),
    ("newton", {"tolerance": 0}, "newton.tolerance"),
    ("newton", {"tolerance": 1}, "newton.tolerance"),
    ("newton", {"max_iterations": 0}, "newton.max_iterations"),
    ("newton", {"max_iteration": 3}, "did you mean 'max_iterations'?"),
    ("subspace", {}, "subspace.model: missing"),
    ("subspace", {"model": ""}, "subspace.model"),
    ("sampling.0.magnitude", [2, 1], "sampling[0].magnitude: expected [low, high]"),
    ("sampling.0.magnitude", [-1, 1], "sampling[0].magnitude[0]"),
    ("sampling.0.magnitude", 3, "sampling[0].magnitude"),
    ("sampling.0.ramp", [0, 1], "sampling[0].ramp[0]"),
    ("sampling.0.hold", [0.1, NAN], "sampling[0].hold[1]"),
    ("sampling.0.probability", 1.5, "sampling[0].probability: expected a finite number >= 0 and"),
    ("sampling.0.release", 1, "sampling[0].release: expected true or false"),
    ("sampling.0.direction", {}, "sampling[0].direction: expected exactly one of any"),
    ("sampling.0.direction", {"any": False}, "sampling[0].direction.any: expected true"),
    ("sampling.0.direction", {"plane": [0, 0, 0]}, "sampling[0].direction.plane: expected a dir"),
    ("sampling.0.direction", {"around": [0, 0, NAN]}, "sampling[0].direction.around[2]"),
    ("sampling.0.direction", "up", "sampling[0].direction: expected a table"),
    ("sampling.0.turn", [0, INF], "sampling[0].turn[1]"),
    ("sampling.0.kind", "gravity", "sampling[0].region: expected none for gravity"),
]


@pytest.mark.parametrize(("where", "value", "message"), BAD)
def test_bad_scenes_are_refused_by_name(
    where: str, value: Any, message: str, tmp_path: Path
) -> None:
    data = copy.deepcopy(SMALL)
    *route, last = where.split(".")
    target: Any = data
    for step in route:
        target = target[int(step) if step.isdigit() else step]
    if value is DROP:
        del target[last]
    else:
        target[last] = value
    path = _write(tmp_path, data)
    with pytest.raises(InputError) as caught:
        read_scene(path)
    said = str(caught.value)
    assert said.startswith(f"{path}: ")
    assert message in said
    assert "\n" not in said


def test_turning_torques_are_refused(tmp_path: Path) -> None:
    data = copy.deepcopy(SMALL)
    data["sampling"][0] |= {"kind": "torque", "turn": [0, 90]}
    with pytest.raises(InputError, match=r"sampling\[0\]\.turn: .*torque"):
        read_scene(_write(tmp_path, data))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda path: None, "can be read"),
        (lambda path: path.mkdir(), "can be read"),
        (lambda path: path.write_text("[mesh\nfile ="), "expected TOML"),
        (lambda path: path.write_bytes(b"\xff\xfe\x00"), "expected TOML"),
        (lambda path: path.write_text(""), "mesh: missing"),
        (lambda path: path.write_text('"two\\nlines" = 1'), r"'two\nlines': unknown key"),
    ],
)
def test_unreadable_files_are_refused(
    make: Callable[[Path], object], message: str, tmp_path: Path
) -> None:
    path = tmp_path / "scene.toml"
    make(path)
    with pytest.raises(InputError) as caught:
        read_scene(path)
    assert str(caught.value).startswith(f"{path}: ")
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def _write(folder: Path, data: dict[str, Any]) -> Path:
    path = folder / "scene.toml"
    path.write_text("\n".join(f"{key} = {_toml(value)}" for key, value in data.items()))
    assert str(tomllib.loads(path.read_text())) == str(data)  # as text, where NaN equals NaN
    return path


def _toml(value: Any) -> str:
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{k} = {_toml(v)}" for k, v in value.items()) + " }"
    if isinstance(value, list):
        return "[" + ", ".join(map(_toml, value)) + "]"
    if isinstance(value, bool):
        return str(value).lower()
    return f'"{value}"' if isinstance(value, str) else repr(value)


def test_planes_tags_and_the_file_s_unit(tmp_path: Path) -> None:
    path = tmp_path / "a.toml"
    path.write_text(
        FULL.replace('vtu"\n', 'vtu"\nscale = 0.001\n')
        .replace("vertices = [0, 3, 7]", 'tag = "foot"')
        .replace(
            "sphere = { center = [0.5, 0, 0], radius = 0.1 }",
            "plane = { point = [0, 0, 0], normal = [0, 2, 0], within = 0.1 }",
        )
    )
    scene = read_scene(path)
    assert scene.mesh == MeshSpec(file=tmp_path / "../meshes/beam.vtu", scale=0.001)
    assert scene.clamps[1:] == (
        Region("tag", tag="foot"),
        Region("plane", point=(0, 0, 0), normal=(0, 2, 0), within=0.1),
    )
    for old, new, message in (
        ("0.001", "0", r"mesh\.scale: expected a finite number > 0"),
        ("normal = [0, 2, 0], ", "", r"clamp\[2\]\.plane\.normal: missing"),
        ('"foot"', "3", r"clamp\[1\]\.tag: expected some text"),
    ):
        bad = tmp_path / "b.toml"
        bad.write_text(path.read_text().replace(old, new))
        with pytest.raises(InputError, match=message):
            read_scene(bad)
    with pytest.raises(InputError, match="scale: expected for a file alone"):
        MeshSpec(beam=BeamSpec(), scale=2.0)


def test_deep_nesting_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.toml"
    path.write_text("x = " + "[" * 100_000)
    with pytest.raises(InputError, match=f"^{path}: expected .*nested too deeply$"):
        read_scene(path)
