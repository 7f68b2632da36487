"""The benchmark of the live viewer runs and reports what it says it does. No timing."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
LABELS = {"full", "pca-6", "hod-6"}
SPREAD = {"median", "p90", "max"}


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(BENCHMARKS / "live.py"), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)


def ordered(spread: dict[str, float]) -> bool:
    assert spread.keys() == SPREAD
    return 0.0 < spread["median"] <= spread["p90"] <= spread["max"]


def test_a_short_run_has_the_whole_report(tmp_path: Path) -> None:
    path = tmp_path / "live.json"
    done = run("--quick", "--seconds", "0.5", "--json", str(path))
    assert done.returncode == 0, done.stderr
    report = json.loads(path.read_text())
    assert json.loads(done.stdout) == report
    assert report.keys() == {"latency_ms", "steps_per_second", "drawing", "rough"}
    assert ordered(report["latency_ms"])
    assert report["steps_per_second"].keys() == LABELS
    assert all(rate > 0.0 for rate in report["steps_per_second"].values())
    drawing = report["drawing"]
    assert drawing.keys() == {"latency_ms", "frames_per_second", "worst_lag_s"}
    assert ordered(drawing["latency_ms"])
    assert drawing["frames_per_second"] > 0.0
    rough = report["rough"]
    assert rough.keys() == {"seconds", "actions", "refused", "memory_mb"}
    assert rough["seconds"] == 0.5
    assert sum(rough["actions"].values()) > 0
    assert rough["memory_mb"].keys() == {"after_a_third", "end", "largest"}
    assert 0.0 < rough["memory_mb"]["end"] <= rough["memory_mb"]["largest"]


def test_bad_arguments_are_refused() -> None:
    done = run("--seconds", "long")
    assert (done.returncode, done.stdout) == (2, "")
    assert "Traceback" not in done.stderr
