"""The training range of a stored model, from the poses that it was trained on."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from hodsim.errors import InputError
from hodsim.snapshots import Store
from hodsim.subspaces import Cover, Model, Subspace, fit_cover, load_model, save_covers
from hodsim.training.split import held_out_of

# Poses encoded at once: some tens of megabytes in float64.
_BLOCK = 4096


def cover_poses(model: Model, seen: np.ndarray, held_out: np.ndarray) -> dict[str, Cover]:
    """Where poses `seen` and held out, u [m] (n_poses, n_dofs), are in a model's coordinates.

    For the model as it is stored: weights in float32 encode otherwise.
    """
    hod, pca = model.subspace("hod"), model.subspace("pca", model.components.shape[1])
    first = {hod: hod.rank, pca: 1}
    return {s.kind: fit_cover(_encode(s, seen), _encode(s, held_out), first[s]) for s in first}


def add_reach(folder: str | Path, snapshots: str | Path) -> None:
    """Give a model's folder its training range, from the snapshots that it was trained on.

    Training does so by itself: this is for a model of before, whose snapshots are still there.

    Raises
    ------
    InputError
        The folder's model cannot be read, or the snapshots are of another body or number.
    """
    model, store = load_model(folder), Store(snapshots)
    store.check(model.card["origin"])
    poses = store.read()
    seen, unseen = poses.split(held_out_of(poses.names))
    told = model.card.get("poses")
    found = {"trained_on": len(seen.u), "held_out": len(unseen.u), "sha256": seen.digest}
    # A card of before has no digest.
    if told != {k: v for k, v in found.items() if k in (told or found)}:
        raise InputError(
            f"{store.folder}: expected the poses that {folder} was trained on ({told}), found "
            f"{found}; name the folder of its training"
        )
    save_covers(folder, cover_poses(model, seen.u, unseen.u if len(unseen.u) else seen.u))


def _encode(subspace: Subspace, u: np.ndarray) -> np.ndarray:
    starts = range(0, len(u), _BLOCK)
    return np.concatenate([subspace.encode(u[k : k + _BLOCK]) for k in starts])
