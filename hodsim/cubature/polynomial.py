"""`Polynomial`: the exact elastic energy of a St. Venant-Kirchhoff body in the features z.

The Green strain of u = B z is quadratic in z and its energy a quadratic form of the strain, so that
the energy is a polynomial of degree four and the force a cubic one (Barbic and James 2005, section
4). Nothing is fitted and nothing of the mesh's size is left: it takes the place of a cubature.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations_with_replacement
from math import comb

import numpy as np

from hodsim.cubature.scheme import fingerprint_of
from hodsim.errors import InputError
from hodsim.fem import Body
from hodsim.files import sha256_of
from hodsim.materials import lame
from hodsim.snapshots import origin_of
from hodsim.subspaces import Subspace

# A basis that differs by more than this makes another polynomial.
_SAME = 1e-11
# Coefficients grow as w^4/24: of 64 features they are 0.8 million.
MAX_WIDTH = 64
# Tets taken at once: some tens of megabytes.
_BLOCK = 256


@dataclass(frozen=True, eq=False)
class Polynomial:
    """E(B z) = K_ij z_i z_j / 2 + C_ijk z_i z_j z_k / 6 + Q_ijkl z_i z_j z_k z_l / 24.

    K, C and Q are symmetric in all their indices; each coefficient is stored once, of ascending
    indices in lexicographic order.

    Attributes
    ----------
    quadratic, cubic, quartic
        K, C and Q [J], of shapes (w (w+1)/2,), (w (w+1) (w+2)/6,) and
        (w (w+1) (w+2) (w+3)/24,) float64.
    width
        w, the number of features.
    subspace, rank
        Kind and rank of the subspace that it was computed for.
    fingerprint
        A few numbers that tell that subspace from others, `scheme.fingerprint_of`.
    origin
        Digest of the mesh, the clamps and the elastic constants.

    Raises
    ------
    InputError
        Arrays of other shapes, or numbers that are not finite.
    """

    quadratic: np.ndarray
    cubic: np.ndarray
    quartic: np.ndarray
    width: int
    subspace: str
    rank: int
    fingerprint: np.ndarray
    origin: str

    def __post_init__(self) -> None:
        w = self.width
        if not 1 <= w <= MAX_WIDTH:
            raise InputError(f"polynomial: expected 1 to {MAX_WIDTH} features, given {w}")
        for name, degree in (("quadratic", 2), ("cubic", 3), ("quartic", 4)):
            array, n = getattr(self, name), comb(w + degree - 1, degree)
            if array.shape != (n,) or not np.isfinite(array).all():
                raise InputError(
                    f"polynomial: expected {n} finite {name} coefficients of {w} features, given "
                    f"others of shape {array.shape}; compute it again with `hodsim cubature`"
                )
            array.flags.writeable = False

    @property
    def name(self) -> str:
        """Kind and rank of its subspace: "pca-12"."""
        return f"{self.subspace}-{self.rank}"

    def check(self, body: Body, subspace: Subspace) -> None:
        """Raise `InputError` unless it is that of this body in this subspace."""
        given, theirs = fingerprint_of(subspace), self.fingerprint
        same = (subspace.kind, subspace.rank) == (self.subspace, self.rank)
        same = same and subspace.basis.shape[1] == self.width and given.shape == theirs.shape
        if not same or np.abs(given - theirs).max() > _SAME * np.abs(given).max():
            raise InputError(
                f"polynomial: expected one for this {subspace.kind}-{subspace.rank}, given one for "
                f"another {self.name}; compute it again with `hodsim cubature`"
            )
        if self.origin != elastic_origin(body):
            raise InputError(
                "polynomial: expected one for this body, given one for another mesh, clamps or "
                "material; compute it again with `hodsim cubature`"
            )

    @cached_property
    def pairs(self) -> np.ndarray:
        """Where the pair i, j stands among those with i <= j, symmetric, (w, w)."""
        return _pairs(self.width)

    @cached_property
    def slopes(self) -> tuple[np.ndarray, np.ndarray]:
        """C as a matrix (pairs, w), and Q as one (pairs, pairs) times how often a pair is met:
        the derivatives of K by z and by the products z_k z_l, k <= l."""
        w, pairs = self.width, self.pairs
        C, Q = np.empty((len(self.quadratic), w)), np.empty((len(self.quadratic),) * 2)
        i, j, k = _ascending(w, 3)
        for a, b, c in ((i, j, k), (i, k, j), (j, k, i)):
            C[pairs[a, b], c] = self.cubic
        i, j, k, m = _ascending(w, 4)
        for a, b, c, d in ((i, j, k, m), (i, k, j, m), (i, m, j, k)):
            Q[pairs[a, b], pairs[c, d]] = Q[pairs[c, d], pairs[a, b]] = self.quartic
        i, j = _ascending(w, 2)
        return C, Q * np.where(i == j, 1.0, 2.0)


def elastic_polynomial(
    body: Body, subspace: Subspace, progress: Callable[[int, int], None] | None = None
) -> Polynomial:
    """The elastic energy of a body in a subspace, as the polynomial that it is.

    In a tet, the feature i gives the displacement the gradient G_i, and the Green strain is
    s_i z_i + b_ij z_i z_j / 2 with s = sym G_i and b_ij = sym G_i^T G_j; the Gram matrix of all s
    and b in the inner product of the law, summed over the tets, holds every coefficient. It is
    summed over blocks of tets; `progress(done, total)` is told of each.

    Raises
    ------
    InputError
        A material other than stvk, a subspace of another body, or one of more than `MAX_WIDTH`
        features.
    """
    check_law(body)
    material, w = body.material, subspace.basis.shape[1]
    if subspace.basis.shape[0] != body.n_dofs:
        raise InputError(
            f"subspace: expected {body.n_dofs} free degrees of freedom, as the body has; given "
            f"one of {subspace.basis.shape[0]}; train one for this body"
        )
    if w > MAX_WIDTH:
        raise InputError(
            f"polynomial: expected at most {MAX_WIDTH} features, given {w} of {subspace.kind}-"
            f"{subspace.rank}; choose a smaller rank, or use a cubature"
        )
    i, j = _ascending(w, 2)
    gram, m = np.zeros((w + len(i),) * 2), body.mesh.n_tets
    mu, lam = lame(material.young, material.poisson)
    for first in range(0, m, _BLOCK):
        if progress is not None:
            progress(first, m)
        tets = np.arange(first, min(first + _BLOCK, m))
        G = gradients(body, subspace.basis, tets)
        strain = 0.5 * (G + G.swapaxes(-1, -2))
        product = np.einsum("nepa,nepb->neab", G[i], G[j], optimize=True)
        product = 0.5 * (product + product.swapaxes(-1, -2))
        E = np.concatenate([strain, product])
        volume = body.mesh.volumes[tets]
        flat = E.reshape(len(E), -1)
        gram += flat @ (E * (2.0 * mu * volume)[:, None, None]).reshape(len(E), -1).T
        trace = np.trace(E, axis1=-2, axis2=-1)
        gram += (trace * (lam * volume)) @ trace.T
    if progress is not None:
        progress(m, m)
    K, A, D = gram[:w, :w], gram[:w, w:], gram[w:, w:]
    pairs = _pairs(w)
    a, b, c = _ascending(w, 3)
    p, q, r, s = _ascending(w, 4)
    return Polynomial(
        quadratic=K[i, j],
        cubic=A[a, pairs[b, c]] + A[b, pairs[a, c]] + A[c, pairs[a, b]],
        quartic=D[pairs[p, q], pairs[r, s]]
        + D[pairs[p, r], pairs[q, s]]
        + D[pairs[p, s], pairs[q, r]],
        width=w,
        subspace=subspace.kind,
        rank=subspace.rank,
        fingerprint=fingerprint_of(subspace),
        origin=elastic_origin(body),
    )


def check_law(body: Body) -> None:
    """Raise `InputError` unless the body's elastic energy is a polynomial."""
    if body.material.law != "stvk":
        raise InputError(
            f"polynomial: expected the material law stvk, whose energy is one, given "
            f"{body.material.law!r}; use a cubature, or set material.law"
        )


def work_of(body: Body, subspace: Subspace) -> float:
    """Floating-point operations that `elastic_polynomial` takes, about."""
    w = subspace.basis.shape[1]
    return 20.0 * body.mesh.n_tets * float(w + w * (w + 1) // 2) ** 2


def gradients(body: Body, basis: np.ndarray, tets: np.ndarray) -> np.ndarray:
    """Displacement gradients du/dX of some tets for columns u of a basis (n_dofs, w),
    (w, n, 3, 3)."""
    corners = body.mesh.tets[tets]
    x = body.mesh.vertices[corners]
    inverse = np.linalg.inv((x[:, 1:] - x[:, :1]).transpose(0, 2, 1))
    u = body.expand(np.ascontiguousarray(basis.T))[:, corners]
    return np.asarray((u[:, :, 1:] - u[:, :, :1]).swapaxes(-1, -2) @ inverse)


def elastic_origin(body: Body) -> str:
    """Digest of what the elastic energy depends on: mesh, clamps, law and its constants."""
    origin, material = origin_of(body), body.material
    given = [material.law, material.young, material.poisson]
    return sha256_of([origin["mesh"], origin["free_vertices"], *given])


def _ascending(w: int, degree: int) -> np.ndarray:
    """All ascending indices below w, one row for each place, (degree, n)."""
    found = list(combinations_with_replacement(range(w), degree))
    return np.array(found, dtype=np.int64).reshape(-1, degree).T


def _pairs(w: int) -> np.ndarray:
    i, j = np.triu_indices(w)
    at = np.empty((w, w), dtype=np.int64)
    at[i, j] = at[j, i] = np.arange(len(i))
    return at
