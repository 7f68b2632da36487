"""Pictures, films and files of motions: arrays come in, nothing is solved here."""

from __future__ import annotations

from hodsim.viewer.bodies import Panel, Row, animation, side_by_side
from hodsim.viewer.contractive import Contraction, images_plot, ratio_plot
from hodsim.viewer.curves import Curve, TetCurve, cubature_plot, error_plot
from hodsim.viewer.export import SERIES, Motion, check_suffix, read_motion, write_motion
from hodsim.viewer.films import check_fps, film, film_kind, picture
from hodsim.viewer.methods import body_title
from hodsim.viewer.sheet import Sheet
from hodsim.viewer.shot import Shot, Solid
from hodsim.viewer.solutions import Errors, Maps, errors_plot, maps_plot
from hodsim.viewer.training import Training, steps_plot, training_plot
from hodsim.viewer.trial import check_drawing

__all__ = [
    "SERIES",
    "Contraction",
    "Curve",
    "Errors",
    "Maps",
    "Motion",
    "Panel",
    "Row",
    "Sheet",
    "Shot",
    "Solid",
    "TetCurve",
    "Training",
    "animation",
    "body_title",
    "check_drawing",
    "check_fps",
    "check_suffix",
    "cubature_plot",
    "error_plot",
    "errors_plot",
    "film",
    "film_kind",
    "images_plot",
    "maps_plot",
    "picture",
    "ratio_plot",
    "read_motion",
    "side_by_side",
    "steps_plot",
    "training_plot",
    "write_motion",
]
