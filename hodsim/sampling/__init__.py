"""Snapshots of random full-space motions."""

from __future__ import annotations

from hodsim.sampling.draw import draw_loads
from hodsim.sampling.run import Job, check_snapshots, jobs_of, make_snapshots

__all__ = ["Job", "check_snapshots", "draw_loads", "jobs_of", "make_snapshots"]
