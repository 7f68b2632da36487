"""The benchmark of training steps runs, compares, and refuses. No timing."""

from __future__ import annotations

import json
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest
import torch
from zoo import agree

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


@pytest.mark.parametrize("jax", [False, True])
@pytest.mark.parametrize("name", ["cae/400", "order2/200", "pinn/5", "poisson10", "plate"])
def test_every_rival_has_the_same_loss_and_gradient_on_a_small_network(
    name: str, jax: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    cases = import_module("training_cases")
    if jax:
        pytest.importorskip("jax", reason="jax is not installed (extra bench)")
    rivals = import_module("training_jax" if jax else "training_cases").RIVALS
    task = cases.Task(name, 3, torch.float64, 1, small=True)
    ours = cases.flat(cases.make(cases.OURS, task)())
    for label in rivals[task.case.kind]:
        agree(cases.flat(cases.make(label, task)()), ours, rtol=1e-9)


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
