"""Pictures, films and files of motions: arrays come in, nothing is solved here."""

from __future__ import annotations

from hodsim.viewer.bodies import Panel, Row, animation, side_by_side
from hodsim.viewer.curves import Curve, TetCurve, cubature_plot, error_plot
from hodsim.viewer.export import Motion, check_suffix, write_motion

__all__ = [
    "Curve",
    "Motion",
    "Panel",
    "Row",
    "TetCurve",
    "animation",
    "check_suffix",
    "cubature_plot",
    "error_plot",
    "side_by_side",
    "write_motion",
]
