"""Motions as files: HDF5 and numpy's npz, which are read again, and series for ParaView."""

from __future__ import annotations

import json
import zipfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from hodsim.errors import InputError
from hodsim.files import atomic, atomic_hdf5, place_of
from hodsim.isolation import FailedError, check_hdf5

STORED = (".h5", ".npz")
SERIES = (".xdmf", ".pvd")


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
    if path.suffix.lower() not in (*STORED, *SERIES):
        raise InputError(
            f"{path}: expected a name ending in {', '.join(STORED)}, {' or '.join(SERIES)}, given "
            f"{path.suffix!r}"
        )


def write_motion(
    path: str | Path,
    motion: Motion,
    surface: bool = False,
    moved: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> list[Path]:
    """Write a motion by the suffix, each file in one move, and say which files there are.

    .h5 and .npz hold one array for each attribute, and `about` as JSON text; HDF5 has units
    besides, in the attribute `unit` of each dataset. .xdmf (with an .h5 of its own) and .pvd (with
    a folder of .vtu) are time series of the mesh with displacements and velocities, which ParaView
    opens: of the tets, or of the boundary alone if `surface`, with points at rest, or where they
    are at each time if `moved`. `progress(done, total)` is told of frames. Raises `InputError` for
    another suffix, or `surface` or `moved` for a file that holds arrays.
    """
    path = Path(path)
    check_suffix(path)
    if path.suffix.lower() in SERIES:
        from hodsim.viewer.series import frames_of, write_pvd, write_xdmf

        frames = frames_of(
            motion.vertices,
            motion.tets,
            motion.times,
            motion.displacement,
            motion.velocity,
            motion.about,
            surface,
            moved,
        )
        write = write_xdmf if path.suffix.lower() == ".xdmf" else write_pvd
        # What lies beside a series lies beside what a link points to.
        return write(place_of(path), frames, progress)
    if surface or moved:
        raise InputError(
            f"{path}: expected a series for its surface or moved points, a name ending in "
            f"{' or '.join(SERIES)}; {path.suffix} holds the whole motion"
        )
    arrays = {name: getattr(motion, name) for name in _UNITS}
    arrays = {name: array for name, array in arrays.items() if array is not None}
    about = json.dumps(motion.about, sort_keys=True)
    if path.suffix.lower() == ".npz":
        with atomic(path) as temporary:
            np.savez_compressed(temporary, **arrays, about=np.array(about))
        return [path]
    with atomic_hdf5(path) as file:
        for name, array in arrays.items():
            file.create_dataset(name, data=array).attrs["unit"] = _UNITS[name]
        file.attrs["about"] = about
    return [path]


def read_motion(path: str | Path) -> Motion:
    """Read what `write_motion` wrote, .h5 or .npz.

    Raises `InputError` for another file, or arrays that make no motion.
    """
    path = Path(path)
    if path.suffix.lower() not in STORED:
        raise InputError(
            f"{path}: expected a motion that `hodsim simulate --out` wrote, {' or '.join(STORED)}, "
            f"given {path.suffix!r}"
        )
    try:
        arrays, about = (_npz if path.suffix.lower() == ".npz" else _hdf5)(path)
        told = json.loads(about)
        if not isinstance(told, dict):
            raise ValueError("expected `about` to be a table")
        return _checked(arrays, told)
    # RecursionError: JSON nested without end. RuntimeError: HDF5 in pieces, or an encrypted zip.
    except (
        OSError,
        EOFError,
        KeyError,
        TypeError,
        ValueError,
        RuntimeError,
        MemoryError,
        FailedError,
        zipfile.BadZipFile,
        zlib.error,
    ) as error:
        why = " ".join(str(error).split())[:200]
        raise InputError(
            f"{path}: expected a motion of hodsim, cannot read it ({why}); write it again by "
            "`hodsim simulate --out`"
        ) from error


def _npz(path: Path) -> tuple[dict[str, np.ndarray], str]:
    with np.load(path, allow_pickle=False) as file:
        return {name: file[name] for name in _UNITS if name in file}, str(file["about"])


def _hdf5(path: Path) -> tuple[dict[str, np.ndarray], str]:
    import h5py

    check_hdf5([path], "about", list(_UNITS))
    with h5py.File(path) as file:
        found = {name: file[name] for name in _UNITS if name in file}
        if any(not isinstance(part, h5py.Dataset) for part in found.values()):
            raise ValueError("expected datasets, given groups")
        return {name: part[()] for name, part in found.items()}, str(file.attrs["about"])


def _checked(arrays: dict[str, np.ndarray], about: dict[str, Any]) -> Motion:
    """The motion of these arrays. Raises `ValueError` for shapes or numbers that make none."""
    missing = [name for name in _UNITS if name not in arrays and name != "latent"]
    if missing:
        raise ValueError(f"expected arrays {', '.join(missing)}, found none")
    for name in ("tets", "iterations"):
        if arrays[name].dtype.kind not in "iu":
            raise ValueError(f"expected whole numbers as {name}")
    for name, array in arrays.items():
        if array.dtype.kind not in "iuf" or not np.isfinite(array).all():
            raise ValueError(f"expected finite numbers as {name}")
    n, frames = len(np.atleast_1d(arrays["vertices"])), arrays["times"].size
    shapes = {
        "vertices": (n, 3),
        "times": (frames,),
        "displacement": (frames, n, 3),
        "velocity": (frames, n, 3),
        "iterations": (frames - 1,),
        "step_ms": (frames - 1,),
        "tets": (len(np.atleast_1d(arrays["tets"])), 4),
    }
    for name, shape in shapes.items():
        if arrays[name].shape != shape or not frames:
            raise ValueError(f"expected {name} of shape {shape}, given {arrays[name].shape}")
    latent, tets = arrays.get("latent"), arrays["tets"]
    if latent is not None and (latent.ndim != 2 or len(latent) != frames):
        raise ValueError(f"expected latent of shape ({frames}, r), given {latent.shape}")
    if tets.size and not 0 <= tets.min() <= tets.max() < n:
        raise ValueError(f"expected tets of vertices from 0 to {n - 1}")
    given = {name: array for name, array in arrays.items() if name != "latent"}
    return Motion(**given, latent=latent, about=about)
