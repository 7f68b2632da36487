"""The epochs of a fit: Adam over batches of poses, alone or in a team, kept at a checkpoint."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from hodsim.errors import ConvergenceError
from hodsim.networks import HoDNet
from hodsim.snapshots import Snapshots
from hodsim.training.checkpoint import load_checkpoint, save_checkpoint
from hodsim.training.designs import Mask
from hodsim.training.errors import relative_error
from hodsim.training.options import FitOptions
from hodsim.training.team import Team

Report = Callable[[dict[str, Any]], None]


class Fit:
    """The state of a fit: the network, Adam, the epoch, and the history."""

    def __init__(
        self,
        network: HoDNet,
        options: FitOptions,
        masks: list[Mask],
        report: Report | None,
        started: float,
        team: Team,
    ) -> None:
        self.network, self.options, self.report = network, options, report
        self.masks, self.started, self.team = masks, started, team
        self.history: list[dict[str, Any]] = []
        self.stage, self.epoch = 0, 0
        self.optimizer: torch.optim.Adam | None = None
        self.key: dict[str, Any] = {}
        self._moments: dict[int, Any] | None = None  # Adam's, of the checkpoint gone on from.

    def resume(self, checkpoint: Path, key: dict[str, Any]) -> None:
        self.key = key
        found = load_checkpoint(checkpoint, key, self.network)
        if found is not None:
            self.stage, self.epoch, self.history, self._moments = found
            self.started -= self.history[-1]["seconds"]

    def run(
        self,
        stage: int,
        name: str,
        epochs: int,
        rate: float,
        data: Tensor,
        w: Tensor,
        held_out: Snapshots | None,
        checkpoint: Path | None,
    ) -> None:
        """One stage: Adam with a short warm-up, the rate falling to 0 along a cosine."""
        if stage < self.stage:
            return
        network, options = self.network, self.options
        inner = name == "inner"
        outer = {id(network.encoder.project.weight), id(network.decoder.out.weight)}
        params = [q for q in network.parameters() if not (inner and id(q) in outer)]
        self.optimizer = torch.optim.Adam(params, lr=rate)
        if self.epoch and self._moments is not None:
            self.optimizer.load_state_dict({**self.optimizer.state_dict(), "state": self._moments})
        self.stage = stage
        n = len(data)
        per_epoch = max(1, n // options.batch)
        total = epochs * per_epoch
        decode = _inner if inner else _whole
        every = max(1, epochs // 20)
        for epoch in range(self.epoch, epochs):
            generator = torch.Generator().manual_seed(
                1_000_003 * options.seed + 1009 * epoch + stage
            )
            order = torch.randperm(n, generator=generator)
            sum_loss = 0.0
            for k in range(per_epoch):
                rows = order[k * options.batch : (k + 1) * options.batch]
                mine = self.team.share(rows)
                x = data[mine]
                loss = ((decode(network, x) - x).square().sum(1) * w[mine]).sum() / len(rows)
                done = epoch * per_epoch + k
                for group in self.optimizer.param_groups:
                    group["lr"] = rate * _schedule(done / max(1, total))
                self.optimizer.zero_grad()
                loss.backward()
                self.team.add_gradients(params)
                for weight, free in self.masks:
                    assert weight.grad is not None
                    weight.grad.mul_(free)
                self.optimizer.step()
                sum_loss += float(loss.detach())
            train = math.sqrt(self.team.add(sum_loss) / per_epoch)
            if not math.isfinite(train):
                raise ConvergenceError(
                    f"training: the loss is not finite in epoch {epoch + 1} of stage {name}; "
                    "lower the rate"
                )
            self.epoch = epoch + 1
            last = self.epoch == epochs
            row: dict[str, Any] = {"stage": name, "epoch": self.epoch, "epochs": epochs}
            row["train_error"] = train
            if held_out is not None and (last or self.epoch % every == 0):
                row["held_out_error"] = relative_error(network, held_out)
            row["seconds"] = round(time.perf_counter() - self.started, 1)
            self.history.append(row)
            if self.report is not None and self.team.leads:
                self.report(row)
            if checkpoint is not None and self.team.leads and (last or self.epoch % every == 0):
                self._save(checkpoint)
        self.epoch, self._moments = 0, None
        self.stage = stage + 1

    def _save(self, checkpoint: Path) -> None:
        assert self.optimizer is not None
        save_checkpoint(
            checkpoint,
            self.key,
            self.network,
            self.stage,
            self.epoch,
            self.history,
            self.optimizer.state_dict()["state"],
        )


def _inner(network: HoDNet, p: Tensor) -> Tensor:
    return network.decoder.features(network.encoder.latent(p))


def _whole(network: HoDNet, u: Tensor) -> Tensor:
    out: Tensor = network(u)
    return out


def _schedule(t: float) -> float:
    """Warm-up over the first 5 %, then half a cosine down to 0."""
    return t / 0.05 if t < 0.05 else 0.5 * (1.0 + math.cos(math.pi * (t - 0.05) / 0.95))
