"""HDF5 files, tried before they are opened: a damaged one can have libhdf5 loop without end."""

from __future__ import annotations

import stat
from collections.abc import Sequence
from pathlib import Path

from hodsim.isolation.process import FailedError, isolated

_SECONDS, _SECONDS_A_MB = 10, 0.2
_MEMORY, _MEMORY_A_BYTE = 2 * 1024**3, 4

_State = tuple[str, int, int, int]
# What was read already: states of files, and what of them.
_sound: set[tuple[_State, str, tuple[str, ...]]] = set()


def check_hdf5(paths: Sequence[Path], attribute: str, datasets: Sequence[str]) -> None:
    """Have an attribute and datasets of the root read once, by another process.

    What was found sound is not tried again until it changes: after this call the same can be read
    here. It may take 10 s of processor time and 0.2 s a megabyte, and 2 GiB and four times the
    largest file of memory.

    Parameters
    ----------
    paths
        Files of one folder.
    attribute
        Of the file itself, which must be there.
    datasets
        Those to read; one that is not there, or a group, is passed over.

    Raises
    ------
    FailedError
        libhdf5 cannot read one (`at`, its name), loops, crashes, or takes more memory than it may.
    InputError
        No process can be started.
    OSError
        A file is not there.
    """
    states = {path: _state(path) for path in paths}
    what = attribute, tuple(datasets)
    new = [path for path in paths if (states[path], *what) not in _sound]
    if not new:
        return
    sizes = [states[path][2] for path in new]
    isolated(
        "hdf5",
        new[0].parent,
        seconds=_SECONDS + int(_SECONDS_A_MB * sum(sizes) / 1e6),
        memory=_MEMORY + _MEMORY_A_BYTE * max(sizes),
        files=[path.name for path in new],
        attribute=attribute,
        datasets=list(datasets),
    )
    _sound.update((states[path], *what) for path in new)


def _state(path: Path) -> _State:
    found = path.stat()
    if not stat.S_ISREG(found.st_mode):
        raise FailedError("it is no file", path.name)
    return str(path.resolve()), found.st_ino, found.st_size, found.st_mtime_ns
