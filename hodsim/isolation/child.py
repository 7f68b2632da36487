"""What runs in a process of its own (see `isolated`): the libraries that read unknown files.

Run by its path, so that it starts in a moment: it imports numpy and what the task needs, and
nothing of hodsim. It leaves arrays in an .npz file, or a reason on its last line of output.
"""

from __future__ import annotations

import contextlib
import json
import sys
from collections.abc import Callable
from typing import Any

# More names than these in one file, or more values than these in one array, name nothing.
_MOST_TAGS, _MOST_VALUES = 1000, 200
_DIMENSION = {"vertex": 0, "line": 1, "triangle": 2, "quad": 2, "tetra": 3, "hexahedron": 3}


def main() -> int:
    """`child.py TASK PATH OUT OPTIONS`, the last a file of JSON; 0 if OUT is written."""
    task, path, out, asked = sys.argv[1:]
    with open(asked, encoding="utf-8") as file:  # noqa: PTH123
        options = json.load(file)
    _limit(options.pop("memory"), options.pop("seconds"))
    try:
        work: dict[str, Callable[..., dict[str, Any]]] = {
            "read": _read,
            "fill": _fill,
            "hdf5": _hdf5,
        }
        arrays = work[task](path, **options)
        _leave(out, arrays)
    except _NoRoomError:
        return 3  # as the parent knows it
    except MemoryError:
        print("\nit needs more memory than such a file should")
        return 1
    except (Exception, SystemExit) as error:  # noqa: BLE001  (its reason is for the parent to tell)
        print(f"\n{type(error).__name__}: {' '.join(str(error).split())}")
        return 1
    return 0


class _NoRoomError(Exception):
    """It is not the file's fault."""


def _leave(out: str, arrays: dict[str, Any]) -> None:
    import numpy as np

    if arrays:
        try:
            with open(out, "wb") as file:  # noqa: PTH123  (savez would add a suffix to a path)
                np.savez(file, **arrays)
        except OSError as error:
            raise _NoRoomError from error


def _limit(memory: int, seconds: int) -> None:
    """Bound memory, time and output of this process, where the system can."""
    try:
        import resource
    except ImportError:  # Windows: the parent's clock alone
        return
    for kind, most in (
        (resource.RLIMIT_AS, memory),
        (resource.RLIMIT_CPU, seconds),
        (resource.RLIMIT_FSIZE, memory),
        (resource.RLIMIT_CORE, 0),
    ):
        hard = resource.getrlimit(kind)[1]
        most = most if hard == resource.RLIM_INFINITY else min(most, hard)
        with contextlib.suppress(ValueError, OSError):  # macOS bounds no address space
            resource.setrlimit(kind, (most, hard))


def _read(path: str) -> dict[str, Any]:
    """Points (n, 3), tets (m, 4), triangles (k, 3), and in JSON cells by kind and tags' names."""
    import meshio
    import numpy as np

    data = meshio.read(path)
    counts: dict[str, int] = {}
    for block in data.cells:
        if len(block.data):
            counts[block.type] = counts.get(block.type, 0) + len(block.data)
    names, members, told = _tags(data)
    starts = np.cumsum([0, *(len(m) for m in members)])
    about = {"cells": counts, "tags": names, "tags_left_out": told}
    return {
        "points": np.asarray(data.points, dtype=np.float64),
        "tets": _joined(data, {"tetra": [[0, 1, 2, 3]]}, 4),
        "triangles": _joined(data, {"triangle": [[0, 1, 2]], "quad": [[0, 1, 2], [0, 2, 3]]}, 3),
        "tag_starts": starts.astype(np.int64),
        "tag_vertices": np.concatenate([np.empty(0, np.int64), *members]).astype(np.int64),
        "about": np.frombuffer(json.dumps(about).encode(), np.uint8),
    }


def _joined(data: Any, parts: dict[str, list[list[int]]], width: int) -> Any:
    """All cells of the kinds in `parts`, each cut into its parts, as int64 (n, width)."""
    import numpy as np

    found = [np.empty((0, width), np.int64)]
    for block in data.cells:
        if block.type in parts and len(block.data):
            cells = np.asarray(block.data)
            if cells.dtype.kind not in "iu":
                raise ValueError(f"cells numbered by {cells.dtype}, not by whole numbers")
            found.append(cells[:, parts[block.type]].reshape(-1, width).astype(np.int64))
    return np.concatenate(found)


def _tags(data: Any) -> tuple[list[str], list[Any], int]:
    """Names of the file's point sets, cell sets, physical groups and whole-number arrays, the
    vertices of each, and how many names were too many.
    """
    import numpy as np

    found: dict[str, list[Any]] = {}

    def add(name: str, vertices: Any) -> None:
        if str(name).isprintable() and np.size(vertices):
            found.setdefault(str(name), []).append(np.asarray(vertices).ravel())

    for name, points in data.point_sets.items():
        add(name, points)
    for name, blocks in data.cell_sets.items():
        if not str(name).startswith("gmsh:"):
            for block, chosen in zip(data.cells, blocks, strict=False):
                if chosen is not None and np.size(chosen):
                    add(name, block.data[np.asarray(chosen).astype(np.int64)])
    physical = data.cell_data.get("gmsh:physical")
    for name, value in data.field_data.items() if physical is not None else ():
        for block, values in zip(data.cells, physical, strict=False):
            # Numbers of physical groups count anew in each dimension.
            if _DIMENSION.get(block.type) == int(value[1]):
                add(name, block.data[values == int(value[0])])
    for name, blocks in data.cell_data.items():
        for block, values in zip(data.cells, blocks, strict=False):
            for value in _values(values):
                add(f"{name}={value}", block.data[values == value])
    for name, values in data.point_data.items():
        for value in _values(values):
            label = str(name)[4:] if str(name).startswith("set:") else f"{name}={value}"
            if label[:1] and (value or not str(name).startswith("set:")):
                add(label, np.flatnonzero(values == value))
    names = list(found)[:_MOST_TAGS]
    members = [np.unique(np.concatenate(found[name])) for name in names]
    return names, members, len(found) - len(names)


def _values(array: Any) -> list[int]:
    """The different values of an array that numbers groups, none where it does something else."""
    import numpy as np

    if array.ndim != 1 or array.dtype.kind not in "iub":
        return []
    values = np.unique(array)
    return [int(v) for v in values] if len(values) <= _MOST_VALUES else []


def _hdf5(path: str, files: list[str], attribute: str, datasets: list[str]) -> dict[str, Any]:
    """Read an attribute and datasets of each of the files in a folder, and leave nothing."""
    import h5py

    for name in files:
        try:
            with open("at", "w", encoding="utf-8", errors="surrogateescape") as at:  # noqa: PTH123
                at.write(name)
        except OSError as error:
            raise _NoRoomError from error
        with h5py.File(f"{path}/{name}", "r") as file:
            file.attrs[attribute]
            for part in datasets:
                if part in file and isinstance(file[part], h5py.Dataset):
                    file[part][()]
    return {}


def _fill(path: str, edge: float, tolerance: float) -> dict[str, Any]:
    """Tets in the surface of an .npz file, by fTetWild on one thread."""
    import numpy as np
    from pytetwild.pytetwild import tetrahedralize

    with np.load(path, allow_pickle=False) as given:
        points, triangles = given["points"], given["triangles"]
    vertices, tets = tetrahedralize(
        points,
        triangles.astype(np.int32),
        edge_length_abs=edge,
        epsilon=tolerance,
        num_threads=1,
        quiet=True,
    )
    return {"points": vertices, "tets": np.asarray(tets, dtype=np.int64)[:, [0, 1, 3, 2]]}


if __name__ == "__main__":
    sys.exit(main())
