"""Files written so that no half-written one is ever seen, digests that tell contents apart, and the
data that ship."""

from __future__ import annotations

import errno
import hashlib
import io
import json
import os
import re
import secrets
import shutil
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hodsim.errors import ConvergenceError, InputError

if TYPE_CHECKING:
    import h5py
    from filelock import BaseFileLock

_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_LOCK = ".lock"
_held: set[Path] = set()  # folders that this process writes in alone
_TEMPORARY = re.compile(r"\..+\.[0-9a-f]{12}\.[^.]*")  # names that `atomic` gives
_KEPT = (".h5", ".safetensors", ".json")  # what models, snapshots and runs consist of
# Bytes left on a disk that is as good as full.
_LITTLE = 1 << 16
# The installed wheel repeats the repository's layout below hodsim/_data, so that the relative
# paths inside scene files (../../meshes/beam.vtu) hold in both places.
_SHIPPED = {"meshes": "meshes", "trained_models": "trained_models", "scenes": "apps/scenes"}


@contextmanager
def atomic(path: str | Path) -> Iterator[Path]:
    """Yield a temporary path beside `path`; on success it takes the place of `path` in one move.

    The temporary name keeps the suffix, by which many writers choose their format. If the body
    raises, the temporary file is removed and a former `path` is left as it was.

    Raises
    ------
    InputError
        The folder of `path` cannot be made, `path` is a folder, a device or a pipe, or the disk has
        no room for it.
    """
    target = place_of(path)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(
            f"{target}: cannot make its folder ({error.strerror}); choose another place"
        ) from error
    if not os.access(target.parent, os.W_OK):
        raise InputError(f"{target}: no permission to write in its folder; choose another place")
    temporary = target.parent / f".{target.stem}.{secrets.token_hex(6)}{Path(path).suffix}"
    try:
        yield temporary
        # Some writers make files for their owner alone: give what the user's umask gives.
        mask = os.umask(0)
        os.umask(mask)
        temporary.chmod(0o666 & ~mask)
        temporary.replace(target)
    except Exception as error:
        # Of libraries that write files some say so, others only that they failed.
        if not isinstance(error, (InputError, ConvergenceError)) and _no_room(error, target.parent):
            raise InputError(
                f"{target}: no room to write it; free some, or choose another place"
            ) from error
        raise
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def atomic_hdf5(path: str | Path) -> Iterator[h5py.File]:
    """Yield an HDF5 file to write to; it takes the place of `path` as `atomic` has it.

    A full disk ends in `InputError`, as there, but after all has been handed over: libhdf5 crashes
    the process when writing fails and it holds several datasets.
    """
    import h5py

    with atomic(path) as temporary, temporary.open("w+b", buffering=0) as raw:
        kept = _Forgiving(raw)
        with h5py.File(kept, "w") as file:
            yield file
        if kept.error is not None:
            raise kept.error


class _Forgiving:
    """A file that keeps its first failure to write to itself."""

    def __init__(self, raw: io.FileIO) -> None:
        self.raw = raw
        self.error: OSError | None = None
        self.seek, self.tell = raw.seek, raw.tell
        self.read, self.readinto = raw.read, raw.readinto

    def write(self, data: Any) -> int:
        view = memoryview(data).cast("B")
        done = 0
        try:
            while self.error is None and done < len(view):
                done += self.raw.write(view[done:])
        except OSError as error:
            self.error = error
        return len(view)

    def truncate(self, size: int | None = None) -> int:
        if self.error is None:
            try:
                return self.raw.truncate(size)
            except OSError as error:
                self.error = error
        return 0 if size is None else size

    def flush(self) -> None:
        """Nothing is held back."""


def place_of(path: str | Path) -> Path:
    """Where a file of this name is written: where a link points, which stays.

    Raises `InputError` for what is there and no file, for it would be replaced by one.
    """
    path = Path(path)
    if path.is_dir():
        raise InputError(f"{path}: expected the name of a file to write, given a folder")
    if path.exists() and not path.is_file():
        raise InputError(
            f"{path}: expected the name of a file to write, given a device or a pipe; choose "
            "another name"
        )
    return Path(os.path.realpath(path)) if path.is_symlink() else path


def _no_room(error: Exception, folder: Path) -> bool:
    """Whether a file could not be written for want of room, on the disk or by a quota or limit."""
    if isinstance(error, OSError):
        elsewhere = error.filename is not None and Path(str(error.filename)).parent != folder
        if elsewhere or error.errno in _ROOM:
            return not elsewhere
    told = re.search(r"os error (\d+)", str(error))
    if told and int(told[1]) in _ROOM:
        return True
    try:
        return shutil.disk_usage(folder).free < _LITTLE
    except OSError:  # the folder itself has gone: what was raised says more
        return False


@contextmanager
def alone(folder: str | Path) -> Iterator[None]:
    """Keep other runs from writing in a folder meanwhile: they are refused, not kept waiting.

    The folder is made, and its file .lock, which stays where there is anything else: the lock is
    the operating system's, and is gone with the process that has it, however that ends. What a
    killed run left half-written there is removed. Within one process folders may be held several
    times over. A file system that knows no locks is written to without, with a warning.

    Raises
    ------
    InputError
        Another run is at work there, or the folder cannot be made or written in.
    """
    place = Path(folder)
    known = place.is_dir()
    lock = _locked(place)
    if lock is None:
        yield
        return
    whole = place.resolve()
    _held.add(whole)
    try:
        for path in _left_in(place):
            path.unlink(missing_ok=True)
        yield
    finally:
        _held.discard(whole)
        if not known and place.is_dir() and [path.name for path in place.iterdir()] == [_LOCK]:
            shutil.rmtree(place, ignore_errors=True)  # nothing came of it
        lock.release()


def _locked(place: Path) -> BaseFileLock | None:
    """The lock of a folder, acquired; None where this process has it, or there can be none."""
    import filelock

    try:
        place.mkdir(parents=True, exist_ok=True)
        if place.resolve() in _held:
            return None
        # A lock that is only a file would outlive its process, and be copied with the folder.
        lock = filelock.FileLock(place / _LOCK, timeout=0, fallback_to_soft=False)
        lock.acquire()
    except filelock.Timeout:
        raise InputError(
            f"{place}: expected no other run that writes there, but one is at work; wait until it "
            "has ended, or choose another folder"
        ) from None
    except OSError as error:
        if error.errno not in (errno.ENOLCK, errno.ENOSYS):
            raise InputError(
                f"{place}: cannot write there ({error.strerror}); choose another place"
            ) from error
        warnings.warn(f"{place}: no locks here; let no other run write there", stacklevel=4)
        return None
    return lock


def _left_in(folder: Path) -> Iterator[Path]:
    """Half-written files of what `atomic` wrote, but for folders that have locks of their own."""
    for path in list(folder.iterdir()):
        if path.is_dir():
            if not path.is_symlink() and not (path / _LOCK).exists():
                yield from _left_in(path)
        elif path.suffix in _KEPT and _TEMPORARY.fullmatch(path.name):
            yield path


def file_name(told: str, digest: str = "") -> str:
    """A name for a file from any text: letters, digits, dots and hyphens, at most 120 of them, and
    the first 12 of a digest, which keeps those apart that sound alike."""
    plain = re.sub(r"[^A-Za-z0-9.]+", "-", told)[:120].strip("-.")
    return f"{plain}-{digest[:12]}" if digest else plain


def sha256_of(told: object) -> str:
    """SHA-256 of plain data, whatever the order of its keys."""
    return hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()


def data_dir(kind: str) -> Path:
    """Folder of the shipped data: `kind` is "meshes", "trained_models" or "scenes".

    Raises
    ------
    InputError
        No such kind, or this installation has no such folder.
    """
    if kind not in _SHIPPED:
        raise InputError(f"shipped data: expected one of {', '.join(_SHIPPED)}; given {kind!r}")
    package = Path(__file__).resolve().parent
    for root in (package / "_data", package.parent):
        folder = root / _SHIPPED[kind]
        if folder.is_dir():
            return folder
    raise InputError(
        f"shipped data: no folder {_SHIPPED[kind]!r} in {package / '_data'} or {package.parent}; "
        "install hodsim again, or run it from its repository"
    )
