"""Training a HoD-Net from snapshots."""

from __future__ import annotations

from hodsim.training.fit import FitOptions, fit, pose_weights
from hodsim.training.reach import add_reach
from hodsim.training.run import TrainOptions, train
from hodsim.training.split import held_out_of

__all__ = [
    "FitOptions",
    "TrainOptions",
    "add_reach",
    "fit",
    "held_out_of",
    "pose_weights",
    "train",
]
