"""A trained model's folder: the network, and the linear and quadratic rivals of the same poses."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
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
from hodsim.subspaces.reach import REACH, RIVALS, Cover, Reach, load_covers, save_covers
from hodsim.subspaces.subspace import Subspace

KINDS = ("hod", "pca", "quadratic")


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
    covers
        Where training has been, of "hod" and "pca"; empty where that is not known.
    """

    network: HoDNet
    components: np.ndarray
    quadratic: np.ndarray
    card: dict[str, Any]
    covers: Mapping[str, Cover] = field(default_factory=dict)

    def subspace(self, kind: str, rank: int | None = None) -> Subspace:
        """The subspace of that kind; `rank` is the network's own unless given (PCA: any up to k).

        Raises `InputError` for an unknown kind or a rank that the model does not have.
        """
        r, chosen = self.network.shape.rank, self._rank(kind, rank)
        if kind == "pca":
            return Linear(self.components[:, :chosen])
        if kind == "quadratic":
            return Quadratic(self.components[:, :r], self.quadratic)
        return HoD(self.network)

    def reach(self, kind: str, rank: int | None = None) -> Reach | None:
        """Where training has been in that subspace; None where that is not known.

        Raises `InputError` as `subspace` does.
        """
        chosen = self._rank(kind, rank)
        # A quadratic manifold has the coordinates of its linear part.
        cover = self.covers.get("hod" if kind == "hod" else "pca")
        return None if cover is None else cover.reach(chosen)

    def _rank(self, kind: str, rank: int | None) -> int:
        """The rank that `rank` asks for."""
        r = self.network.shape.rank
        if kind not in KINDS:
            raise InputError(f"subspace: expected one of {', '.join(KINDS)}; given {kind!r}")
        most = self.components.shape[1]
        chosen = r if rank is None else rank
        if kind == "pca" and not 1 <= chosen <= most:
            raise InputError(f"rank: expected 1 to {most} for pca, given {rank}")
        if kind != "pca" and rank not in (None, r):
            raise InputError(f"rank: expected {r}, the rank of this {kind} model, given {rank}")
        return chosen

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
    """Write a model's folder: rivals and weights first, then the card, each in one move.

    The training range comes after the card, whose weights it names; a former one goes first.
    """
    folder = Path(folder)
    arrays = {"components": model.components, "quadratic": model.quadratic}
    with atomic(folder / RIVALS) as path:
        safetensors.numpy.save_file(
            {k: np.ascontiguousarray(v, dtype=np.float32) for k, v in arrays.items()}, path
        )
        (folder / REACH).unlink(missing_ok=True)
    save_network(folder, model.network, model.card)
    if model.covers:
        save_covers(folder, model.covers)


def load_model(folder: str | Path) -> Model:
    """Read a model's folder. Raises `InputError` for one that cannot be read or does not fit."""
    folder = Path(folder)
    network, card = load_network(folder)
    path = folder / RIVALS
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
    covers = load_covers(folder, {"hod": (shape.rank, 1), "pca": (V.shape[1], V.shape[1])})
    return Model(network, Q * np.sign(np.diag(R)), W, card, covers)
