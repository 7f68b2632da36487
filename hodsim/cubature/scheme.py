"""`Cubature`: a few tets and weights that stand for the elastic forces of a whole mesh."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from hodsim.errors import InputError
from hodsim.fem import Body
from hodsim.subspaces import Subspace

# Models are stored in float32: what was fitted before the storing is known to this again after it.
_SAME = 1e-4
_AGAIN = "fit one with `hodsim cubature`"


@dataclass(frozen=True, eq=False)
class Cubature:
    """sum_e w_e J^T B_e^T f_e ~ J^T B^T f_int over a few tets e (An, Kim and James 2008).

    Energy, force and stiffness of a tet are linear in its pair of material constants (a, b), so a
    tet of weight w is an ordinary one with the constants (w a, w b).

    Attributes
    ----------
    tets, weights
        Indices of the tets, ascending, (k,) int64, and their weights, all positive, (k,) float64.
    n_tets, mesh
        Number of tets of its mesh, and the mesh's digest.
    subspace, rank
        Kind and rank of the subspace that it was fitted for.
    fingerprint
        A few numbers that tell that subspace from others of its kind, `fingerprint_of`.
    training_error, held_out_error, worst_error
        RMS over the poses fitted to, RMS over those held out, and the worst of these, of the
        relative displacement that the error of the reduced force causes (`samples.Measures`).
    force_error
        RMS over the poses held out of |error of the reduced force| / |reduced force|.
    curve
        Rows (tets, training error, held-out error, force error) of the fit at all numbers of
        tets, (n, 4).
    seed
        What the fit's choices were drawn from.
    command
        How to make it again, where that is known.
    """

    tets: np.ndarray
    weights: np.ndarray
    n_tets: int
    mesh: str
    subspace: str
    rank: int
    fingerprint: np.ndarray
    training_error: float
    held_out_error: float
    worst_error: float
    force_error: float
    curve: np.ndarray
    seed: int
    command: str = ""

    def __post_init__(self) -> None:
        for name, dtype in (
            ("tets", np.int64),
            ("weights", np.float64),
            ("fingerprint", np.float64),
            ("curve", np.float64),
        ):
            array = np.array(getattr(self, name), dtype=dtype)
            array.flags.writeable = False
            object.__setattr__(self, name, array)
        t, w = self.tets, self.weights
        sound = t.ndim == 1 and len(t) > 0 and w.shape == t.shape and self.curve.shape[1:] == (4,)
        sound = sound and bool((np.diff(t) > 0).all()) and t[0] >= 0 and t[-1] < self.n_tets
        if not sound or not (np.isfinite(w).all() and (w > 0.0).all()):
            raise InputError(
                f"cubature: expected ascending tets from 0 to {self.n_tets - 1} with positive "
                "finite weights, given others; fit it again with `hodsim cubature`"
            )

    @property
    def name(self) -> str:
        """Kind and rank of its subspace: "hod-6"."""
        return f"{self.subspace}-{self.rank}"

    def check_mesh(self, body: Body) -> None:
        """Raise `InputError` unless it was fitted on this mesh."""
        if body.mesh.digest != self.mesh or body.mesh.n_tets != self.n_tets:
            raise InputError(
                f"cubature: expected one for this mesh of {body.mesh.n_tets} tets, given one for "
                f"another of {self.n_tets}; {_AGAIN}"
            )

    def check(self, body: Body, subspace: Subspace) -> None:
        """Raise `InputError` unless it was fitted for this mesh and this subspace."""
        self.check_mesh(body)
        if (subspace.kind, subspace.rank) != (self.subspace, self.rank):
            raise InputError(
                f"cubature: expected one for {subspace.kind}-{subspace.rank}, given one for "
                f"{self.name}; {_AGAIN}"
            )
        ours = fingerprint_of(subspace)
        theirs = self.fingerprint
        alike = theirs.shape == ours.shape and np.allclose(
            theirs, ours, rtol=0.0, atol=_SAME * np.abs(ours).max()
        )
        if not alike:
            raise InputError(
                f"cubature: expected one for this {self.name}, given one for another model's; "
                f"{_AGAIN}"
            )


def fingerprint_of(subspace: Subspace, n: int = 6) -> np.ndarray:
    """n moments of the displacements at one fixed q, (n,): smooth in the subspace's parameters."""
    q = 0.1 * np.cos(np.arange(1, subspace.rank + 1))
    u = subspace.decode(q)
    return np.asarray(np.cos(np.outer(np.arange(1, n + 1), np.arange(len(u)))) @ u)
