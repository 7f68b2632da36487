"""Motions as files for other programs: HDF5, or numpy's npz."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from hodsim.errors import InputError
from hodsim.files import atomic

SUFFIXES = (".h5", ".npz")


@dataclass(frozen=True)
class Motion:
    """A motion of all vertices.

    Attributes
    ----------
    vertices, tets
        The mesh at rest: (n_vertices, 3) [m], (n_tets, 4).
    times
        [s], shape (T + 1,).
    displacement, velocity
        [m] and [m/s], shape (T + 1, n_vertices, 3).
    latent
        The integrator's coordinates, shape (T + 1, r); None in full space.
    iterations, step_ms
        Newton iterations and wall time [ms] of each step, shape (T,).
    about
        Where it comes from; ready for JSON.
    """

    vertices: np.ndarray
    tets: np.ndarray
    times: np.ndarray
    displacement: np.ndarray
    velocity: np.ndarray
    latent: np.ndarray | None
    iterations: np.ndarray
    step_ms: np.ndarray
    about: dict[str, Any]


_UNITS = {
    "vertices": "m",
    "tets": "1",
    "times": "s",
    "displacement": "m",
    "velocity": "m/s",
    "latent": "1",
    "iterations": "1",
    "step_ms": "ms",
}


def check_suffix(path: Path) -> None:
    """Raise `InputError` unless `write_motion` knows the suffix."""
    if path.suffix.lower() not in SUFFIXES:
        raise InputError(
            f"{path}: expected a name ending in {' or '.join(SUFFIXES)}, given {path.suffix!r}"
        )


def write_motion(path: str | Path, motion: Motion) -> None:
    """Write a motion in one move, .h5 or .npz by the suffix.

    Both hold one array for each attribute, and `about` as JSON text; HDF5 has units besides, in
    the attribute `unit` of each dataset. Raises `InputError` for another suffix.
    """
    path = Path(path)
    check_suffix(path)
    arrays = {name: getattr(motion, name) for name in _UNITS}
    arrays = {name: array for name, array in arrays.items() if array is not None}
    about = json.dumps(motion.about, sort_keys=True)
    with atomic(path) as temporary:
        if path.suffix.lower() == ".npz":
            np.savez_compressed(temporary, **arrays, about=np.array(about))
            return
        import h5py

        with h5py.File(temporary, "w") as file:
            for name, array in arrays.items():
                file.create_dataset(name, data=array).attrs["unit"] = _UNITS[name]
            file.attrs["about"] = about
