"""The same loads in full space and in subspaces, and how far apart the motions are."""

from __future__ import annotations

from hodsim.comparison.metrics import (
    dofs_of,
    error_over_time,
    relative_rms,
    tip_vertices,
    travel,
    turn,
)
from hodsim.comparison.runs import FULL, Play, Run, Setup, play, setup_of
from hodsim.comparison.spec import Spec, parse_spec, parse_specs

__all__ = [
    "FULL",
    "Play",
    "Run",
    "Setup",
    "Spec",
    "dofs_of",
    "error_over_time",
    "parse_spec",
    "parse_specs",
    "play",
    "relative_rms",
    "setup_of",
    "tip_vertices",
    "travel",
    "turn",
]
