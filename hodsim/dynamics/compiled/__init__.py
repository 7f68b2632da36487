"""The reduced step compiled: one kernel launch steps one or many bodies, on CPU or CUDA."""

from __future__ import annotations

from hodsim.dynamics.compiled.batch import Batch, simulate_batch
from hodsim.dynamics.compiled.cost import Cost, step_cost
from hodsim.dynamics.compiled.space import CompiledSpace
from hodsim.dynamics.compiled.touching import TouchingSpace

__all__ = ["Batch", "CompiledSpace", "Cost", "TouchingSpace", "simulate_batch", "step_cost"]
