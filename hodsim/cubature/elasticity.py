"""The elasticity of a body as a reduced integrator sees it: functions of the features z."""

from __future__ import annotations

from abc import ABC, abstractmethod

import numpy as np

from hodsim.cubature.polynomial import Polynomial
from hodsim.cubature.scheme import Cubature
from hodsim.errors import InputError
from hodsim.fem import Body
from hodsim.fem.assembly import Assembly
from hodsim.materials import lame, law_named
from hodsim.mesh import TetMesh
from hodsim.subspaces import Subspace


class Elasticity(ABC):
    """Elastic energy E(B z) and its derivatives by z, for a basis B (n_dofs, w)."""

    @abstractmethod
    def energy(self, z: np.ndarray) -> float:
        """E(B z) [J]."""

    @abstractmethod
    def force(self, z: np.ndarray) -> np.ndarray:
        """B^T f_int(B z) [N m], or whatever z makes of it, shape (w,)."""

    @abstractmethod
    def stiffness(self, z: np.ndarray, J: np.ndarray) -> np.ndarray:
        """J^T B^T K(B z) B J, (r, r), for directions J (w, r)."""

    @abstractmethod
    def noise(self, z: np.ndarray, J: np.ndarray) -> float:
        """|J^T B^T f_int| that rounding alone can make: |B J| times the noise of f_int."""


class WholeMesh(Elasticity):
    """Every tet of the body, so a cost that grows with its mesh."""

    def __init__(self, body: Body, basis: np.ndarray) -> None:
        self._body, self._basis, self._gram = body, basis, basis.T @ basis

    def energy(self, z: np.ndarray) -> float:
        return self._body.energy(self._basis @ z)

    def force(self, z: np.ndarray) -> np.ndarray:
        return np.asarray(self._body.force(self._basis @ z) @ self._basis)

    def stiffness(self, z: np.ndarray, J: np.ndarray) -> np.ndarray:
        B = self._basis
        return self._body.elastic.projected_stiffness(B @ z, B @ J)

    def noise(self, z: np.ndarray, J: np.ndarray) -> float:
        stretch = float(np.sqrt(np.vdot(J, self._gram @ J)))
        return stretch * self._body.force_noise(self._basis @ z)


class Sampled(Elasticity):
    """The tets of a cubature and the rows of B that they touch: nothing of the mesh's size.

    `basis` holds those rows, `gram` is their basis^T basis; `far` [m] is the largest coordinate of
    a touched vertex, and `rounding` [N/m] the force's norm that rounding makes per metre of it.

    Raises `InputError` for a cubature of another mesh, or one whose tets are all clamped.
    """

    def __init__(self, body: Body, basis: np.ndarray, cubature: Cubature) -> None:
        cubature.check_mesh(body)
        corners = body.mesh.tets[cubature.tets]
        vertices, places = np.unique(corners, return_inverse=True)
        free = body.pattern.free[vertices]
        if (free < 0).all():
            raise InputError(
                f"cubature: expected a tet that moves, given {len(corners)} clamped ones; "
                "fit it again with `hodsim cubature`"
            )
        mesh = TetMesh(body.mesh.vertices[vertices], places.reshape(corners.shape))
        a, b = constants(body)
        w = cubature.weights
        self._elastic = Assembly(mesh, body.material.law, a * w, b * w, np.flatnonzero(free < 0))
        rows = 3 * free[free >= 0, None] + np.arange(3)
        self.basis = np.ascontiguousarray(basis[rows.ravel()])
        self.gram = self.basis.T @ self.basis
        self.far = float(np.abs(mesh.vertices).max())
        rest = self._elastic.force_and_stiffness(np.zeros(rows.size))[1]
        sums = np.add.reduceat(np.abs(rest), self._elastic.pattern.indptr[:-1])
        self.rounding = float(np.finfo(np.float64).eps * np.linalg.norm(sums))

    def energy(self, z: np.ndarray) -> float:
        return self._elastic.energy(self.basis @ z)

    def force(self, z: np.ndarray) -> np.ndarray:
        return np.asarray(self._elastic.force(self.basis @ z) @ self.basis)

    def stiffness(self, z: np.ndarray, J: np.ndarray) -> np.ndarray:
        B = self.basis
        return self._elastic.projected_stiffness(B @ z, B @ J)

    def noise(self, z: np.ndarray, J: np.ndarray) -> float:
        reach = self.far + float(np.abs(self.basis @ z).max())
        return float(np.sqrt(np.vdot(J, self.gram @ J))) * self.rounding * reach


class Quartic(Elasticity):
    """The polynomial of degree four that the energy of a St. Venant-Kirchhoff body is, exactly.

    With the slopes C and Q of K (`Polynomial.slopes`), a = C z and b = Q (z x z), the stiffness is
    K + a + b/2, the force (K + a/2 + b/6) z and the energy z . (K + a/3 + b/12) z / 2.

    Raises `InputError` for the polynomial of another body or subspace.
    """

    def __init__(self, body: Body, subspace: Subspace, polynomial: Polynomial) -> None:
        polynomial.check(body, subspace)
        B = subspace.basis
        self._K, self._pairs = polynomial.quadratic, polynomial.pairs
        self._C, self._Q = polynomial.slopes
        self._i, self._j = np.triu_indices(polynomial.width)
        self._gram, self._rounding = B.T @ B, body.rounding
        self._far = float(np.abs(body.mesh.vertices).max())
        self._swing = float(np.linalg.norm(B, axis=1).max())

    def _matrix(self, z: np.ndarray, cubic: float, quartic: float) -> np.ndarray:
        """K + cubic C z + quartic Q (z x z), (w, w)."""
        entries = self._K + cubic * (self._C @ z)
        entries += quartic * (self._Q @ (z[self._i] * z[self._j]))
        return np.asarray(entries[self._pairs])

    def energy(self, z: np.ndarray) -> float:
        return float(0.5 * z @ self._matrix(z, 1.0 / 3.0, 1.0 / 12.0) @ z)

    def force(self, z: np.ndarray) -> np.ndarray:
        return self._matrix(z, 1.0 / 2.0, 1.0 / 6.0) @ z

    def stiffness(self, z: np.ndarray, J: np.ndarray) -> np.ndarray:
        return np.asarray(J.T @ self._matrix(z, 1.0, 1.0 / 2.0) @ J)

    def noise(self, z: np.ndarray, J: np.ndarray) -> float:
        # That of all tets, which is the larger one: no positions are rounded here.
        reach = self._far + self._swing * float(np.linalg.norm(z))
        return float(np.sqrt(np.vdot(J, self._gram @ J))) * self._rounding * reach


def elasticity_of(
    body: Body, subspace: Subspace, scheme: Cubature | Polynomial | None
) -> Elasticity:
    """The elasticity of a body in a subspace by a scheme, by all tets if None.

    Raises `InputError` for a scheme of another body or subspace.
    """
    if isinstance(scheme, Polynomial):
        return Quartic(body, subspace, scheme)
    if scheme is None:
        return WholeMesh(body, subspace.basis)
    scheme.check(body, subspace)
    return Sampled(body, subspace.basis, scheme)


def constants(body: Body) -> tuple[float, float]:
    """The two constants of the body's law, the same for all its tets."""
    material = body.material
    return law_named(material.law).parameters(*lame(material.young, material.poisson))
