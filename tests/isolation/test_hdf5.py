"""HDF5 files that have libhdf5 loop, or are no HDF5 files, end in another process than this one."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest

from hodsim import InputError
from hodsim.isolation import FailedError, check_hdf5, hdf5, process
from hodsim.snapshots import Store
from hodsim.viewer import read_motion


def sound(path: Path) -> Path:
    with h5py.File(path, "w") as file:
        file.create_dataset("displacement", data=np.zeros((3, 6), np.float32))
        told = {"format": 1, "origin": {"a": 1}}
        file.attrs["provenance"] = file.attrs["about"] = json.dumps(told)
    return path


def endless(path: Path) -> Path:
    """The global heap's first object, of -16 bytes beside its own 16: the next is it again."""
    data = bytearray(sound(path).read_bytes())
    heap = data.index(b"GCOL")
    data[heap + 24 : heap + 32] = (2**64 - 16).to_bytes(8, "little")
    path.write_bytes(data)
    return path


@pytest.fixture
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hdf5, "_SECONDS", 2)


def test_a_sound_one_is_tried_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tried: list[list[str]] = []
    run = hdf5.isolated

    def counted(*args: object, **options: object) -> object:
        tried.append(options["files"])  # type: ignore[arg-type]
        return run(*args, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(hdf5, "isolated", counted)
    paths = [sound(tmp_path / f"{k}.h5") for k in range(3)]
    check_hdf5(paths[:2], "provenance", ["displacement"])
    check_hdf5(paths, "provenance", ["displacement"])
    check_hdf5(paths, "provenance", ["displacement"])
    assert tried == [["0.h5", "1.h5"], ["2.h5"]]
    os.utime(paths[1], (1, 1))
    check_hdf5(paths, "provenance", ["displacement"])
    assert tried[2:] == [["1.h5"]]


@pytest.mark.usefixtures("short")
def test_one_that_loops_is_named(tmp_path: Path) -> None:
    paths = [sound(tmp_path / "a.h5"), endless(tmp_path / "b.h5"), sound(tmp_path / "c.h5")]
    with pytest.raises(FailedError, match=r"took more than \d+ s") as told:
        check_hdf5(paths, "provenance", ["displacement"])
    assert told.value.at == "b.h5"


@pytest.mark.usefixtures("short")
def test_a_store_refuses_one_that_loops(tmp_path: Path) -> None:
    sound(tmp_path / "a.h5")
    assert Store(tmp_path).read().u.shape == (3, 6)
    endless(tmp_path / "b.h5")
    for ask in (Store(tmp_path).read, lambda: Store(tmp_path).check({"a": 1})):
        with pytest.raises(InputError, match=r"b\.h5: .*took more than \d+ s.*; remove it"):
            ask()
    assert Store(tmp_path).provenance("a")["poses"] == 3


@pytest.mark.usefixtures("short")
def test_a_motion_that_loops_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"m\.h5: .*took more than \d+ s"):
        read_motion(endless(tmp_path / "m.h5"))


def test_what_is_not_there_or_no_hdf5_file(tmp_path: Path) -> None:
    (tmp_path / "a.h5").write_bytes(b"no")
    with pytest.raises(FailedError, match="signature") as told:
        check_hdf5([tmp_path / "a.h5"], "provenance", [])
    assert told.value.at == "a.h5"
    with pytest.raises(FileNotFoundError):
        check_hdf5([tmp_path / "b.h5"], "provenance", [])
    with pytest.raises(InputError, match=r"b\.h5: expected a snapshot file"):
        Store(tmp_path).read(["b"])


def test_what_was_read_of_a_file_counts(tmp_path: Path) -> None:
    path = sound(tmp_path / "a.h5")
    check_hdf5([path], "provenance", ["displacement"])
    with pytest.raises(FailedError, match="absent"):
        check_hdf5([path], "absent", ["displacement"])


def test_names_of_many_files_are_no_words_of_a_command(tmp_path: Path) -> None:
    """Linux has room for 128 KiB in one word, Windows for 32 in all."""
    path = sound(tmp_path / "a.h5")
    links = [tmp_path / f"{k:0120d}.h5" for k in range(1200)]
    for link in links:
        os.link(path, link)
    check_hdf5(links, "provenance", [])


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes with names here")
def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "a.h5")
    with pytest.raises(InputError, match=r"a\.h5: .*it is no file"):
        Store(tmp_path).read()


def test_trouble_of_the_machine_is_not_the_file_s(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sound(tmp_path / "a.h5")
    monkeypatch.setattr(process.tempfile, "tempdir", str(tmp_path / "none"))
    with pytest.raises(InputError, match=r"^cannot start a process .*none"):
        Store(tmp_path).read()


def test_a_system_that_bounds_nothing(tmp_path: Path) -> None:
    """As macOS, which refuses a bound of the address space."""
    asked = tmp_path / "options.json"
    options = {"memory": 1 << 30, "seconds": 5, "files": ["a.h5"], "attribute": "provenance"}
    asked.write_text(json.dumps({**options, "datasets": []}))
    sound(tmp_path / "a.h5")
    code = f"""
import resource, runpy, sys
def refuse(*_): raise ValueError("current limit exceeds maximum limit")
resource.setrlimit = refuse
sys.argv = ["child.py", "hdf5", {str(tmp_path)!r}, "out.npz", {str(asked)!r}]
runpy.run_path({str(process._CHILD)!r}, run_name="__main__")
"""
    told = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert (told.returncode, told.stdout, told.stderr) == (0, "", "")
