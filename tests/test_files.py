"""Files: written whole or not at all, names made of any text, folders of one run at a time."""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from started import held

from hodsim.errors import ConvergenceError, InputError
from hodsim.files import alone, atomic, file_name

# A limit on the size of files stands for a full disk: writing fails midway, as there.
WRITE = """
import resource, sys
import numpy as np, safetensors.numpy
from hodsim.errors import InputError
from hodsim.files import atomic, atomic_hdf5

a = np.ones(1 << 15)
writers = {
    "text": lambda path: path.write_text("a" * a.nbytes),
    "safetensors": lambda path: safetensors.numpy.save_file({"a": a}, path),
    "archive": lambda path: np.savez(path.with_suffix(".npz"), a=a),
}
resource.setrlimit(resource.RLIMIT_FSIZE, (a.nbytes // 2,) * 2)
try:
    if sys.argv[1] == "hdf5":
        with atomic_hdf5(sys.argv[2]) as file:
            for k in range(40):  # small ones: libhdf5 holds them back, and fails when it ends
                file[f"a/{k}"] = a[: 1 << 10]
    else:
        with atomic(sys.argv[2]) as path:
            writers[sys.argv[1]](path)
except InputError as error:
    print(error)
"""


def test_a_link_stays_and_what_it_points_to_is_written(tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    for name, told in (("there/old", "former"), ("there/new", None)):
        target, link = tmp_path / name, tmp_path / f"{Path(name).name}.json"
        if told:
            target.write_text(told)
        link.symlink_to(target)
        with atomic(link) as path:
            path.write_text("now")
        assert link.is_symlink()
        assert target.read_text() == "now"
    assert sorted(p.name for p in (tmp_path / "there").iterdir()) == ["new", "old"]


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes with names here")
def test_a_pipe_is_not_replaced(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "link").symlink_to(tmp_path / "pipe")
    for name in ("pipe", "link"):
        with pytest.raises(InputError, match=f"{name}: .*given a device or a pipe; choose another"):  # noqa: SIM117
            with atomic(tmp_path / name):
                pytest.fail("it began")
    assert (tmp_path / "pipe").is_fifo()


@pytest.mark.parametrize("writer", ["text", "hdf5", "safetensors", "archive"])
def test_without_room_a_former_file_stays_and_one_line_tells(tmp_path: Path, writer: str) -> None:
    place = tmp_path / "file.npz"
    place.write_text("former")
    told = subprocess.run(
        [sys.executable, "-c", WRITE, writer, str(place)],
        capture_output=True,
        text=True,
        check=True,
    )
    wanted = f"{place}: no room to write it; free some, or choose another place\n"
    assert (told.stdout, told.stderr) == (wanted, "")
    assert [p.name for p in tmp_path.iterdir()] == ["file.npz"]
    assert place.read_text() == "former"


def test_what_is_no_want_of_room_is_told_as_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(FileNotFoundError), atomic(tmp_path / "a") as path:
        path.with_name("none").read_text()
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=0))
    for error in (ConvergenceError("it did not"), InputError("it is not")):
        with pytest.raises(type(error), match="it"), atomic(tmp_path / "a"):
            raise error
    with pytest.raises(InputError, match="no room"), atomic(tmp_path / "a"):
        raise RuntimeError("unable to flush")
    for error in (
        OSError(errno.ENOSPC, "No space left", "/elsewhere/file"),
        OSError(errno.ENOENT, "Not there", "/elsewhere/file"),
    ):
        with pytest.raises(OSError, match="/elsewhere/file"), atomic(tmp_path / "a"):
            raise error
    monkeypatch.setattr(shutil, "disk_usage", lambda _: _gone())
    with pytest.raises(ValueError, match="the cause"), atomic(tmp_path / "a"):
        raise ValueError("the cause")
    assert not list(tmp_path.iterdir())


def _gone() -> None:
    raise FileNotFoundError(errno.ENOENT, "gone")


def test_names_of_files_are_plain_and_keep_digests_apart() -> None:
    assert file_name("HoD 6: a/b\\c..d ß") == "HoD-6-a-b-c..d"
    assert file_name("../../etc/passwd") == "etc-passwd"
    assert file_name("a" * 300, "0123456789abcdef") == "a" * 120 + "-0123456789ab"
    assert file_name("x", "abc") != file_name("x", "abd")


def test_a_folder_is_one_run_s_until_its_process_ends_however(tmp_path: Path) -> None:
    folder = tmp_path / "made" / "here"
    with (
        held(folder),
        pytest.raises(InputError, match=r"here: expected no other run .* wait until"),
        alone(folder),
    ):
        pass
    with alone(folder), alone(folder):  # the other was killed; one process may ask twice
        (folder / "file").touch()
    with alone(folder):  # let go at the end
        pass


def test_a_folder_made_for_nothing_is_gone(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="bad"), alone(tmp_path / "new"):
        raise InputError("bad")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("code", [errno.ENOLCK, errno.ENOSYS])
def test_where_there_are_no_locks_it_goes_on_with_a_word(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    """With no lock at all: a file's mere presence, copied along, would refuse all later runs."""

    def refuse(*_: object) -> None:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr("fcntl.flock", refuse)
    for _ in range(2):
        with pytest.warns(UserWarning, match="no locks here"), alone(tmp_path / "a"):
            shutil.copytree(tmp_path / "a", tmp_path / "b", dirs_exist_ok=True)
        with pytest.warns(UserWarning, match="no locks here"), alone(tmp_path / "b"):
            pass


def test_what_a_killed_run_left_half_written_is_removed(tmp_path: Path) -> None:
    names = []
    for name in ("a.h5", "b.json", ".c.safetensors", "deadbeefcafe.h5"):
        with atomic(tmp_path / name) as path:
            names.append(path.name)
            path.touch()
        (tmp_path / name).unlink()
    kept = {".lock", ".a.h5", ".a.0123456789.h5", "a.0123456789ab.h5", ".f.0123456789ab.mp4"}
    (tmp_path / "peers").mkdir()
    (tmp_path / "others").mkdir()  # a folder of another run
    for name in (*names, *kept, "others/.lock"):
        (tmp_path / name).write_text("half")
        if "/" not in name:
            (tmp_path / "peers" / name.replace(".lock", "x")).write_text("half")
            (tmp_path / "others" / name).write_text("half")
    with alone(tmp_path):
        assert {p.name for p in tmp_path.iterdir()} == {*kept, "peers", "others"}
        assert {p.name for p in (tmp_path / "peers").iterdir()} == {"x", *kept} - {".lock"}
        assert {p.name for p in (tmp_path / "others").iterdir()} == {*names, *kept}


def test_a_file_in_a_folder_s_place_is_told(tmp_path: Path) -> None:
    place = tmp_path / "file"
    place.write_text("")
    with pytest.raises(InputError, match="cannot write there"), alone(place):
        pass
