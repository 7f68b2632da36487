"""Two processes that fit one network together, as torchrun starts them, beside one alone."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from small import SCENE

from hodsim.errors import InputError
from hodsim.subspaces import load_model
from hodsim.training.team import Team, joined

TORCHRUN = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node"]
OPTIONS = ["--trajectories", "6", "--rank", "2", "--epochs", "40", "--workers", "1"]


def train(home: Path, processes: int) -> Path:
    out = home / f"by-{processes}"
    command = [*TORCHRUN, str(processes)] if processes > 1 else [sys.executable]
    done = subprocess.run(
        [
            *(*command, "-m", "hodsim.cli", "train", str(home / "small.toml"), "--out", str(out)),
            *("--snapshots", str(home / "snapshots"), *OPTIONS),
        ],
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("wrote ") == 1  # one of them writes and tells
    return out


def curve(out: Path) -> np.ndarray:
    history = json.loads((out / "model.json").read_text())["history"]
    assert len(history) >= 20
    return np.array([(row["train_error"], row["held_out_error"]) for row in history])


def test_two_processes_have_the_loss_curve_of_one(tmp_path: Path) -> None:
    scene = SCENE.replace('[subspace]\nmodel = "model"\n', "").replace("steps = 8", "steps = 40")
    (tmp_path / "small.toml").write_text(scene)
    one, two = (train(tmp_path, n) for n in (1, 2))
    # Gradients agree to float32's rounding, 6e-8 of a number, which some hundred steps of Adam
    # carry on; a share counted twice or left out changes the first row by a large part.
    assert curve(two)[0] == pytest.approx(curve(one)[0], rel=1e-4)
    assert curve(two) == pytest.approx(curve(one), rel=2e-2)
    q = torch.linspace(-0.5, 0.5, 6, dtype=torch.float64).reshape(3, 2)
    a, b = (load_model(out).network.decoder(q).detach() for out in (one, two))
    assert float((a - b).norm() / a.norm()) < 1e-2


def test_shares_are_a_batch_each_row_once() -> None:
    rows = torch.arange(7)
    shares = [Team(rank, 3).share(rows) for rank in range(3)]
    assert sorted(torch.cat(shares).tolist()) == list(range(7))


def test_each_takes_its_own_gpu_before_the_group_begins(monkeypatch: pytest.MonkeyPatch) -> None:
    """The order alone, recorded in the places of CUDA and of torch.distributed."""
    told: list[tuple[str, object]] = []
    monkeypatch.setenv("LOCAL_RANK", "1")
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "set_device", lambda k: told.append(("device", k)))
    dist = torch.distributed
    monkeypatch.setattr(dist, "init_process_group", lambda kind, **_: told.append(("group", kind)))
    monkeypatch.setattr(dist, "get_rank", lambda: 1)
    monkeypatch.setattr(dist, "destroy_process_group", lambda: told.append(("end", None)))
    with joined("cuda") as team:
        assert (team.rank, team.size, team.device) == (1, 2, "cuda:1")
    assert told == [("device", 1), ("group", "nccl"), ("end", None)]


def test_a_device_that_is_not_there_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InputError, match="expected cpu or cuda, given 'tpu'"), joined("tpu"):
        pass
    monkeypatch.setenv("LOCAL_RANK", str(torch.cuda.device_count()))
    with pytest.raises(InputError, match="expected at least"), joined("cuda"):
        pass
