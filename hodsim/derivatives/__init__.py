"""High-order derivatives of torch networks with respect to their input, forward, without a graph.

The paper's Cauchy-Riemann form (Eqs. 6-7, Fig. 2): beside the real values a network carries
imaginary lanes with i_j^2 = 0, each holding a mixed directional derivative itself. A linear layer
maps all lanes as rows of one real matrix product (the bias on the real lane alone); an activation
mixes them by Faa di Bruno's formula. Lanes that lower orders share are carried once, symmetric
ones once, and a repeated direction is one direction.

    contract(f, x, right=[a, b, c])          D^3 f(x)[a, b, c]
    contract(f, x, right=[a, a], left=w)     w . D^2 f(x)[a, a]
    jacobian(f, x), hessian(f, x), third(f, x)
    push(f, x, directions, plan)             any set of lanes in one pass
"""

from hodsim.derivatives.activations import register_activation
from hodsim.derivatives.contract import contract, hessian, jacobian, jvp, push, third
from hodsim.derivatives.lanes import LanePlan, Lanes, concatenate
from hodsim.derivatives.partitions import set_partitions
from hodsim.derivatives.rules import UnknownRuleError, propagate, register_rule

__all__ = [
    "LanePlan",
    "Lanes",
    "UnknownRuleError",
    "concatenate",
    "contract",
    "hessian",
    "jacobian",
    "jvp",
    "propagate",
    "push",
    "register_activation",
    "register_rule",
    "set_partitions",
    "third",
]
