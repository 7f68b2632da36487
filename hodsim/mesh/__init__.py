"""Tetrahedral meshes: the type, reading and writing, and primitives."""

from __future__ import annotations

from hodsim.mesh.files import read_mesh, write_mesh
from hodsim.mesh.plates import pierced, starfish
from hodsim.mesh.primitives import beam
from hodsim.mesh.sweep import arm, torus
from hodsim.mesh.tetmesh import TetMesh

__all__ = [
    "TetMesh",
    "arm",
    "beam",
    "pierced",
    "read_mesh",
    "starfish",
    "torus",
    "write_mesh",
]
