"""Partial differential equations solved by networks (paper, Application IV, Eq. 13, Fig. 7).

    problem = Problem(
        residual=lambda u, x: laplacian(u, x) - f(x),
        boundary=lambda u, x: u(x) - g(x),
        domain=Box.cube(2),
    )
    done = train(problem, Plan((Stage("gauss-newton", 40, 64, 16, outer=1000),)))
    done(x)

The derivatives in a residual are lanes through the network, all that it asks for in one pass, and
autograd goes through them to the parameters. Gauss-Newton steps are solved in the space of
residuals, J J^T made of lanes without J.
"""

from hodsim.learning.pinn.domain import Box
from hodsim.learning.pinn.examples import EXAMPLES, example
from hodsim.learning.pinn.field import AutogradField, Field, LaneField
from hodsim.learning.pinn.keeping import Point
from hodsim.learning.pinn.operators import biharmonic, gradient, laplacian, partial
from hodsim.learning.pinn.plans import plan_of
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
    "plan_of",
    "tanh_network",
    "train",
]
