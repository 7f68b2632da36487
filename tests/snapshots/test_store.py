"""The snapshot store: what comes back, where it comes from, and what is refused."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from hodsim import InputError, beam
from hodsim.fem import Body, make_body
from hodsim.scene import Damping, Load, MaterialSpec, Region, load_to_dict
from hodsim.snapshots import Store, origin_of

LOADS = (
    Load(
        "force",
        (0.0, 0.1, 0.7),
        ((1, 0, 0), (0, 1 / 3, 0), (0, 0, 1)),
        Region("vertices", vertices=(3,)),
    ),
    Load("gravity", (0.0,), ((0.0, 0.0, -9.81),)),
)
TOLD: dict[str, Any] = {
    "loads": LOADS,
    "seed": (7, 1, 2),
    "step": 0.02,
    "integrator": "bdf2",
    "complete": True,
}


def _body(young: float = 1e4, clamped: float = 0.0, damping: float = 0.0) -> Body:
    mesh = beam((1, 1, 1), (1.0, 0.3, 0.2))
    fixed = np.flatnonzero(mesh.vertices[:, 0] <= clamped)
    material = MaterialSpec("stvk", young, 0.3, 1000.0)
    return make_body(mesh, material, fixed, damping=Damping(damping))


ORIGIN = origin_of(_body())


def _poses(n: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((n, _body().n_dofs))


@pytest.fixture
def store(tmp_path: Path) -> Store:
    store = Store(tmp_path / "snapshots")
    for k, n in enumerate((4, 2, 3)):
        store.write(f"bend-{k}", _poses(n, k), origin=ORIGIN, **TOLD)
    return store


def test_round_trip(store: Store) -> None:
    assert store.names() == ("bend-0", "bend-1", "bend-2")
    all_of_them = store.read()
    wanted = np.concatenate([_poses(n, k) for k, n in enumerate((4, 2, 3))])
    np.testing.assert_array_equal(all_of_them.u, wanted.astype(np.float32))
    assert all_of_them.u.dtype == np.float32
    assert all_of_them.trajectory.tolist() == [0] * 4 + [1] * 2 + [2] * 3
    assert all_of_them.names == store.names()
    assert all_of_them.origin == ORIGIN
    some = store.read(["bend-2", "bend-0"])
    np.testing.assert_array_equal(some.u, wanted[[6, 7, 8, 0, 1, 2, 3]].astype(np.float32))
    assert (some.names, some.trajectory.tolist()) == (("bend-2", "bend-0"), [0] * 3 + [1] * 4)
    assert Store(str(store.folder)).read().u.tobytes() == all_of_them.u.tobytes()


def test_provenance(store: Store) -> None:
    told = store.provenance("bend-1")
    assert told["origin"] == ORIGIN
    assert told["seed"] == [7, 1, 2]
    assert told["loads"] == [load_to_dict(load) for load in LOADS]  # 1/3 to the last bit
    assert (told["step"], told["integrator"]) == (0.02, "bdf2")
    assert (told["complete"], told["poses"]) == (True, 2)
    with h5py.File(store.path("bend-1")) as file:
        assert file["displacement"].attrs["unit"] == "m"


def test_split_keeps_trajectories_whole(store: Store) -> None:
    seen, unseen = store.read().split(["bend-1"])
    np.testing.assert_array_equal(unseen.u, _poses(2, 1).astype(np.float32))
    assert (len(seen.u), seen.names, unseen.names) == (7, store.names(), store.names())
    assert seen.trajectory.tolist() == [0] * 4 + [2] * 3
    everything, nothing = store.read().split([])
    assert (len(everything.u), len(nothing.u)) == (9, 0)


@pytest.mark.parametrize(
    ("other", "named"),
    [
        ({"young": 2e4}, "material"),
        ({"clamped": -1.0}, "free_vertices"),
        ({"damping": 2.0}, "damping"),
    ],
)
def test_poses_of_another_body_are_refused(
    store: Store, other: dict[str, float], named: str
) -> None:
    store.check(ORIGIN)
    body = _body(**other)
    with pytest.raises(InputError, match=r"expected poses of this body .* bend-0 is of another"):
        store.check(origin_of(body))
    u = np.zeros((2, body.n_dofs))
    store.write("bend-9", u, origin=origin_of(body), **TOLD)
    with pytest.raises(InputError, match=f"bend-9 and bend-0 differ in .*{named}"):
        store.read()
    assert len(store.read(["bend-0"]).u) == 4


def test_nothing_to_read(tmp_path: Path) -> None:
    for folder in (tmp_path, tmp_path / "none"):
        store = Store(folder)
        assert store.names() == ()
        store.check(ORIGIN)
        with pytest.raises(InputError, match="found none"):
            store.read()
    with pytest.raises(InputError, match=r"bend-0\.h5: expected a snapshot file"):
        Store(tmp_path).read(["bend-0"])


def _rewrite(**content: Any) -> Callable[[Path], None]:
    def write(path: Path) -> None:
        with h5py.File(path, "r+") as file:
            for name, value in content.items():
                if name == "provenance":
                    file.attrs[name] = value
                    continue
                del file[name]
                if isinstance(value, dict):
                    file.create_group(name)
                elif value is not None:
                    file[name] = value

    return write


@pytest.mark.parametrize(
    "damage",
    [
        lambda p: p.write_bytes(b""),
        lambda p: p.write_bytes(b"garbage" * 1000),
        lambda p: p.write_bytes(p.read_bytes()[: p.stat().st_size // 2]),
        lambda p: p.write_bytes(p.read_bytes()[:-40]),
        lambda p: (p.unlink(), p.mkdir()),
        _rewrite(provenance="{"),
        _rewrite(provenance="[1]"),
        _rewrite(provenance='{"format": 1, "origin": "here"}'),
        _rewrite(provenance='{"format": 9, "origin": {}}'),
        _rewrite(provenance='{"origin": {}}'),
        _rewrite(displacement=None),
        _rewrite(displacement={}),
        _rewrite(displacement=np.zeros(5, np.float32)),
        _rewrite(displacement=np.array([[b"a", b"b"]])),
        _rewrite(displacement=np.zeros((2, 3), np.complex64)),
    ],
)
def test_damaged_files_are_refused_by_name(store: Store, damage: Callable[[Path], object]) -> None:
    damage(store.path("bend-1"))
    for ask in (store.read, lambda: store.provenance("bend-1")):
        with pytest.raises(InputError, match=r"bend-1\.h5: expected a snapshot file") as caught:
            ask()
        assert "\n" not in str(caught.value)
    assert len(store.read(["bend-0", "bend-2"]).u) == 7


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_poses_that_are_not_finite_are_refused(store: Store, value: float) -> None:
    u = _poses(3)
    u[1, 2] = value
    store.write("bend-1", u, origin=ORIGIN, **TOLD)
    with pytest.raises(InputError, match=r"bend-1\.h5: expected finite"):
        store.read()


def test_a_write_that_fails_leaves_what_was_there(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = store.read().u.tobytes()
    create = h5py.File.create_dataset

    def stop(file: h5py.File, *args: Any, **kw: Any) -> None:
        create(file, *args, **kw)
        raise KeyboardInterrupt

    monkeypatch.setattr(h5py.File, "create_dataset", stop)
    for name in ("bend-1", "bend-3"):
        with pytest.raises(KeyboardInterrupt):
            store.write(name, _poses(5), origin=ORIGIN, **TOLD)
    assert sorted(p.name for p in store.folder.iterdir()) == [f"bend-{k}.h5" for k in range(3)]
    assert store.read().u.tobytes() == before


def test_files_being_written_are_not_trajectories(store: Store) -> None:
    (store.folder / ".bend-3.0123.h5").write_bytes(b"half")
    assert store.names() == ("bend-0", "bend-1", "bend-2")


def test_origin_tells_what_poses_depend_on() -> None:
    assert origin_of(_body()) == ORIGIN
    mesh = beam((1, 1, 1), (1.0, 0.3, 0.2))
    fixed = np.flatnonzero(mesh.vertices[:, 0] <= 0.0)
    material = MaterialSpec("stvk", 1e4, 0.3, 1000.0)
    consistent = origin_of(make_body(mesh, material, fixed, "consistent"))
    assert {k for k in ORIGIN if consistent[k] != ORIGIN[k]} == {"mass"}


def test_a_digest_is_of_the_poses_whatever_their_order(tmp_path: Path) -> None:
    store, body = Store(tmp_path), _body()
    u = np.random.default_rng(0).standard_normal((3, 4, body.n_dofs))
    for name, poses in zip(("a-0", "a-1", "b-0"), u, strict=True):
        store.write(name, poses, origin=origin_of(body), **TOLD)
    whole = store.read().digest
    assert store.read(["b-0", "a-1", "a-0"]).digest == whole
    assert store.read(["a-0", "a-1"]).digest == store.read().split(["b-0"])[0].digest != whole
    # Two poses exchanged, one changed in its last bit: each is another set.
    store.write("a-1", u[1, ::-1], origin=origin_of(body), **TOLD)
    exchanged = store.read().digest
    changed = u[1].astype(np.float32)
    changed[2, 5] = np.nextafter(changed[2, 5], np.float32(9))
    store.write("a-1", changed, origin=origin_of(body), **TOLD)
    assert len({whole, exchanged, store.read().digest}) == 3
