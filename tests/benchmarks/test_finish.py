"""The benchmark of finishing a fit runs, tells true errors, and refuses. No timing."""

from __future__ import annotations

import importlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from started import started

from hodsim.networks import HoDNet, Shape
from hodsim.snapshots import Snapshots
from hodsim.training import pose_weights

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.mark.slow
def test_a_quick_run_has_a_row_for_every_look(tmp_path: Path) -> None:
    path = tmp_path / "rows.json"
    done = started(BENCHMARKS / "finish.py", "--quick", "--json", path)
    assert done.returncode == 0, done.stderr
    rows = json.loads(path.read_text())["rows"]
    first, rest, *others = rows
    assert (first["optimizer"], first["seconds"]) == ("checkpoint", 0.0)
    names = ["Adam, a new cosine", "L-BFGS", "Newton-Krylov"]
    assert list(dict.fromkeys(r["optimizer"] for r in others)) == names
    for name in names:
        own = [r for r in others if r["optimizer"] == name]
        assert own[-1]["seconds"] >= 2.0
        assert own[-1]["trained_on"] < first["trained_on"]
        assert own[-1]["steps"] > 0
        assert name in done.stdout
    assert rest["trained_on"] < first["trained_on"]


def test_errors_are_those_of_decoded_poses(monkeypatch: pytest.MonkeyPatch) -> None:
    """In the outer layers' coordinates, and of what they cannot reach; against whole poses."""
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    finish: Any = importlib.import_module("finish")
    torch.manual_seed(1)
    network = HoDNet(Shape(30, 2, (9, 8), (7,), 5))
    scale = 0.3
    V = np.linalg.qr(np.random.default_rng(2).normal(size=(30, 5)))[0].astype(np.float32)
    with torch.no_grad():
        network.encoder.project.weight.copy_(torch.from_numpy(V.T / scale))
        network.decoder.out.weight.copy_(torch.from_numpy(V * scale))
    u = np.random.default_rng(3).normal(size=(40, 30)).astype(np.float32)
    poses = Snapshots(u, np.repeat(np.arange(4), 10), ("a-0", "a-1", "a-2", "a-3"), {})
    seen, unseen = poses.split(["a-3"])
    found, _ = finish.Checkpoint(network, seen, unseen, 0.9).errors(network)
    with torch.no_grad():
        missed = (network(torch.from_numpy(seen.u)).numpy() - seen.u).astype(np.float64)
    wanted = np.sqrt(pose_weights(seen, 0.9) @ (missed**2).sum(1))
    assert found == pytest.approx(wanted, rel=1e-5)  # float32


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ((), "expected --snapshots DIR"),
        (("--epochs", "0", "--quick"), "expected a whole number of at least 1"),
        (("--json", "/none/rows.json", "--quick"), "in a folder that exists"),
    ],
)
def test_what_makes_no_sense_is_refused(arguments: tuple[str, ...], told: str) -> None:
    done = started(BENCHMARKS / "finish.py", *arguments)
    assert done.returncode == 2
    assert told in done.stderr
    assert done.stderr.count("\n") == 1
