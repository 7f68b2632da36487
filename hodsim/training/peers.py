"""Fitting the other subspaces of a model: to its poses, or to its body alone."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from hodsim.errors import InputError
from hodsim.fem import Body
from hodsim.snapshots import Snapshots, origin_of
from hodsim.subspaces import (
    MANIFOLDS,
    NESTED,
    PEERS,
    Model,
    Peer,
    Subspace,
    Weighted,
    fit_modal,
    fit_quadratic,
    fit_weighted,
    moments,
    peer_name,
    save_peer,
)
from hodsim.training.errors import pose_weights
from hodsim.training.fit import fit
from hodsim.training.options import FitOptions

_BLOCK = 4096


@dataclass(frozen=True)
class Poses:
    """Poses to fit peers to, `seen`, and to measure them on, `measured`; what fits share is
    computed once.

    `evenness` is how the even ones weigh the poses, see `FitOptions`.
    """

    seen: Snapshots
    measured: Snapshots
    evenness: float = FitOptions.evenness

    @cached_property
    def moments(self) -> tuple[np.ndarray, float]:
        """`subspaces.moments` of those seen, and the seconds that took."""
        started = time.perf_counter()
        return moments(self.seen.u), time.perf_counter() - started

    @cached_property
    def weights(self) -> np.ndarray:
        """What those seen weigh in the loss of a network, (n_poses,)."""
        return pose_weights(self.seen, self.evenness)

    @cached_property
    def even_directions(self) -> tuple[np.ndarray, float]:
        """Principal directions of poses with their `weights`, and the seconds they took in all."""
        started = time.perf_counter()
        V = np.linalg.eigh(moments(self.seen.u, self.weights))[1][:, ::-1]
        return V, time.perf_counter() - started

    @property
    def facts(self) -> dict[str, Any]:
        """What cards tell of the poses seen."""
        return {"trained_on": len(self.seen.u), "sha256": self.seen.digest}


def fit_linear_peers(
    folder: str | Path, body: Body, poses: Poses, rank: int, seed: int, command: str
) -> dict[str, str]:
    """Fit the linear peers up to `rank` and store them in a model's folder.

    Returns, by name, why some were left out: a body that nothing holds has no modes.
    """
    refused = {}
    for kind in NESTED:
        try:
            peer = _nested(body, poses, kind, rank)
        except InputError as error:
            refused[kind] = str(error)
            continue
        save_peer(folder, origin_of(body), _told(peer, poses, seed, command))
    return refused


def fit_peer(
    folder: str | Path,
    body: Body,
    model: Model,
    kind: str,
    options: FitOptions,
    poses: Poses,
    command: str = "",
    report: Callable[[dict[str, Any]], None] | None = None,
) -> Peer:
    """Fit one peer of a model and store it in the model's `folder`.

    The rank, of all but the linear ones, and how a network is fitted are in `options`. A stopped
    fit of a network goes on where it was. `report` is told of its epochs.

    Raises
    ------
    InputError
        The poses or the body do not allow it.
    ConvergenceError
        A network's loss is no longer finite.
    """
    model.check(body)
    name = peer_name(kind, options.rank)
    checkpoint = Path(folder) / PEERS / name / "checkpoint.safetensors"
    if kind in NESTED:
        peer = _nested(body, poses, kind, model.components.shape[1])
    elif kind in MANIFOLDS:
        peer = _quadratic(model, poses, kind, options.rank)
    else:
        peer = _network(kind, options, poses, checkpoint, report)
    peer = _told(peer, poses, options.seed, command)
    save_peer(folder, origin_of(body), peer)
    checkpoint.unlink(missing_ok=True)
    return peer


def reconstruction_error(subspace: Subspace, poses: Snapshots) -> float:
    """RMS over RMS of the reconstruction error of poses, trajectories weighing alike."""
    w, total = pose_weights(poses, 1.0), 0.0
    for k in range(0, len(w), _BLOCK):
        u = poses.u[k : k + _BLOCK].astype(np.float64)
        total += float(w[k : k + _BLOCK] @ ((subspace.reconstruct(u) - u) ** 2).sum(axis=1))
    return float(np.sqrt(total))


def _nested(body: Body, poses: Poses, kind: str, rank: int) -> Peer:
    started, shared = time.perf_counter(), 0.0
    if kind == "modal":
        source: Weighted = fit_modal(body, rank)
    elif kind == "evenpca":
        (V, shared), started = poses.even_directions, time.perf_counter()
        source = Weighted(V[:, :rank], V[:, :rank])
    else:
        # Counted for each, whoever was the first to need it.
        total, shared = poses.moments
        started = time.perf_counter()
        if kind == "masspca":
            source = fit_weighted(total, body.mass, rank, "mass")
        else:
            rest = body.stiffness(np.zeros(body.n_dofs))
            source = fit_weighted(total, rest, rank, "stiffness")
    return Peer(kind, rank, source, {"seconds": shared + time.perf_counter() - started})


def _quadratic(model: Model, poses: Poses, kind: str, rank: int) -> Peer:
    most = model.components.shape[1]
    if rank > most:
        raise InputError(f"rank: expected 1 to {most} for {kind}, given {rank}")
    if kind == "quadratic":
        # Its linear part are the model's components, which took as long as PCA did.
        pca = model.training_seconds("pca")
        shared, started = poses.moments[1] if pca is None else pca, time.perf_counter()
        source = fit_quadratic(poses.seen.u, rank, model.components[:, :rank])
    else:
        (V, shared), started = poses.even_directions, time.perf_counter()
        source = fit_quadratic(poses.seen.u, rank, V[:, :rank], poses.weights, kind)
    return Peer(kind, rank, source, {"seconds": shared + time.perf_counter() - started})


def _network(
    kind: str,
    options: FitOptions,
    poses: Poses,
    checkpoint: Path,
    report: Callable[[dict[str, Any]], None] | None,
) -> Peer:
    options = replace(options, design=kind)
    network, history = fit(poses.seen, options, poses.measured, checkpoint, report)
    facts = {
        "seconds": history[-1]["seconds"] if history else 0.0,
        "options": asdict(options),
        "history": [row for row in history if "held_out_error" in row],
    }
    return Peer(kind, options.rank, network, facts)


def _told(peer: Peer, poses: Poses, seed: int, command: str) -> Peer:
    """The peer with what all have to say."""
    facts: dict[str, Any] = {"seed": seed, "command": command}
    if peer.kind != "modal":
        facts |= {"poses": poses.facts}
    if peer.kind.startswith("even"):
        facts |= {"evenness": poses.evenness}
    seconds = round(peer.facts["seconds"], 1)
    return replace(peer, facts=peer.facts | facts | {"seconds": seconds})
