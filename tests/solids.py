"""What any closed mesh must have: an oracle of surface, volume and angles of tets."""

from __future__ import annotations

import numpy as np

from hodsim import TetMesh


def euler(mesh: TetMesh) -> int:
    """V - E + F of the surface, whose every edge must have one triangle on each of its sides."""
    surface = mesh.surface
    edges = np.concatenate([surface[:, [0, 1]], surface[:, [1, 2]], surface[:, [2, 0]]])
    assert len(np.unique(edges, axis=0)) == len(edges)
    assert {tuple(e) for e in edges} == {tuple(e[::-1]) for e in edges}
    return len(np.unique(surface)) - len(edges) // 2 + len(surface)


def enclosed(mesh: TetMesh) -> float:
    """Volume inside the surface [m^3]."""
    a, b, c = np.moveaxis(mesh.vertices[mesh.surface], 1, 0)
    return float(np.einsum("ij,ij->", a, np.cross(b, c)) / 6)


def dihedrals(mesh: TetMesh) -> np.ndarray:
    """The six angles between faces of each tet [degrees], shape (6, n_tets)."""
    corners = np.moveaxis(mesh.vertices[mesh.tets], 1, 0)
    normals = []
    for k in range(4):
        a, b, c = np.delete(corners, k, axis=0)
        normal = np.cross(b - a, c - a)
        outward = np.einsum("ij,ij->i", normal, a - corners[k])
        normals.append(normal * (np.sign(outward) / np.linalg.norm(normal, axis=1))[:, None])
    cos = [-np.einsum("ij,ij->i", normals[i], normals[j]) for i in range(4) for j in range(i)]
    return np.degrees(np.arccos(cos))
