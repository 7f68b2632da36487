"""Files: names made of any text, and folders that one run writes in at a time."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from hodsim.errors import InputError
from hodsim.files import alone, file_name

HOLD = """
import sys, time
from hodsim.files import alone
with alone(sys.argv[1]):
    print("held", flush=True)
    time.sleep(60)
"""


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


def test_a_file_in_a_folder_s_place_is_told(tmp_path: Path) -> None:
    place = tmp_path / "file"
    place.write_text("")
    with pytest.raises(InputError, match="cannot write there"), alone(place):
        pass
