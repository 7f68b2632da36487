"""A trained model's folder: the network, its rivals of the same poses, and peers beside them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
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
from hodsim.subspaces.peers import MANIFOLDS, NESTED, NETWORKS, Peers, peer_name
from hodsim.subspaces.quadratic import Quadratic
from hodsim.subspaces.reach import REACH, RIVALS, Cover, Reach, load_covers, save_covers
from hodsim.subspaces.subspace import Subspace

KINDS = ("hod", "pca", *MANIFOLDS, *NESTED, *NETWORKS[1:])


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
    folder
        Where its peers are; None: nowhere.
    """

    network: HoDNet
    components: np.ndarray
    quadratic: np.ndarray
    card: dict[str, Any]
    covers: Mapping[str, Cover] = field(default_factory=dict)
    folder: Path | None = None

    @cached_property
    def peers(self) -> Peers:
        """The other subspaces in its folder, by name; each is read when it is asked for."""
        return Peers(self.folder, self.card["origin"], self.network.shape.n_dofs)

    def subspace(self, kind: str, rank: int | None = None) -> Subspace:
        """The subspace of that kind; `rank` is the network's own unless given.

        Raises `InputError` for an unknown kind, one or a rank of it that the model does not have,
        or a peer that cannot be used.
        """
        r, chosen = self.network.shape.rank, self._rank(kind, rank)
        if kind == "pca":
            return Linear(self.components[:, :chosen])
        if not self.owns(kind, chosen):
            return self.peers[peer_name(kind, chosen)].subspace(chosen)
        if kind == "quadratic":
            return Quadratic(self.components[:, :r], self.quadratic)
        return HoD(self.network)

    def ranks(self, kind: str) -> tuple[int, ...]:
        """The ranks of that kind that the model has, ascending; none of an unknown kind."""
        if kind == "pca":
            return tuple(range(1, self.components.shape[1] + 1))
        own = [self.network.shape.rank] if kind in ("hod", "quadratic") else []
        return tuple(sorted({*own, *self.peers.ranks(kind)}))

    def labels(self) -> tuple[str, ...]:
        """Every subspace that it can make: "hod-6", "pca-1", ..., "quadratic-4", ..."""
        return tuple(f"{kind}-{rank}" for kind in KINDS for rank in self.ranks(kind))

    def training_seconds(self, kind: str, rank: int | None = None) -> float | None:
        """How long fitting that subspace took [s], once the poses were there.

        None where nobody wrote it down, or the model has no such subspace. Raises `InputError` for
        a peer that cannot be used.
        """
        chosen = self.network.shape.rank if rank is None else rank
        if chosen not in self.ranks(kind):
            return None
        if self.owns(kind, chosen):
            rivals = self.card.get("rivals_seconds", {})
            told = self.card.get("seconds") if kind == "hod" else rivals.get(kind)
        else:
            told = self.peers[peer_name(kind, chosen)].facts.get("seconds")
        return None if told is None else float(told)

    def reach(self, kind: str, rank: int | None = None) -> Reach | None:
        """Where training has been in that subspace; None where that is not known.

        Raises `InputError` as `subspace` does.
        """
        chosen = self._rank(kind, rank)
        if not self.owns(kind, chosen):
            return None
        # A quadratic manifold has the coordinates of its linear part.
        cover = self.covers.get("hod" if kind == "hod" else "pca")
        return None if cover is None else cover.reach(chosen)

    def _rank(self, kind: str, rank: int | None) -> int:
        """The rank that `rank` asks for."""
        if kind not in KINDS:
            raise InputError(f"subspace: expected one of {', '.join(KINDS)}; given {kind!r}")
        chosen = self.network.shape.rank if rank is None else rank
        if self.owns(kind, chosen):
            return chosen
        offered = self.ranks(kind)
        if chosen in offered:
            return chosen
        if not offered:
            had = ", ".join(k for k in KINDS if self._offers(k))
            raise InputError(
                f"subspace: expected one that this model has ({had}), given {kind!r}; fit it with "
                f"`hodsim peers --peers {peer_name(kind, chosen)}`"
            )
        if kind in ("pca", *NESTED):
            raise InputError(f"rank: expected 1 to {offered[-1]} for {kind}, given {chosen}")
        told = " or ".join(map(str, offered))
        raise InputError(
            f"rank: expected {told}, the rank of this {kind} model, given {chosen}; "
            "`hodsim peers` fits others"
        )

    def _offers(self, kind: str) -> bool:
        try:
            return bool(self.ranks(kind))
        except InputError:
            return False  # A damaged peer is told where it is asked for.

    def owns(self, kind: str, rank: int) -> bool:
        """Whether training itself made that subspace, and no peer."""
        if kind == "pca":
            return 1 <= rank <= self.components.shape[1]
        return kind in ("hod", "quadratic") and rank == self.network.shape.rank

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
        with np.errstate(invalid="ignore"):  # a nan is told of below
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
    return Model(network, Q * np.sign(np.diag(R)), W, card, covers, folder)
