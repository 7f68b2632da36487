"""The benchmark runs, says what it did, and refuses what it cannot do. Nothing is timed here."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
TINY = ("--quick", "--cases", "tiny/elu", "--rounds", "1")


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(BENCHMARKS / "derivatives.py"), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_a_tiny_case_gives_rows(tmp_path: Path) -> None:
    path = tmp_path / "rows.json"
    done = run(*TINY, "--quantities", "jacobian,number", "--peers", "func,jax", "--json", str(path))
    assert done.returncode == 0, done.stderr
    report = json.loads(path.read_text())
    assert [row["quantity"] for row in report["rows"]] == ["jacobian", "number"]
    for row in report["rows"]:
        assert (row["case"], row["dtype"], row["batch"]) == ("tiny/elu", "float64", 1)
        assert row["ms"] > 0
        assert row["vs_torch"] > 0
        assert row["vs_floor"] > 0
        assert isinstance(row["scheme"], str)
        assert row["peak_mb"]["ours"] >= 0
        assert any(name.startswith("torch.func: ") for name in row["peers"])
        assert isinstance(row["notes"], list)
        # jax is an extra: there or not, its absence is said and the rest goes on.
        assert (row["vs_jax"] is None) == ("jax" in report["header"]["absent"])
    assert report["header"]["versions"]["torch"]
    assert "tiny/elu" in done.stdout


def test_every_quantity_agrees_with_reverse_mode(tmp_path: Path) -> None:
    path = tmp_path / "rows.json"
    arguments = ("--cases", "tiny/silu", "--rounds", "1", "--batches", "3", "--dtypes", "float64")
    done = run(*arguments, "--peers", "autograd", "--no-memory", "--json", str(path))
    assert done.returncode == 0, done.stdout + done.stderr
    rows = json.loads(path.read_text())["rows"]
    assert len(rows) == 6
    assert not any("error" in row for row in rows)
    assert all(row["vs_torch"] > 0 for row in rows)


def test_an_interrupt_keeps_what_was_measured(tmp_path: Path) -> None:
    path = tmp_path / "rows.json"
    arguments = ("--cases", "tiny", "--peers", "none", "--rounds", "200", "--seconds", "3")
    command = [sys.executable, str(BENCHMARKS / "derivatives.py"), *arguments, "--no-memory"]
    with subprocess.Popen(
        [*command, "--json", str(path)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # A shell starts what runs in the background deaf to this signal.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    ) as process:
        while not path.exists() and process.poll() is None:
            time.sleep(0.05)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate()
    assert process.returncode == 130, err
    rows = json.loads(path.read_text())["rows"]
    assert 1 <= len(rows) < 48
    assert f"stopped after {len(rows)} of 48 rows" in out
    assert "Traceback" not in err


def test_disagreement_is_an_error() -> None:
    code = """
import ours
from cases import CASES, problem
from rows import Bench, Settings
right = ours.jacobian
ours.jacobian = lambda f, x: right(f, x) * (1 + 1e-6)
bench = Bench(Settings(("func",), 1, 1.0, 0, None, ()), lambda what: None)
row = bench.row(problem(CASES["tiny/elu"], "jacobian", "float64", 1, 0))
assert "disagree" in row["error"] and row["ms"] is None, row
"""
    path = os.pathsep.join((str(BENCHMARKS), str(BENCHMARKS.parent)))
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=os.environ | {"PYTHONPATH": path},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def test_what_does_not_fit_is_said() -> None:
    code = """
from cases import CASES, problem
from rows import Bench, Settings
bench = Bench(Settings((), 1, 1.0, 0, None, ()), lambda what: None)
row = bench.row(problem(CASES["200-200/200"], "hessian", "float64", 64, 0))
assert row["ms"] is None and row["notes"][0].startswith("skipped"), row
"""
    path = os.pathsep.join((str(BENCHMARKS), str(BENCHMARKS.parent)))
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=os.environ | {"PYTHONPATH": path},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    "arguments",
    [
        ("--cases", "50-50"),
        ("--quantities", "fourth"),
        ("--dtypes", "float16"),
        ("--batches", "0"),
        ("--rounds", "x"),
        ("--peers", "numpy"),
        ("--json", "/no/such/folder/rows.json"),
        ("--nonsense",),
    ],
)
def test_bad_arguments_are_one_line(arguments: tuple[str, ...]) -> None:
    done = run(*arguments)
    assert done.returncode == 2
    assert done.stdout == ""
    assert len(done.stderr.splitlines()) == 1
    assert arguments[0] in done.stderr
