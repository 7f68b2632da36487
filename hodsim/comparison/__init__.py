"""The same loads in full space and in subspaces, and how far apart the motions are."""

from __future__ import annotations

from hodsim.comparison.metrics import error_over_time, relative_rms, travel, turn
from hodsim.comparison.runs import FULL, Play, Run, play

__all__ = ["FULL", "Play", "Run", "error_over_time", "play", "relative_rms", "travel", "turn"]
