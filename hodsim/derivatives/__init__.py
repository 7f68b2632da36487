"""High-order derivatives of torch networks and functions, forward and backward, without a graph.

The paper's Cauchy-Riemann form (Eqs. 6-7, Fig. 2): beside the real values a network carries
imaginary lanes with i_j^2 = 0, each holding a mixed directional derivative itself. A linear layer
maps all lanes as rows of one real matrix product (the bias on the real lane alone); an activation
mixes them by Faa di Bruno's formula, a product by Leibniz's. Lanes that lower orders share are
carried once, symmetric ones once, and a repeated direction is one direction. CSFD-BP is
backpropagation done on lanes.

    contract(f, x, [a, b, c])                D^3 f(x)[a, b, c]
    contract(f, x, [a, b], left=w, free=1)   D^3 (w . f)(x)[a, b, .]
    jvp, vjp, hvp, jacobian, hessian, third, hessian_diagonal, laplacian, biharmonic
    jacobian_norm2, hessian_diagonal_norm2   squared norms for losses; derivative_norms2: both
    linearise(f, x, loss).hvp(v), .gnvp(v)   many products with curvature at one point
    push(f, x, directions, plan)             any set of lanes in one pass
    explain(f, x, ...)                       which scheme that takes, and why
    complex_step(f, x, [a, b])               the same by multicomplex numbers and a real step (CSFD)
"""

from hodsim.derivatives.complex_step import complex_step, step_window
from hodsim.derivatives.contract import (
    contract,
    explain,
    hessian,
    hessian_diagonal,
    hvp,
    jacobian,
    jvp,
    push,
    third,
    vjp,
)
from hodsim.derivatives.curvature import Curvature, linearise
from hodsim.derivatives.lane_tensor import LaneTensor
from hodsim.derivatives.lanes import LanePlan, Lanes
from hodsim.derivatives.multicomplex import Multicomplex
from hodsim.derivatives.norms import derivative_norms2, hessian_diagonal_norm2, jacobian_norm2
from hodsim.derivatives.operations import register_activation
from hodsim.derivatives.operators import biharmonic, laplacian
from hodsim.derivatives.partitions import set_partitions
from hodsim.derivatives.planner import Choice
from hodsim.derivatives.point import Matrix
from hodsim.derivatives.rules import UnknownRuleError, register_rule

__all__ = [
    "Choice",
    "Curvature",
    "LanePlan",
    "LaneTensor",
    "Lanes",
    "Matrix",
    "Multicomplex",
    "UnknownRuleError",
    "biharmonic",
    "complex_step",
    "contract",
    "derivative_norms2",
    "explain",
    "hessian",
    "hessian_diagonal",
    "hessian_diagonal_norm2",
    "hvp",
    "jacobian",
    "jacobian_norm2",
    "jvp",
    "laplacian",
    "linearise",
    "push",
    "register_activation",
    "register_rule",
    "set_partitions",
    "step_window",
    "third",
    "vjp",
]
