"""Files: written whole or not at all, names made of any text, folders of one run at a time."""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from hodsim.errors import ConvergenceError, InputError
from hodsim.files import alone, atomic, file_name

HOLD = """
import sys, time
from hodsim.files import alone
with alone(sys.argv[1]):
    print("held", flush=True)
    time.sleep(60)
"""


# A limit on the size of files stands for a full disk: writing fails midway, as there.
WRITE = """
import resource, sys
import h5py, numpy as np, safetensors.numpy
from hodsim.errors import InputError
from hodsim.files import atomic

def hdf5(path):
    with h5py.File(path, "w") as file:
        file["a"] = a

a = np.ones(1 << 15)
writers = {
    "text": lambda path: path.write_text("a" * a.nbytes),
    "hdf5": hdf5,
    "safetensors": lambda path: safetensors.numpy.save_file({"a": a}, path),
    "archive": lambda path: np.savez(path.with_suffix(".npz"), a=a),
}
resource.setrlimit(resource.RLIMIT_FSIZE, (a.nbytes // 2,) * 2)
try:
    with atomic(sys.argv[2]) as path:
        writers[sys.argv[1]](path)
except InputError as error:
    print(error)
"""


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
    assert not list(tmp_path.iterdir())


def test_names_of_files_are_plain_and_keep_digests_apart() -> None:
    assert file_name("HoD 6: a/b\\c..d ß") == "HoD-6-a-b-c..d"
    assert file_name("../../etc/passwd") == "etc-passwd"
    assert file_name("a" * 300, "0123456789abcdef") == "a" * 120 + "-0123456789ab"
    assert file_name("x", "abc") != file_name("x", "abd")


def test_a_folder_is_one_run_s_until_its_process_ends_however(tmp_path: Path) -> None:
    folder = tmp_path / "made" / "here"
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, str(folder)], stdout=subprocess.PIPE, text=True
    ) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "held\n"
        with (
            pytest.raises(InputError, match=r"here: expected no other run .* wait until"),
            alone(folder),
        ):
            pass
        other.send_signal(signal.SIGKILL)
        other.wait()
    with alone(folder):
        pass
    with alone(folder):  # let go at the end
        pass


def test_what_a_killed_run_left_half_written_is_removed(tmp_path: Path) -> None:
    names = []
    for name in ("a.h5", "b", ".c.x", "deadbeefcafe.h5"):
        with atomic(tmp_path / name) as path:
            names.append(path.name)
            path.touch()
        (tmp_path / name).unlink()
    kept = {".lock", ".a.h5", ".a.0123456789.h5", "a.0123456789ab.h5"}
    for name in (*names, *kept):
        (tmp_path / name).write_text("half")
    with alone(tmp_path):
        assert {p.name for p in tmp_path.iterdir()} == kept


def test_a_file_in_a_folder_s_place_is_told(tmp_path: Path) -> None:
    place = tmp_path / "file"
    place.write_text("")
    with pytest.raises(InputError, match="cannot write there"), alone(place):
        pass
