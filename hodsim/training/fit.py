"""The fit: an encoder-decoder to poses, first inside its narrow layers, then as a whole.

Stage "inner" starts the two outermost linear layers at principal directions of the poses and
trains all that lies between them, in their few coordinates; stage "whole" then trains every weight
on the displacements themselves. With random initial weights there is a whole stage only.
"""

from __future__ import annotations

import math
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from hodsim.networks import HoDNet, Shape
from hodsim.snapshots import Snapshots
from hodsim.subspaces import principal_components
from hodsim.training.designs import Mask, constrain
from hodsim.training.epochs import Fit, Report
from hodsim.training.errors import pose_weights
from hodsim.training.options import FitOptions
from hodsim.training.team import Team


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
    w = pose_weights(snapshots, options.evenness)
    # Few poses, as of a quick look, may span less than the network projects to.
    least = min(options.rank, options.projected)
    V, _ = principal_components(snapshots.u, options.projected, least=least)
    projected = V.shape[1]
    shape = Shape(
        snapshots.u.shape[1],
        options.rank,
        options.decoder,
        options.encoder,
        projected,
        options.activation,
    )
    network = HoDNet(shape)
    p = snapshots.u @ V
    scale = float(np.sqrt((p**2).mean() * projected / options.rank))
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
    fitted = Fit(network, options, masks, report, started, team)
    # Batches are drawn by the poses' numbers, so their order counts, too.
    order = list(dict.fromkeys(name.rsplit("-", 1)[0] for name in snapshots.names))
    key = {"options": asdict(options), "poses": snapshots.digest, "order": order}
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
