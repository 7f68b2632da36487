"""Making snapshots: the same whoever makes them and however often it is stopped."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from started import held

from hodsim import InputError
from hodsim.dynamics import FullSpace, simulate
from hodsim.fem import Loads, body_of
from hodsim.mesh import TetMesh, write_mesh
from hodsim.sampling import check_snapshots, draw_loads, jobs_of, make_snapshots
from hodsim.scene import (
    BeamSpec,
    Damping,
    Direction,
    MaterialSpec,
    MeshSpec,
    NewtonSpec,
    Obstacle,
    RandomLoad,
    Region,
    Scene,
    Shape,
    TimeSpec,
)
from hodsim.snapshots import Store, origin_of

TIP = Region("nearest", nearest=(1.0, 0.0, 0.0))
FORCE = RandomLoad("force", (5.0, 20.0), Direction("any"), (0.02, 0.05), (0.05, 0.1), TIP)
BEND = Scene(
    name="bend",
    mesh=MeshSpec(beam=BeamSpec((2, 1, 1), (1.0, 0.2, 0.2))),
    material=MaterialSpec("neo-hookean", 2e4, 0.3, 1000.0),
    time=TimeSpec(0.02, 6),
    damping=Damping(1.0),
    clamps=(Region("box", min=(-1, -1, -1), max=(0, 1, 1)),),
    sampling=(FORCE,),
)
SWING = replace(BEND, name="swing", sampling=(replace(FORCE, kind="gravity", region=None),))

WALLS = tuple(
    Obstacle(Shape("half_space", point=(0, 0, -0.1 * up), normal=(0, 0, up)), 1e6, name=f"{up}")
    for up in (1, -1)
)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """Two motions of each scene, by two processes."""
    store = Store(tmp_path_factory.mktemp("made"))
    assert make_snapshots([BEND, SWING], 2, 3, store, workers=2) == []
    return store


def _copy(store: Store, folder: Path) -> Store:
    for name in store.names():
        (folder / f"{name}.h5").write_bytes(store.path(name).read_bytes())
    return Store(folder)


def test_each_is_the_motion_of_its_own_loads(made: Store) -> None:
    assert made.names() == ("bend-0000", "bend-0001", "swing-0000", "swing-0001")
    body = body_of(BEND)
    for job in jobs_of([BEND, SWING], 2, 3):
        loads = draw_loads(job.scene, np.random.default_rng(job.seed))
        motion = simulate(FullSpace(body, Loads(body, loads), 0.02), 6)
        poses = made.read([job.name])
        np.testing.assert_array_equal(poses.u, motion.z.astype(np.float32))
        assert not poses.u[0].any()
        assert np.abs(poses.u).max() > 1e-3
        assert poses.origin == origin_of(body)
        told = made.provenance(job.name)
        assert (told["seed"], told["complete"]) == (list(job.seed), True)


def test_a_stopped_run_goes_on_where_it_was(made: Store, tmp_path: Path) -> None:
    """One process makes bit by bit what two made, and what is there already is left alone."""
    store = _copy(made, tmp_path)
    store.path("bend-0001").unlink()
    kept = {name: store.path(name).stat().st_mtime_ns for name in store.names()}
    told: list[tuple[int, int]] = []
    make_snapshots([BEND, SWING], 2, 3, store, 1, lambda done, total: told.append((done, total)))
    assert told == [(3, 4), (4, 4)]
    assert store.names() == made.names()
    assert {name: store.path(name).stat().st_mtime_ns for name in kept} == kept
    np.testing.assert_array_equal(store.read().u, made.read().u)
    assert store.provenance("bend-0001") == made.provenance("bend-0001")


@pytest.mark.parametrize(
    ("scene", "seed", "named"),
    [
        (BEND, 4, "seed, loads"),
        (replace(BEND, sampling=(replace(FORCE, magnitude=(5.0, 9.0)),)), 3, "loads"),
        (replace(BEND, time=TimeSpec(0.01, 6)), 3, "step"),
        (replace(BEND, time=TimeSpec(0.02, 6, "bdf2")), 3, "integrator"),
        (replace(BEND, time=TimeSpec(0.02, 7)), 3, "steps"),
        (replace(BEND, obstacles=WALLS), 3, "obstacles"),
    ],
)
def test_what_another_run_left_is_not_taken_for_this_ones(
    made: Store, tmp_path: Path, scene: Scene, seed: int, named: str
) -> None:
    store = _copy(made, tmp_path)
    with pytest.raises(InputError, match=rf"bend-0000\.h5: .* one of other .*{named}"):
        make_snapshots([scene], 2, seed, store)


def test_obstacles_are_met_and_told_of(made: Store, tmp_path: Path) -> None:
    store, scene = Store(tmp_path), replace(BEND, obstacles=WALLS)
    assert make_snapshots([scene], 2, 3, store) == []
    between, free = (np.abs(of.read(["bend-0001"]).u[:, 2::3]).max() for of in (store, made))
    assert between < 0.5 * free
    assert store.provenance("bend-0001")["obstacles"][0]["name"] == "1"
    assert "obstacles" not in made.provenance("bend-0001")
    make_snapshots([scene], 2, 3, store)  # its own are kept
    with pytest.raises(InputError, match="obstacles"):
        make_snapshots([BEND], 2, 3, store)


def test_a_tag_that_names_other_vertices_makes_another_motion(tmp_path: Path) -> None:
    corner = np.eye(3)
    for k, vertices in enumerate(([1], [2], [1])):
        mesh = TetMesh(np.vstack([np.zeros(3), corner]), [[0, 1, 2, 3]], {"tip": vertices})
        write_mesh(mesh, tmp_path / f"{k}.vtu")
    force = replace(FORCE, region=Region("tag", tag="tip"))
    clamps = (Region("vertices", vertices=(0, 3)),)
    scenes = [
        replace(BEND, mesh=MeshSpec(file=tmp_path / f"{k}.vtu"), clamps=clamps, sampling=(force,))
        for k in range(3)
    ]
    store = Store(tmp_path / "made")
    assert make_snapshots(scenes[:1], 1, 3, store) == []
    for check in (check_snapshots, make_snapshots):
        with pytest.raises(InputError, match=r"bend-0000\.h5: .* of other tagged"):
            check([scenes[1]], 1, 3, store)
        check([scenes[2]], 1, 3, store)
    # Scenes of one body, whose files name different tags: each motion by its own scene's.
    other = replace(scenes[1], name="other")
    for _ in range(2):
        assert make_snapshots([scenes[0], other], 1, 3, store) == []
    check_snapshots([scenes[0], other], 1, 3, store)


def test_one_run_at_a_time_fills_a_store_and_any_may_read_a_full_one(
    made: Store, tmp_path: Path
) -> None:
    store = _copy(made, tmp_path)
    with held(tmp_path):
        make_snapshots([BEND, SWING], 2, 3, store)
        store.path("bend-0001").unlink()
        with pytest.raises(InputError, match="no other run that writes there"):
            make_snapshots([BEND, SWING], 2, 3, store)
    make_snapshots([BEND, SWING], 2, 3, store)


def test_different_bodies_are_refused(made: Store, tmp_path: Path) -> None:
    softer = replace(SWING, material=replace(BEND.material, young=1e4))
    with pytest.raises(InputError, match="scene swing: expected the same body as scene bend"):
        make_snapshots([BEND, softer], 1, 3, Store(tmp_path))
    store = _copy(made, tmp_path)
    with pytest.raises(InputError, match="expected poses of this body"):
        make_snapshots([softer], 1, 3, store)
    line = replace(FORCE, kind="torque")  # one vertex has no arm
    with pytest.raises(InputError, match="torque: expected a region with extent"):
        make_snapshots([replace(BEND, sampling=(line,))], 1, 3, Store(tmp_path / "new"))
    assert not (tmp_path / "new").exists()


def test_motions_that_fail_are_kept_up_to_there_and_named(tmp_path: Path) -> None:
    violent = replace(
        BEND, newton=NewtonSpec(1e-6, 1), sampling=(replace(FORCE, magnitude=(900.0, 900.0)),)
    )
    store = Store(tmp_path)
    assert make_snapshots([violent], 1, 3, store) == ["bend-0000"]
    told = store.provenance("bend-0000")
    assert not told["complete"]
    assert 1 <= told["poses"] < 7
    # They are named again by the run that finds them there.
    assert make_snapshots([violent], 1, 3, store) == ["bend-0000"]
