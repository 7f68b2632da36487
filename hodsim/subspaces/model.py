"""A trained model's folder: the network, and the linear and quadratic rivals of the same poses."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import safetensors
import safetensors.numpy

from hodsim.errors import InputError
from hodsim.fem import Body
from hodsim.files import atomic
from hodsim.networks import HoDNet, load_network, save_network
from hodsim.snapshots import origin_of
from hodsim.subspaces.hod import HoD
from hodsim.subspaces.pca import Linear
from hodsim.subspaces.quadratic import Quadratic
from hodsim.subspaces.subspace import Subspace

KINDS = ("hod", "pca", "quadratic")
_RIVALS = "rivals.safetensors"


@dataclass(frozen=True)
class Model:
    """What training leaves for one body.

    Attributes
    ----------
    network
        The HoD-Net.
    components
        Principal directions of the training poses, (n_dofs, k), the leading ones first.
    quadratic
        W of the quadratic manifold of the network's rank, (n_dofs, r (r + 1) / 2).
    card
        Where all this comes from: `card["origin"]` is the body's, the rest tells data, seed,
        losses and command.
    """

    network: HoDNet
    components: np.ndarray
    quadratic: np.ndarray
    card: dict[str, Any]

    def subspace(self, kind: str, rank: int | None = None) -> Subspace:
        """The subspace of that kind; `rank` is the network's own unless given (PCA: any up to k).

        Raises `InputError` for an unknown kind or a rank that the model does not have.
        """
        r = self.network.shape.rank
        if kind not in KINDS:
            raise InputError(f"subspace: expected one of {', '.join(KINDS)}; given {kind!r}")
        most = self.components.shape[1]
        chosen = r if rank is None else rank
        if kind == "pca" and not 1 <= chosen <= most:
            raise InputError(f"rank: expected 1 to {most} for pca, given {rank}")
        if kind != "pca" and rank not in (None, r):
            raise InputError(f"rank: expected {r}, the rank of this {kind} model, given {rank}")
        if kind == "pca":
            return Linear(self.components[:, :chosen])
        if kind == "quadratic":
            return Quadratic(self.components[:, :r], self.quadratic)
        return HoD(self.network)

    def check(self, body: Body) -> None:
        """Raise `InputError` unless the model was trained for this body."""
        ours, theirs = origin_of(body), self.card["origin"]
        differ = sorted(k for k, v in ours.items() if v != theirs.get(k))
        if differ:
            raise InputError(
                f"model: expected one trained for this body, given one for another (different "
                f"{', '.join(differ)}); train one with `hodsim train`"
            )


def save_model(folder: str | Path, model: Model) -> None:
    """Write a model's folder: rivals and weights first, the card last, each in one move."""
    folder = Path(folder)
    arrays = {"components": model.components, "quadratic": model.quadratic}
    with atomic(folder / _RIVALS) as path:
        safetensors.numpy.save_file(
            {k: np.ascontiguousarray(v, dtype=np.float32) for k, v in arrays.items()}, path
        )
    save_network(folder, model.network, model.card)


def load_model(folder: str | Path) -> Model:
    """Read a model's folder. Raises `InputError` for one that cannot be read or does not fit."""
    folder = Path(folder)
    network, card = load_network(folder)
    path = folder / _RIVALS
    try:
        arrays = {k: v.astype(np.float64) for k, v in safetensors.numpy.load_file(path).items()}
        V, W = arrays["components"], arrays["quadratic"]
    except (OSError, KeyError, ValueError, safetensors.SafetensorError) as error:
        told = " ".join(str(error).split())[:200]
        raise InputError(f"{path}: cannot read the linear bases ({told}); train again") from error
    shape = network.shape
    products = shape.rank * (shape.rank + 1) // 2
    fits = V.ndim == 2 and len(V) == shape.n_dofs and shape.rank <= V.shape[1] <= shape.n_dofs
    fits = fits and W.shape == (shape.n_dofs, products)
    if not fits or not np.isfinite(V).all() or not np.isfinite(W).all():
        raise InputError(f"{path}: expected finite bases of {shape.n_dofs} rows; train again")
    if not isinstance(card.get("origin"), dict):
        raise InputError(f"{folder}: expected a card with the body's origin; train again")
    # float32 storage leaves the columns orthonormal to 1e-7 only: mend that.
    Q, R = np.linalg.qr(V)
    return Model(network, Q * np.sign(np.diag(R)), W, card)
