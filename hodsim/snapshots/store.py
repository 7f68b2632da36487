"""The snapshot store: a folder with one HDF5 file a trajectory, each written in one move.

A run that is stopped, however rudely, leaves whole trajectories only, and the next run goes on with
those that are missing. Every file carries its provenance; files of different bodies do not mix.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from types import MappingProxyType
from typing import Any

import h5py
import numpy as np

from hodsim.errors import InputError
from hodsim.fem import Body
from hodsim.files import atomic_hdf5
from hodsim.isolation import FailedError, check_hdf5
from hodsim.scene import Load, Obstacle, load_to_dict, obstacle_to_dict

_FORMAT = 1


def origin_of(body: Body) -> dict[str, Any]:
    """What poses of this body depend on: mesh, free vertices, material, mass and damping.

    Only what is exact on every machine: numbers that were given, and none that were computed.
    """
    return {
        "mesh": body.mesh.digest,
        "free_vertices": hashlib.sha256(body.free_vertices.astype("<i8").tobytes()).hexdigest(),
        "material": asdict(body.material),
        "mass": body.mass_kind,
        "damping": asdict(body.rayleigh),
    }


def tagged_of(body: Body, loads: Sequence[Load]) -> dict[str, str]:
    """Digests of the vertices that the tags in loads name, by tag: a file may come to name others
    where the mesh stays the same."""
    tags = sorted({str(r.tag) for load in loads if (r := load.region) and r.kind == "tag"})
    chosen = {tag: body.mesh.tags[tag].astype("<i8") for tag in tags}
    return {tag: hashlib.sha256(k.tobytes()).hexdigest() for tag, k in chosen.items()}


@dataclass(frozen=True)
class Snapshots:
    """Displacements [m] of the free degrees of freedom, shape (n_poses, n_dofs), trajectory by
    trajectory: pose k belongs to trajectory `trajectory[k]`, whose name is `names[...]`.
    """

    u: np.ndarray
    trajectory: np.ndarray
    names: tuple[str, ...]
    origin: dict[str, Any]

    @cached_property
    def digest(self) -> str:
        """SHA-256 of names and poses, whatever the order of the trajectories."""
        whole = hashlib.sha256()
        for name, k in sorted((self.names[k], k) for k in np.unique(self.trajectory)):
            u = np.ascontiguousarray(self.u[self.trajectory == k], dtype="<f4")
            whole.update(f"{name} {u.shape} {hashlib.sha256(u.data).hexdigest()}\n".encode())
        return whole.hexdigest()

    def split(self, held_out: Sequence[str]) -> tuple[Snapshots, Snapshots]:
        """Two sets: without and with the named trajectories."""
        out = np.isin(np.array(self.names)[self.trajectory], list(held_out))
        return self._where(~out), self._where(out)

    def _where(self, rows: np.ndarray) -> Snapshots:
        return Snapshots(self.u[rows], self.trajectory[rows], self.names, self.origin)


class Store:
    """Trajectories in a folder.

    Raises
    ------
    InputError
        The folder holds poses of another body, or a file in it cannot be read.
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)

    def path(self, name: str) -> Path:
        return self.folder / f"{name}.h5"

    def names(self) -> tuple[str, ...]:
        """The trajectories present, sorted."""
        return tuple(sorted(p.stem for p in self.folder.glob("*.h5") if p.name[0] != "."))

    def write(
        self,
        name: str,
        u: np.ndarray,
        *,
        origin: dict[str, Any],
        loads: Sequence[Load],
        seed: Sequence[int],
        step: float,
        integrator: str,
        complete: bool,
        obstacles: Sequence[Obstacle] = (),
        tagged: Mapping[str, str] = MappingProxyType({}),
    ) -> None:
        """Store the poses u [m] (n_poses, n_dofs) of one trajectory, in float32.

        tagged : of `tagged_of`.
        """
        told = {
            "format": _FORMAT,
            "origin": origin,
            "loads": [load_to_dict(load) for load in loads],
            "seed": list(seed),
            "step": step,
            "integrator": integrator,
            "complete": complete,
        }
        if obstacles:
            told["obstacles"] = [obstacle_to_dict(obstacle) for obstacle in obstacles]
        if tagged:
            told["tagged"] = dict(tagged)
        with atomic_hdf5(self.path(name)) as file:
            file.create_dataset("displacement", data=u.astype(np.float32))
            file["displacement"].attrs["unit"] = "m"
            file.attrs["provenance"] = json.dumps(told, sort_keys=True)

    def read(self, names: Sequence[str] | None = None) -> Snapshots:
        """The named trajectories (all unless given) as one set."""
        names = self.names() if names is None else tuple(names)
        if not names:
            raise InputError(f"{self.folder}: expected snapshots (*.h5), found none; make some")
        self._try(names)
        parts, first = [], None
        for name in names:
            u, told = self._read_one(name)
            if first is None:
                first = (name, told["origin"])
            if told["origin"] != first[1]:
                differ = sorted(k for k, v in told["origin"].items() if v != first[1].get(k))
                raise InputError(
                    f"{self.folder}: expected poses of one body, but {name} and {first[0]} differ "
                    f"in {', '.join(differ)}; use one folder a body"
                )
            parts.append(u)
        assert first is not None
        index = np.repeat(np.arange(len(parts)), [len(u) for u in parts])
        return Snapshots(np.concatenate(parts), index, tuple(names), first[1])

    def check(self, origin: dict[str, Any]) -> None:
        """Refuse a folder that holds poses of another body than the one of `origin`, or a file
        that cannot be read."""
        self._try(self.names())
        for name in self.names()[:1]:
            if self._read_one(name)[1]["origin"] != origin:
                raise InputError(
                    f"{self.folder}: expected poses of this body (same mesh, clamps, material, "
                    f"mass and damping), but {name} is of another; use another folder"
                )

    def provenance(self, name: str) -> dict[str, Any]:
        """What `write` was told of a trajectory, and its number of "poses"."""
        return self._read_one(name, poses=False)[1]

    def _read_one(self, name: str, poses: bool = True) -> tuple[np.ndarray, dict[str, Any]]:
        path = self.path(name)
        self._try([name])
        try:
            with h5py.File(path, "r") as file:
                told = json.loads(file.attrs["provenance"])
                data = file["displacement"]
                if (
                    told["format"] != _FORMAT
                    or not isinstance(told["origin"], dict)
                    or len(data.shape) != 2
                    or data.dtype != np.float32
                ):
                    raise ValueError("not in this format")
                told["poses"] = len(data)
                u = np.asarray(data[()] if poses else data[:0])
        except (OSError, KeyError, ValueError, TypeError, AttributeError) as error:
            raise _unreadable(path, error) from error
        if not np.isfinite(u).all():
            raise InputError(f"{path}: expected finite displacements; remove it to remake it")
        return u, told

    def _try(self, names: Sequence[str]) -> None:
        """Refuse what cannot be read, all in one go: files of a folder that was passed on."""
        paths = [self.path(name) for name in names]
        try:
            check_hdf5(paths, "provenance", ["displacement"])
        except FailedError as error:
            raise _unreadable(self.folder / error.at, error) from error
        except OSError as error:
            raise _unreadable(Path(error.filename or self.folder), error) from error


def _unreadable(path: Path, error: Exception) -> InputError:
    why = " ".join(str(error).split())[:200]
    return InputError(
        f"{path}: expected a snapshot file of hodsim, cannot read it ({why}); remove it to have it "
        "made again"
    )
