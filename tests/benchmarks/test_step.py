"""The benchmark of the step runs, says what it did, and refuses what it cannot do. No timing."""

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
KEYS = {
    *("case", "subspace", "vertices", "rank", "tets", "dtype", "bodies", "ms", "cpu_ms"),
    *("iterations", "speedup_vs_full", "speedup_wall", "vs_floor", "notes"),
}


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(BENCHMARKS / "step.py"), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_an_interrupt_keeps_the_cases_that_were_measured(tmp_path: Path) -> None:
    path = tmp_path / "rows.json"
    # The second case takes minutes; the signal comes in it.
    arguments = ("--quick", "--cases", "latent,mesh/5022", "--steps", "3", "--json", str(path))
    with subprocess.Popen(
        [sys.executable, str(BENCHMARKS / "step.py"), *arguments],
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
    assert process.returncode == 130, out + err
    assert "Traceback" not in err
    assert "stopped after 1 of 2 cases" in out
    assert "H100, an ESTIMATE" in out
    report = json.loads(path.read_text())
    rows = report["rows"]
    assert all(row.keys() == KEYS for row in rows)
    assert [f"{row['subspace']}-{row['rank']}" for row in rows] == [
        *("pca-6", "pca-12", "pca-20", "hod-6", "full-None")
    ]
    for row in rows:
        assert (row["case"], row["vertices"], row["bodies"]) == ("latent", 514, 1)
        assert row["ms"] > 0
        assert row["cpu_ms"] > 0
        assert row["iterations"] >= 1
        assert row["speedup_vs_full"] > 0
        assert (row["vs_floor"] is None) == (row["subspace"] == "full")
    assert report["header"]["versions"]["warp-lang"]


@pytest.mark.parametrize(
    "arguments",
    [
        ("--cases", "nope"),
        ("--steps", "0"),
        ("--seed", "-1"),
        ("--json", "no/such/folder/rows.json"),
    ],
)
def test_bad_arguments_are_one_line(arguments: tuple[str, ...]) -> None:
    done = run(*arguments)
    assert done.returncode == 2
    assert done.stdout == ""
    assert len(done.stderr.splitlines()) == 1
    assert "expected" in done.stderr


CHECKS = """
import numpy as np
from step_floor import flops, products
from step_full import KrylovSpace
from step_world import World, shape_functions

from hodsim import beam
from hodsim.dynamics import FullSpace
from hodsim.dynamics.compiled import CompiledSpace, step_cost

level = World(0).coarse

# The floor counts what the step itself counts.
for kind in ("hod", "pca", "quadratic"):
    space = CompiledSpace(level.body, level.loads, level.subspace(kind, 6),
                          level.cubature(kind, 6), 0.02)
    evaluate, matrices = products(space)
    counted = 3.0 * flops(evaluate) + 2.0 * flops(matrices)
    assert abs(counted / step_cost(space, 2.0).flops - 1.0) < 1e-12, kind

# Linear functions are interpolated exactly.
mesh, points = beam(), beam((7, 3, 2)).vertices
assert np.abs(shape_functions(mesh, points) @ mesh.vertices - points).max() < 1e-12

# Conjugate gradients go where the direct solver goes.
spaces = [FullSpace(level.body, level.loads, 0.02),
          *(KrylovSpace(level.body, level.loads, 0.02, preconditioner=p)
            for p in ("cholesky", "block-jacobi"))]
states = [space.start() for space in spaces]
for _ in range(6):
    results = [space.step(state) for space, state in zip(spaces, states)]
    assert all(result.converged for _, result in results)
    states = [state for state, _ in results]
u = [state.z for state in states]
assert np.abs(u[0]).max() > 1e-3
assert max(np.abs(v - u[0]).max() for v in u) < 1e-5 * np.abs(u[0]).max()
"""


def test_its_parts_are_right() -> None:
    path = os.pathsep.join((str(BENCHMARKS), str(BENCHMARKS.parent)))
    done = subprocess.run(
        [sys.executable, "-c", CHECKS],
        env=os.environ | {"PYTHONPATH": path},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.slow
def test_jax_takes_the_same_steps() -> None:
    pytest.importorskip("jax")
    done = run("--quick", "--cases", "jax", "--steps", "2")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "of ours" in done.stdout
