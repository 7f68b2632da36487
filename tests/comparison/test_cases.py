"""Which motions are compared in: loads scaled, kinds of load told apart, contents told apart."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from hodsim.comparison import cases_of, without_cases
from hodsim.errors import InputError
from hodsim.scene import (
    BeamSpec,
    Load,
    MaterialSpec,
    MeshSpec,
    Region,
    Scene,
    TimeSpec,
)

PULL = Load("force", (0.0, 0.1), ((0, 0, 0), (0, 4.0, 9.0)), Region("nearest", nearest=(1, 0, 0)))
WEIGHT = Load("gravity", (0.0,), ((0, 0, -9.81),))
SCENE = Scene(
    name="pull-1",
    mesh=MeshSpec(beam=BeamSpec((3, 1, 1))),
    material=MaterialSpec("neo-hookean", 5e4, 0.3, 1000.0),
    loads=(PULL, WEIGHT),
    time=TimeSpec(0.02, 8),
)


def test_factors_scale_every_load_and_nothing_else() -> None:
    plain, more = cases_of([SCENE], ["held-out", "1.5x"])
    assert plain.scene == SCENE
    assert more.load == "1.5x"
    assert more.scene.loads[0].values == ((0, 0, 0), (0, 6.0, 13.5))
    assert more.scene.loads[1].values[0] == pytest.approx((0, 0, -14.715))
    assert replace(more.scene, loads=SCENE.loads) == SCENE


def test_other_loads_are_not_scaled_and_not_held_out() -> None:
    other = replace(SCENE, name="other-2")
    placed = replace(SCENE, name="kick", path=Path("/scenes/torus/other/kick.toml"))
    cases = cases_of([SCENE, other, placed], ["held-out", "2x", "other"])
    assert [(case.scene.name, case.load) for case in cases] == [
        ("pull-1", "held-out"),
        ("pull-1", "2x"),
        ("other-2", "other"),
        ("kick", "other"),
    ]
    assert cases_of([other], ["held-out"]) == []
    assert len(cases_of([SCENE, other])) == 2


def test_scenes_that_no_load_takes_are_named() -> None:
    other = replace(SCENE, name="other-2")
    assert without_cases([SCENE, other], ["held-out", "other"]) == []
    (told,) = without_cases([SCENE, other, replace(other, name="other-3")], ["2x"])
    assert told.startswith("other-2, other-3: left out: loads of another kind")
    assert without_cases([SCENE, other], ["other"])[0].startswith("pull-1: left out:")


@pytest.mark.parametrize("factor", ["0x", "1e3x", "9" * 400 + "x", "2000000x"])
def test_factors_out_of_range(factor: str) -> None:
    with pytest.raises(InputError, match="a factor above 0 and up to 1e"):
        cases_of([SCENE], [factor])


def test_integrators_and_steps() -> None:
    cases = cases_of([SCENE], ["held-out"], ["euler", "bdf2"], steps=5)
    assert [case.scene.time.integrator for case in cases] == ["implicit-euler", "bdf2"]
    assert {case.scene.time.steps for case in cases} == {5}
    assert cases_of([SCENE], steps=500)[0].scene.time == SCENE.time


def test_the_digest_tells_contents_apart_and_not_places() -> None:
    def digest(scene: Scene, mesh: str = "m", load: str = "held-out") -> str:
        return replace(cases_of([scene])[0], load=load).digest(mesh)

    same = replace(SCENE, path=Path("/a/b.toml"), model=Path("/m"))
    assert digest(same) == digest(SCENE)
    stronger = replace(SCENE, loads=(replace(PULL, values=((0, 0, 0), (0, 4.0, 9.1))), WEIGHT))
    different = [
        digest(SCENE),
        digest(SCENE, mesh="n"),
        digest(SCENE, load="2x"),
        digest(stronger),
        digest(replace(SCENE, name="pull-2")),
        digest(replace(SCENE, time=TimeSpec(0.02, 9))),
        digest(replace(SCENE, material=replace(SCENE.material, young=6e4))),
    ]
    assert len(set(different)) == len(different)


@pytest.mark.parametrize(
    ("loads", "integrators", "told"),
    [
        (["0x"], [], "loads: expected held-out"),
        (["twice"], [], "given 'twice'"),
        (["-1x"], [], "given '-1x'"),
        (["held-out"], ["rk4"], "integrators: expected euler or bdf2, given 'rk4'"),
    ],
)
def test_refuses_other_names(loads: list[str], integrators: list[str], told: str) -> None:
    with pytest.raises(InputError, match=told):
        cases_of([SCENE], loads, integrators)
