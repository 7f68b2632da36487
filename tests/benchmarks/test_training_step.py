"""The benchmark of training steps runs, compares, and refuses. No timing."""

from __future__ import annotations

import json
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
TINY = ("--batch", "2", "--rounds", "1")


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(BENCHMARKS / "training_step.py"), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.mark.slow
def test_small_batches_give_rows(tmp_path: Path) -> None:
    path = tmp_path / "rows.json"
    chosen = ("--cases", "plate,poisson10", "--no-jax", "--no-memory")
    done = run(*TINY, *chosen, "--json", str(path))
    assert done.returncode == 0, done.stdout + done.stderr
    rows = json.loads(path.read_text())["rows"]
    assert [(row["case"], row["batch"], row["dtype"]) for row in rows] == [
        ("poisson10", 2, "float64"),
        ("plate", 2, "float64"),
    ]
    for row in rows:
        assert row["difference_float64"]["hodsim"] <= 1e-9
        assert row["first"] == "autograd: gradient of gradient"
        assert row["vs_torch"] == pytest.approx(min(row["peers"].values()) / row["ms"])
        assert row["jax"] is None
        assert row["peak_mb"] == {}
        assert row["case"] in done.stdout


@pytest.mark.slow
def test_memory_is_weighed(tmp_path: Path) -> None:
    path = tmp_path / "rows.json"
    done = run(*TINY, "--cases", "plate", "--no-jax", "--json", str(path))
    assert done.returncode == 0, done.stdout + done.stderr
    (row,) = json.loads(path.read_text())["rows"]
    assert set(row["peak_mb"]) == {"hodsim", row["first"], row["torch"]}
    assert all(mb >= 0 for mb in row["peak_mb"].values())


@pytest.mark.slow
@pytest.mark.skipif(find_spec("jax") is None, reason="jax is not installed (extra bench)")
def test_jax_gives_the_same_gradients(tmp_path: Path) -> None:
    path = tmp_path / "rows.json"
    done = run(*TINY, "--cases", "plate", "--no-memory", "--json", str(path))
    assert done.returncode == 0, done.stdout + done.stderr
    (row,) = json.loads(path.read_text())["rows"]
    assert {"jax: jet", "jax: jvp of jvp"} <= set(row["peers"])
    assert row["notes"] == []


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("--cases", "gan"), "expected some of cae/400, cae/200, order2/400"),
        (("--batch", "0"), "expected a whole number of at least 1; given '0'"),
        (("--json", "no/such/folder/x.json"), "in a folder that exists"),
    ],
)
def test_bad_arguments_are_refused_in_one_line(arguments: tuple[str, ...], told: str) -> None:
    done = run(*arguments)
    assert done.returncode == 2
    assert told in done.stderr
    assert done.stderr.count("\n") == 1
