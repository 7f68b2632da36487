"""Hyperelastic laws, one file each: energy density, first Piola stress and tangent of F.

Every law is written once, as Warp functions generic in the scalar type, and serves the full-space
assembly, the reduced step and (through `evaluate`) anyone who wants numbers for a given F.
"""

from hodsim.materials.law import LAWS, Law, evaluate, lame, law_named

__all__ = ["LAWS", "Law", "evaluate", "lame", "law_named"]
