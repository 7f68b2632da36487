"""Partial differential equations solved by networks (paper, Application IV, Eq. 13, Fig. 7)."""

from hodsim.learning.pinn.domain import Box
from hodsim.learning.pinn.examples import EXAMPLES, example
from hodsim.learning.pinn.field import AutogradField, Field, LaneField
from hodsim.learning.pinn.operators import biharmonic, gradient, laplacian, partial
from hodsim.learning.pinn.problem import Problem, tanh_network

__all__ = [
    "EXAMPLES",
    "AutogradField",
    "Box",
    "Field",
    "LaneField",
    "Problem",
    "biharmonic",
    "example",
    "gradient",
    "laplacian",
    "partial",
    "tanh_network",
]
