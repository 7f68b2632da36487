"""Assembly of forces and stiffness over a fixed sparsity pattern of the free vertices."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.sparse as sp
import warp as wp

from hodsim.fem import elements
from hodsim.fem.elements import element_kernels, mat, real, vec
from hodsim.kernels import share
from hodsim.mesh import TetMesh


@dataclass(frozen=True)
class Pattern:
    """CSR pattern of the 3 x 3 blocks that free vertices of common tets share.

    `free[v]` is the row of vertex v among the free ones, or -1. `block_source` lists, block by
    block (`block_start`), the positions in the (n_tets, 4, 4) element blocks that add up to it;
    `first` and `stride` say where a block's entries stand in the CSR data.
    """

    free: np.ndarray
    n: int
    indptr: np.ndarray
    indices: np.ndarray
    block_start: np.ndarray
    block_source: np.ndarray
    first: np.ndarray
    stride: np.ndarray

    def matrix(self, data: np.ndarray) -> sp.csr_array:
        """The CSR matrix (3n, 3n) with these data; the pattern's arrays are shared, not copied."""
        m = sp.csr_array((3 * self.n, 3 * self.n))
        m.data, m.indices, m.indptr = data, self.indices, self.indptr
        m.has_sorted_indices = m.has_canonical_format = True
        return m


def make_pattern(tets: np.ndarray, n_vertices: int, fixed: np.ndarray) -> Pattern:
    """The pattern of a mesh whose vertices `fixed` are eliminated."""
    free = np.full(n_vertices, -1, dtype=np.int64)
    keep = np.setdiff1d(np.arange(n_vertices), fixed)
    n = len(keep)
    free[keep] = np.arange(n)
    row = np.repeat(free[tets], 4, axis=1).ravel()
    col = np.tile(free[tets], (1, 4)).ravel()
    # A vertex's own block is always there (mass), even if no other free vertex meets it.
    source = np.flatnonzero((row >= 0) & (col >= 0))
    key, where = np.unique(row[source] * n + col[source], return_inverse=True)
    order = np.argsort(where, kind="stable")
    block_row, block_col = key // n, key % n
    per_row = np.bincount(block_row, minlength=n)
    row_start = np.concatenate([[0], np.cumsum(per_row)])
    k = np.arange(len(key)) - row_start[block_row]
    axis = np.arange(3)
    columns = (3 * block_col[:, None] + axis).astype(np.int32)
    indptr = np.concatenate([[0], np.cumsum(np.repeat(3 * per_row, 3))]).astype(np.int32)
    stride = (3 * per_row[block_row]).astype(np.int32)
    first = (9 * row_start[block_row] + 3 * k).astype(np.int32)
    indices = np.empty(9 * len(key), dtype=np.int32)
    for i in axis:
        indices[(first + i * stride)[:, None] + axis] = columns
    counts = np.bincount(where, minlength=len(key))
    return Pattern(
        free=free,
        n=n,
        indptr=indptr,
        indices=indices,
        block_start=np.concatenate([[0], np.cumsum(counts)]).astype(np.int32),
        block_source=source[order].astype(np.int32),
        first=first,
        stride=stride,
    )


class Assembly:
    """Elastic energy, internal force and stiffness of a mesh of linear tets, as functions of u.

    u holds the displacements [m] of the free vertices, shape (3n,); fixed vertices stay at rest.
    Launches are recorded once and replayed, and every array is reused: what a method returns is a
    copy of the caller's own unless it says otherwise.
    """

    def __init__(
        self, mesh: TetMesh, law: str, a: np.ndarray, b: np.ndarray, fixed: np.ndarray
    ) -> None:
        pattern = make_pattern(mesh.tets, mesh.n_vertices, fixed)
        self.pattern = pattern
        self._keep = np.flatnonzero(pattern.free >= 0)
        self._rest = mesh.vertices[self._keep]
        self._x = mesh.vertices.copy()
        m = mesh.n_tets
        edges = mesh.vertices[mesh.tets[:, 1:]] - mesh.vertices[mesh.tets[:, :1]]
        inverse = np.ascontiguousarray(np.linalg.inv(edges.transpose(0, 2, 1)))
        self._energy = np.empty(m)
        self._forces = np.empty((3 * pattern.n,))
        self._data = np.empty(len(pattern.indices))
        order = np.argsort(mesh.tets.ravel(), kind="stable")
        vertex = mesh.tets.ravel()[order]
        order = order[pattern.free[vertex] >= 0]
        counts = np.bincount(pattern.free[mesh.tets.ravel()[order]], minlength=pattern.n)
        start = np.concatenate([[0], np.cumsum(counts)]).astype(np.int32)

        tets = wp.array(np.ascontiguousarray(mesh.tets, dtype=np.int32), dtype=wp.vec4i)
        common = [
            share(self._x, vec),
            tets,
            wp.array(inverse, dtype=mat),
            wp.array(mesh.volumes, dtype=real),
            wp.array(a, dtype=real),
            wp.array(b, dtype=real),
        ]
        self._common, self._kernels = common, element_kernels(law)
        self._pushed: dict[int, tuple[Any, np.ndarray, np.ndarray, np.ndarray]] = {}
        element_f = wp.empty((m, 4), dtype=vec, device="cpu")
        element_k = wp.empty((m, 4, 4), dtype=mat, device="cpu")
        kernels = self._kernels

        def record(kernel: Any, dim: int, inputs: list[Any]) -> Any:
            return wp.launch(kernel, dim=dim, inputs=inputs, device="cpu", record_cmd=True)

        self._run_energy = record(kernels.energy, m, [*common, share(self._energy, real)])
        self._run_force = record(kernels.force, m, [*common, element_f])
        self._run_both = record(kernels.force_and_stiffness, m, [*common, element_f, element_k])
        self._sum_forces = record(
            elements.gather_forces,
            pattern.n,
            [
                element_f.flatten(),
                wp.array(start, dtype=wp.int32),
                wp.array(order.astype(np.int32), dtype=wp.int32),
                share(self._forces.reshape(-1, 3), vec),
            ],
        )
        self._sum_blocks = record(
            elements.gather_blocks,
            len(pattern.first),
            [
                element_k.flatten(),
                *(
                    wp.array(x, dtype=wp.int32)
                    for x in (
                        pattern.block_start,
                        pattern.block_source,
                        pattern.first,
                        pattern.stride,
                    )
                ),
                share(self._data, real),
            ],
        )

    def _place(self, u: np.ndarray) -> None:
        self._x[self._keep] = self._rest + u.reshape(-1, 3)

    def energy(self, u: np.ndarray) -> float:
        """Elastic energy [J]."""
        self._place(u)
        self._run_energy.launch()
        return float(self._energy.sum())

    def force(self, u: np.ndarray) -> np.ndarray:
        """Internal force dE/du [N], shape (3n,)."""
        self._place(u)
        self._run_force.launch()
        self._sum_forces.launch()
        return self._forces.copy()

    def force_and_stiffness(self, u: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Internal force [N] (3n,), and the CSR data [N/m] of its derivative K = d^2E/du^2.

        The data are a view that the next call overwrites: `pattern.matrix` makes a matrix of them.
        """
        self._place(u)
        self._run_both.launch()
        self._sum_forces.launch()
        self._sum_blocks.launch()
        return self._forces.copy(), self._data

    def projected_stiffness(self, u: np.ndarray, U: np.ndarray) -> np.ndarray:
        """U^T K(u) U [N/m], (r, r), for directions U (3n, r), tet by tet: K is never assembled."""
        r = U.shape[1]
        if r not in self._pushed:
            m = len(self._energy)
            dF, dP = np.empty((r, m, 9)), np.empty((r, m, 9))
            directions = np.zeros((len(self._x), r, 3))
            run = wp.launch(
                self._kernels.strain_and_stress,
                dim=m,
                inputs=[
                    *self._common,
                    share(directions, vec),
                    share(dF.reshape(r, m, 3, 3), mat),
                    share(dP.reshape(r, m, 3, 3), mat),
                ],
                device="cpu",
                record_cmd=True,
            )
            self._pushed[r] = run, directions, dF.reshape(r, -1), dP.reshape(r, -1)
        run, directions, strain, stress = self._pushed[r]
        self._place(u)
        directions[self._keep] = U.reshape(-1, 3, r).transpose(0, 2, 1)
        run.launch()
        return np.asarray(strain @ stress.T)
