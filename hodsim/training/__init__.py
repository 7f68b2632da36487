"""Training a HoD-Net from snapshots."""

from __future__ import annotations

from hodsim.training.errors import pose_weights
from hodsim.training.fit import fit
from hodsim.training.options import FitOptions
from hodsim.training.page import PAGE, page_of, write_page
from hodsim.training.peers import Poses, fit_peer, reconstruction_error
from hodsim.training.reach import add_reach
from hodsim.training.run import TrainOptions, train
from hodsim.training.split import held_out_of
from hodsim.training.team import leads

__all__ = [
    "PAGE",
    "FitOptions",
    "Poses",
    "TrainOptions",
    "add_reach",
    "fit",
    "fit_peer",
    "held_out_of",
    "leads",
    "page_of",
    "pose_weights",
    "reconstruction_error",
    "train",
    "write_page",
]
