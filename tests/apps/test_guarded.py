"""The guard's app as a user starts it."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path

from started import started

APP = Path(__file__).parents[2] / "apps" / "guarded.py"
run = partial(started, APP)


def test_a_quick_run_tells_what_the_guard_buys(tmp_path: Path) -> None:
    done = run("--quick", "--json", "numbers.json", folder=tmp_path)
    assert done.returncode == 0, done.stderr
    told = json.loads((tmp_path / "numbers.json").read_text())
    (row,) = told["rows"]
    assert (row["scene"], row["steps"], told["limit"]) == ("other/other-1", 60, 1.0)
    assert 0 < row["full_steps"] < 60
    assert row["guarded_error"] < 0.25 * row["error"]
    assert row["why"][0].startswith("outside the training range")
    assert f"{row['full_steps']} of 60" in done.stdout


def test_full_space_needs_no_guard(tmp_path: Path) -> None:
    done = run("bend", "--subspace", "full", folder=tmp_path)
    assert (done.returncode, done.stderr) == (
        2,
        "guarded.py: subspace: expected one such as hod-6, given full\n",
    )
