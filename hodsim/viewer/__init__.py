"""Pictures, films and files of motions: arrays come in, nothing is solved here."""

from __future__ import annotations

from hodsim.viewer.bodies import Panel, Row, animation, side_by_side
from hodsim.viewer.curves import Curve, error_plot
from hodsim.viewer.export import SUFFIXES, Motion, write_motion

__all__ = [
    "SUFFIXES",
    "Curve",
    "Motion",
    "Panel",
    "Row",
    "animation",
    "error_plot",
    "side_by_side",
    "write_motion",
]
