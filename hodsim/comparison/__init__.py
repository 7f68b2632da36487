"""The same loads in full space and in subspaces, and how far apart the motions are."""

from __future__ import annotations

from hodsim.comparison.cases import (
    INTEGRATORS,
    OTHER,
    Case,
    cases_of,
    is_other,
    without_cases,
)
from hodsim.comparison.cells import Cell, Store, Worst, cells_of
from hodsim.comparison.engine import Crash, each
from hodsim.comparison.library import Library
from hodsim.comparison.measure import HELD_OUT, Run, body_name, family_of
from hodsim.comparison.metrics import error_over_time, relative_rms, travel, turn
from hodsim.comparison.runs import FULL, Play, play
from hodsim.comparison.study import run_cells
from hodsim.comparison.summary import Group, Match, grouped, matches_of, summary_of

__all__ = [
    "FULL",
    "HELD_OUT",
    "INTEGRATORS",
    "OTHER",
    "Case",
    "Cell",
    "Crash",
    "Group",
    "Library",
    "Match",
    "Play",
    "Run",
    "Store",
    "Worst",
    "body_name",
    "cases_of",
    "cells_of",
    "each",
    "error_over_time",
    "family_of",
    "grouped",
    "is_other",
    "matches_of",
    "play",
    "relative_rms",
    "run_cells",
    "summary_of",
    "travel",
    "turn",
    "without_cases",
]
