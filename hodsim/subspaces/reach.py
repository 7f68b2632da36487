"""How far outside the training range a pose is, in latent coordinates."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Final

import numpy as np
import safetensors
import safetensors.numpy

from hodsim.errors import InputError
from hodsim.files import atomic
from hodsim.networks.checkpoint import WEIGHTS

REACH: Final = "reach.safetensors"
RIVALS: Final = "rivals.safetensors"
_FORMAT = 1
_ARRAYS = ("centres", "low", "high", "radii")

_CENTRES = 1024
# So many of the held-out poses are inside. Those of a motion come in runs, so that its peak, where
# training poses are far apart, may be outside for a few steps.
_INSIDE = 0.995
# A pose this near to training's is inside, however densely training covers few coordinates.
_LEAST = 0.1
# Far beyond any motion; its square is still finite.
_FAR = 1e100


@dataclass(frozen=True)
class Reach:
    """Where training has been: poses spread over it, and the radius within which it has more.

    Distances are Euclidean, each coordinate over the largest magnitude that it has in training.

    Training poses are bends and twists, a star and no ellipsoid. For the shipped HoD-6, the
    ellipsoid of their covariance about rest that just holds them all calls the held-out bends at
    twice their loads inside, and bends with twists too. Distances call all of them outside, and
    0.5 % of held-out poses.

    Attributes
    ----------
    centres
        Latent coordinates of the spread poses, (k, r).
    low, high
        Range of each coordinate over training, (r,).
    radius
        Scaled distance from the nearest centre at which the training range ends.
    """

    centres: np.ndarray
    low: np.ndarray
    high: np.ndarray
    radius: float

    def measure(self, q: np.ndarray) -> float:
        """Scaled distance of q (r,) from the nearest centre, over the radius.

        At most 1 for training poses; continuous; finite for finite q, and nan for nan.
        """
        y = np.minimum(np.maximum(q, -_FAR), _FAR) * self._rate
        square = float((self._squares - self._twice @ y).min() + y @ y)
        # Rounding may leave a centre's own distance below zero; nan passes.
        return (0.0 if square < 0.0 else square**0.5) / self.radius

    @cached_property
    def _rate(self) -> np.ndarray:
        return 1.0 / _scale(self.low, self.high)

    @cached_property
    def _twice(self) -> np.ndarray:
        return np.ascontiguousarray(2.0 * self.centres * self._rate)

    @cached_property
    def _squares(self) -> np.ndarray:
        return np.asarray((0.25 * self._twice**2).sum(axis=1))


@dataclass(frozen=True)
class Cover:
    """One set of spread poses for subspaces whose coordinates are the first of the same m.

    Attributes
    ----------
    centres, low, high
        As in `Reach`, of all m coordinates: (k, m), (m,), (m,).
    radii
        Of the first m - j + 1 to m coordinates, (j,): j = m for principal components, 1 for a
        network, whose coordinates mean nothing without the others.
    """

    centres: np.ndarray
    low: np.ndarray
    high: np.ndarray
    radii: np.ndarray

    def reach(self, rank: int) -> Reach:
        """That of the first `rank` coordinates."""
        radius = float(self.radii[rank - 1 - len(self.low)])
        return Reach(self.centres[:, :rank], self.low[:rank], self.high[:rank], radius)


def fit_cover(seen: np.ndarray, held_out: np.ndarray, first: int) -> Cover:
    """Spread poses over training's, `seen` (n, m), with radii for the first r coordinates, r from
    `first` to m.

    The next centre is the pose farthest from those there are (Gonzalez 1985), distances being of
    the ranks r in turn: few coordinates alone would leave the fine ones bare, all of them alone
    waste the centres of the coarse ones. A radius takes in every pose seen and 99.5 % of those held
    out (n', m), and is at least 0.1; ranks that have come so far get no more centres.
    """
    n = len(seen)
    # Rounded as they are stored, first: the radii then hold for what a file gives back.
    q = np.concatenate([seen, held_out]).astype(np.float32).astype(np.float64)
    low, high = q[:n].min(axis=0), q[:n].max(axis=0)
    columns = np.ascontiguousarray((q / _scale(low, high)).T)
    chosen = [int((columns[:, :n] ** 2).sum(axis=0).argmin())]
    nearest = np.full((len(columns) - first + 1, len(q)), np.inf)
    turn = 0
    while True:
        _approach(nearest, columns, chosen[-1], first)
        wanting = np.flatnonzero(nearest[:, :n].max(axis=1) > _LEAST**2)
        if len(chosen) == _CENTRES or not len(wanting):
            break
        turn = int(wanting[np.searchsorted(wanting, turn) % len(wanting)])
        chosen.append(int(nearest[turn, :n].argmax()))
        turn += 1
    away = np.sqrt(nearest)
    radii = np.maximum(away[:, :n].max(axis=1), np.quantile(away[:, n:], _INSIDE, axis=1))
    # Up to the next number that the file can hold, beyond the rounding of `Reach.measure`.
    up = np.nextafter(np.maximum(radii, _LEAST).astype(np.float32), np.float32(np.inf))
    return Cover(q[chosen], low, high, up.astype(np.float64))


def _approach(nearest: np.ndarray, columns: np.ndarray, centre: int, first: int) -> None:
    """Lower the squared distances (ranks from `first`, poses) to those from one more centre."""
    square = np.zeros(columns.shape[1])
    for rank, column in enumerate(columns, 1):
        square += (column - column[centre]) ** 2
        if rank >= first:
            row = nearest[rank - first]
            np.minimum(row, square, out=row)


def save_covers(folder: str | Path, covers: Mapping[str, Cover]) -> None:
    """Write the covers of a model beside its weights and bases, whose digests they carry."""
    folder = Path(folder)
    arrays = {
        f"{kind}.{name}": np.ascontiguousarray(getattr(cover, name), dtype=np.float32)
        for kind, cover in sorted(covers.items())
        for name in _ARRAYS
    }
    told = json.dumps({"format": _FORMAT, **_digests(folder)}, sort_keys=True)
    with atomic(folder / REACH) as path:
        safetensors.numpy.save_file(arrays, path, {"hodsim": told})


def load_covers(folder: str | Path, ranks: Mapping[str, tuple[int, int]]) -> dict[str, Cover]:
    """The covers of a model's folder by kind; none without a file.

    `ranks` tells the kinds, their numbers of coordinates and of radii. Raises `InputError` for a
    file that cannot be read, does not fit or is of other weights.
    """
    folder = Path(folder)
    path = folder / REACH
    if not path.exists():
        return {}
    try:
        with safetensors.safe_open(path, "np") as file:
            told = json.loads((file.metadata() or {}).get("hodsim", "null"))
            if told != {"format": _FORMAT, **_digests(folder)}:
                raise ValueError(f"expected format {_FORMAT} and the weights beside it")
            covers = {
                kind: Cover(*(file.get_tensor(f"{kind}.{name}").astype(float) for name in _ARRAYS))
                for kind in ranks
            }
        for kind, (m, radii) in ranks.items():
            _check(kind, covers[kind], m, radii)
    except (OSError, ValueError, RecursionError, safetensors.SafetensorError) as error:
        why = " ".join(str(error).split())[:200]
        raise InputError(
            f"{path}: expected the training range of this model, cannot use it ({why}); remove it, "
            "or train again"
        ) from error
    return covers


def _check(kind: str, cover: Cover, m: int, radii: int) -> None:
    c = cover.centres
    shapes = [(len(c), m), (m,), (m,), (radii,)]
    arrays = [getattr(cover, name) for name in _ARRAYS]
    if not len(c) or [a.shape for a in arrays] != shapes:
        raise ValueError(f"{kind}: expected {m} coordinates and {radii} radii")
    if not all(np.isfinite(a).all() for a in arrays):
        raise ValueError(f"{kind}: expected finite numbers")
    if not (cover.radii > 0.0).all() or not (cover.low <= cover.high).all():
        raise ValueError(f"{kind}: expected radii above 0 and ranges from low to high")


def _digests(folder: Path) -> dict[str, str]:
    return {
        name: hashlib.sha256((folder / name).read_bytes()).hexdigest() for name in (WEIGHTS, RIVALS)
    }


def _scale(low: np.ndarray, high: np.ndarray) -> np.ndarray:
    """Largest magnitude of each coordinate; 1 for one that never left zero."""
    size = np.maximum(np.abs(low), np.abs(high))
    return np.where(size > 0.0, size, 1.0)
