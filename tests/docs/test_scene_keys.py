"""The reference of scene files against the reader itself: its keys, and its defaults."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest
from documents import ROOT

from hodsim.errors import InputError
from hodsim.scene import read_scene

sys.path.insert(0, str(ROOT / "docs" / "tools"))
import scene_keys

# Each table alone in a scene, with a place for one more key.
LEAST = """
{head}
[mesh]
beam = {{ {beam} }}
{mesh}
[material]
law = "stvk"
young = 1.0
poisson = 0.0
density = 1.0
{material}
[time]
step = 0.1
steps = 1
{time}
"""
LOAD = """
[[load]]
kind = "force"
times = [0.0]
values = [[0, 0, 0]]
region = { nearest = [0, 0, 0] }
"""
SAMPLING = """
[[sampling]]
kind = "force"
magnitude = [1.0, 1.0]
direction = { any = true }
ramp = [1.0, 1.0]
hold = [1.0, 1.0]
region = { nearest = [0, 0, 0] }
"""
AFTER = {
    "load": LOAD,
    "sampling": SAMPLING,
    "damping": "[damping]",
    "newton": "[newton]",
    "mass": "[mass]\nkind = 'lumped'",
    "subspace": "[subspace]\nmodel = 'm'",
    "obstacle": "[[obstacle]]\nstiffness = 1.0\nshape.sphere = { center = [0, 0, 0], radius = 1 }",
    "shape": "[[obstacle]]\nstiffness = 1.0\n[obstacle.shape]",
    "shape.box": "[[obstacle]]\nstiffness = 1.0\n[obstacle.shape.box]",
    "region": "[[clamp]]",
    "region.box": "[[clamp]]\n[clamp.box]",
    "region.sphere": "[[clamp]]\n[clamp.sphere]",
    "region.plane": "[[clamp]]\n[clamp.plane]",
    "direction": SAMPLING.replace("direction = { any = true }", "") + "[sampling.direction]",
}
PLACES = {"": "head", "mesh": "mesh", "mesh.beam": "beam", "material": "material", "time": "time"}


def scene_with(table: str, line: str) -> str:
    """A scene whose `table` has this line, too."""
    places = dict.fromkeys(PLACES.values(), "")
    if table in PLACES:
        places[PLACES[table]] = line
        return LEAST.format(**places)
    return LEAST.format(**places) + AFTER[table] + "\n" + line


def test_every_table_is_tried() -> None:
    assert set(scene_keys.tables()) == PLACES.keys() | AFTER.keys()


@pytest.mark.parametrize("table", scene_keys.tables())
def test_keys_are_those_of_the_reader(table: str, tmp_path: Path) -> None:
    path = tmp_path / "scene.toml"
    path.write_text(scene_with(table, "nonsense = 1"))
    with pytest.raises(InputError, match="nonsense: unknown key") as caught:
        read_scene(path)
    told = re.search(r"expected (.*?)(; did you mean.*)?$", str(caught.value))
    assert told is not None
    assert sorted(told[1].split(", ")) == sorted(key.name for key in scene_keys.keys_of(table))


@pytest.mark.parametrize(
    "key",
    [k for t in scene_keys.tables() for k in scene_keys.keys_of(t)],
    ids=lambda key: f"{key.table}.{key.name}",
)
def test_defaults_are_those_of_the_reader(key: scene_keys.Key, tmp_path: Path) -> None:
    """What the reference calls a default changes nothing; what it calls required is."""
    path = tmp_path / "scene.toml"
    if key.default == scene_keys.MUST:
        text = scene_with(key.table, "")
        without = re.sub(rf"^{key.name}(\.\w+)? = .*$|\[{key.name}\]", "", text, flags=re.MULTILINE)
        assert without != text or key.table.startswith("region.")
        path.write_text(without)
        with pytest.raises(InputError):
            read_scene(path)
    elif re.match(r"""["\[\d]|true|false""", key.default):
        path.write_text(scene_with(key.table, ""))
        plain = read_scene(path)
        path.write_text(scene_with(key.table, f"{key.name} = {key.default}"))
        assert read_scene(path) == plain


def test_a_key_that_is_not_told_of_stops_the_build(monkeypatch: pytest.MonkeyPatch) -> None:
    kind, told = scene_keys._PARTS["time"]
    rest = {name: value for name, value in told.items() if name != "steps"}
    monkeypatch.setitem(scene_keys._PARTS, "time", (kind, rest))
    with pytest.raises(KeyError, match="steps"):
        scene_keys.keys_of("time")
