"""Training a HoD-Net from snapshots."""

from __future__ import annotations

from hodsim.training.fit import FitOptions, fit, pose_weights
from hodsim.training.run import TrainOptions, train

__all__ = ["FitOptions", "TrainOptions", "fit", "pose_weights", "train"]
