"""Runs side by side: what they measure, and that none of them is hidden."""

from __future__ import annotations

import json
import pickle
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from hodsim.comparison import Run, play, runs
from hodsim.comparison.runs import FULL, Play
from hodsim.dynamics import Spec, parse_specs
from hodsim.errors import InputError
from hodsim.fem import Body, body_of
from hodsim.networks import HoDNet, Shape
from hodsim.scene import (
    BeamSpec,
    Load,
    MaterialSpec,
    MeshSpec,
    NewtonSpec,
    Region,
    Scene,
    TimeSpec,
)
from hodsim.snapshots import origin_of
from hodsim.subspaces import Model

STEPS = 12
END = Region("box", min=(0.599, -1.0, -1.0), max=(0.601, 1.0, 1.0))


def scene_of(**other: Any) -> Scene:
    parts: dict[str, Any] = {
        "name": "small",
        "mesh": MeshSpec(beam=BeamSpec(cells=(3, 1, 1), size=(0.6, 0.2, 0.2))),
        "material": MaterialSpec(law="neo-hookean", young=5e4, poisson=0.3, density=1000.0),
        "clamps": (Region("box", min=(-1e-6, -1.0, -1.0), max=(1e-6, 1.0, 1.0)),),
        "loads": (Load("force", (0.0, 0.1), ((0, 0, 0), (0, 4.0, 9.0)), END),),
        # Tight, so that the difference of two converged motions is not Newton's.
        "newton": NewtonSpec(tolerance=1e-11),
        "time": TimeSpec(step=0.02, steps=STEPS),
    }
    return Scene(**{**parts, **other})


def complete_model(body: Body) -> Model:
    """A model whose PCA of full rank can be any motion at all: its directions are a rotation."""
    n = body.n_dofs
    directions, _ = np.linalg.qr(np.random.default_rng(0).standard_normal((n, n)))
    network = HoDNet(Shape(n, rank=2, decoder=(3,), encoder=(3,), projected=4)).double()
    return Model(network, directions, np.zeros((n, 3)), {"origin": origin_of(body)})


@pytest.fixture(scope="module")
def small() -> tuple[Scene, Model, Play]:
    scene = scene_of()
    body = body_of(scene)
    model = complete_model(body)
    return scene, model, play(scene, model, parse_specs(f"pca-{body.n_dofs},pca-2,full"))


def test_full_space_comes_first_and_once(small: tuple[Scene, Model, Play]) -> None:
    _, _, p = small
    n = 3 * len(p.free_vertices)
    assert [run.label for run in p.runs] == ["full", f"pca-{n}", "pca-2"]
    full = p.runs[0]
    assert (full.tip_position_error, full.speedup, full.rank) == (0.0, 1.0, None)
    assert (full.worst_vertex_error, full.energy_error) == (0.0, 0.0)
    assert full.volume_change == full.full_volume_change > 0.0
    assert full.solver in ("pardiso", "superlu")


def test_a_complete_basis_repeats_full_space(small: tuple[Scene, Model, Play]) -> None:
    _, _, p = small
    _, complete, poor = p.runs
    # Newton leaves 1e-11 of the forces a step; 12 steps and the softest modes enlarge that.
    for name in (
        "tip_position_error",
        "tip_velocity_error",
        "position_error",
        "velocity_error",
        "worst_vertex_error",
        "energy_error",
    ):
        assert getattr(complete, name) < 1e-7
        assert getattr(poor, name) > 0.1
    assert complete.volume_change == pytest.approx(complete.full_volume_change, rel=1e-5)
    assert poor.full_volume_change == complete.full_volume_change != poor.volume_change
    assert complete.newton_iterations == pytest.approx(p.runs[0].newton_iterations, abs=0.2)


def test_reported_errors_are_those_of_the_motions(small: tuple[Scene, Model, Play]) -> None:
    _, _, p = small
    every = np.arange(STEPS + 1)
    difference = p.positions("pca-2", every)[:, p.tip] - p.positions("full", every)[:, p.tip]
    moved = p.positions("full", every)[:, p.tip] - p.mesh.vertices[p.tip]
    expected = np.sqrt((difference**2).sum() / (moved**2).sum())
    assert p.runs[2].tip_position_error == pytest.approx(expected)
    assert np.sqrt((p.tip_error("pca-2") ** 2).mean()) == pytest.approx(expected)
    assert p.tip_travel().max() == pytest.approx(np.linalg.norm(moved.mean(axis=1), axis=1).max())
    assert p.peak() == np.argmax((moved**2).sum(axis=(1, 2)))


def test_a_run_survives_json(small: tuple[Scene, Model, Play]) -> None:
    _, _, p = small
    for run in p.runs:
        assert Run.from_dict(json.loads(json.dumps(run.to_dict(), allow_nan=False))) == run
    with pytest.raises(TypeError):
        Run.from_dict({**p.runs[0].to_dict(), "colour": "red"})


def test_rows_say_what_they_belong_to(small: tuple[Scene, Model, Play]) -> None:
    scene, model, p = small
    told = p.runs[2]
    assert (told.body, told.family, told.load) == ("beam-3x1x1", "small", "held-out")
    assert (told.integrator, told.reference) == ("euler", False)
    assert np.array(told.error_over_time) == pytest.approx(p.tip_error("pca-2"), rel=1e-3)
    assert p.runs[0].error_over_time is None
    other = play(replace(scene, name="pull-3"), model, parse_specs("pca-2"), steps=2, load="2x")
    assert (other.runs[1].family, other.runs[1].load) == ("pull", "2x")
    assert other.runs[1].error_over_time is None


def test_a_rank_that_is_not_there_is_told_and_the_rest_goes_on(
    small: tuple[Scene, Model, Play],
) -> None:
    scene, model, p = small
    specs = parse_specs("pca-9999,pca-2")
    with pytest.raises(InputError, match="expected 1 to"):
        play(scene, model, specs)
    told = play(scene, model, specs, on_refusal="tell")
    _, refused, other = told.runs
    assert (refused.label, refused.converged, refused.steps) == ("pca-9999", False, 0)
    assert "expected 1 to" in refused.failure
    assert refused.tip_position_error is refused.step_ms is refused.tets is None
    assert other.tip_position_error == p.runs[2].tip_position_error
    with pytest.raises(InputError, match="on_refusal"):
        play(scene, model, specs, on_refusal="hide")


def test_a_fault_in_one_subspace_is_told_by_its_kind_and_the_rest_goes_on(
    small: tuple[Scene, Model, Play], monkeypatch: pytest.MonkeyPatch
) -> None:
    scene, model, p = small
    sound = runs.setup_of

    def faulty(scene: Scene, body: Any, spec: Spec, *more: Any) -> Any:
        if spec.kind == "hod":
            raise KeyError("basis")
        return sound(scene, body, spec, *more)

    monkeypatch.setattr(runs, "setup_of", faulty)
    told = play(scene, model, parse_specs("hod-2,pca-2"), on_refusal="tell")
    assert told.runs[1].failure == "KeyError: 'basis'"
    assert told.runs[2].tip_position_error == p.runs[2].tip_position_error
    with pytest.raises(KeyError):
        play(scene, model, parse_specs("hod-2,pca-2"))


def test_times_are_medians(small: tuple[Scene, Model, Play]) -> None:
    _, _, p = small
    for run in p.runs:
        assert run.step_ms == np.median(p.trajectories[run.label].step_ms)
        assert run.speedup == p.runs[0].step_ms / run.step_ms
        assert run.newton_iterations == p.trajectories[run.label].iterations.mean()


def test_report_keys(small: tuple[Scene, Model, Play]) -> None:
    told = small[2].runs[1].to_dict()
    assert {
        "scene",
        "subspace",
        "rank",
        "tip_position_error",
        "tip_velocity_error",
        "step_ms",
        "speedup",
        "newton_iterations",
        "converged",
    } <= set(told)
    assert (told["scene"], told["subspace"]) == ("small", "pca")


def test_inputs_and_result_go_to_other_processes(small: tuple[Scene, Model, Play]) -> None:
    scene, model, p = small
    scene, model = pickle.loads(pickle.dumps((scene, model)))
    again = pickle.loads(pickle.dumps(play(scene, model, parse_specs("pca-2"))))
    assert again.runs[1].tip_position_error == pytest.approx(p.runs[2].tip_position_error)


def test_a_run_that_stops_is_told_and_has_no_error(
    small: tuple[Scene, Model, Play], monkeypatch: pytest.MonkeyPatch
) -> None:
    scene, model, _ = small
    build = runs.setup_of

    def failing(scene: Any, body: Any, spec: Any, *rest: Any) -> Any:
        setup = build(scene, body, spec, *rest)
        space = setup.integrator
        if spec.kind == "pca":
            step, count = space.step, iter(range(100))
            monkeypatch.setattr(
                space,
                "step",
                lambda state: (
                    step(state)
                    if next(count) < 4
                    else (step(state)[0], replace(step(state)[1], status="line_search"))
                ),
            )
        return setup

    monkeypatch.setattr(runs, "setup_of", failing)
    p = play(scene, model, parse_specs("pca-2,quadratic-2"))
    full, stopped, other = p.runs
    assert not stopped.converged
    assert stopped.steps == 4
    assert "step 5" in stopped.failure
    assert "line_search" in stopped.failure
    assert stopped.tip_position_error is stopped.position_error is None
    assert stopped.step_ms is not None
    assert full.converged
    assert other.converged
    assert other.tip_position_error is not None
    # Pictures hold it where it stopped.
    last = p.positions("pca-2", [4, STEPS])
    assert np.array_equal(last[0], last[1])
    assert len(p.tip_error("pca-2")) == 5


def test_a_reference_that_stops_leaves_no_error(small: tuple[Scene, Model, Play]) -> None:
    scene, model, _ = small
    hurried = replace(scene, newton=NewtonSpec(tolerance=1e-11, max_iterations=1))
    p = play(hurried, model, parse_specs("pca-2"))
    assert not p.runs[0].converged
    assert p.runs[1].tip_position_error is None


def test_no_motion_has_no_relative_error(small: tuple[Scene, Model, Play]) -> None:
    scene, model, _ = small
    p = play(replace(scene, loads=()), model, parse_specs("pca-2"), steps=2)
    assert p.runs[1].converged
    assert p.runs[1].tip_position_error is None


def test_progress_and_steps(small: tuple[Scene, Model, Play]) -> None:
    scene, model, _ = small
    told: list[tuple[str, int, int]] = []
    play(scene, model, parse_specs("pca-2"), steps=2, progress=lambda *row: told.append(row))
    assert told == [("full", 1, 2), ("full", 2, 2), ("pca-2", 1, 2), ("pca-2", 2, 2)]


def test_refuses_a_missing_and_a_foreign_model(small: tuple[Scene, Model, Play]) -> None:
    scene, model, _ = small
    with pytest.raises(InputError, match="model: expected one for pca-2"):
        play(scene, None, parse_specs("pca-2"))
    heavier = replace(scene, material=replace(scene.material, density=900.0))
    with pytest.raises(InputError, match="trained for this body"):
        play(heavier, model, parse_specs("pca-2"))
    assert play(scene, None, [FULL], steps=1).runs[0].converged
