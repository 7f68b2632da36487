"""The other subspaces in a model's folder, fitted beside it and read when they are asked for."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import safetensors
import safetensors.numpy

from hodsim.errors import InputError
from hodsim.files import atomic, sha256_of
from hodsim.networks import HoDNet, load_network, save_network
from hodsim.networks.checkpoint import CARD
from hodsim.subspaces.hod import HoD
from hodsim.subspaces.quadratic import Quadratic
from hodsim.subspaces.subspace import Subspace
from hodsim.subspaces.weighted import Weighted

PEERS: Final = "peers"
# One basis serves all ranks of these; each rank of the others is fitted for itself.
NESTED: Final = ("evenpca", "masspca", "stiffpca", "modal")
MANIFOLDS: Final = ("quadratic", "evenquadratic")
NETWORKS: Final = ("hod", "autoencoder", "hybrid")
_FORMAT = 1
_RANKED = re.compile(rf"({'|'.join((*MANIFOLDS, *NETWORKS))})-([1-9][0-9]*)")
_SUFFIX = ".safetensors"


def peer_name(kind: str, rank: int) -> str:
    """What the peer is called that gives this subspace: "masspca", "quadratic-8", "hod-4"."""
    return kind if kind in NESTED else f"{kind}-{rank}"


@dataclass(frozen=True)
class Peer:
    """A subspace of a body, fitted beside its model: one of `NESTED`, for all ranks, or one other.

    Attributes
    ----------
    kind, rank
        What it is; `rank` is the largest of a nested one.
    source
        Its directions, manifold or network.
    facts
        Where it comes from: "seconds" that fitting took, "command", "seed", and what `fit_peer`
        tells beside.
    """

    kind: str
    rank: int
    source: Weighted | Quadratic | HoDNet
    facts: dict[str, Any]

    @property
    def name(self) -> str:
        """See `peer_name`."""
        return peer_name(self.kind, self.rank)

    @property
    def options(self) -> dict[str, Any]:
        """Those of its fit: of a network, and how even ones weigh poses; none of others."""
        told = self.facts.get("options")
        even = {k: self.facts[k] for k in ("evenness",) if k in self.facts}
        return told if isinstance(told, dict) else even

    @property
    def ranks(self) -> tuple[int, ...]:
        """The ranks that it gives."""
        return tuple(range(1, self.rank + 1)) if self.kind in NESTED else (self.rank,)

    def subspace(self, rank: int) -> Subspace:
        """The subspace of one of `ranks`."""
        if isinstance(self.source, Weighted):
            return self.source.subspace(rank, self.kind)
        return self.source if isinstance(self.source, Quadratic) else HoD(self.source, self.kind)


def other_options(told: Mapping[str, Any], asked: Mapping[str, Any]) -> list[str]:
    """The names of `Peer.options` in which a fit differs from what is `asked`."""
    plain = json.loads(json.dumps(asked))  # A card's tuples are lists.
    return [k for k in plain if k in told and told[k] != plain[k]]


def same_poses(told: object, others: Mapping[str, Any]) -> bool:
    """Whether others are the poses that a card's "poses" tell of, as far as it tells."""
    if not isinstance(told, dict):
        return True
    return all(told.get(k) in (None, others.get(k)) for k in ("trained_on", "sha256"))


def unlike(peer: Peer, card: Mapping[str, Any]) -> str | None:
    """How the fit of a peer differs from that of the model with this card, for one to be told.

    In its poses, and for a network in options other than those that make it what it is. None
    where it does not, as far as both cards tell.
    """
    mine, own = (c.get("poses") if isinstance(c, Mapping) else None for c in (peer.facts, card))
    if isinstance(mine, dict) and isinstance(own, dict) and not same_poses(own, mine):
        n, m = mine.get("trained_on"), own.get("trained_on")
        told = f"{n} and {m}" if n != m else f"{n} as well"
        return f"fitted to other poses than the model ({told})"
    options = card.get("options")
    fit = options.get("fit") if isinstance(options, dict) else None
    asked = dict(fit) if isinstance(fit, dict) else {}
    for key in ("rank", "design", "linear"):
        asked.pop(key, None)
    differ = other_options(peer.options, asked)
    said = (f"{k} {peer.options[k]}, the model {asked[k]}" for k in differ)
    return f"fitted with other options than the model ({'; '.join(said)})" if differ else None


def save_peer(folder: str | Path, origin: dict[str, Any], peer: Peer) -> None:
    """Write a peer into a model's folder, in one move, in float32; a former one is replaced.

    `origin` is that of the model's body (`snapshots.origin_of`).
    """
    place = Path(folder) / PEERS
    if isinstance(peer.source, HoDNet):
        told = peer.facts | {"origin": origin, "kind": peer.kind}
        save_network(place / peer.name, peer.source.float(), told)
        peer.source.double()
        return
    told = {"format": _FORMAT, "kind": peer.kind, "rank": peer.rank, "origin": sha256_of(origin)}
    if isinstance(peer.source, Weighted):
        arrays = {"basis": peer.source.basis, "dual": peer.source.dual}
    else:
        arrays = {"basis": peer.source.basis}
    with atomic(place / f"{peer.name}{_SUFFIX}") as path:
        safetensors.numpy.save_file(
            {k: np.ascontiguousarray(v, dtype=np.float32) for k, v in arrays.items()},
            path,
            {"hodsim": json.dumps(peer.facts | told, sort_keys=True)},
        )


class Peers(Mapping[str, Peer]):
    """The peers in the folder of a model for the body of `origin`, by name, each read once.

    Getting one raises `InputError`, naming its file, where it cannot be read, does not fit or is
    of another body, and `KeyError` where there is none.
    """

    def __init__(self, folder: Path | None, origin: dict[str, Any], n_dofs: int) -> None:
        self._place = None if folder is None else folder / PEERS
        self._origin, self._n_dofs = origin, n_dofs
        self._found = dict.fromkeys(self._names())
        self._read: dict[str, Peer] = {}

    def _names(self) -> list[str]:
        if self._place is None or not self._place.is_dir():
            return []
        files = [p.stem for p in self._place.glob(f"*{_SUFFIX}")]
        names = [n for n in files if n in NESTED or n.partition("-")[0] in MANIFOLDS]
        # A folder without a card is of a fit that is not done.
        names += [p.parent.name for p in self._place.glob(f"*/{CARD}")]
        return sorted(n for n in names if n in NESTED or _RANKED.fullmatch(n))

    def __getitem__(self, name: str) -> Peer:
        if name not in self._found or self._place is None:
            raise KeyError(name)
        if name not in self._read:
            network = name.rsplit("-", 1)[0] in NETWORKS
            path = self._place / (name if network else f"{name}{_SUFFIX}")
            self._read[name] = self._network(path) if network else self._bases(path)
        return self._read[name]

    def __iter__(self) -> Any:
        return iter(self._found)

    def __len__(self) -> int:
        return len(self._found)

    def ranks(self, kind: str) -> tuple[int, ...]:
        """The ranks of a kind that there are, ascending."""
        if kind in NESTED:
            return self[kind].ranks if kind in self else ()
        ranked = [_RANKED.fullmatch(name) for name in self]
        return tuple(sorted(int(m[2]) for m in ranked if m and m[1] == kind))

    def _network(self, folder: Path) -> Peer:
        network, card = load_network(folder)
        kind, rank = card.get("kind"), network.shape.rank
        if f"{kind}-{rank}" != folder.name or network.shape.n_dofs != self._n_dofs:
            raise InputError(
                f"{folder}: expected {folder.name} of {self._n_dofs} degrees of freedom, given "
                f"{kind}-{rank} of {network.shape.n_dofs}; fit it again with `hodsim peers`"
            )
        self._check_origin(folder, card.get("origin") == self._origin)
        return Peer(str(kind), rank, network, card)

    def _bases(self, path: Path) -> Peer:
        try:
            # A nan is told of below.
            with safetensors.safe_open(path, "np") as file, np.errstate(invalid="ignore"):
                facts = json.loads((file.metadata() or {}).get("hodsim", "null"))
                if not isinstance(facts, dict) or facts.get("format") != _FORMAT:
                    raise ValueError(f"expected the facts of format {_FORMAT}")
                kind, rank = facts["kind"], facts["rank"]
                arrays = {k: file.get_tensor(k).astype(np.float64) for k in file.keys()}  # noqa: SIM118
            if not isinstance(rank, int) or peer_name(kind, rank) != path.stem:
                raise ValueError(f"expected {path.stem}, given {kind}-{rank}")
            self._check_origin(path, facts.get("origin") == sha256_of(self._origin))
            source = self._source(kind, rank, arrays)
        except InputError:
            raise
        # RecursionError: JSON nested without end.
        except (
            OSError,
            KeyError,
            TypeError,
            ValueError,
            RecursionError,
            safetensors.SafetensorError,
        ) as error:
            why = " ".join(str(error).split())[:200]
            raise InputError(
                f"{path}: expected bases of hodsim, cannot use them ({why}); fit them again with "
                f"`hodsim peers --peers {path.stem} --again`"
            ) from error
        return Peer(kind, rank, source, facts)

    def _source(self, kind: str, rank: int, arrays: dict[str, np.ndarray]) -> Weighted | Quadratic:
        n = self._n_dofs
        width = rank if kind in NESTED else rank + rank * (rank + 1) // 2
        names = ("basis", "dual") if kind in NESTED else ("basis",)
        given = [arrays[name] for name in names]
        if any(a.shape != (n, width) or not np.isfinite(a).all() for a in given):
            raise ValueError(f"expected finite numbers of shape ({n}, {width})")
        B = given[0]
        if kind in NESTED:
            near = given[1].T @ B
            if np.abs(near - np.eye(rank)).max() > 0.1:
                raise ValueError("expected directions of unit size and their duals")
            return Weighted(B, given[1])
        # float32 storage leaves the columns orthonormal to 1e-7 only: mend that.
        V, R = np.linalg.qr(B[:, :rank])
        return Quadratic(V * np.sign(np.diag(R)), B[:, rank:], kind)

    def _check_origin(self, path: Path, same: bool) -> None:
        if not same:
            raise InputError(
                f"{path}: expected a subspace of the model's body, given one of another; fit it "
                "again with `hodsim peers`, or remove it"
            )
