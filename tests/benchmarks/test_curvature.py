"""The benchmark of Hessians times vectors runs, tells rivals apart, and refuses. No timing."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
OURS = ("hodsim: hvp", "hodsim: linearise, kept")
TINY = ("--batch", "2", "--rounds", "1")


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(BENCHMARKS / "curvature.py"), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_a_small_batch_gives_a_row(tmp_path: Path) -> None:
    path = tmp_path / "rows.json"
    done = run(*TINY, "--cases", "lenet5", "--json", str(path))
    assert done.returncode == 0, done.stdout + done.stderr
    report = json.loads(path.read_text())
    (row,) = report["rows"]
    assert (row["network"], row["batch"], row["parameters"]) == ("lenet5", 2, 61_706)
    assert max(row["difference_float64"].values()) <= 1e-10
    assert set(row["difference_float64"]) == {*OURS, *row["peers"]}
    alone = {label: ms for label, ms in row["peers"].items() if "kept" not in label}
    del alone["func: linearize of grad"]
    assert row["vs_best"] == pytest.approx(min(alone.values()) / row["ms"])
    assert row["vs_best_kept"] == pytest.approx(row["peers"][row["best_kept"]] / row["kept_ms"])
    assert row["gradient_ms"] > 0
    assert set(row["peak_mb"]) == {*OURS, "autograd: gradient alone", *row["peers"]}
    assert all(mb >= 0 for mb in row["peak_mb"].values())
    assert "lenet5" in done.stdout


@pytest.mark.slow
def test_a_rival_that_is_wrong_is_left_out_by_name(tmp_path: Path) -> None:
    # torch 2.13's forward mode below reverse mode through batch normalisation, where that is so.
    path = tmp_path / "rows.json"
    done = run(*TINY, "--cases", "resnet20", "--no-memory", "--json", str(path))
    assert done.returncode == 0, done.stdout + done.stderr
    (row,) = json.loads(path.read_text())["rows"]
    wrong = {label for label, gap in row["difference_float64"].items() if gap > 1e-10}
    assert not wrong & set(OURS)
    assert not wrong & set(row["peers"])
    assert all(any(f"{label}: WRONG" in note for note in row["notes"]) for label in wrong)
    assert row["peak_mb"] == {}


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("--cases", "alexnet"), "expected some of autoencoder, lenet5, vgg11/quarter"),
        (("--batch", "0"), "expected a whole number of at least 1; given '0'"),
        (("--json", "no/such/folder/x.json"), "in a folder that exists"),
    ],
)
def test_bad_arguments_are_refused_in_one_line(arguments: tuple[str, ...], told: str) -> None:
    done = run(*arguments)
    assert done.returncode == 2
    assert told in done.stderr
    assert done.stderr.count("\n") == 1
