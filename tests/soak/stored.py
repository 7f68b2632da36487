"""Mutants of what hodsim keeps, and of data sets: snapshots, models, checkpoints, motions, images.

    python tests/soak/stored.py --files 10000 --kinds snapshots,weights --seed 1

puts that many mutants of a sound file of each kind in its place and reads the folder. It fails on
anything but a reading or one line of InputError, on a crash of a library beneath, and on memory
that grows. Mutants are read in forks, some hundreds in each, so that a crash is one finding and not
the end; those of HDF5 files are tried in forks of another process as well, in place of a new one
each (`soak.forks`).
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import shutil
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.progress import track

from hodsim import InputError, body_of, load_model, read_scene
from hodsim.cubature import load_cubatures
from hodsim.dynamics.applied import Spring
from hodsim.isolation import hdf5
from hodsim.learning.images import read_cifar10, read_mnist, read_svhn
from hodsim.networks import HoDNet, Shape
from hodsim.session import Recording, load_recording, save_recording
from hodsim.session.inputs import Drag, Event, Release, gravity
from hodsim.snapshots import Store
from hodsim.training import FitOptions, TrainOptions, train
from hodsim.training.checkpoint import load_checkpoint, save_checkpoint
from hodsim.viewer.export import Motion, read_motion, write_motion

sys.path.append(str(Path(__file__).parents[1]))  # for its neighbours, in workers too
from soak.forks import forked
from soak.fuzz import mutants
from soak.kill import SCENE

_CHUNK = 250  # mutants of a fork
_SLOW = 20.0  # seconds that a file of some kilobytes must not take
_KEY = {"fit": 1}


def _network() -> HoDNet:
    torch.manual_seed(0)
    return HoDNet(Shape(72, 2, (12, 9), (12,), 6))


def make(home: Path) -> None:
    """One sound file, or folder, of every kind."""
    (home / "small.toml").write_text(SCENE)
    scene = read_scene(home / "small.toml")
    options = TrainOptions(12, 5, 1, FitOptions(2, (12, 9, 7), (16,), 6, epochs=2, batch=16))
    train([scene], home / "model", options)
    network = _network()
    moments = {0: {"exp_avg": torch.ones(3), "step": torch.tensor(2.0)}}
    save_checkpoint(home / "checkpoint.safetensors", _KEY, network, 1, 2, [{"epoch": 1}], moments)
    mesh, rng = body_of(scene).mesh, np.random.default_rng(1)
    u = rng.random((2, 4, mesh.n_vertices, 3))
    q, times = rng.random((4, 2)), np.arange(4.0)
    motion = Motion(mesh.vertices, mesh.tets, times, *u, q, np.arange(3), np.ones(3), {"a": 1})
    for name in ("m.h5", "m.npz"):
        write_motion(home / name, motion)
    drag = Drag("me", Spring(3, (0.1, 0.2, 0.3), 50.0))
    events = (Event(1, drag), Event(5, gravity([0.0, 0.0, -9.8])), Event(6, Release("me")))
    save_recording(home / "r.json", Recording("small", {"mesh": "0"}, "bdf2", 9, events))
    for part, n in (("train", 6), ("t10k", 3)):
        for what, shape in (("images-idx3", (n, 4, 5)), ("labels-idx1", (n,))):
            values = rng.integers(0, 10, shape, np.uint8)
            head = bytes([0, 0, 8, len(shape)]) + np.array(shape, ">u4").tobytes()
            (home / f"{part}-{what}-ubyte").write_bytes(head + values.tobytes())
    for name in (*(f"data_batch_{k}.bin" for k in range(1, 6)), "test_batch.bin"):
        (home / name).write_bytes(rng.integers(0, 10, (2, 3073), np.uint8).tobytes())
    from scipy import io

    for part, n in (("train", 5), ("test", 2)):
        X, y = rng.integers(0, 256, (32, 32, 3, n), np.uint8), rng.integers(1, 10, (n, 1), np.uint8)
        path = home / f"{part}_32x32.mat"
        io.savemat(path, {"X": X, "y": y}, do_compression=part == "train")


def _model(home: Path) -> None:
    """All of a model that there is to read."""
    model = load_model(home / "model")
    for kind, rank in (("hod", 2), ("pca", 4), ("quadratic", 2), ("masspca", 2)):
        model.subspace(kind, rank)
    load_cubatures(home / "model")
    model.reach("hod", 2)


# The file that is changed, and what reads it.
KINDS: dict[str, tuple[str, Callable[[Path], object]]] = {
    "snapshots": (
        "model/snapshots/small-0003.h5",
        lambda home: Store(home / "model" / "snapshots").read(),
    ),
    "weights": ("model/weights.safetensors", _model),
    "rivals": ("model/rivals.safetensors", _model),
    "card": ("model/model.json", _model),
    "cubature": ("model/cubature.safetensors", _model),
    "reach": ("model/reach.safetensors", _model),
    "checkpoint": (
        "checkpoint.safetensors",
        lambda home: load_checkpoint(home / "checkpoint.safetensors", _KEY, _network()),
    ),
    "motion-hdf5": ("m.h5", lambda home: read_motion(home / "m.h5")),
    "motion-npz": ("m.npz", lambda home: read_motion(home / "m.npz")),
    "recording": ("r.json", lambda home: load_recording(home / "r.json")),
    "mnist": ("train-images-idx3-ubyte", read_mnist),
    "mnist-labels": ("t10k-labels-idx1-ubyte", read_mnist),
    "cifar10": ("data_batch_3.bin", read_cifar10),
    "svhn": ("train_32x32.mat", read_svhn),
    "svhn-plain": ("test_32x32.mat", read_svhn),
}


def outcome(name: str, home: Path, data: bytes) -> str:
    """Put a mutant in its place and read."""
    file, read = KINDS[name]
    (home / file).write_bytes(data)
    hdf5._sound.clear()  # two of one size may come within one tick of the clock
    began = time.monotonic()
    try:
        read(home)
        what = "read"
    except InputError as error:
        told = str(error)
        clear = str(home) in told and "\n" not in told and len(told) < 1500
        what = "refused" if clear else f"not one clear line: {told!r}"
    except Exception as error:  # noqa: BLE001  (whatever else comes is what is looked for)
        what = f"raised {type(error).__name__}: {' '.join(str(error).split())[:300]}"
    if time.monotonic() - began > _SLOW:
        what = f"took {time.monotonic() - began:.0f} s"
    return what


def fuzz(name: str, count: int, seed: int, home: Path, shown: bool = False) -> Counter[str]:
    """How `count` mutants of a kind ended: "read", "refused", and anything else."""
    sound = (home / KINDS[name][0]).read_bytes()
    KINDS[name][1](home)
    every = list(mutants(sound, count, seed))
    chunks = range(0, count, _CHUNK)
    ended: Counter[str] = Counter()
    for k in track(chunks, name) if shown else chunks:
        first, end = k, min(k + _CHUNK, count)
        while first < end:  # anew behind a mutant that took the process with it
            (home / "now").write_text(str(first))
            ended += _forked(partial(_chunk, name, home, every[first:end], first), home)
            first = int((home / "now").read_text()) + 1
    (home / KINDS[name][0]).write_bytes(sound)
    if shown:
        print(f"{name}: {dict(ended)}", flush=True)
    return ended


def _chunk(name: str, home: Path, some: Sequence[bytes], first: int) -> Counter[str]:
    ended: Counter[str] = Counter()
    began = _peak()
    for k, data in enumerate(some):
        (home / "now").write_text(str(first + k))
        what = outcome(name, home, data)
        ended[what if what in ("read", "refused") else f"mutant {first + k}: {what}"] += 1
    if _peak() > began + 500:
        ended[f"mutants from {first}: took {_peak() - began:.0f} MB"] += 1
    return ended


def _forked(work: Callable[[], Counter[str]], home: Path) -> Counter[str]:
    """The work in a fork; a crash of it counts as one finding."""
    place = home / "found.json"
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            place.write_text(json.dumps(work()))
            code = 0
        except BaseException:
            traceback.print_exc()
            raise
        finally:
            os._exit(code)
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    if code:
        return Counter({f"mutant {(home / 'now').read_text()}: crashed, code {code}": 1})
    return Counter(json.loads(place.read_text()))


def _peak() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def main() -> int:
    """Fuzz the kinds asked for; 1 if any mutant ended otherwise than it may."""
    assert __doc__ is not None
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--files", type=int, default=10_000, help="mutants of each kind")
    parser.add_argument("--kinds", default=",".join(KINDS), help="names with commas")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", type=Path, help="write the counts, too")
    parser.add_argument("--quick", action="store_true", help="50 files of each kind")
    asked = parser.parse_args()
    names = asked.kinds.split(",")
    if unknown := set(names) - set(KINDS):
        parser.error(f"kinds: expected some of {', '.join(KINDS)}, given {min(unknown)}")
    torch.set_num_threads(1)
    hdf5._SECONDS = 2  # a mutant that has libhdf5 loop costs so much processor time
    hdf5.isolated = forked
    told: dict[str, Any] = {}
    home = Path(tempfile.mkdtemp())
    try:
        make(home)
        for name in names:
            ended = fuzz(name, 50 if asked.quick else asked.files, asked.seed, home, shown=True)
            told[name] = dict(ended)
    finally:
        shutil.rmtree(home)
    bad = sum(n for e in told.values() for what, n in e.items() if what not in ("read", "refused"))
    print(f"{bad} of them ended badly")
    if asked.json is not None:
        asked.json.write_text(json.dumps({"ended": told, "seed": asked.seed}))
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
