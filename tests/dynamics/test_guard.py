"""A reduced body that goes back to full space where it must, and only there, and returns."""

from __future__ import annotations

import itertools
from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
import pytest

from hodsim.cubature import load_cubatures
from hodsim.dynamics import (
    Guarded,
    GuardedState,
    Motion,
    NewtonResult,
    State,
    hold,
    parse_spec,
    setup_of,
    simulate,
)
from hodsim.errors import InputError
from hodsim.fem import Loads, body_of, dofs_of, tip_vertices
from hodsim.files import data_dir
from hodsim.scene import Scene, read_scene
from hodsim.subspaces import load_model

STEPS = 60  # the loads of "other" leave the training range between steps 10 and 50


@cache
def parts(name: str, integrator: str = "implicit-euler") -> tuple[Scene, Any, Any, Any, Any]:
    """A shipped scene, its body, HoD-6 and full space for it, and the model."""
    scene = read_scene(data_dir("scenes") / f"{name}.toml")
    scene = replace(scene, time=replace(scene.time, integrator=integrator))
    body = body_of(scene)
    folder = data_dir("trained_models") / "beam"
    model, cubatures = load_model(folder), load_cubatures(folder)
    reduced, full = (
        setup_of(scene, body, parse_spec(label), model, cubatures) for label in ("hod-6", "full")
    )
    return scene, body, reduced, full, model


def guarded(name: str, integrator: str = "implicit-euler", **options: Any) -> Guarded:
    scene, body, reduced, full, model = parts(name, integrator)
    loads = Loads(body, scene.loads)
    options = {"reach": model.reach("hod", 6), **options}
    return Guarded(reduced, full, body, loads, **options)


def states(guard: Guarded, steps: int = STEPS) -> list[GuardedState]:
    found: list[Any] = [guard.start()]
    for _ in range(steps):
        after, result = guard.step(found[-1])
        assert result.converged
        found.append(after)
    return found


@pytest.mark.parametrize("integrator", ["implicit-euler", "bdf2"])
def test_inside_the_training_range_it_is_the_subspace_to_the_last_bit(integrator: str) -> None:
    found = states(guarded("heldout/bend-1", integrator))
    _, _, reduced, _, _ = parts("heldout/bend-1", integrator)
    alone = simulate(reduced.integrator, STEPS, basis=reduced.basis)
    assert not any(state.why for state in found)
    inner = [state.inner.motion.x for state in found if state.inner is not None]
    assert np.array_equal(inner, alone.coordinates)
    assert np.allclose([s.z for s in found], alone.displacements(), rtol=0.0, atol=1e-14)
    assert np.allclose([s.dz for s in found], alone.velocities(), rtol=0.0, atol=1e-12)


def test_outside_it_goes_to_full_space_and_comes_back_nearer_to_the_truth() -> None:
    name = "other/other-1"
    _, body, reduced, full, model = parts(name)
    found = states(guarded(name), 100)
    away = [bool(state.why) for state in found]
    assert 5 <= sum(away) <= 60
    assert not away[-1]
    assert all("outside the training range" in state.why for state in found if state.why)
    reach = model.reach("hod", 6)
    for state in found:
        if not state.why:
            assert state.inner is not None
            assert reach.measure(state.inner.motion.x) <= 1.0
    tip = dofs_of(body.free_vertices, tip_vertices(body))
    truth = simulate(full.integrator, 100).displacements(tip)
    alone = simulate(reduced.integrator, 100, basis=reduced.basis).displacements(tip)
    ours = np.array([state.z[tip] for state in found])
    errors = [np.linalg.norm(u - truth) / np.linalg.norm(truth) for u in (ours, alone)]
    assert errors[0] < 0.25 * errors[1]  # 1 % and 12 %


def test_a_step_taken_in_full_space_is_full_space_s_own() -> None:
    guard = guarded("other/other-1")
    found = states(guard)
    k = next(k for k, state in enumerate(found) if state.why)
    before = found[k - 1]
    assert not before.why
    start = State(before.t, Motion(before.z, before.dz), before.z, before.dz)
    after, _ = guard.full.step(start)
    assert np.array_equal(after.z, found[k].z)
    again, _ = guard.full.step(after)
    assert np.array_equal(again.z, found[k + 1].z)
    assert [found[k].steps, found[k + 1].steps] == [1, 2]


def test_a_return_moves_and_slows_the_body_hardly() -> None:
    guard = guarded("other/other-1")
    found = states(guard)
    k = next(k for k in range(len(found) - 1) if found[k].why and not found[k + 1].why)
    assert found[k].steps >= 4
    whole, _ = guard.full.step(found[k].inner)
    back = found[k + 1]
    body = guard.body
    off, lost = back.z - whole.z, back.dz - whole.dz
    mass = body.mass.sum()
    assert np.sqrt(off @ (body.mass @ off) / mass * 3.0) < 1e-3 * 1.75  # 1 mm RMS over 3 axes
    energy = body.energy(whole.z) + 0.5 * whole.dz @ (body.mass @ whole.dz)
    assert 0.5 * lost @ (body.mass @ lost) < 0.01 * energy
    assert back.t == whole.t


def test_the_nearest_pose_of_the_subspace_is_found() -> None:
    guard = guarded("heldout/bend-1")
    rng = np.random.default_rng(0)
    subspace, reach = guard._back.subspace, guard.reach
    assert reach is not None
    B, M = subspace.basis, guard.body.mass
    for _ in range(3):
        q = rng.uniform(0.3 * reach.low, 0.3 * reach.high)
        at = subspace.lanes(q)
        v = rng.normal(size=6)
        found, z, dz = guard._back.nearest(B @ at.z, B @ (at.J @ v))
        assert np.allclose(found, q, atol=1e-8 * np.abs(q).max())
        assert np.allclose(guard._back.rates(found, dz), v, atol=1e-6 * np.abs(v).max())
        # Off the manifold: what is left is across its tangent, in the norm of the mass.
        u = B @ at.z + 1e-3 * rng.normal(size=len(B))
        found, z, _ = guard._back.nearest(u, u)
        left = (B @ subspace.lanes(found).J).T @ (M @ (u - B @ z))
        assert np.linalg.norm(left) < 1e-6 * np.linalg.norm((B @ at.J).T @ (M @ u))


class _Odd:
    """The reduced integrator, whose step number `at` goes wrong as `spoil` says."""

    def __init__(self, inner: Any, at: int, spoil: Any) -> None:
        self._inner, self._left, self._spoil = inner, at, spoil
        self.h, self.whole = inner.h, inner.whole

    def start(self) -> State:
        return self._inner.start()

    def step(self, state: State) -> tuple[State, NewtonResult]:
        self._left -= 1
        after, result = self._inner.step(state)
        return self._spoil(after, result) if self._left == 0 else (after, result)


def odd(at: int, spoil: Any, **options: Any) -> Guarded:
    scene, body, reduced, full, model = parts("heldout/bend-1")
    setup = replace(reduced, integrator=_Odd(reduced.integrator, at, spoil))
    loads = Loads(body, scene.loads)
    return Guarded(setup, full, body, loads, model.reach("hod", 6), **options)


def faster(after: State, result: NewtonResult) -> tuple[State, NewtonResult]:
    return replace(after, dz=1.5 * after.dz), result


def test_energy_that_nothing_gave_is_noticed() -> None:
    found = states(odd(12, faster), 14)
    assert [bool(s.why) for s in found[11:14]] == [False, True, True]
    assert "energy from nowhere" in found[12].why
    unwatched = states(odd(12, faster, gain=np.inf), 12)
    assert not unwatched[12].why


def test_sound_steps_gain_nothing() -> None:
    for name, integrator in (
        ("heldout/twist-2", "implicit-euler"),
        ("heldout/swing-3", "implicit-euler"),
        ("heldout/swing-3", "bdf2"),
    ):
        guard = guarded(name, integrator)
        found = states(guard)
        gains = [guard._gain(a, b) for a, b in itertools.pairwise(found[1:])]
        assert max(gains) < 1e-3


def test_a_load_that_lets_go_is_no_energy_from_nowhere() -> None:
    scene, body, *_, model = parts("heldout/bend-1", "bdf2")
    (load,) = scene.loads
    sudden = replace(load, times=(0.0, 0.02, 0.1, 0.1001))
    assert load.values[-1] == (0.0, 0.0, 0.0)
    released = replace(scene, loads=(sudden,))
    cubatures = load_cubatures(data_dir("trained_models") / "beam")
    for label in ("hod-6", "pca-12"):
        reduced, full = (
            setup_of(released, body, parse_spec(name), model, cubatures) for name in (label, "full")
        )
        guard = Guarded(reduced, full, body, Loads(body, released.loads), None)
        found = states(guard, 10)
        assert not any(state.why for state in found)


def test_the_iterations_of_a_step_thrown_away_are_counted() -> None:
    spoiled = odd(3, lambda s, r: (s, replace(r, status="line_search", iterations=7)))
    state: Any = spoiled.start()
    for _ in range(2):
        state, _ = spoiled.step(state)
    after, result = spoiled.step(state)
    assert isinstance(after, GuardedState)
    assert after.why
    before = State(state.t, Motion(state.z, state.dz), state.z, state.dz)
    assert result.iterations == 7 + spoiled.full.step(before)[1].iterations


def test_a_step_that_fails_is_taken_in_full_space() -> None:
    found = states(odd(3, lambda s, r: (s, replace(r, status="line_search"))), 4)
    assert [s.why for s in found] == ["", "", "", "line_search", "line_search"]


def test_a_full_step_that_fails_says_so() -> None:
    guard = odd(1, lambda s, r: (s, replace(r, status="line_search")))

    class Stuck:
        h, whole = guard.full.h, guard.full.whole

        def step(self, state: State) -> tuple[State, NewtonResult]:
            after, result = guard_full.step(state)
            return after, replace(result, status="max_iterations")

    guard_full, guard.full = guard.full, Stuck()  # type: ignore[assignment]
    _, result = guard.step(guard.start())
    assert result.status == "max_iterations"


def test_a_body_held_still_goes_on_from_full_space() -> None:
    guard = guarded("heldout/bend-1")
    still = hold(states(guard, 10)[-1], guard.h)
    assert not isinstance(still, GuardedState)
    after, result = guard.step(still)
    assert result.converged
    assert isinstance(after, GuardedState)
    assert after.why == "held"


def test_without_a_known_range_only_failures_and_energy_count() -> None:
    assert not any(state.why for state in states(guarded("other/other-1", reach=None)))


def test_bad_guards_are_refused() -> None:
    for bad, told in (
        ({"limit": 0.0}, "limit"),
        ({"limit": np.nan}, "limit"),
        ({"gain": -1.0}, "gain"),
    ):
        with pytest.raises(InputError, match=told):
            guarded("heldout/bend-1", **bad)
    scene, body, _, full, _ = parts("heldout/bend-1")
    with pytest.raises(InputError, match="expected a subspace"):
        Guarded(full, full, body, Loads(body, scene.loads), None)
