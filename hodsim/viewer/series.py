"""Motions as time series that ParaView opens: XDMF over HDF5, or a .pvd of .vtu files."""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET  # only to write: nothing is parsed here

import meshio
import numpy as np

from hodsim.errors import InputError
from hodsim.files import atomic, atomic_hdf5
from hodsim.mesh import TetMesh

Progress = Callable[[int, int], None]  # frames done, frames in all


@dataclass(frozen=True)
class Frames:
    """What is written of a motion: a mesh of tets or triangles, and vectors on its vertices.

    Attributes
    ----------
    points
        Vertices at rest [m], (n, 3).
    cells
        Corners, (m, 4) of tets or (m, 3) of triangles.
    times
        [s], (T,).
    displacement, velocity
        [m] and [m/s], (T, n, 3).
    moved
        Whether points move, or stay at rest and leave moving to ParaView's Warp By Vector.
    about
        Where the motion comes from; ready for JSON.
    """

    points: np.ndarray
    cells: np.ndarray
    times: np.ndarray
    displacement: np.ndarray
    velocity: np.ndarray
    moved: bool = False
    about: dict[str, Any] = field(default_factory=dict)

    @property
    def kind(self) -> str:
        """What meshio calls its cells."""
        return "tetra" if self.cells.shape[1] == 4 else "triangle"

    def at(self, k: int) -> np.ndarray:
        """Points [m] of a frame, (n, 3)."""
        return self.points + self.displacement[k] if self.moved else self.points


def frames_of(
    vertices: np.ndarray,
    tets: np.ndarray,
    times: np.ndarray,
    displacement: np.ndarray,
    velocity: np.ndarray,
    about: dict[str, Any],
    surface: bool = False,
    moved: bool = False,
) -> Frames:
    """The frames of a motion of all vertices; of its boundary alone, as triangles, if `surface`.

    Arrays are as in `Motion`.
    """
    if not surface:
        return Frames(vertices, tets, times, displacement, velocity, moved, about)
    used, corners = np.unique(TetMesh(vertices, tets).surface, return_inverse=True)
    return Frames(
        vertices[used],
        corners.reshape(-1, 3),
        times,
        displacement[:, used],
        velocity[:, used],
        moved,
        about,
    )


def write_xdmf(path: Path, frames: Frames, progress: Progress | None = None) -> list[Path]:
    """Write `path`, a temporal collection in XDMF 3, and beside it `path` + ".h5" with its numbers.

    The numbers go first and a former `path` before them, so that one that is there is whole.
    Returns both. Raises `InputError` for a name with a colon, which XDMF keeps for itself.
    """
    if ":" in path.name:
        raise InputError(f"{path}: expected a name without a colon, which XDMF cannot point to")
    data = path.with_name(f"{path.name}.h5")
    root = ET.Element("Xdmf", Version="3.0")
    domain = ET.SubElement(root, "Domain")
    about = json.dumps(frames.about, sort_keys=True)
    ET.SubElement(domain, "Information", Name="about", Value=about)
    series = ET.SubElement(
        domain, "Grid", Name="motion", GridType="Collection", CollectionType="Temporal"
    )
    total = len(frames.times)
    path.unlink(missing_ok=True)
    with atomic_hdf5(data) as file:

        def item(parent: ET.Element, name: str, array: np.ndarray, unit: str) -> None:
            if name not in file:
                file.create_dataset(name, data=array).attrs["unit"] = unit
            whole = np.issubdtype(array.dtype, np.integer)
            ET.SubElement(
                parent,
                "DataItem",
                Format="HDF",
                DataType="Int" if whole else "Float",
                Precision=str(array.dtype.itemsize),
                Dimensions=" ".join(map(str, array.shape)),
            ).text = f"{data.name}:/{name}"

        for k, time in enumerate(frames.times):
            if progress is not None:
                progress(k, total)
            grid = ET.SubElement(series, "Grid", Name="body", GridType="Uniform")
            ET.SubElement(grid, "Time", Value=repr(float(time)))
            place = f"points/{k}" if frames.moved else "points/rest"
            item(ET.SubElement(grid, "Geometry", GeometryType="XYZ"), place, frames.at(k), "m")
            topology = ET.SubElement(
                grid,
                "Topology",
                TopologyType="Tetrahedron" if frames.kind == "tetra" else "Triangle",
                NumberOfElements=str(len(frames.cells)),
            )
            item(topology, "cells", frames.cells.astype(np.int64), "1")
            for name, values, unit in (
                ("displacement", frames.displacement[k], "m"),
                ("velocity", frames.velocity[k], "m/s"),
            ):
                vector = ET.SubElement(
                    grid, "Attribute", Name=name, AttributeType="Vector", Center="Node"
                )
                item(vector, f"{name}/{k}", values, unit)
    with atomic(path) as temporary:
        _write(temporary, root)
    return [path, data]


def write_pvd(path: Path, frames: Frames, progress: Progress | None = None) -> list[Path]:
    """Write `path`, a ParaView collection, and its frames into a folder beside it.

    The folder is called as `path` without its suffix and "_frames"; what a former, longer series
    names is removed from it. The frames go first, with about.json. Returns `path` and the folder.
    """
    folder = path.with_name(f"{path.stem}_frames")
    for name in _frames_of(path):
        (folder / name).unlink(missing_ok=True)
    path.unlink(missing_ok=True)
    root = ET.Element("VTKFile", type="Collection", version="0.1", byte_order="LittleEndian")
    collection = ET.SubElement(root, "Collection")
    names = [f"frame-{k:06d}.vtu" for k in range(len(frames.times))]
    try:
        for k, time in enumerate(frames.times):
            if progress is not None:
                progress(k, len(names))
            _write_frame(folder / names[k], frames, k)
            ET.SubElement(
                collection,
                "DataSet",
                timestep=repr(float(time)),
                group="",
                part="0",
                file=f"{folder.name}/{names[k]}",
            )
        with atomic(folder / "about.json") as temporary:
            temporary.write_text(json.dumps(frames.about, indent=2, sort_keys=True) + "\n")
        with atomic(path) as temporary:
            _write(temporary, root)
    except BaseException:  # a full disk: frames that no collection names are of no use
        for name in (*names, "about.json"):
            with contextlib.suppress(OSError):  # what was raised says more
                (folder / name).unlink()
        with contextlib.suppress(OSError):  # others are there
            folder.rmdir()
        raise
    return [path, folder]


def _write_frame(path: Path, frames: Frames, k: int) -> None:
    vectors = {"displacement": frames.displacement[k], "velocity": frames.velocity[k]}
    mesh = meshio.Mesh(frames.at(k), [(frames.kind, frames.cells)], point_data=vectors)
    with atomic(path) as temporary:
        mesh.write(temporary, file_format="vtu")


def _frames_of(path: Path) -> set[str]:
    """Files of the frames that a collection names, as `write_pvd` names them."""
    try:
        told = path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return set()
    return set(re.findall(r"/(frame-\d{6,}\.vtu)\"", told))


def _write(path: Path, root: ET.Element) -> None:
    ET.indent(root)
    ET.ElementTree(root).write(path, encoding="utf-8", xml_declaration=True)
