"""How far outside the training range a pose is: what the measure promises, and its file."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import safetensors.numpy
import torch
from hypothesis import given
from hypothesis import strategies as st
from small import Run

from hodsim import InputError, body_of, load_model, read_scene, simulate
from hodsim.cubature import load_cubatures
from hodsim.dynamics import parse_spec, setup_of
from hodsim.files import data_dir
from hodsim.networks import HoDNet, Shape
from hodsim.subspaces import Cover, Model, fit_cover, save_model

SIZE = np.array([3.0, 0.5, 0.02])  # of coordinates, as unlike as those of principal components
SCENES = sorted(path.stem for path in (data_dir("scenes") / "heldout").glob("*.toml"))


def _star(n: int, seed: int) -> np.ndarray:
    """Poses (n, 3) near the three axes, up to 1.5 on either side, and never far from all three."""
    rng = np.random.default_rng(seed)
    q = 0.02 * rng.standard_normal((n, 3))
    q[np.arange(n), rng.integers(3, size=n)] += rng.uniform(-1.5, 1.5, n)
    return q * SIZE


SEEN, UNSEEN = _star(4000, 0), _star(1000, 1)
COVER = fit_cover(SEEN, UNSEEN, 1)
REACH = COVER.reach(3)


@pytest.mark.parametrize("rank", [1, 2, 3])
def test_poses_seen_are_inside_and_nearly_all_of_those_held_out(rank: int) -> None:
    reach = COVER.reach(rank)
    stored = SEEN.astype(np.float32).astype(float)
    assert max(reach.measure(q[:rank]) for q in stored) <= 1.0
    assert np.mean([reach.measure(q[:rank]) <= 1.0 for q in UNSEEN]) >= 0.995
    np.testing.assert_allclose(reach.low, SEEN[:, :rank].min(axis=0), rtol=1e-6)
    np.testing.assert_allclose(reach.high, SEEN[:, :rank].max(axis=0), rtol=1e-6)


def test_poses_between_the_arms_of_the_star_are_outside() -> None:
    """Each coordinate within its range: a box, and an ellipsoid that holds the arms, say inside."""
    q = np.array([0.8, 0.8, 0.0]) * SIZE
    assert (q < REACH.high).all()
    inverse = np.linalg.inv(SEEN.T @ SEEN)
    assert q @ inverse @ q < max(np.einsum("ni,ij,nj->n", SEEN, inverse, SEEN))
    assert REACH.measure(q) > 2.0
    assert REACH.measure(np.array([0.8, 0.0, 0.0]) * SIZE) <= 1.0


def test_it_is_the_scaled_distance_to_the_nearest_centre() -> None:
    scale = np.maximum(np.abs(REACH.low), np.abs(REACH.high))
    for q in np.random.default_rng(2).standard_normal((20, 3)) * 3.0 * SIZE:
        away = np.linalg.norm((REACH.centres - q) / scale, axis=1).min()
        assert REACH.measure(q) == pytest.approx(away / REACH.radius, rel=1e-7, abs=1e-7)


@given(
    st.lists(st.floats(-4.0, 4.0), min_size=3, max_size=3),
    st.lists(st.floats(-0.1, 0.1), min_size=3, max_size=3),
)
def test_it_changes_no_faster_than_the_pose(at: list[float], by: list[float]) -> None:
    scale = np.maximum(np.abs(REACH.low), np.abs(REACH.high))
    a, d = np.array(at), np.array(by)
    change = abs(REACH.measure((a + d) * scale) - REACH.measure(a * scale))
    # The root of a rounded square: sqrt(eps) at worst.
    assert change <= np.linalg.norm(d) / REACH.radius * (1.0 + 1e-9) + 1e-6


def test_it_grows_along_every_ray_that_leaves() -> None:
    # Beyond the farthest centre, scaled: sqrt(3) holds it, each coordinate being at most 1.
    scale = np.maximum(np.abs(REACH.low), np.abs(REACH.high))
    for d in np.random.default_rng(3).standard_normal((50, 3)):
        ray = d / np.linalg.norm(d) * scale
        values = [REACH.measure(t * ray) for t in np.linspace(1.8, 20.0, 60)]
        assert (np.diff(values) > 0.0).all()
        assert values[0] > 1.0


@pytest.mark.parametrize("value", [1e30, 1e160, -1e308, np.finfo(float).max, np.inf])
def test_it_is_finite_however_far(value: float) -> None:
    far = REACH.measure(np.array([0.0, value, 0.0]))
    assert np.isfinite(far)
    assert far > 1e20
    assert np.isnan(REACH.measure(np.array([0.0, np.nan, 0.0])))


def test_few_coordinates_leave_some_room() -> None:
    """Where a thousand poses are dense, a tenth of a coordinate's range beyond is inside."""
    assert COVER.radii[0] == pytest.approx(0.1)
    assert len(COVER.centres) <= 1024
    assert COVER.reach(1).measure(1.05 * REACH.high[:1]) <= 1.0
    assert COVER.reach(1).measure(1.25 * REACH.high[:1]) > 1.0


def test_where_poses_are_sparse_the_radius_is_no_larger_than_it_must_be() -> None:
    rng = np.random.default_rng(4)
    seen, wider = rng.standard_normal((3000, 8)), 1.5 * rng.standard_normal((1000, 8))
    stored = seen.astype(np.float32).astype(float)
    tight, loose = fit_cover(seen, seen, 8).reach(8), fit_cover(seen, wider, 8).reach(8)
    assert 1.0 - 1e-6 < max(tight.measure(q) for q in stored) <= 1.0
    assert sum(loose.measure(q) > 1.0 for q in wider) == 5  # 0.5 % of them
    assert loose.radius > tight.radius > 0.1


def test_a_coordinate_that_never_left_zero_has_a_scale() -> None:
    flat = SEEN * [1.0, 1.0, 0.0]
    reach = fit_cover(flat, flat, 3).reach(3)
    assert reach.measure(flat[0]) <= 1.0
    assert np.isfinite(reach.measure(SEEN[0]))


def _model() -> Model:
    torch.manual_seed(0)
    n, rng = 20, np.random.default_rng(0)
    network = HoDNet(Shape(n, 2, (4,), (3,), 5)).double().eval()
    V = np.linalg.qr(rng.standard_normal((n, 3)))[0]
    covers = {"hod": fit_cover(SEEN[:, :2], UNSEEN[:, :2], 2), "pca": COVER}
    return Model(network, V, rng.standard_normal((n, 3)), {"origin": {}}, covers)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    save_model(tmp_path / "model", _model())
    return tmp_path / "model"


def test_round_trip(folder: Path) -> None:
    model, again = _model(), load_model(folder)
    for kind, rank in (("hod", 2), ("quadratic", 2), ("pca", 1), ("pca", 2), ("pca", 3)):
        before, after = model.reach(kind, rank), again.reach(kind, rank)
        assert before is not None
        assert after is not None
        for q in UNSEEN[:20, :rank]:
            assert after.measure(q) == before.measure(q)
        np.testing.assert_array_equal(after.low, before.low)
    assert again.reach("quadratic").radius == again.reach("pca", 2).radius
    with pytest.raises(InputError, match="expected 1 to 3 for pca, given 4"):
        again.reach("pca", 4)
    save_model(folder, again)  # what is read can be written
    assert load_model(folder).reach("hod") is not None


def test_a_model_without_one(folder: Path) -> None:
    (folder / "reach.safetensors").unlink()
    model = load_model(folder)
    assert [model.reach(kind) for kind in ("hod", "pca", "quadratic")] == [None] * 3


def test_one_of_former_weights_goes_when_a_model_is_saved(folder: Path) -> None:
    save_model(folder, replace(_model(), covers={}))
    assert not (folder / "reach.safetensors").exists()
    assert load_model(folder).reach("hod") is None


def _changed(**changes: np.ndarray | None) -> Callable[[Path], None]:
    """Write the file again with some arrays, `pca_low` for "pca.low", changed or left out."""

    def write(path: Path) -> None:
        with safetensors.safe_open(path, "np") as file:
            told = file.metadata()
        arrays: dict[str, np.ndarray | None] = dict(safetensors.numpy.load_file(path))
        arrays |= {name.replace("_", ".", 1): value for name, value in changes.items()}
        kept = {k: v for k, v in arrays.items() if v is not None}
        safetensors.numpy.save_file(kept, path, told)

    return write


def _told(metadata: dict[str, str] | None) -> Callable[[Path], None]:
    return lambda path: safetensors.numpy.save_file(
        safetensors.numpy.load_file(path), path, metadata
    )


def _of_other_bases(path: Path) -> None:
    bases = path.parent / "rivals.safetensors"
    arrays = safetensors.numpy.load_file(bases)
    safetensors.numpy.save_file(arrays | {"components": -arrays["components"]}, bases)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda path: path.write_bytes(b"garbage" * 50), "cannot use it"),
        (lambda path: path.write_bytes(path.read_bytes()[:-50]), "cannot use it"),
        (lambda path: (path.unlink(), path.mkdir()), "cannot use it"),
        (_changed(hod_radii=None), r"hod\.radii"),
        (_changed(pca_low=np.zeros(2, np.float32)), "pca: expected 3 coordinates and 3 radii"),
        (_changed(pca_radii=np.ones(2, np.float32)), "pca: expected 3 coordinates and 3 radii"),
        (_changed(hod_centres=np.zeros((5, 3), np.float32)), "hod: expected 2 coordinates"),
        (_changed(hod_centres=np.zeros((0, 2), np.float32)), "hod: expected 2 coordinates"),
        (_changed(hod_centres=np.zeros(2, np.float32)), "hod: expected 2 coordinates"),
        (_changed(hod_centres=np.full((1, 2), np.nan)), "hod: expected finite numbers"),
        (_changed(pca_radii=np.full(3, np.inf)), "pca: expected finite numbers"),
        (_changed(hod_radii=np.zeros(1)), "radii above 0"),
        (_changed(hod_low=np.full(2, 9.0)), "ranges from low to high"),
        (_told(None), "expected format 1 and the weights"),
        (_told({"hodsim": "[" * 100_000}), "cannot use it"),
        (_told({"hodsim": json.dumps({"format": 1})}), "expected format 1 and the weights"),
        (_of_other_bases, "expected format 1 and the weights"),
    ],
)
def test_a_file_that_does_not_fit_is_named(
    folder: Path, damage: Callable[[Path], object], message: str
) -> None:
    path = folder / "reach.safetensors"
    damage(path)
    with pytest.raises(InputError, match=message) as caught:
        load_model(folder)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_one_of_other_weights_is_refused(folder: Path, tmp_path: Path) -> None:
    other = _model()
    for value in other.network.parameters():
        value.data += 1.0
    save_model(tmp_path / "other", other)
    (tmp_path / "other" / "reach.safetensors").replace(folder / "reach.safetensors")
    with pytest.raises(InputError, match="the weights beside it"):
        load_model(folder)


@pytest.mark.parametrize("name", SCENES)
def test_the_shipped_range_holds_the_held_out_scenes_and_not_twice_their_peaks(name: str) -> None:
    folder = data_dir("trained_models") / "beam"
    scene, model = read_scene(data_dir("scenes") / "heldout" / f"{name}.toml"), load_model(folder)
    body, reach = body_of(scene), model.reach("hod")
    assert reach is not None
    setup = setup_of(scene, body, parse_spec("hod-6"), model, load_cubatures(folder))
    motion = simulate(setup.integrator, scene.time.steps, basis=setup.basis)
    peak = motion.coordinates[(motion.displacements() ** 2).sum(axis=1).argmax()]
    assert max(reach.measure(q) for q in motion.coordinates) <= 1.0
    assert reach.measure(2.0 * peak) > 2.0
    # The same pose, in the coordinates of the others.
    u = model.subspace("hod").decode(peak)
    for kind, rank in (("quadratic", 6), ("pca", 6), ("pca", 12), ("pca", 20)):
        other = model.reach(kind, rank)
        assert other is not None
        q = model.subspace(kind, rank).encode(u)
        assert other.measure(q) <= 1.0
        assert other.measure(2.0 * q) > 1.0


def test_the_shipped_range_is_small_and_its_lowest_pose_near_rest() -> None:
    folder = data_dir("trained_models") / "beam"
    assert (folder / "reach.safetensors").stat().st_size < 200_000
    model = load_model(folder)
    assert sorted(model.covers) == ["hod", "pca"]
    for kind, rank in (("hod", 6), *(("pca", r) for r in range(1, 21))):
        reach = model.reach(kind, rank)
        assert reach is not None
        assert reach.measure(np.zeros(rank)) < 0.2
        assert (reach.low < 0.0).all()
        assert (reach.high > 0.0).all()


def test_ranks_count_from_the_last() -> None:
    cover = Cover(np.zeros((1, 3)), -np.ones(3), np.ones(3), np.array([0.2, 0.3]))
    assert [cover.reach(r).radius for r in (2, 3)] == [0.2, 0.3]


def test_info_tells_it(folder: Path, run: Run) -> None:
    code, out, _ = run("info", "--model", folder)
    assert code == 0
    assert "training range:" in out
    assert "hod-2: within 10.0 % of the largest coordinates from one of" in out
    (folder / "reach.safetensors").unlink()
    assert "training range: -" in run("info", "--model", folder)[1]
