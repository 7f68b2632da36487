"""What poses weigh, and how far a network is from them."""

from __future__ import annotations

import math

import numpy as np
import torch

from hodsim.errors import InputError
from hodsim.networks import HoDNet
from hodsim.snapshots import Snapshots


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
