"""Implicit time integration in full and in reduced coordinates."""

from __future__ import annotations

from hodsim.dynamics.applied import Applied, Spring
from hodsim.dynamics.full import FullSpace
from hodsim.dynamics.guard import Guarded, GuardedState
from hodsim.dynamics.newton import NewtonResult, newton
from hodsim.dynamics.reduced import FORMULATIONS, ReducedSpace, Terms
from hodsim.dynamics.schemes import Motion, Rates, rates
from hodsim.dynamics.setup import Setup, setup_of
from hodsim.dynamics.spec import Spec, parse_spec, parse_specs
from hodsim.dynamics.substeps import Substepping, anew
from hodsim.dynamics.trajectory import Integrator, State, Trajectory, hold, simulate

__all__ = [
    "FORMULATIONS",
    "Applied",
    "FullSpace",
    "Guarded",
    "GuardedState",
    "Integrator",
    "Motion",
    "NewtonResult",
    "Rates",
    "ReducedSpace",
    "Setup",
    "Spec",
    "Spring",
    "State",
    "Substepping",
    "Terms",
    "Trajectory",
    "anew",
    "hold",
    "newton",
    "parse_spec",
    "parse_specs",
    "rates",
    "setup_of",
    "simulate",
]
