"""What a subspace is to the integrators: u = B z(q), with z's derivatives as lanes."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np

Form = Literal["network", "quadratic", "linear"]


@dataclass(frozen=True)
class FeatureLanes:
    """Features z(q) and their derivatives at one q; w features, r latent coordinates.

    Attributes
    ----------
    z
        (w,).
    J
        dz/dq, (w, r).
    H
        D^2 z[e_i, e_j], (r, r, w), or None where it was not asked for.
    vv
        D^2 z[v, v], (w,), or None.
    vve
        D^3 z[v, v, e_i], (r, w), or None.
    """

    z: np.ndarray
    J: np.ndarray
    H: np.ndarray | None = None
    vv: np.ndarray | None = None
    vve: np.ndarray | None = None


class Subspace(ABC):
    """A map u = f(q) = B z(q) from r latent coordinates to free displacements, with f(0) = 0.

    B, `basis`, has shape (n_dofs, w); z, the features, are nonlinear for a manifold and q itself
    for a linear subspace. Keeping the two apart is what lets the inertia of a reduced body live in
    w dimensions (METHOD: u' = B z', M enters as B^T M B) and never touch the mesh.

    Attributes
    ----------
    form
        How z depends on q: what a kernel is chosen by.
    kind
        Its name in tables: how it was made ("pca" and "modal" are both linear).
    """

    form: ClassVar[Form]
    kind: str
    basis: np.ndarray

    @property
    @abstractmethod
    def rank(self) -> int:
        """r, the number of latent coordinates."""

    @abstractmethod
    def features(self, q: np.ndarray) -> np.ndarray:
        """z(q), shape (..., w) for q of shape (..., r); z(0) = 0 exactly."""

    @abstractmethod
    def lanes(self, q: np.ndarray, v: np.ndarray | None = None, order: int = 1) -> FeatureLanes:
        """z and its derivatives at q (r,).

        Order 1 gives z and J, and D^2 z[v, v] if v (r,) is given; order 2 adds H; order 3 adds
        D^3 z[v, v, e_i] and needs v.
        """

    @abstractmethod
    def encode(self, u: np.ndarray) -> np.ndarray:
        """Latent coordinates (..., r) of displacements u [m] (..., n_dofs)."""

    def decode(self, q: np.ndarray) -> np.ndarray:
        """Displacements [m] (..., n_dofs) of latent coordinates q (..., r)."""
        return self.features(q) @ self.basis.T

    def reconstruct(self, u: np.ndarray) -> np.ndarray:
        """decode(encode(u)), shape and unit of u."""
        return self.decode(self.encode(u))
