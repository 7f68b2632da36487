"""A comparison as one HTML file that opens offline: tables, plots, pictures, how to remake it."""

from __future__ import annotations

from hodsim.viewer.report.page import write_report
from hodsim.viewer.report.worst import Picture, WorstFrame, worst_frames

__all__ = ["Picture", "WorstFrame", "worst_frames", "write_report"]
