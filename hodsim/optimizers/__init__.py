"""Training by exact curvature: Newton-Krylov finetuning and its rival, Hessian-free optimisation.

    optimizer = NewtonKrylov(network.parameters(), damping=1e-2, adapt=True)
    optimizer.look(batches)                     # the global gradient, for skipping batches
    for batch in batches:                       # Batch(network, loss, x, y)
        optimizer.step(batch)
        print(optimizer.record)

Products come from hodsim.derivatives (CSFD-BP), through `products` alone.
"""

from hodsim.optimizers.base import CurvatureOptimizer
from hodsim.optimizers.cg import Solution, Stop, conjugate_gradients
from hodsim.optimizers.hessian_free import HessianFree
from hodsim.optimizers.newton_krylov import NewtonKrylov
from hodsim.optimizers.objective import Batch, Objective
from hodsim.optimizers.record import Record, Spent

__all__ = [
    "Batch",
    "CurvatureOptimizer",
    "HessianFree",
    "NewtonKrylov",
    "Objective",
    "Record",
    "Solution",
    "Spent",
    "Stop",
    "conjugate_gradients",
]
