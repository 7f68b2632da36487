"""Finetuning from a checkpoint: optimisers compared at one budget (paper, Application I, Fig. 4).

    problem = problem_of("lenet5", shortened(read_mnist(folder), 5000, 2000))
    done = study(problem, Plan(("newton-krylov", "adam"), budget=2000), Store("out"))
    for result in done.results:
        print(result.method, result.best, result.mean("loss"))

The budget is in gradient-equivalents, the measured time of one forward and backward pass of a
batch: gradients, losses and curvature products are charged at their measured costs, and what an
optimiser does beside them by the clock.
"""

from hodsim.learning.finetune.costs import Costs, measure_costs
from hodsim.learning.finetune.methods import METHODS, Method, methods_of
from hodsim.learning.finetune.points import Point, evaluate
from hodsim.learning.finetune.problem import NETWORKS, Problem, problem_of
from hodsim.learning.finetune.runs import Job, Run, run
from hodsim.learning.finetune.starts import Checkpoint, Start, checkpoint
from hodsim.learning.finetune.store import Store
from hodsim.learning.finetune.studies import Plan, Result, Study, study
from hodsim.learning.images import shortened

__all__ = [
    "METHODS",
    "NETWORKS",
    "Checkpoint",
    "Costs",
    "Job",
    "Method",
    "Plan",
    "Point",
    "Problem",
    "Result",
    "Run",
    "Start",
    "Store",
    "Study",
    "checkpoint",
    "evaluate",
    "measure_costs",
    "methods_of",
    "problem_of",
    "run",
    "shortened",
    "study",
]
