"""Tetrahedral meshes: the type, reading and writing, filled surfaces, and primitives."""

from __future__ import annotations

from hodsim.mesh.bridge import widest_gap
from hodsim.mesh.clean import MeshFile, parts, pieces
from hodsim.mesh.files import open_mesh, read_mesh, write_mesh
from hodsim.mesh.plates import pierced, starfish
from hodsim.mesh.primitives import beam
from hodsim.mesh.surface import fill_surface, is_surface
from hodsim.mesh.sweep import arm, torus
from hodsim.mesh.tetmesh import TetMesh, scaled

__all__ = [
    "MeshFile",
    "TetMesh",
    "arm",
    "beam",
    "fill_surface",
    "is_surface",
    "open_mesh",
    "parts",
    "pieces",
    "pierced",
    "read_mesh",
    "scaled",
    "starfish",
    "torus",
    "widest_gap",
    "write_mesh",
]
