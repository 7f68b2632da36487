"""Motions as series, read back by meshio and by VTK, which is what ParaView reads with."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree as ET

import h5py
import meshio
import numpy as np
import pytest
import pyvista
from small import SCENE, Run

from hodsim.errors import InputError
from hodsim.mesh import TetMesh, beam
from hodsim.viewer import Motion, read_motion, write_motion

MESH = beam((3, 2, 2))  # with vertices inside
RNG = np.random.default_rng(0)
MOTION = Motion(
    vertices=MESH.vertices,
    tets=MESH.tets,
    times=np.array([0.0, 0.1, 0.3, 1 / 3]),
    displacement=RNG.standard_normal((4, MESH.n_vertices, 3)),
    velocity=RNG.standard_normal((4, MESH.n_vertices, 3)),
    latent=RNG.standard_normal((4, 2)),
    iterations=np.array([3, 2, 2]),
    step_ms=np.array([1.5, 1.25, 1.0]),
    about={"scene": "bend & <twist>", "converged": True},
)
KEPT = np.unique(MESH.surface)
both = pytest.mark.parametrize("surface", [False, True], ids=["tets", "surface"])
moving = pytest.mark.parametrize("moved", [False, True], ids=["rest", "moved"])


def expected(surface: bool, moved: bool, k: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Corner positions of all cells at frame k, displacements and velocities of its points."""
    cells = MESH.surface if surface else MESH.tets
    x = MESH.vertices + MOTION.displacement[k] if moved else MESH.vertices
    kept = KEPT if surface else slice(None)
    return x[cells], MOTION.displacement[k][kept], MOTION.velocity[k][kept]


def same(
    mesh: tuple[np.ndarray, np.ndarray], vectors: dict[str, np.ndarray], wanted: object
) -> None:
    points, cells = mesh
    corners, displacement, velocity = wanted  # type: ignore[misc]
    np.testing.assert_array_equal(points[cells], corners)
    np.testing.assert_array_equal(vectors["displacement"], displacement)
    np.testing.assert_array_equal(vectors["velocity"], velocity)


@both
def test_xdmf_in_meshio(tmp_path: Path, surface: bool) -> None:
    path = tmp_path / "m.xdmf"
    written = write_motion(path, MOTION, surface=surface)
    assert written == [path, tmp_path / "m.xdmf.h5"]
    assert sorted(tmp_path.iterdir()) == written
    with meshio.xdmf.TimeSeriesReader(path) as reader:
        points, (block,) = reader.read_points_cells()
        assert block.type == ("triangle" if surface else "tetra")
        assert reader.num_steps == 4
        for k in range(4):
            t, vectors, _ = reader.read_data(k)
            assert t == MOTION.times[k]
            same((points, block.data), vectors, expected(surface, False, k))


@both
@moving
def test_xdmf_in_vtk(tmp_path: Path, surface: bool, moved: bool) -> None:
    path = tmp_path / "m.xdmf"
    write_motion(path, MOTION, surface, moved)
    reader = pyvista.get_reader(str(path))
    assert reader.time_values == pytest.approx(MOTION.times, abs=0.0)
    for k in (2, 0, 3):
        reader.set_active_time_value(MOTION.times[k])
        data = reader.read()
        grid = data if isinstance(data, pyvista.DataSet) else data[0]
        cells = grid.cells_dict[pyvista.CellType.TRIANGLE if surface else pyvista.CellType.TETRA]
        same((grid.points, cells), grid.point_data, expected(surface, moved, k))


@both
@moving
def test_pvd_in_vtk(tmp_path: Path, surface: bool, moved: bool) -> None:
    path = tmp_path / "m.pvd"
    written = write_motion(path, MOTION, surface, moved)
    assert written == [path, tmp_path / "m_frames"]
    reader = pyvista.get_reader(str(path))
    assert reader.time_values == list(MOTION.times)
    for k in range(4):
        reader.set_active_time_value(MOTION.times[k])
        grid = reader.read()[0]
        cells = grid.cells_dict[pyvista.CellType.TRIANGLE if surface else pyvista.CellType.TETRA]
        same((grid.points, cells), grid.point_data, expected(surface, moved, k))


def test_what_it_is_about_goes_along(tmp_path: Path) -> None:
    write_motion(tmp_path / "m.xdmf", MOTION)
    told = ET.parse(tmp_path / "m.xdmf").getroot().find("Domain/Information")
    assert told is not None
    assert json.loads(told.attrib["Value"]) == MOTION.about
    write_motion(tmp_path / "m.pvd", MOTION)
    assert json.loads((tmp_path / "m_frames" / "about.json").read_text()) == MOTION.about
    with h5py.File(tmp_path / "m.xdmf.h5") as file:
        assert file["velocity/0"].attrs["unit"] == "m/s"


def test_a_shorter_series_leaves_no_frames_of_the_longer(tmp_path: Path) -> None:
    path = tmp_path / "m.pvd"
    write_motion(path, MOTION)
    for mine in ("mine.vtu", "frame-000099.vtu"):
        (tmp_path / "m_frames" / mine).write_text("kept")
    short = replace(
        MOTION,
        times=MOTION.times[:2],
        displacement=MOTION.displacement[:2],
        velocity=MOTION.velocity[:2],
    )
    write_motion(path, short)
    names = sorted(p.name for p in (tmp_path / "m_frames").iterdir())
    made = ["about.json", "frame-000000.vtu", "frame-000001.vtu"]
    assert names == [*made, "frame-000099.vtu", "mine.vtu"]


@pytest.mark.parametrize("name", ["m.xdmf", "m.pvd"])
def test_stopped_midway_nothing_points_nowhere(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    write_motion(path, MOTION)

    def stop(done: int, total: int) -> None:
        if done == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_motion(path, MOTION, progress=stop)
    assert not path.exists()
    assert not list(tmp_path.rglob(".*"))  # no half-written file
    assert not list(tmp_path.rglob("*.vtu"))  # nor frames that nothing names
    write_motion(path, MOTION)
    assert path.exists()


@pytest.mark.parametrize("name", ["m.xdmf", "m.pvd", "m.h5", "m.npz"])
def test_a_link_stays(tmp_path: Path, name: str) -> None:
    (tmp_path / "there").mkdir()
    link, target = tmp_path / name, tmp_path / "there" / f"other{Path(name).suffix}"
    target.write_text("former")
    link.symlink_to(target)
    write_motion(link, MOTION)
    assert link.is_symlink()
    assert target.stat().st_size > 100
    assert [p.name for p in tmp_path.iterdir() if p != link] == ["there"]


@pytest.mark.parametrize("suffix", [".h5", ".npz"])
def test_a_link_s_own_suffix_says_the_format(tmp_path: Path, suffix: str) -> None:
    link, target = tmp_path / f"m{suffix}", tmp_path / "stored.data"
    link.symlink_to(target)
    write_motion(link, MOTION)
    np.testing.assert_array_equal(read_motion(link).displacement, MOTION.displacement)
    assert sorted(p.name for p in tmp_path.iterdir()) == [link.name, "stored.data"]


def test_what_is_in_the_way_of_frames_is_told(tmp_path: Path) -> None:
    (tmp_path / "m_frames").write_text("mine")
    with pytest.raises(InputError, match="cannot make its folder"):
        write_motion(tmp_path / "m.pvd", MOTION)
    assert (tmp_path / "m_frames").read_text() == "mine"


def test_refusals(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="a series for its surface or moved points"):
        write_motion(tmp_path / "m.npz", MOTION, surface=True)
    with pytest.raises(InputError, match="a series for its surface"):
        write_motion(tmp_path / "m.h5", MOTION, moved=True)
    with pytest.raises(InputError, match="without a colon"):
        write_motion(tmp_path / "a:b.xdmf", MOTION)
    assert not list(tmp_path.iterdir())


# --------------------------------------------------------------------------------- read again
@pytest.mark.parametrize("suffix", [".h5", ".npz"])
@pytest.mark.parametrize("latent", [MOTION.latent, None])
def test_what_is_stored_is_read(tmp_path: Path, suffix: str, latent: np.ndarray | None) -> None:
    path = tmp_path / f"m{suffix}"
    wanted = replace(MOTION, latent=latent)
    assert write_motion(path, wanted) == [path]
    found = read_motion(path)
    assert found.about == wanted.about
    for name in ("vertices", "tets", "times", "displacement", "velocity", "iterations", "step_ms"):
        a, b = getattr(found, name), getattr(wanted, name)
        np.testing.assert_array_equal(a, b)
        assert a.dtype == b.dtype
    if latent is None:
        assert found.latent is None
    else:
        np.testing.assert_array_equal(found.latent, latent)


BAD = {
    "times": np.array([0.0]),
    "velocity": np.full_like(MOTION.velocity, np.nan),
    "displacement": MOTION.displacement[:, 1:],
    "tets": MOTION.tets + 5,
    "vertices": np.array(3.0),
    "iterations": np.array([1.0, 2.0, 3.0]),
    "step_ms": np.array(["a", "b", "c"]),
    "latent": np.zeros(4),
}


@pytest.mark.parametrize("suffix", [".h5", ".npz"])
@pytest.mark.parametrize("name", BAD)
def test_arrays_that_make_no_motion(tmp_path: Path, name: str, suffix: str) -> None:
    path = tmp_path / f"m{suffix}"
    bad = BAD[name].astype("S1") if suffix == ".h5" and name == "step_ms" else BAD[name]
    write_motion(path, replace(MOTION, **{name: bad}))
    with pytest.raises(InputError, match="cannot read it") as caught:
        read_motion(path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("suffix", [".h5", ".npz"])
def test_files_cut_or_of_another_kind(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"m{suffix}"
    write_motion(path, MOTION)
    whole = path.read_bytes()
    for k in range(0, len(whole) - 1, len(whole) // 40):
        path.write_bytes(whole[:k])
        with pytest.raises(InputError, match="cannot read it"):
            read_motion(path)
    if suffix == ".npz":  # numpy's pickles run what their author wants
        np.savez(path, about=np.array({"a": 1}, dtype=object))
    else:
        with h5py.File(path, "w") as file:
            file.create_group("times")
            file.attrs["about"] = "{}"
    with pytest.raises(InputError, match="cannot read it"):
        read_motion(path)
    with pytest.raises(InputError, match="expected a motion that"):
        read_motion(tmp_path / "m.vtu")


# -------------------------------------------------------------------------------- the command
@pytest.fixture
def motion(run: Run, tmp_path: Path) -> Path:
    (tmp_path / "small.toml").write_text(SCENE)
    out = tmp_path / "motion.h5"
    code, _, err = run("simulate", tmp_path / "small.toml", "--subspace", "full", "--out", out)
    assert (code, err) == (0, "")
    return out


def test_the_command_turns_one_into_the_other(run: Run, motion: Path) -> None:
    stored = read_motion(motion)
    out, report = motion.with_suffix(".pvd"), motion.with_suffix(".json")
    code, printed, err = run(
        "export", motion, "--out", out, "--surface", "--moved", "--every", 3, "--json", report
    )
    assert (code, err) == (0, "")
    assert str(out) in printed
    told = json.loads(report.read_text())
    assert (told["frames"], told["surface"], told["about"]["scene"]) == (3, True, "small")
    reader = pyvista.get_reader(str(out))
    assert reader.time_values == list(stored.times[::3])
    reader.set_active_time_value(stored.times[6])
    grid = reader.read()[0]
    surface = TetMesh(stored.vertices, stored.tets).surface
    x = (stored.vertices + stored.displacement[6])[surface]
    np.testing.assert_array_equal(grid.points[grid.cells_dict[pyvista.CellType.TRIANGLE]], x)
    code, _, err = run("export", motion, "--out", motion.with_suffix(".npz"))
    assert (code, err) == (0, "")
    copied = read_motion(motion.with_suffix(".npz"))
    np.testing.assert_array_equal(copied.velocity, stored.velocity)


def test_a_scene_goes_straight_to_a_series(run: Run, motion: Path) -> None:
    out = motion.with_suffix(".xdmf")
    scene = motion.with_name("small.toml")
    code, printed, err = run("simulate", scene, "--subspace", "full", "--out", out)
    assert (code, err) == (0, "")
    assert f"{out}.h5" in printed.replace("\n", "")
    stored = read_motion(motion)
    with meshio.xdmf.TimeSeriesReader(out) as reader:
        reader.read_points_cells()
        _, vectors, _ = reader.read_data(8)
    np.testing.assert_array_equal(vectors["displacement"], stored.displacement[8])
    assert np.abs(vectors["velocity"]).max() > 0.0


def test_what_the_command_refuses(run: Run, motion: Path) -> None:
    series = motion.with_suffix(".xdmf")
    numbers = motion.with_name("numbers") / f"{series.name}.h5"
    numbers.parent.mkdir()
    shutil.copy(motion, numbers)
    series = numbers.with_name(series.name)
    for arguments, told in (
        ((motion,), "expected a file to write"),
        ((motion, "--out", motion), "expected another file than the source"),
        ((numbers, "--out", series), "expected another file than the source"),
        ((motion, "--out", series, "--dtype", "float64"), "--dtype are of a model"),
        ((motion, "--out", series, "--subspace", "pca-2"), "--dtype are of a model"),
        ((motion, "--out", series, "--scene", "bend"), "--dtype are of a model"),
        ((motion, "--out", motion.with_suffix(".csv")), ".xdmf or .pvd"),
        ((motion.with_name("small.toml"), "--out", series), "play a scene by `hodsim simulate"),
        ((motion.with_name("none.h5"), "--out", series), "cannot read it"),
        ((motion, "--out", motion.with_suffix(".npz"), "--every", 2), "--every is of a series"),
        ((motion, "--out", motion.with_suffix(".npz"), "--surface"), "a series for its surface"),
    ):
        code, out, err = run("export", *arguments)
        assert (code, out) == (2, ""), arguments
        assert told in err
        assert err.count("\n") == 1
