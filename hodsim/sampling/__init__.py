"""Snapshots of random full-space motions."""

from __future__ import annotations

from hodsim.sampling.draw import draw_loads
from hodsim.sampling.run import Job, jobs_of, make_snapshots

__all__ = ["Job", "draw_loads", "jobs_of", "make_snapshots"]
