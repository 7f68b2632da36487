"""HDF5 files, tried before they are opened: a damaged one can have libhdf5 loop without end."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from hodsim.isolation.process import isolated

_SECONDS, _SECONDS_A_MB = 10, 0.2
_MEMORY, _MEMORY_A_BYTE = 2 * 1024**3, 4

_sound: set[tuple[str, int, int, int]] = set()  # states of files that were read already


def check_hdf5(paths: Sequence[Path], attribute: str, datasets: Sequence[str]) -> None:
    """Have an attribute and datasets of the root read once, by another process.

    All files are in one folder. What was found sound is not tried again until it changes: after
    this call the same can be read here.

    Raises
    ------
    FailedError
        libhdf5 cannot read one (`at`, its name), loops, crashes, or takes more memory than it may.
    OSError
        A file is not there.
    """
    states = {path: _state(path) for path in paths}
    new = [path for path in paths if states[path] not in _sound]
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
    _sound.update(states[path] for path in new)


def _state(path: Path) -> tuple[str, int, int, int]:
    found = path.stat()
    return str(path.resolve()), found.st_ino, found.st_size, found.st_mtime_ns
