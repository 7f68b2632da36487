"""`Body`: a mesh made of a material, clamped somewhere, with mass and damping."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import scipy.sparse as sp

from hodsim.errors import InputError
from hodsim.fem.assembly import Assembly, Pattern
from hodsim.materials import lame, law_named
from hodsim.mesh import TetMesh, beam, read_mesh, scaled
from hodsim.scene import Damping, MaterialSpec, MeshSpec, Scene, select


@dataclass(frozen=True)
class Body:
    """A deformable body, its clamped vertices eliminated.

    All vectors below hold the free degrees of freedom, shape (n_dofs,): x, y, z of free vertex 0,
    then of free vertex 1, and so on, in the order of `free_vertices`.

    Attributes
    ----------
    mesh, material
        What it is made of.
    free_vertices
        Indices of the vertices that move, ascending.
    elastic
        Energy, internal force and stiffness as functions of the displacement.
    mass_kind, rayleigh
        How mass and damping were made.
    mass, damping
        M [kg] and C [kg/s], CSR (n_dofs, n_dofs), both on the pattern of the stiffness.
    rounding
        Norm of the internal force that rounding alone makes, per metre of position [N/m].
    """

    mesh: TetMesh
    material: MaterialSpec
    mass_kind: str
    rayleigh: Damping
    free_vertices: np.ndarray
    elastic: Assembly
    mass: sp.csr_array
    damping: sp.csr_array
    rounding: float

    @property
    def n_dofs(self) -> int:
        """Number of free degrees of freedom, three a free vertex."""
        return 3 * len(self.free_vertices)

    @property
    def pattern(self) -> Pattern:
        """Where the entries of all its matrices stand."""
        return self.elastic.pattern

    def expand(self, u: np.ndarray) -> np.ndarray:
        """Displacements [m] of all vertices, shape (..., n_vertices, 3), from (..., n_dofs)."""
        full = np.zeros((*u.shape[:-1], self.mesh.n_vertices, 3))
        full[..., self.free_vertices, :] = u.reshape(*u.shape[:-1], -1, 3)
        return full

    def restrict(self, full: np.ndarray) -> np.ndarray:
        """The free degrees of freedom (..., n_dofs) of vectors (..., n_vertices, 3)."""
        return full[..., self.free_vertices, :].reshape(*full.shape[:-2], -1)

    def energy(self, u: np.ndarray) -> float:
        """Elastic energy [J] at displacements u [m], shape (n_dofs,)."""
        return self.elastic.energy(u)

    def kinetic_energy(self, v: np.ndarray) -> float:
        """v . M v / 2 [J] at velocities v [m/s], shape (n_dofs,)."""
        return 0.5 * float(v @ (self.mass @ v))

    def force(self, u: np.ndarray) -> np.ndarray:
        """Internal force dE/du [N], shape (n_dofs,): what the body opposes to u."""
        return self.elastic.force(u)

    def stiffness(self, u: np.ndarray) -> sp.csr_array:
        """K = d^2E/du^2 [N/m], CSR (n_dofs, n_dofs)."""
        return self.pattern.matrix(self.elastic.force_and_stiffness(u)[1].copy())

    def force_noise(self, u: np.ndarray) -> float:
        """|f_int| [N] that the rounding of positions makes at u: no smaller force means anything.

        A position x is known to eps |x|, and K turns that into force. Measured: 0.02 to 0.4 of
        this, on meshes of 1 to 1280 cells, 1 mm to 10 m long, moved by up to 100 m.
        """
        reach = float(np.abs(self.mesh.vertices).max() + np.abs(u).max())
        return self.rounding * reach


def make_body(
    mesh: TetMesh,
    material: MaterialSpec,
    fixed: np.ndarray,
    mass: str = "lumped",
    damping: Damping | None = None,
) -> Body:
    """A body of that mesh whose vertices `fixed` (indices) do not move.

    `mass` is "lumped" (a quarter of each tet to each of its vertices) or "consistent". Damping is
    Rayleigh's, with the stiffness at rest.

    Raises
    ------
    InputError
        Every vertex is fixed, or nothing is and the density is 0 (nothing would hold the body);
        a vertex to fix that the mesh does not have; another kind of mass.
    """
    fixed = np.unique(np.asarray(fixed, dtype=np.int64))
    if len(fixed) and not 0 <= fixed[0] <= fixed[-1] < mesh.n_vertices:
        raise InputError(
            f"fixed: expected vertex indices from 0 to {mesh.n_vertices - 1}, given "
            f"{fixed[0]} to {fixed[-1]}; choose among the mesh's own vertices"
        )
    if mass not in ("lumped", "consistent"):
        raise InputError(f"mass: expected lumped or consistent, given {mass!r}; choose one")
    if len(fixed) == mesh.n_vertices:
        raise InputError(
            f"clamps: expected at least one free vertex, given a region with all {len(fixed)}"
        )
    if not len(fixed) and material.density == 0.0:
        raise InputError(
            "body: expected mass or a clamp to hold it, given density 0 and no clamped vertex; "
            "set material.density [kg/m^3] or add a [[clamp]]"
        )
    damping = damping or Damping()
    law = law_named(material.law)
    a, b = law.parameters(*lame(material.young, material.poisson))
    ones = np.ones(mesh.n_tets)
    elastic = Assembly(mesh, law.name, a * ones, b * ones, fixed)
    pattern = elastic.pattern
    m = _mass_data(mesh, pattern, material.density, mass)
    rest = elastic.force_and_stiffness(np.zeros(3 * pattern.n))[1]
    c = damping.mass * m + damping.stiffness * rest
    return Body(
        mesh=mesh,
        material=material,
        mass_kind=mass,
        rayleigh=damping,
        free_vertices=np.flatnonzero(pattern.free >= 0),
        elastic=elastic,
        mass=pattern.matrix(m),
        damping=pattern.matrix(c),
        rounding=float(
            np.finfo(np.float64).eps
            * np.linalg.norm(np.add.reduceat(np.abs(rest), pattern.indptr[:-1]))
        ),
    )


def damped(body: Body, damping: Damping) -> Body:
    """The same body with another Rayleigh damping; all else is shared with it."""
    rest = body.elastic.force_and_stiffness(np.zeros(body.n_dofs))[1]
    c = damping.mass * body.mass.data + damping.stiffness * rest
    return replace(body, rayleigh=damping, damping=body.pattern.matrix(c))


def make_mesh(spec: MeshSpec) -> TetMesh:
    """The mesh that a scene names: a file, or the beam primitive."""
    if spec.file is not None:
        return scaled(read_mesh(spec.file), spec.scale)
    assert spec.beam is not None
    return beam(spec.beam.cells, spec.beam.size)


def body_of(scene: Scene) -> Body:
    """The body that a scene describes. Raises `InputError` for what cannot be built."""
    mesh = make_mesh(scene.mesh)
    chosen = [select(region, mesh.vertices, mesh.tags) for region in scene.clamps]
    fixed = np.concatenate(chosen) if chosen else np.empty(0, dtype=np.int64)
    return make_body(mesh, scene.material, fixed, scene.mass, scene.damping)


def _mass_data(mesh: TetMesh, pattern: Pattern, density: float, kind: str) -> np.ndarray:
    """CSR data of M on the pattern: rho V/20 (1 + delta_ab) each, or rho V/4 on the diagonal."""
    weights = np.full((4, 4), 0.05) + 0.05 * np.eye(4) if kind == "consistent" else 0.25 * np.eye(4)
    element = (density * mesh.volumes[:, None, None] * weights).ravel()
    starts = pattern.block_start[:-1]
    block = np.add.reduceat(element[pattern.block_source], starts)
    data = np.zeros(len(pattern.indices))
    for i in range(3):
        data[pattern.first + i * pattern.stride + i] = block
    return data
