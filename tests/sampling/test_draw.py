"""Loads drawn from a scene's random ones: from the seed alone, and within what was declared."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hodsim import InputError
from hodsim.sampling import draw_loads, jobs_of
from hodsim.scene import (
    BeamSpec,
    Direction,
    Load,
    MaterialSpec,
    MeshSpec,
    RandomLoad,
    Region,
    Scene,
    TimeSpec,
    value_at,
)

TIP = Region("nearest", nearest=(1.0, 0.0, 0.0))
STEP = 0.02
RAMP, HOLD = (0.05, 0.2), (0.3, 0.6)
SEED = st.integers(0, 2**32)
relaxed = settings(deadline=None, max_examples=50)  # a busy machine is no failure


def _family(kind: str = "force", direction: Direction | None = None, **given: object) -> RandomLoad:
    region = None if kind == "gravity" else TIP
    return RandomLoad(kind, (2.0, 5.0), direction or Direction("any"), RAMP, HOLD, region, **given)


def _scene(*families: RandomLoad, name: str = "bend") -> Scene:
    return Scene(
        name=name,
        mesh=MeshSpec(beam=BeamSpec((2, 1, 1), (1.0, 0.2, 0.2))),
        material=MaterialSpec("stvk", 1e4, 0.3, 1000.0),
        time=TimeSpec(STEP, 10),
        sampling=families,
    )


def _draw(seed: int, *families: RandomLoad) -> tuple[Load, ...]:
    return draw_loads(_scene(*families), np.random.default_rng(seed))


@relaxed
@given(SEED)
def test_the_seed_alone_decides(seed: int) -> None:
    families = (_family(turn=(-90.0, 90.0)), _family("torque", probability=0.5))
    assert _draw(seed, *families) == _draw(seed, *families)
    assert _draw(seed, *families) != _draw(seed + 1, *families)


@relaxed
@given(SEED)
def test_a_released_force(seed: int) -> None:
    """Up over the ramp, level over the hold, gone one time step later."""
    (load,) = _draw(seed, _family())
    assert (load.kind, load.region, load.times[0]) == ("force", TIP, 0.0)
    start, ramp, end, gone = load.times
    assert RAMP[0] <= ramp <= RAMP[1]
    assert HOLD[0] <= end - ramp + 1e-12
    assert end - ramp <= HOLD[1] + 1e-12
    assert gone - end == pytest.approx(STEP)
    values = np.array(load.values)
    assert 2.0 <= np.linalg.norm(values[1]) <= 5.0 + 1e-12
    np.testing.assert_array_equal(values[1], values[2])
    assert not values[[0, 3]].any()
    np.testing.assert_allclose(value_at(load, start + ramp / 2), values[1] / 2, atol=1e-14)
    assert not value_at(load, gone + 9.0).any()


@relaxed
@given(SEED)
def test_one_that_stays(seed: int) -> None:
    (load,) = _draw(seed, _family("gravity", release=False))
    assert (load.kind, load.region, len(load.times)) == ("gravity", None, 3)
    np.testing.assert_array_equal(value_at(load, 99.0), load.values[1])
    assert any(load.values[1])


@relaxed
@given(SEED, st.sampled_from([(20.0, 170.0), (-170.0, -20.0), (90.0, 90.0)]))
def test_a_turning_one(seed: int, turn: tuple[float, float]) -> None:
    """Its length stays, in a plane, at even speed, by an angle within the range."""
    (load,) = _draw(seed, _family("gravity", turn=turn, release=False))
    v = np.array(load.values[1:])
    length = np.linalg.norm(v, axis=1)
    np.testing.assert_allclose(length, length[0], rtol=1e-12)
    unit = v / length[:, None]
    normal = np.cross(unit[0], unit[1])
    assert np.abs(unit @ normal).max() < 1e-12
    steps = np.degrees(np.arccos(np.clip(np.sum(unit[1:] * unit[:-1], axis=1), -1, 1)))
    np.testing.assert_allclose(steps, steps[0], atol=1e-5)
    assert steps[0] <= 5.0 + 1e-5  # pieces short enough that the length barely dips between them
    low, high = sorted(abs(x) for x in turn)
    assert low - 1e-3 <= steps.sum() <= high + 1e-3
    times = np.array(load.times[1:])
    np.testing.assert_allclose(np.diff(times), (times[-1] - times[0]) / len(steps), rtol=1e-9)
    assert HOLD[0] - 1e-9 <= times[-1] - times[0] <= HOLD[1] + 1e-9


@relaxed
@given(SEED)
def test_directions(seed: int) -> None:
    vector = (1.0, -2.0, 0.5)
    unit = np.array(vector) / np.linalg.norm(vector)
    (along,) = _draw(seed, _family(direction=Direction("axis", vector)))
    v = np.array(along.values[1])
    assert abs(v @ unit) == pytest.approx(np.linalg.norm(v))
    (within,) = _draw(seed, _family(direction=Direction("plane", vector)))
    assert abs(np.array(within.values[1]) @ unit) < 1e-12


def test_draws_fill_their_ranges() -> None:
    """Means of 2000 draws: 5 standard deviations from what is expected would be no chance."""
    rng = np.random.default_rng(0)
    scene = _scene(_family(direction=Direction("any")))
    loads = [draw_loads(scene, rng)[0] for _ in range(2000)]
    v = np.array([load.values[1] for load in loads])
    size = np.linalg.norm(v, axis=1)
    ramp = np.array([load.times[1] for load in loads])
    for values, (low, high) in ((size, (2.0, 5.0)), (ramp, RAMP)):
        spread = (high - low) / np.sqrt(12 * 2000)
        assert values.mean() == pytest.approx((low + high) / 2, abs=5 * spread)
        assert values.min() < low + 0.01 * (high - low)
        assert values.max() > high - 0.01 * (high - low)
    unit = v / size[:, None]
    assert np.abs(unit.mean(axis=0)).max() < 5 / np.sqrt(3 * 2000)
    np.testing.assert_allclose(unit.T @ unit / 2000, np.eye(3) / 3, atol=5 * 0.3 / np.sqrt(2000))
    scene = _scene(_family(direction=Direction("axis", (0, 0, 2))))
    up = [draw_loads(scene, rng)[0].values[1][2] > 0 for _ in range(2000)]
    assert np.mean(up) == pytest.approx(0.5, abs=5 * 0.5 / np.sqrt(2000))


def test_probability() -> None:
    """Never none at all; given that, each as often as it says: p / (1 - (1 - p)(1 - s))."""
    rng = np.random.default_rng(1)
    scene = _scene(_family(probability=0.2), _family("torque", probability=0.5))
    drawn = [{load.kind for load in draw_loads(scene, rng)} for _ in range(2000)]
    assert all(drawn)
    for kind, p in (("force", 0.2), ("torque", 0.5)):
        wanted = p / (1 - 0.8 * 0.5)
        assert np.mean([kind in d for d in drawn]) == pytest.approx(wanted, abs=0.06)
    kinds = [load.kind for load in _draw(0, _family("torque"), _family("gravity"))]
    assert kinds == ["torque", "gravity"]
    assert [load.kind for load in _draw(0, _family(probability=0.0), _family("gravity"))] == [
        "gravity"
    ]


def test_nothing_that_could_be_drawn() -> None:
    with pytest.raises(InputError, match=r"scene bend: expected .* probability above 0"):
        _draw(0, _family(probability=0.0))
    with pytest.raises(InputError, match="scene bend: expected"):
        _draw(0)


def test_jobs() -> None:
    """A job's seed is its own: more trajectories or other scenes beside it change nothing."""
    a, b = _scene(_family(), name="a"), _scene(_family(), name="b")
    jobs = jobs_of([a, b], 3, 5)
    assert sorted(job.name for job in jobs) == [f"{s}-000{k}" for s in "ab" for k in range(3)]
    seeds = {job.name: job.seed for job in jobs}
    assert len(set(seeds.values())) == 6
    for other in (jobs_of([b], 3, 5), jobs_of([b, a], 9, 5)):
        for job in other:
            assert seeds.get(job.name, job.seed) == job.seed
    assert not set(seeds.values()) & {job.seed for job in jobs_of([a, b], 3, 6)}
    draws = [draw_loads(a, np.random.default_rng(seed)) for seed in seeds.values()]
    assert len(set(draws)) == 6
    with pytest.raises(InputError, match="different names, given a, a"):
        jobs_of([a, a], 3, 5)
    with pytest.raises(InputError, match="scene c: expected at least one"):
        jobs_of([_scene(name="c")], 3, 5)
    with pytest.raises(InputError, match=r"seed: .* given -1"):
        jobs_of([a], 3, -1)
