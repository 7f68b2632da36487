"""Work on files from strangers, in a process of its own with bounded time and memory.

meshio trusts what a file says: cut or made-up files have it loop, print, ask for terabytes, or
leave the process. fTetWild and libhdf5 are compiled code that can abort, or loop. None can do more
here than fail.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hodsim.errors import InputError

_CHILD = Path(__file__).with_name("child.py")
_NO_ROOM = 3  # the child's code where it could not write
# Names in the child's folder: what it leaves, and what it prints.
_OUT, SAID = "out.npz", "said.txt"
_REASON = 300  # characters of a reason that are told
_SHARE = 5  # how many times its processor time it may take by the clock, on a busy machine

Arrays = dict[str, NDArray[Any]]
"""Arrays by name."""


class FailedError(InputError):
    """The child did not do it; the text says why, without the file's name.

    at : which of several files it was at, by name; empty where there was one.
    """

    def __init__(self, why: str, at: str = "") -> None:
        super().__init__(why)
        self.at = at


def isolated(task: str, path: Path, *, seconds: int, memory: int, **options: Any) -> Arrays:
    """What `child.py` makes of `path`: the arrays it leaves.

    Parameters
    ----------
    task
        A task of `child.py`.
    seconds, memory
        Most processor time [s] and address space [bytes], where the system can bound them; by the
        clock it may take five times as long.
    options
        Of the task, ready for JSON.

    Raises
    ------
    FailedError
        It raised, crashed, or took more than it may.
    InputError
        It could not be started, or had no room for what it leaves.
    """
    told = {"memory": memory, "seconds": seconds, **options}
    try:
        return _run(task, path, told)
    except OSError as error:
        raise InputError(
            f"cannot start a process that reads files ({error}); make room for it in "
            f"{tempfile.gettempdir()}"
        ) from error


def _run(task: str, path: Path, told: dict[str, Any]) -> Arrays:
    seconds = told["seconds"]
    threads = {f"{name}_NUM_THREADS": "1" for name in ("OMP", "MKL", "OPENBLAS")}
    with tempfile.TemporaryDirectory(prefix="hodsim-") as folder:
        # -P: the folder of the script holds modules of hodsim, which are not to be imported bare.
        words = [sys.executable, "-P", str(_CHILD), *order(folder, task, path, told)]
        try:
            with (Path(folder) / SAID).open("wb") as file:
                code = subprocess.run(  # noqa: S603  (our own script, no shell)
                    words,
                    stdin=subprocess.DEVNULL,
                    stdout=file,
                    stderr=subprocess.STDOUT,
                    timeout=_SHARE * seconds,
                    # fTetWild leaves a file of its own where it runs.
                    cwd=folder,
                    env=os.environ | threads,
                    check=False,
                ).returncode
        except subprocess.TimeoutExpired as error:
            raise FailedError(f"it took more than {_SHARE * seconds} s", _at(folder)) from error
        return ended(code, folder, seconds)


def order(folder: str, task: str, path: Path, told: dict[str, Any]) -> list[str]:
    """The arguments of `child.py`. Its options are in a file: names of many are no word of a
    command."""
    asked = Path(folder) / "options.json"
    asked.write_text(json.dumps(told))
    return [task, str(path.absolute()), str(Path(folder) / _OUT), str(asked)]


def ended(code: int, folder: str, seconds: int) -> Arrays:
    """What the child left in its folder, by its exit code. Raises as `isolated` does."""
    if code == _NO_ROOM:
        raise OSError("no room for what it leaves")
    if code:
        said = (Path(folder) / SAID).read_bytes()[-4096:]
        raise FailedError(_reason(code, said, seconds), _at(folder))
    out = Path(folder) / _OUT
    if not out.exists():  # there were no arrays
        return {}
    with np.load(out, allow_pickle=False) as found:
        return {name: found[name] for name in found.files}


def _at(folder: str) -> str:
    """What the child left in its file `at`."""
    path = Path(folder) / "at"
    return path.read_text("utf-8", "surrogateescape") if path.exists() else ""


def _reason(code: int, said: bytes, seconds: int) -> str:
    lines = [line for line in said.decode(errors="replace").splitlines() if line.strip()]
    if code == -getattr(signal, "SIGXCPU", 0):
        return f"it took more than {seconds} s"
    if code < 0:
        return f"it crashed by signal {-code}"
    if not lines:
        return f"it stopped with code {code}"
    # A reader that gives up with sys.exit(1) has printed why before.
    last = lines[-2] if lines[-1].startswith("SystemExit") and len(lines) > 1 else lines[-1]
    return " ".join("".join(c if c.isprintable() else " " for c in last).split())[:_REASON]
