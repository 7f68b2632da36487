"""The package itself: a quick import, public names, shipped data, files written in one move."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import hodsim
from hodsim.files import atomic, data_dir


def test_import_is_quick_and_light() -> None:
    heavy = "numpy scipy torch warp meshio h5py matplotlib pyvista polyscope typer".split()  # noqa: SIM905
    code = f"import hodsim, sys; print([m for m in {heavy} if m in sys.modules])"
    # Quick is measured by what gets imported, not by a clock, which a busy machine would fail.
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"


def test_scene_and_mesh_rooms_need_no_heavy_package() -> None:
    code = (
        "import hodsim, sys; hodsim.TetMesh, hodsim.Scene, hodsim.read_mesh\n"
        "heavy = 'torch warp meshio scipy matplotlib pyvista'.split()\n"
        "print([m for m in heavy if m in sys.modules])"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"


def test_every_public_name_is_there() -> None:
    assert sorted(hodsim.__all__) == sorted(hodsim._HOMES)
    for name in hodsim.__all__:
        assert getattr(hodsim, name).__name__ == name
        assert name in dir(hodsim)
    with pytest.raises(AttributeError, match="no_such_name"):
        hodsim.no_such_name  # noqa: B018


def test_shipped_data() -> None:
    assert (data_dir("meshes") / "beam.vtu").is_file()
    with pytest.raises(hodsim.InputError, match="'weights'"):
        data_dir("weights")


def test_atomic_writes_all_or_nothing(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "a.json"
    with atomic(path) as temporary:
        assert (temporary.parent, temporary.suffix) == (path.parent, path.suffix)
        temporary.write_text("new")
        assert not path.exists()
    assert path.read_text() == "new"

    def fail() -> None:
        with atomic(path) as temporary:
            temporary.write_text("half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fail()
    assert path.read_text() == "new"
    assert list(path.parent.iterdir()) == [path]


def test_atomic_names_a_place_that_cannot_be(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for place in (tmp_path, tmp_path / "file" / "a.json"):
        with pytest.raises(hodsim.InputError, match=str(place)), atomic(place):
            pass
