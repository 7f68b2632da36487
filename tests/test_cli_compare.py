"""`hodsim compare`: what it prints and keeps, and that it goes on where it was stopped."""

from __future__ import annotations

import csv
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from homes import make_home, variant
from small import Run

from hodsim.cli import compared
from hodsim.errors import InputError
from hodsim.scene import Scene


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a small scene, two pulls, a load of another kind, and a model."""
    folder = tmp_path_factory.mktemp("home")
    scene = make_home(folder)
    for name, push in (("pull-1", 2), ("pull-2", 4), ("other-1", 6)):
        variant(scene, name, push).path.rename(folder / f"{name}.toml")
    return folder


def test_tables_and_files(run: Run, home: Path, tmp_path: Path) -> None:
    scenes = [home / f"{name}.toml" for name in ("pull-1", "pull-2", "small")]
    out, report = tmp_path / "out", tmp_path / "report.json"
    options = ("--subspaces", "pca-2,pca-3..4,hod", "--out", out, "--json", report)
    code, printed, err = run("compare", *scenes, *options)
    assert (code, err) == (0, "")
    assert "pull: tip errors over 2 loads" in printed
    assert "small: tip errors over 1 load" in printed
    told = json.loads(report.read_text())
    assert told == json.loads((out / "results.json").read_text())
    labels = ["full", "pca-2", "pca-3", "pca-4", "hod-2"]
    expected = [(scene, label) for scene in ("pull-1", "pull-2", "small") for label in labels]
    assert [(row["scene"], row["label"]) for row in told["rows"]] == expected
    lines = {(g["family"], g["label"]): g for g in told["summary"]["groups"]}
    errors = [r["tip_position_error"] for r in told["rows"] if r["label"] == "pca-2"][:2]
    assert lines["pull", "pca-2"]["tip_position_error_mean"] == pytest.approx(np.mean(errors))
    assert lines["pull", "pca-2"]["loads"] == 2
    match = next(m for m in told["summary"]["matches"] if m["family"] == "pull")
    assert (match["hod"], match["method"], match["up_to"]) == ("hod-2", "pca", 4)
    header = told["header"]
    assert header["command"].startswith(f"hodsim compare {scenes[0]}")
    assert "--subspaces pca-2,pca-3..4,hod" in header["command"]
    assert str(home / "pull-1.toml") in header["scenes"]
    assert header["versions"]["numpy"] == np.__version__
    with (out / "results.csv").open(newline="") as file:
        table = list(csv.DictReader(file))
    assert [(row["scene"], row["label"]) for row in table] == expected
    assert float(table[1]["tip_position_error"]) == told["rows"][1]["tip_position_error"]
    assert table[0]["rank"] == ""
    assert (out / "error.png").stat().st_size > 10_000
    assert "pull-1" in (out / "report.html").read_text()
    assert len(list((out / "cells").glob("*.json"))) == len(expected)


def test_loads_integrators_and_formulations(run: Run, home: Path, tmp_path: Path) -> None:
    report = tmp_path / "report.json"
    scenes = [home / f"{name}.toml" for name in ("pull-1", "other-1")]
    options = ("--loads", "held-out,1.5x,other", "--integrators", "euler,bdf2")
    options = (*options, "--formulations", "incremental,lagrangian", "--subspaces", "hod-2")
    code, printed, _ = run("compare", *scenes, *options, "--json", report)
    assert code == 0
    rows = json.loads(report.read_text())["rows"]
    found = {(r["scene"], r["load"], r["integrator"], r["label"]) for r in rows}
    cases = [("pull-1", "held-out"), ("pull-1", "1.5x"), ("other-1", "other")]
    assert found == {
        (*case, integrator, label)
        for case in cases
        for integrator in ("euler", "bdf2")
        for label in ("full", "hod-2", "hod-2 lagrangian")
    }
    assert len(rows) == len(found)
    assert all(row["converged"] for row in rows)
    assert "pull, 1.5x, bdf2: tip errors over 1 load" in printed
    # Time schemes differ, and so do loads; the two formulations nearly do not.
    position = {(r["load"], r["integrator"], r["label"]): r["tip_position_error"] for r in rows}
    assert len(set(position.values())) >= 12


def test_what_is_left_out_is_said_and_the_rest_goes_on(
    run: Run, home: Path, tmp_path: Path
) -> None:
    heavy = home / "heavy.toml"
    heavy.write_text((home / "small.toml").read_text().replace("1000.0", "900.0"))
    report = tmp_path / "report.json"
    options = ("--subspaces", "pca-2,pca-7", "--json", report)
    code, printed, err = run("compare", heavy, home / "pull-1.toml", *options)
    assert (code, err) == (0, "")
    assert "small: left out: model: expected one trained for this body" in printed
    assert "pca-7: rank: expected 1 to 4 for pca, given 7" in printed
    assert "pca-7 (1 of" in printed  # "1 stopped)" in the next line of the column
    rows = json.loads(report.read_text())["rows"]
    assert [(r["scene"], r["label"], r["converged"]) for r in rows] == [
        ("pull-1", "full", True),
        ("pull-1", "pca-2", True),
        ("pull-1", "pca-7", False),
    ]
    assert "expected 1 to 4" in rows[2]["failure"]


def test_loads_of_another_kind_are_not_dropped_in_silence(run: Run, home: Path) -> None:
    names = (home / "other-1.toml", home / "pull-1.toml")
    code, printed, err = run("compare", *names, "--loads", "2x", "--subspaces", "pca-2")
    assert (code, err) == (0, "")
    assert "other-1: left out: loads of another kind are played as they are" in printed
    code, _, err = run("compare", names[0], "--loads", "2x", "--subspaces", "pca-2")
    assert (code, err.count("\n")) == (2, 1)
    assert "other-1: left out" in err


def test_ablation(run: Run, home: Path, tmp_path: Path) -> None:
    report = tmp_path / "report.json"
    code, out, _ = run("compare", home / "small.toml", "--ablate", "--json", report)
    assert code == 0
    lagrangian = ["", " without third", " without second and third"]
    variants = [" reference", " without second and third", *(f" lagrangian{x}" for x in lagrangian)]
    labels = ["full", *(f"hod-2{variant}" for variant in variants)]
    told = json.loads(report.read_text())
    assert [row["label"] for row in told["rows"]] == labels
    # The terms change Newton's matrix, not what it solves.
    errors = [row["tip_position_error"] for row in told["rows"][1:]]
    assert errors[1] == pytest.approx(errors[0], rel=1e-3)
    assert errors[3:] == pytest.approx(errors[2:3] * 2, rel=1e-3)
    assert "matches HoD-Net" not in out


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (("--subspaces", "pca-9"), "expected 1 to 4 for pca"),
        (("--subspaces", "pca-9..4"), "ascending ranks"),
        (("--subspaces", "pca-4..pca-9"), "given 'pca-4..pca-9'"),
        (("--subspaces", "pca-1..900"), "at most 200"),
        (("--loads", "3"), "loads: expected held-out, other or a factor"),
        (("--loads", "other"), "left out: these loads have no other"),
        (("--integrators", "rk4"), "integrators: expected euler or bdf2"),
        (("--formulations", "implicit"), "formulation: expected"),
        (("--formulations", ""), "at least one besides full"),
        (("--solver", "lu"), "solver: expected auto"),
        (("--jobs", "0"), "--jobs"),
        (("--ablate", "--subspaces", "pca-2"), "leave out --subspaces"),
    ],
)
def test_bad_options(
    run: Run, home: Path, tmp_path: Path, options: tuple[str, ...], told: str
) -> None:
    out = tmp_path / "out"
    code, printed, err = run("compare", home / "small.toml", *options, "--out", out)
    assert (code, printed) == (2, "")
    assert err.count("\n") == 1
    assert told in err
    assert not out.exists()


def test_ranges_and_bodies(home: Path) -> None:
    assert compared.names_in("pca-4..6, full,HOD") == ["pca-4", "pca-5", "pca-6", "full", "hod"]
    names = [scene.name for scene in compared.scenes_named(None, None)]
    assert names == [f"{kind}-{k}" for kind in ("bend", "swing", "twist") for k in range(1, 6)]
    assert [s.name for s in compared.scenes_named(["beam"], ["held-out"])] == names
    quick = compared.one_of_each(compared.scenes_named(["beam"], None))
    assert [scene.name for scene in quick] == ["bend-1", "swing-1", "twist-1"]
    every = compared.scenes_named(["all"], None)
    assert {scene.path for scene in every} >= {s.path for s in compared.scenes_named(None, None)}
    assert all((scene.model / "model.json").is_file() for scene in every)
    with pytest.raises(InputError, match="expected a scene file"):
        compared.scenes_named(["no-such-body"], None)


def slowed(home: Path, folder: Path) -> list[Path]:
    """Scenes of which each takes a while in full space and in a subspace."""
    scene = Scene(**vars(compared.open_scene(str(home / "small.toml"))))
    paths = [variant(scene, f"slow-{k}", k).path for k in range(1, 5)]
    for path in paths:
        path.write_text(path.read_text().replace("steps = 8", "steps = 400"))
    return paths


@pytest.mark.slow
@pytest.mark.parametrize("jobs", [1, 2])
def test_ctrl_c_leaves_whole_files_and_the_same_command_goes_on(
    run: Run, home: Path, tmp_path: Path, jobs: int
) -> None:
    out = tmp_path / "out"
    arguments = ["compare", *map(str, slowed(home, tmp_path)), "--subspaces", "pca-2"]
    arguments += ["--reference", "--out", str(out), "--jobs", str(jobs)]
    process = subprocess.Popen(
        [sys.executable, "-m", "hodsim.cli", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    deadline = time.monotonic() + 120
    while not list((out / "cells").glob("[!.]*.json")) and time.monotonic() < deadline:
        time.sleep(0.02)
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does: to every process of the command
    printed, err = process.communicate(timeout=60)
    assert (process.returncode, printed, err) == (130, "", "hodsim: stopped\n")
    kept = {path: path.read_text() for path in (out / "cells").glob("*.json")}
    assert 1 <= len(kept) < 8
    assert all(json.loads(text)["run"]["converged"] for text in kept.values())
    assert not [path for path in (out / "cells").iterdir() if path.name.startswith(".")]
    code, _, _ = run(*arguments[:-2])
    assert code == 0
    assert len(json.loads((out / "results.json").read_text())["rows"]) == 8
    assert all(path.read_text() == text for path, text in kept.items())


@pytest.mark.slow
def test_quick_comparison_of_the_shipped_beam(run: Run, tmp_path: Path) -> None:
    code, printed, err = run("compare", "--quick", "--out", tmp_path / "out")
    assert (code, err) == (0, "")
    told = json.loads((tmp_path / "out" / "results.json").read_text())
    assert [row["scene"] for row in told["rows"][::7]] == ["bend-1", "swing-1", "twist-1"]
    assert {row["steps"] for row in told["rows"]} == {60}
    assert all(row["converged"] and row["body"] == "beam" for row in told["rows"])
    assert all(row["tets"] < 200 for row in told["rows"] if row["subspace"] != "full")
    assert "hod-6" in printed
    assert (tmp_path / "out" / "report.html").is_file()
