"""Regions, loads in time, their JSON form, and scenes built in code."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hodsim import InputError, beam
from hodsim.scene import (
    BeamSpec,
    Load,
    MaterialSpec,
    MeshSpec,
    Region,
    Scene,
    TimeSpec,
    load_from_dict,
    load_to_dict,
    select,
    value_at,
)

VERTICES = beam().vertices
NUMBER = st.floats(-1e6, 1e6)
VECTOR = st.tuples(NUMBER, NUMBER, NUMBER)


def test_box_includes_its_sides() -> None:
    root = select(Region("box", min=(0, -1, -1), max=(0, 1, 1)), VERTICES)
    assert root.tolist() == np.flatnonzero(VERTICES[:, 0] == 0.0).tolist()
    assert len(root) == 3 * 5 + 2 * 4  # lattice points and face centres of the end cap


def test_other_regions() -> None:
    assert select(Region("nearest", nearest=(2, 0.06, 0.12)), VERTICES).tolist() == [
        int(np.flatnonzero((VERTICES == [1.0, 0.0625, 0.125]).all(axis=1))[0])
    ]
    ball = select(Region("sphere", center=(1, 0, 0), radius=0.0625), VERTICES)
    assert (np.linalg.norm(VERTICES[ball] - [1, 0, 0], axis=1) <= 0.0625).all()
    # On the cap 5 lattice points and 4 face centres, and behind it a lattice point and 4 centres.
    assert len(ball) == 5 + 4 + 1 + 4
    assert select(Region("vertices", vertices=(5, 2, 5)), VERTICES).tolist() == [2, 5]


def test_planes_and_tags() -> None:
    # x + z = 0.75 m, not through the origin and its normal no unit vector.
    plane = Region("plane", point=(0.5, 9, 0.25), normal=(3, 0, 3), within=0.01)
    wanted = np.abs(VERTICES[:, 0] + VERTICES[:, 2] - 0.75) / 2**0.5 <= 0.01
    assert 5 < wanted.sum() < 50
    assert select(plane, VERTICES).tolist() == np.flatnonzero(wanted).tolist()
    exact = Region("plane", point=(1, 0, 0), normal=(-1, 0, 0), within=0.0)
    assert select(exact, VERTICES).tolist() == np.flatnonzero(VERTICES[:, 0] == 1.0).tolist()
    tags = {"foot": np.array([3, 8]), "hand": np.array([5])}
    assert select(Region("tag", tag="foot"), VERTICES, tags).tolist() == [3, 8]
    with pytest.raises(InputError, match="has 'foot', 'hand'; found 0 vertices; did you mean 'fo"):
        select(Region("tag", tag="fooot"), VERTICES, tags)
    with pytest.raises(InputError, match=r"which has none; found 0 vertices$"):
        select(Region("tag", tag="foot"), VERTICES)


@pytest.mark.parametrize(
    ("region", "message"),
    [
        (
            Region("plane", point=(9, 0, 0), normal=(1, 0, 0), within=1),
            r"found none of 514; .*spans",
        ),
        (Region("box", min=(2, 0, 0), max=(3, 1, 1)), r"min \(2.0, 0.0, 0.0\).*spans"),
        (Region("sphere", center=(0, 9, 0), radius=1), r"radius 1.0.*found none of 514"),
        (Region("vertices", vertices=(3, 514)), "below 514.*given 514 and 1 that are"),
    ],
)
def test_empty_regions_are_refused_by_name(region: Region, message: str) -> None:
    with pytest.raises(InputError, match=f"region .*{message}"):
        select(region, VERTICES)


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        ({"kind": "cone"}, "kind"),
        ({"kind": "box", "min": (0, 0, 0)}, "max: missing"),
        ({"kind": "plane", "point": (0, 0, 0), "normal": (0, 0, 0), "within": 1}, "zero vector"),
        ({"kind": "plane", "point": (0, 0, 0), "normal": (0, 0, 1), "within": -1}, "within"),
        ({"kind": "tag", "tag": " "}, "tag: expected some text"),
        ({"kind": "nearest", "nearest": (0, 0, 0), "radius": 1.0}, "radius: not a part"),
        ({"kind": "sphere", "center": (0, 0, 0), "radius": np.nan}, "radius"),
    ],
)
def test_bad_regions_are_refused(parts: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        Region(**parts)


def test_load_in_time() -> None:
    load = Load("gravity", (1.0, 2.0, 4.0), ((0, 0, 0), (2, 0, -4), (0, 8, 0)))
    for time, value in [
        (-5.0, [0, 0, 0]),
        (1.5, [1, 0, -2]),
        (2.0, [2, 0, -4]),
        (3.0, [1, 4, -2]),
        (9.0, [0, 8, 0]),
    ]:
        assert value_at(load, time).tolist() == value


@given(
    st.lists(NUMBER, min_size=1, max_size=6, unique=True).map(sorted),
    st.data(),
    st.sampled_from(
        [
            Region("box", min=(0, -1, -1), max=(0, 1, 1)),
            Region("sphere", center=(1, 0, 0), radius=0.1),
            Region("vertices", vertices=(1, 2)),
            Region("nearest", nearest=(0, 0, 0.1)),
            Region("plane", point=(0, 0, 0), normal=(0, 1, 0), within=0.5),
            Region("tag", tag="far end"),
        ]
    ),
    st.sampled_from(["force", "torque", "gravity"]),
)
def test_loads_survive_json(times: list[float], data: Any, region: Region, kind: str) -> None:
    values = data.draw(st.lists(VECTOR, min_size=len(times), max_size=len(times)))
    load = Load(kind, tuple(times), tuple(values), None if kind == "gravity" else region)
    assert load_from_dict(json.loads(json.dumps(load_to_dict(load)))) == load


def test_scenes_take_numpy_and_give_plain_data() -> None:
    scene = _scene(
        loads=[Load("gravity", np.arange(2.0), np.zeros((2, 3)))],  # type: ignore[arg-type]
        material=MaterialSpec("stvk", np.float64(1e5), np.float32(0.25), np.int64(1000)),  # type: ignore[arg-type]
    )
    assert scene.loads == (Load("gravity", (0.0, 1.0), ((0, 0, 0), (0, 0, 0))),)
    assert (
        repr(scene.material)
        == "MaterialSpec(law='stvk', young=100000.0, poisson=0.25, density=1000.0)"
    )


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        ({"loads": 3}, "load: expected a list of Load"),
        ({"loads": [3]}, r"load\[0\]: expected a Load"),
        ({"clamps": ["tip"]}, r"clamp\[0\]: expected a Region"),
        ({"material": None}, "material: expected a MaterialSpec"),
        ({"mass": "heavy"}, r"mass\.kind"),
        ({"name": ""}, "name"),
    ],
)
def test_scenes_built_in_code_are_checked(parts: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        _scene(**parts)


def _scene(**parts: Any) -> Scene:
    usual: dict[str, Any] = {
        "name": "code",
        "mesh": MeshSpec(beam=BeamSpec()),
        "material": MaterialSpec("stvk", 1e5, 0.3, 1000.0),
        "time": TimeSpec(0.01, 10),
    }
    return Scene(**{**usual, **parts})
