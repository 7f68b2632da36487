"""Fig. 1's app as a user starts it."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path

import pytest
from started import started

APP = Path(__file__).parents[2] / "apps" / "complex_step_error.py"
EPS = 2.0**-52
run = partial(started, APP)


def test_quick_run_writes_picture_numbers_and_table(tmp_path: Path) -> None:
    done = run("--quick", "--out", "pictures", "--json", "numbers.json", folder=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    assert "multicomplex" in done.stdout
    assert (tmp_path / "pictures" / "complex_step.png").read_bytes().startswith(b"\x89PNG")
    result = json.loads((tmp_path / "numbers.json").read_text())
    errors, steps = result["errors"], result["steps"]
    assert steps[:2] == [1.0, 0.1]
    assert {len(values) for values in errors.values()} == {len(steps)}
    # Fig. 1's claim: rounding from 1e-8 to 1e-100 for every complex step, never for differences.
    for name, values in errors.items():
        flat = values[8:101]
        if "FD" in name and "CSFD" not in name:
            assert min(values) > 1e3 * EPS  # at best eps^(2/3), some 1e5 eps, but for luck
            assert flat[-1] == 1.0
        else:
            assert max(flat) < 20 * EPS, name
    # The windows of the rule lie within those measured.
    assert len(result["windows"]) == 8
    for row in result["windows"]:
        low, high = row["measured"]
        assert low <= row["lowest"] < row["default"] < row["highest"] <= high
    assert sorted(path.name for path in tmp_path.iterdir()) == ["numbers.json", "pictures"]


def test_help(tmp_path: Path) -> None:
    done = run("--help", folder=tmp_path)
    assert done.returncode == 0
    for option in ("--out", "--json", "--quick"):
        assert option in done.stdout


@pytest.mark.parametrize(
    "arguments",
    [("--nonsense",), ("extra",), ("--out",), ("--out", "file/inside"), ("--json", "file/x.json")],
)
def test_bad_arguments_are_one_line_and_exit_2(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    (tmp_path / "file").write_text("")
    done = run(*arguments, folder=tmp_path)
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.count("\n") == 1
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
