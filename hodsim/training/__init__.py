"""Training a HoD-Net from snapshots."""

from __future__ import annotations

from hodsim.training.fit import FitOptions, fit, pose_weights
from hodsim.training.run import TrainOptions, held_out_of, train

__all__ = ["FitOptions", "TrainOptions", "fit", "held_out_of", "pose_weights", "train"]
