"""Contact of a body with obstacles that stand still: penalty pressure and friction."""

from __future__ import annotations

from hodsim.dynamics.contact.law import Law, Tangent
from hodsim.dynamics.contact.points import SurfacePoints, surface_points
from hodsim.dynamics.contact.reduced import SAMPLE, ReducedContact, Touch
from hodsim.dynamics.contact.solids import Solid, solid_of
from hodsim.dynamics.contact.whole import Contact

__all__ = [
    "SAMPLE",
    "Contact",
    "Law",
    "ReducedContact",
    "Solid",
    "SurfacePoints",
    "Tangent",
    "Touch",
    "solid_of",
    "surface_points",
]
