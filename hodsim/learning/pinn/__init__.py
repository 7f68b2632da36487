"""Partial differential equations solved by networks (paper, Application IV, Eq. 13, Fig. 7)."""

from hodsim.learning.pinn.domain import Box
from hodsim.learning.pinn.examples import EXAMPLES, example
from hodsim.learning.pinn.field import AutogradField, Field, LaneField
from hodsim.learning.pinn.keeping import Point
from hodsim.learning.pinn.operators import biharmonic, gradient, laplacian, partial
from hodsim.learning.pinn.problem import Problem, tanh_network
from hodsim.learning.pinn.run import Plan, Trained, train
from hodsim.learning.pinn.stages import METHODS, Stage

__all__ = [
    "EXAMPLES",
    "METHODS",
    "AutogradField",
    "Box",
    "Field",
    "LaneField",
    "Plan",
    "Point",
    "Problem",
    "Stage",
    "Trained",
    "biharmonic",
    "example",
    "gradient",
    "laplacian",
    "partial",
    "tanh_network",
    "train",
]
