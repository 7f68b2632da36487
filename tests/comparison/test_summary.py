"""Means over loads, and ranks that match, of runs made by hand."""

from __future__ import annotations

import pytest

from hodsim.comparison import Run, matches_of, summary_of


def run(label: str, scene: str, position: float | None, velocity: float | None, **other) -> Run:
    kind, _, rank = label.partition("-")
    parts = {
        "scene": scene,
        "subspace": kind,
        "rank": int(rank) if rank else None,
        "tip_position_error": position,
        "tip_velocity_error": velocity,
        "step_ms": 0.5,
        "speedup": 20.0,
        "newton_iterations": 2.0,
        "converged": position is not None,
        "failure": None if position is not None else "step 5: max_iterations",
        "label": label,
        "formulation": "incremental" if rank else None,
        "terms": ("second", "third") if rank else (),
        "solver": "dense",
        "integrator": "euler",
        "steps": 10,
        "step": 0.02,
        "dofs": 6,
        "position_error": position,
        "velocity_error": velocity,
        "max_newton_iterations": 3,
        "engine": "compiled",
        "tets": 72,
        "body": "beam",
        "family": "bend",
    }
    return Run(**{**parts, **other})


def both(label: str, position: float | None, velocity: float | None, **other) -> list[Run]:
    """The same mean over two loads."""
    if position is None or velocity is None:
        return [
            run(label, "bend-1", 0.01, 0.01, **other),
            run(label, "bend-2", None, None, **other),
        ]
    return [
        run(label, "bend-1", 0.5 * position, 1.5 * velocity, **other),
        run(label, "bend-2", 1.5 * position, 0.5 * velocity, **other),
    ]


def test_means_worst_and_spread_are_over_the_loads_that_ended() -> None:
    runs = [
        run("pca-6", "bend-1", 0.02, 0.1),
        run("pca-6", "bend-2", 0.04, 0.3),
        run("pca-6", "bend-3", None, None, step_ms=None),
        run("pca-6", "bend-1", 0.9, 0.9, load="2x"),
        run("pca-6", "bend-1", 0.8, 0.8, body="arm"),
    ]
    line, twice, arm = summary_of(runs)
    assert (line["body"], line["family"], line["load"], line["label"]) == (
        "beam",
        "bend",
        "held-out",
        "pca-6",
    )
    assert (line["loads"], line["stopped"]) == (3, 1)
    assert line["tip_position_error_mean"] == pytest.approx(0.03)
    assert line["tip_position_error_worst"] == 0.04
    assert line["tip_position_error_spread"] == pytest.approx(0.01)
    assert line["tip_velocity_error_mean"] == pytest.approx(0.2)
    assert line["energy_error_mean"] is None
    assert line["step_ms"] == 0.5
    assert (twice["load"], twice["tip_position_error_mean"]) == ("2x", 0.9)
    assert (arm["body"], arm["tip_position_error_mean"]) == ("arm", 0.8)


def ranks(runs: list[Run]) -> dict[tuple[str, str], tuple[int | None, int | None, int]]:
    return {(m.hod, m.method): (m.by_position, m.by_velocity, m.up_to) for m in matches_of(runs)}


def test_a_rank_matches_from_where_the_error_stays_at_or_below() -> None:
    runs = [
        *both("full", 0.0, 0.0),
        *both("hod-6", 0.010, 0.020),
        # 8 is good by chance, 10 is not: by position PCA matches from 12 on, by velocity from 15.
        *both("pca-8", 0.009, 0.050),
        *both("pca-10", 0.020, 0.030),
        *both("pca-12", 0.010, 0.021),
        *both("pca-15", 0.005, 0.010),
        *both("quadratic-6", 0.011, 0.020),
    ]
    assert ranks(runs) == {("hod-6", "pca"): (12, 15, 15), ("hod-6", "quadratic"): (None, 6, 6)}


def test_a_run_that_stopped_matches_nothing() -> None:
    stopped = [*both("hod-6", 0.01, 0.02), *both("pca-12", 0.001, 0.001), *both("pca-15", None, 1)]
    assert ranks(stopped) == {("hod-6", "pca"): (None, None, 15)}
    early = [*both("hod-6", 0.01, 0.02), *both("pca-12", None, 1), *both("pca-15", 0.001, 0.001)]
    assert ranks(early) == {("hod-6", "pca"): (15, 15, 15)}
    # With a HoD-Net that stopped there is nothing to match: another thing than no rank that does.
    told = matches_of([*both("hod-6", None, 1), *both("pca-12", 0.001, 0.001)])
    assert [(m.by_position, m.up_to, m.compared) for m in told] == [(None, 12, False)]
    assert [m.compared for m in matches_of(stopped)] == [True]


def test_a_crash_takes_no_rank_out_and_no_start_at_all_does() -> None:
    crashed = {"engine": None, "steps": 0, "failure": "crashed: two workers died at it"}
    hod = both("hod-6", 0.01, 0.02)
    one = [run("pca-12", "bend-1", 0.001, 0.001), run("pca-12", "bend-2", None, None, **crashed)]
    assert ranks([*hod, *both("pca-9", 0.005, 0.005), *one]) == {("hod-6", "pca"): (None, None, 12)}
    none = [run("pca-12", f"bend-{k}", None, None, **crashed) for k in (1, 2)]
    assert ranks([*hod, *both("pca-9", 0.005, 0.005), *none]) == {("hod-6", "pca"): (9, 9, 9)}


def test_a_scene_in_which_full_space_stopped_is_held_against_nobody() -> None:
    """It has no error for anyone, and nobody stopped there."""
    through = {"converged": True, "failure": None}
    bare = [run(k, "bend-3", None, None, **through) for k in ("hod-6", "pca-9")]
    runs = [*both("hod-6", 0.01, 0.02), *both("pca-9", 0.005, 0.005)]
    assert ranks([*runs, *bare]) == {("hod-6", "pca"): (9, 9, 9)}
    assert [m.compared for m in matches_of(bare)] == [False]


def test_a_case_that_crashed_as_a_whole_is_held_against_nobody() -> None:
    """A dead worker takes full space and HoD-Net with it: the other scenes are still compared."""
    crashed = {"engine": None, "steps": 0, "failure": "crashed: two workers died at it"}
    gone = [run(k, "bend-3", None, None, **crashed) for k in ("full", "hod-6", "pca-9")]
    full = [run("full", f"bend-{k}", 0.0, 0.0) for k in (1, 2)]
    runs = [*full, *both("hod-6", 0.01, 0.02), *both("pca-9", 0.005, 0.005), *gone]
    assert ranks(runs) == {("hod-6", "pca"): (9, 9, 9)}
    assert [m.compared for m in matches_of(runs)] == [True]
    # Full space stopped, and HoD-Net in the same scene.
    stopped = [run(k, "bend-3", None, None) for k in ("full", "hod-6")]
    assert [m.by_position for m in matches_of([*runs[:-3], *stopped])] == [9]


def test_costs_are_over_the_loads_that_ended() -> None:
    slow = run("pca-6", "bend-2", None, None, step_ms=9.5, newton_iterations=30.0)
    (line,) = summary_of([run("pca-6", "bend-1", 0.02, 0.1), slow])
    assert (line["step_ms"], line["newton_iterations"]) == (0.5, 2.0)


def test_only_like_is_held_against_like() -> None:
    runs = [
        *both("hod-6", 0.01, 0.02),
        *both("hod-6", 0.1, 0.2, formulation="lagrangian"),
        *both("pca-9", 0.05, 0.05),
        *both("pca-9", 0.001, 0.001, integrator="bdf2"),
        *both("pca-9", 0.001, 0.001, load="2x"),
        *both("pca-9", 0.001, 0.001, terms=("second",)),
    ]
    assert ranks(runs) == {("hod-6", "pca"): (None, None, 9)}
    told = matches_of([*runs, *both("hod-8", 0.05, 0.01)])
    assert [(m.hod, m.by_position) for m in told] == [("hod-6", None), ("hod-8", 9)]
    assert told[1].to_dict()["family"] == "bend"
