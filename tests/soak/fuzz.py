"""Mutated files for every reader of meshes, surfaces and scenes: a right answer or a clear error.

    python tests/soak/fuzz.py --files 10000 --formats vtu,veg --seed 1

reads that many mutants of a sound file of each format and counts how each ended. It fails on
anything but a mesh or one line of InputError, on a file that takes too long, and on memory that
grows. Files for meshio are each read in a fork of a process that waits with meshio loaded, in some
20 ms; with --fresh in a process of their own as users have it, 0.4 s a file.
"""

from __future__ import annotations

import argparse
import json
import re
import resource
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import meshio
import numpy as np
from rich.progress import track

from hodsim import InputError, beam, read_mesh, read_scene
from hodsim.mesh import files
from hodsim.mesh.surface import read_surface

BODY = beam((2, 1, 1))
EXTREME = (b"-1", b"0", b"99999999999999999999", b"4294967296", b"1e308", b"nan", b"inf", b"-", b"")
SCENE = """name = "small"
[mesh]
beam = { cells = [3, 1, 1], size = [0.6, 0.2, 0.2] }
[material]
law = "neo-hookean"
young = 5e4
poisson = 0.3
density = 1000.0
[[clamp]]
plane = { point = [0, 0, 0], normal = [1, 0, 0], within = 0.1 }
[[load]]
kind = "force"
region = { tag = "tip" }
times = [0.0, 0.1]
values = [[0, 0, 0], [0, 4, 9]]
[time]
step = 0.02
steps = 8
"""


def _volume(path: Path) -> None:
    mark = np.arange(BODY.n_vertices) % 2
    meshio.Mesh(BODY.vertices, [("tetra", BODY.tets)], point_data={"side": mark}).write(path)


def _plain(path: Path) -> None:
    meshio.Mesh(BODY.vertices, [("tetra", BODY.tets)]).write(path)


def _ascii(path: Path) -> None:
    kind = {".vtu": "vtu", ".vtk": "vtk", ".msh": "gmsh22"}[path.suffix]
    meshio.write(path, meshio.Mesh(BODY.vertices, [("tetra", BODY.tets)]), kind, binary=False)


def _surface(path: Path) -> None:
    used, faces = np.unique(BODY.surface, return_inverse=True)
    mesh = meshio.Mesh(BODY.vertices[used], [("triangle", faces.reshape(-1, 3).astype(np.int32))])
    mesh.write(path)


def _vega(path: Path) -> None:
    rows = ["*VERTICES", f"{BODY.n_vertices} 3 0 0"]
    rows += [f"{k + 1} {x:.17g} {y:.17g} {z:.17g}" for k, (x, y, z) in enumerate(BODY.vertices)]
    rows += ["*ELEMENTS", "TET", f"{BODY.n_tets} 4 0"]
    rows += [f"{k + 1} {' '.join(str(v + 1) for v in t)}" for k, t in enumerate(BODY.tets)]
    path.write_text("\n".join([*rows, "*SET half", "1, 2, 3", ""]))


def _scene(path: Path) -> None:
    path.write_text(SCENE)


FORMATS: dict[str, tuple[str, Callable[[Path], None], Callable[[Path], object]]] = {
    "vtu": (".vtu", _volume, read_mesh),
    "vtu-ascii": (".vtu", _ascii, read_mesh),
    "vtk": (".vtk", _volume, read_mesh),
    "vtk-ascii": (".vtk", _ascii, read_mesh),
    "msh": (".msh", _plain, read_mesh),
    "msh-ascii": (".msh", _ascii, read_mesh),
    "mesh": (".mesh", _plain, read_mesh),
    "inp": (".inp", _plain, read_mesh),
    "xdmf": (".xdmf", _plain, read_mesh),
    "veg": (".veg", _vega, read_mesh),
    "obj": (".obj", _surface, read_surface),
    "stl": (".stl", _surface, read_surface),
    "ply": (".ply", _surface, read_surface),
    "toml": (".toml", _scene, read_scene),
}


@dataclass(frozen=True)
class Outcome:
    """How a file was read: "read", "refused", or what it should not be; and seconds taken."""

    what: str
    seconds: float


def sound(name: str, folder: Path) -> bytes:
    """The bytes of a sound file of a format; what it refers to lies beside it in `folder`."""
    suffix, make, read = FORMATS[name]
    path = folder / f"sound{suffix}"
    make(path)
    read(path)
    return path.read_bytes()


def mutants(original: bytes, count: int, seed: int) -> Iterator[bytes]:
    """Files with one to four of the usual faults: cuts, flips, repeats, numbers out of bounds."""
    for k in range(count):
        rng = np.random.default_rng((seed, k))
        data = original
        for _ in range(int(rng.integers(1, 5))):
            data = _mutated(data, rng)
        yield data


def _mutated(data: bytes, rng: np.random.Generator) -> bytes:
    n = max(1, len(data))
    a, b = sorted(int(x) for x in rng.integers(0, n, 2))
    b = min(b, a + 200)
    kind = rng.integers(0, 7)
    if kind == 0:
        return data[:a]
    if kind == 1:
        return data[:a] + data[b:]
    if kind == 2:
        return data[:b] + data[a:b] * int(rng.integers(1, 50)) + data[b:]
    if kind == 3:
        return data[:a] + rng.bytes(int(rng.integers(1, 30))) + data[a:]
    if kind == 4:
        changed = bytearray(data)
        for place in rng.integers(0, n, 8):
            if len(changed):
                changed[int(place) % len(changed)] ^= 1 << int(rng.integers(0, 8))
        return bytes(changed)
    found = list(re.finditer(rb"-?\d+(\.\d+)?(e[-+]?\d+)?", data))
    if kind == 5 and found:
        at = found[int(rng.integers(0, len(found)))]
        return data[: at.start()] + EXTREME[int(rng.integers(0, len(EXTREME)))] + data[at.end() :]
    lines = data.split(b"\n")
    i, j = (int(x) for x in rng.integers(0, len(lines), 2))
    lines[i], lines[j] = lines[j], lines[i]
    return b"\n".join(lines)


def outcome(name: str, data: bytes, path: Path) -> Outcome:
    """Write a mutant and read it."""
    path.write_bytes(data)
    read, began = FORMATS[name][2], time.monotonic()
    try:
        read(path)
        what = "read"
    except InputError as error:
        told = str(error)
        clear = told.startswith(str(path)) and "\n" not in told and len(told) < 1500
        what = "refused" if clear else f"not one clear line: {told!r}"
    except BaseException as error:  # noqa: BLE001  (whatever else comes is what is looked for)
        what = f"raised {type(error).__name__}: {error}"
    path.unlink()
    return Outcome(what, time.monotonic() - began)


def fuzz(
    name: str, count: int, seed: int, folder: Path, jobs: int = 2, shown: bool = False
) -> Counter[str]:
    """How `count` mutants of a format ended: "read", "refused", and anything else."""
    suffix = FORMATS[name][0]
    every = list(enumerate(mutants(sound(name, folder), count, seed)))

    def one(numbered: tuple[int, bytes]) -> Outcome:
        number, data = numbered
        return outcome(name, data, folder / f"mutant{number}{suffix}")

    ended: Counter[str] = Counter()
    slowest = 0.0
    with ThreadPoolExecutor(jobs) as pool:
        done = pool.map(one, every)
        for k, found in enumerate(track(done, name, count) if shown else done):
            slowest = max(slowest, found.seconds)
            usual = found.what in ("read", "refused")
            ended[found.what if usual else f"mutant {k}: {found.what}"] += 1
    if shown:
        print(f"{name}: {dict(ended)}, slowest {slowest:.1f} s", flush=True)
    return ended


def main() -> int:
    """Fuzz the formats asked for; 1 if any mutant ended otherwise than it may."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--files", type=int, default=10_000, help="mutants of each format")
    parser.add_argument("--formats", default=",".join(FORMATS), help="names with commas")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--json", type=Path, help="write the counts, too")
    parser.add_argument("--fresh", action="store_true", help="a new process for each file")
    parser.add_argument("--quick", action="store_true", help="20 files of each format")
    asked = parser.parse_args()
    names = asked.formats.split(",")
    if unknown := set(names) - set(FORMATS):
        parser.error(f"formats: expected some of {', '.join(FORMATS)}, given {min(unknown)}")
    files._SECONDS = 2  # a mutant that has meshio loop costs so much processor time
    if not asked.fresh:
        sys.path.append(str(Path(__file__).parents[1]))  # for its neighbour
        from soak.forks import forked

        files.isolated = forked
    told, bad = {}, 0
    for name in names:
        with tempfile.TemporaryDirectory() as folder:
            count = 20 if asked.quick else asked.files
            ended = fuzz(name, count, asked.seed, Path(folder), asked.jobs, shown=True)
        told[name] = dict(ended)
        bad += sum(n for what, n in ended.items() if what not in ("read", "refused"))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"{bad} of them ended badly; this process took at most {peak:.0f} MB")
    if asked.json is not None:
        asked.json.write_text(json.dumps({"ended": told, "peak_mb": peak, "seed": asked.seed}))
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
