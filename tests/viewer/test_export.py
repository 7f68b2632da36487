"""Motions on disk."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest

from hodsim.errors import InputError
from hodsim.mesh import beam
from hodsim.viewer import Motion, write_motion

MESH = beam((2, 1, 1))
RNG = np.random.default_rng(0)
MOTION = Motion(
    vertices=MESH.vertices,
    tets=MESH.tets,
    times=np.array([0.0, 0.1, 0.2]),
    displacement=RNG.standard_normal((3, MESH.n_vertices, 3)),
    velocity=RNG.standard_normal((3, MESH.n_vertices, 3)),
    latent=RNG.standard_normal((3, 2)),
    iterations=np.array([3, 2]),
    step_ms=np.array([1.5, 1.25]),
    about={"scene": "bend", "converged": True},
)


def test_hdf5_with_units(tmp_path: Path) -> None:
    write_motion(tmp_path / "m.h5", MOTION)
    with h5py.File(tmp_path / "m.h5") as file:
        for name in ("vertices", "times", "displacement", "velocity", "latent", "iterations"):
            assert np.array_equal(file[name][()], getattr(MOTION, name))
        units = {name: file[name].attrs["unit"] for name in file}
        assert json.loads(file.attrs["about"]) == MOTION.about
    assert units["displacement"] == "m"
    assert units["velocity"] == "m/s"
    assert units["times"] == "s"
    assert units["step_ms"] == "ms"


def test_npz_needs_no_pickle(tmp_path: Path) -> None:
    write_motion(tmp_path / "m.npz", replace(MOTION, latent=None))
    with np.load(tmp_path / "m.npz", allow_pickle=False) as file:
        assert "latent" not in file
        assert np.array_equal(file["displacement"], MOTION.displacement)
        assert json.loads(str(file["about"])) == MOTION.about


def test_other_suffixes_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"\.h5, \.npz, \.xdmf or \.pvd"):
        write_motion(tmp_path / "m.csv", MOTION)
    assert not list(tmp_path.iterdir())
