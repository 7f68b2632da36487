"""The full-space finite-element model: bodies of linear tets, loads on them, sparse solves."""

from __future__ import annotations

from hodsim.fem.body import Body, body_of, damped, make_body, make_mesh
from hodsim.fem.loads import Loads, ReducedLoads
from hodsim.fem.solve import SingularError, factorization, pardiso_available
from hodsim.fem.tip import dofs_of, tip_vertices

__all__ = [
    "Body",
    "Loads",
    "ReducedLoads",
    "SingularError",
    "body_of",
    "damped",
    "dofs_of",
    "factorization",
    "make_body",
    "make_mesh",
    "pardiso_available",
    "tip_vertices",
]
