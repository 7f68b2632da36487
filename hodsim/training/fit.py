"""The fit: an encoder-decoder to poses, first inside its narrow layers, then as a whole.

Stage "inner" starts the two outermost linear layers at principal directions of the poses and
trains all that lies between them, in their few coordinates; stage "whole" then trains every weight
on the displacements themselves. With random initial weights there is a whole stage only.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from hodsim.errors import ConvergenceError, InputError
from hodsim.networks import HoDNet, Shape
from hodsim.snapshots import Snapshots
from hodsim.subspaces import principal_components
from hodsim.training.checkpoint import load_checkpoint, save_checkpoint
from hodsim.training.designs import DESIGNS, Mask, constrain
from hodsim.training.team import Team

Report = Callable[[dict[str, Any]], None]


@dataclass(frozen=True)
class FitOptions:
    """How a network is fitted.

    Attributes
    ----------
    rank, decoder, encoder, projected, activation
        The network's `Shape`.
    init
        "pca" (outer layers and skips start at principal directions) or "random".
    epochs, whole_epochs
        Epochs of stage inner (0 with random initial weights) and of stage whole.
    batch, rate, whole_rate
        Poses a batch, and Adam's peak rates of the two stages.
    evenness
        0: every pose's squared error counts the same; 1: every trajectory's relative one.
    seed
        Of initial weights and of the order of poses.
    design, linear
        "hod", or one of its rivals in the same structure, "autoencoder" and "hybrid" (see
        `designs.constrain`), which start at principal directions, keep them, and have no stage
        whole; `linear` is how many coordinates of a hybrid are principal components, half of them
        unless given.
    """

    rank: int = 6
    decoder: tuple[int, ...] = (160, 160)
    encoder: tuple[int, ...] = (256, 256)
    projected: int = 40
    activation: str = "silu"
    init: str = "pca"
    epochs: int = 450
    whole_epochs: int = 3
    batch: int = 512
    rate: float = 3e-3
    whole_rate: float = 1e-4
    evenness: float = 0.9
    seed: int = 2
    design: str = "hod"
    linear: int | None = None

    def __post_init__(self) -> None:
        # A card's lists are tuples here.
        object.__setattr__(self, "decoder", tuple(self.decoder))
        object.__setattr__(self, "encoder", tuple(self.encoder))
        if self.init not in ("pca", "random"):
            raise InputError(f"init: expected pca or random, given {self.init!r}; choose one")
        if min(self.epochs, self.whole_epochs) < 0 or self.batch < 1:
            raise InputError("epochs and batch: expected counts of at least 0 and 1")
        if self.design not in DESIGNS or (self.design != "hod" and self.init != "pca"):
            raise InputError(
                f"design: expected one of {', '.join(DESIGNS)}, the last two from init pca; given "
                f"{self.design!r} from {self.init}"
            )
        if self.design == "hybrid" and self.linear is None:
            object.__setattr__(self, "linear", self.rank // 2)
        fits = self.linear is not None and 0 < self.linear < self.rank
        if not (fits if self.design == "hybrid" else self.linear is None):
            raise InputError(
                "linear: expected, for a hybrid alone, at least 1 coordinate and fewer than its "
                f"rank, given {self.linear} of {self.rank} for {self.design}"
            )


def pose_weights(snapshots: Snapshots, evenness: float) -> np.ndarray:
    """Weight of each pose in the loss, (n_poses,), such that sum w |u|^2 = 1.

    A trajectory of mean square displacement s counts s^-evenness: a twist moves far less than a
    swing, and would otherwise not be learnt. Raises `InputError` for poses that are not finite, or
    that never move.
    """
    if not np.isfinite(snapshots.u).all():
        raise InputError("poses: expected finite displacements, given NaN or inf; remove that pose")
    if not snapshots.u.any():
        raise InputError("poses: expected some that move, given rest alone; sample larger loads")
    square = (snapshots.u.astype(np.float64) ** 2).sum(axis=1)
    k = snapshots.trajectory
    count = np.bincount(k)
    mean = np.bincount(k, square) / np.maximum(count, 1)
    w = np.maximum(mean, 1e-12 * mean.max())[k] ** -evenness
    return np.asarray(w / (w * square).sum())


def fit(
    snapshots: Snapshots,
    options: FitOptions,
    held_out: Snapshots | None = None,
    checkpoint: Path | None = None,
    report: Report | None = None,
    team: Team | None = None,
) -> tuple[HoDNet, list[dict[str, Any]]]:
    """Fit a network to poses; returns it (float64) and the history of its errors.

    Errors are weighted relative RMS reconstruction errors, "seconds" the time since the start,
    that of stopped runs included. With `checkpoint`, a stopped fit of the
    same poses and options goes on where it was, to the same result; the file is left for the
    caller to remove once the network is safe. `report` is given each row of the history as it
    comes. A `team` of processes fits together: each calls this with the same arguments, and the
    first alone writes and reports.

    Raises
    ------
    ConvergenceError
        The loss is no longer finite.
    """
    started = time.perf_counter()
    torch.manual_seed(options.seed)
    shape = Shape(
        snapshots.u.shape[1],
        options.rank,
        options.decoder,
        options.encoder,
        options.projected,
        options.activation,
    )
    network = HoDNet(shape)
    w = pose_weights(snapshots, options.evenness)
    V, _ = principal_components(snapshots.u, options.projected)
    p = snapshots.u @ V
    scale = float(np.sqrt((p**2).mean() * options.projected / options.rank))
    stages: list[tuple[str, int, float]] = [("whole", options.whole_epochs, options.whole_rate)]
    masks: list[Mask] = []
    if options.init == "pca":
        # Without a skip to start from, small parts would only start slowly.
        _start_at_components(network, V, scale, 1.0 if options.design == "autoencoder" else 0.05)
        masks = constrain(network, options.design, options.linear or 0)
        stages.insert(0, ("inner", options.epochs, options.rate))
        stages = stages[: None if options.design == "hod" else 1]
    else:
        _start_at_random(network, scale)
        stages = [("whole", options.epochs, options.rate)]
    team = team or Team()
    network.to(team.device)
    masks = [(weight, free.to(team.device)) for weight, free in masks]
    fitted = _Fit(network, options, masks, report, started, team)
    key = {"options": asdict(options), "poses": _digest(snapshots)}
    if checkpoint is not None:
        fitted.resume(checkpoint, key)
    for k, (name, epochs, rate) in enumerate(stages):
        if name == "inner":
            data, weights = p / scale, len(w) * scale**2 * w
        else:
            data, weights = snapshots.u, len(w) * w
        x, wx = (
            torch.from_numpy(a.astype(np.float32, copy=False)).to(team.device)
            for a in (data, weights)
        )
        fitted.run(k, name, epochs, rate, x, wx, held_out, checkpoint)
    return network.cpu().double().eval().requires_grad_(False), fitted.history


class _Fit:
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


def relative_error(network: HoDNet, poses: Snapshots) -> float:
    """RMS over RMS of the reconstruction error of poses, trajectories weighing as in the loss."""
    w = pose_weights(poses, 1.0)
    device = network.decoder.out.weight.device
    total = 0.0
    with torch.no_grad():
        for rows in np.array_split(np.arange(len(poses.u)), max(1, len(poses.u) // 4096)):
            u = torch.from_numpy(poses.u[rows]).to(device)
            error = (network(u) - u).square().sum(1).double().cpu().numpy()
            total += float(w[rows] @ error)
    return math.sqrt(total)


def _inner(network: HoDNet, p: Tensor) -> Tensor:
    return network.decoder.features(network.encoder.latent(p))


def _whole(network: HoDNet, u: Tensor) -> Tensor:
    out: Tensor = network(u)
    return out


def _schedule(t: float) -> float:
    """Warm-up over the first 5 %, then half a cosine down to 0."""
    return t / 0.05 if t < 0.05 else 0.5 * (1.0 + math.cos(math.pi * (t - 0.05) / 0.95))


def _start_at_components(network: HoDNet, V: np.ndarray, scale: float, small: float) -> None:
    """Outer layers at V, skips at its leading columns, and nonlinear parts small: PCA's error."""
    encoder, decoder = network.encoder, network.decoder
    r = network.shape.rank
    with torch.no_grad():
        encoder.project.weight.copy_(torch.from_numpy(V.T / scale))
        decoder.out.weight.copy_(torch.from_numpy(V * scale))
        encoder.skip.weight.zero_()
        encoder.skip.weight[:, :r] = torch.eye(r)
        encoder.head.weight.mul_(small)
        decoder.mix.weight[:, :-r].mul_(small)
        decoder.mix.weight[:, -r:] = encoder.skip.weight.T


def _start_at_random(network: HoDNet, scale: float) -> None:
    """torch's own initial weights, in units of the data's size."""
    n, k = network.decoder.out.weight.shape
    with torch.no_grad():
        nn.init.normal_(network.encoder.project.weight, std=1.0 / (scale * math.sqrt(k)))
        nn.init.normal_(network.decoder.out.weight, std=scale / math.sqrt(n))


def _digest(snapshots: Snapshots) -> list[Any]:
    return [list(snapshots.u.shape), float(np.abs(snapshots.u).sum(dtype=np.float64))]
