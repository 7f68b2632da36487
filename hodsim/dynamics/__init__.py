"""Implicit time integration in full and in reduced coordinates."""

from __future__ import annotations

from hodsim.dynamics.full import FullSpace
from hodsim.dynamics.newton import NewtonResult, newton
from hodsim.dynamics.reduced import FORMULATIONS, ReducedSpace, Terms
from hodsim.dynamics.schemes import Motion, Rates, rates
from hodsim.dynamics.substeps import Substepping
from hodsim.dynamics.trajectory import Integrator, State, Trajectory, simulate

__all__ = [
    "FORMULATIONS",
    "FullSpace",
    "Integrator",
    "Motion",
    "NewtonResult",
    "Rates",
    "ReducedSpace",
    "State",
    "Substepping",
    "Terms",
    "Trajectory",
    "newton",
    "rates",
    "simulate",
]
