"""The cubatures of a trained model: one for each of its subspaces, from the same poses."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

import numpy as np

from hodsim.cubature.fit import MAX_TETS, fit_cubature
from hodsim.cubature.scheme import Cubature
from hodsim.cubature.store import load_cubatures, save_cubatures
from hodsim.errors import InputError
from hodsim.fem import Body
from hodsim.subspaces import KINDS, NESTED, Model

# The ranks of PCA, and of other linear subspaces, that comparisons ask for.
PCA_RANKS: Final = (6, 9, 12, 15, 16, 17, 18, 19, 20)

Name = tuple[str, int]  # kind and rank of a subspace


def subspaces_of(model: Model) -> tuple[Name, ...]:
    """The subspaces of a model that training fits a cubature to: hod, quadratic and PCA of
    several ranks.
    """
    r = model.network.shape.rank
    return ("hod", r), ("quadratic", r), *(("pca", k) for k in _several("pca", model))


def peers_of(model: Model, kinds: Sequence[str] = KINDS) -> tuple[Name, ...]:
    """The subspaces of a model's peers, of these kinds, that get one: of the linear ones the same
    ranks as of PCA.

    Raises `InputError` for a peer that cannot be used.
    """
    own = subspaces_of(model)
    names = []
    for kind in kinds:
        ranks = _several(kind, model) if kind in NESTED else model.ranks(kind)
        names += [(kind, rank) for rank in ranks if kind != "pca" and (kind, rank) not in own]
    return tuple(names)


def _several(kind: str, model: Model) -> list[int]:
    offered = set(model.ranks(kind))
    return sorted(offered & {model.network.shape.rank, *PCA_RANKS})


def fit_cubatures(
    folder: str | Path,
    body: Body,
    model: Model,
    wanted: Sequence[Name],
    poses: np.ndarray,
    held_out: np.ndarray,
    tolerance: float = 0.0,
    max_tets: int = MAX_TETS,
    seed: int = 0,
    command: str = "",
    kept: Mapping[str, Cubature] | None = None,
    progress: Callable[[str, int, int], None] | None = None,
) -> dict[str, Cubature]:
    """Fit and store a cubature for each of the subspaces `wanted`, beside those `kept`.

    The file is written anew after each fit, so that a stopped run loses the one it was at. What is
    kept is not fitted again. `progress(name, done, total)` is told of each fit; all else is as for
    `fit_cubature`.
    """
    model.check(body)
    found = dict(kept or {})
    for kind, rank in wanted:
        name = f"{kind}-{rank}"
        if name in found:
            continue
        told = None if progress is None else _named(progress, name)
        subspace = model.subspace(kind, rank)
        fitted = fit_cubature(body, subspace, poses, held_out, tolerance, max_tets, seed, told)
        found[name] = replace(fitted, command=command)
        save_cubatures(folder, found)
    return found


def usable_cubatures(folder: str | Path, body: Body, model: Model) -> dict[str, Cubature]:
    """Those stored in a folder that are of this body and model; an unreadable file has none."""
    fitting = {}
    try:
        stored = load_cubatures(folder)
    except InputError:
        return {}
    for name, cubature in stored.items():
        try:
            cubature.check(body, model.subspace(cubature.subspace, cubature.rank))
        except InputError:
            continue
        fitting[name] = cubature
    return fitting


def _named(progress: Callable[[str, int, int], None], name: str) -> Callable[[int, int], None]:
    return lambda done, total: progress(name, done, total)
