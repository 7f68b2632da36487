"""Cauchy's stress of a deformed body as one number a tet or a vertex: von Mises's."""

# No `from __future__ import annotations` here: Warp reads a kernel's annotations as objects.
from functools import cache
from typing import Any

import numpy as np
import warp as wp

from hodsim.fem.body import Body
from hodsim.fem.elements import gradient, mat, real, vec
from hodsim.kernels import share
from hodsim.materials import lame, law_named

# A tet squeezed to less than this part of its rest volume, or turned inside out, has the stress
# P F^T / 0.01: Cauchy's 1 / J has no limit there, and colours need a number.
LEAST_VOLUME = 0.01


@wp.func
def von_mises_of(F: mat, P: mat):
    """sqrt(3/2 dev sigma : dev sigma) of sigma = P F^T / J."""
    sigma = P * wp.transpose(F) / wp.max(wp.abs(wp.determinant(F)), real(LEAST_VOLUME))
    pressure = wp.trace(sigma) / real(3.0)
    deviator = sigma - pressure * wp.identity(n=3, dtype=real)
    return wp.sqrt(real(1.5) * wp.ddot(deviator, deviator))


@cache
def _kernel(law: str) -> Any:
    named = law_named(law)
    shared, stress = named.shared, named.stress

    @wp.kernel(module="unique", enable_backward=False)
    def von_mises(
        x: wp.array(dtype=vec),
        tets: wp.array(dtype=wp.vec4i),
        inverse: wp.array(dtype=mat),
        a: real,
        b: real,
        out: wp.array(dtype=real),
    ):
        e = wp.tid()
        F = gradient(x, tets[e], inverse[e])
        out[e] = von_mises_of(F, stress(F, shared(F, a, b), a, b))

    return von_mises


class Stress:
    """Von Mises stress of a body, its launch recorded once. One thread at a time."""

    def __init__(self, body: Body) -> None:
        mesh, material = body.mesh, body.material
        law = law_named(material.law)
        edges = mesh.vertices[mesh.tets[:, 1:]] - mesh.vertices[mesh.tets[:, :1]]
        self.body = body
        self._x = mesh.vertices.copy()
        self._out = np.empty(mesh.n_tets)
        self._corners = mesh.tets.ravel()
        self._weights = np.repeat(mesh.volumes, 4)
        self._total = np.bincount(self._corners, self._weights, mesh.n_vertices)
        self._run = wp.launch(
            _kernel(law.name),
            dim=mesh.n_tets,
            inputs=[
                share(self._x, vec),
                wp.array(np.ascontiguousarray(mesh.tets, dtype=np.int32), dtype=wp.vec4i),
                wp.array(np.linalg.inv(edges.transpose(0, 2, 1)), dtype=mat),
                *law.parameters(*lame(material.young, material.poisson)),
                share(self._out, real),
            ],
            device="cpu",
            record_cmd=True,
        )

    def von_mises(self, u: np.ndarray) -> np.ndarray:
        """Von Mises stress [Pa] of each tet, (n_tets,), at displacements u [m], (n_dofs,).

        It is finite for tets of any volume; see `LEAST_VOLUME`.
        """
        free = self.body.free_vertices
        self._x[free] = self.body.mesh.vertices[free] + u.reshape(-1, 3)
        self._run.launch()
        return self._out.copy()

    def at_vertices(self, per_tet: np.ndarray) -> np.ndarray:
        """Mean over the tets around each vertex, weighted by rest volume, (n_vertices,)."""
        weighted = self._weights * np.repeat(per_tet, 4)
        return np.asarray(np.bincount(self._corners, weighted, len(self._total)) / self._total)
