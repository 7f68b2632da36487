"""Training that is killed, again and again, at random instants of its work.

    python tests/soak/kill.py --kills 50 --seed 0

starts `hodsim train` on a small body, kills it and its workers with SIGKILL, reads every file that
it left, and starts the same command again until it comes to its end; then anew, until there were so
many kills. No file may be damaged, and every run must end with the bits of one that nobody
disturbed.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import safetensors.numpy

from hodsim.snapshots import Store

sys.path.append(str(Path(__file__).parents[1]))  # for the tests' own small scene
from small import SCENE as SMALL

# More vertices than a network's outer layers are wide, and longer motions.
SCENE = SMALL.replace("[3, 1, 1]", "[6, 1, 1]").replace("steps = 8", "steps = 16")
_CHECKPOINT = "checkpoint.safetensors"


@dataclass
class Outcome:
    """What kills did.

    Attributes
    ----------
    kills, runs : how many, and how many runs came to their end all the same.
    met : how often a kill met the snapshots, the fit, or what follows it.
    bad : what should not be, a line each.
    """

    kills: int = 0
    runs: int = 0
    met: Counter[str] = field(default_factory=Counter)
    bad: list[str] = field(default_factory=list)


def soak(kills: int, seed: int, folder: Path, size: int = 1, shown: bool = False) -> Outcome:
    """Kill that many times, in a folder of its own; `size` times as long a training."""
    draw, out = random.Random(seed), Outcome()
    (folder / "small.toml").write_text(SCENE)
    began = time.monotonic()
    first = _start(folder, "whole", size)
    if first.wait():
        out.bad.append(f"undisturbed it ended with code {first.returncode}: {_said(folder)}")
        return out
    lasted = time.monotonic() - began
    wanted = contents(folder / "whole")
    while out.kills < kills and not out.bad:
        process = _start(folder, "model", size)
        try:
            process.wait(draw.uniform(0.1, 1.1) * lasted)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            out.kills += 1
            out.met[_place(folder / "model")] += 1
            out.bad += damaged(folder / "model")
        else:
            out.runs += 1
            if process.returncode:
                out.bad.append(f"it ended with code {process.returncode}: {_said(folder)}")
            elif contents(folder / "model") != wanted:
                out.bad.append(f"after {out.kills} kills a run ended with other bits")
            shutil.rmtree(folder / "model", ignore_errors=True)
        if shown:
            print(f"{out.kills} kills, {out.runs} runs ended, {dict(out.met)}", flush=True)
    return out


def _start(folder: Path, name: str, size: int) -> subprocess.Popen[bytes]:
    words = [sys.executable, "-m", "hodsim.cli", "train", "small.toml", "--out", name]
    words += ["--trajectories", str(14 * size), "--rank", "2", "--epochs", str(40 * size)]
    words += ["--decoder", "12,9,7", "--seed", "5", "--workers", "2"]
    with (folder / "said.txt").open("wb") as said:
        return subprocess.Popen(
            words, cwd=folder, stdout=said, stderr=subprocess.STDOUT, start_new_session=True
        )


def _said(folder: Path) -> str:
    return (folder / "said.txt").read_text(errors="replace")[-500:]


def _place(model: Path) -> str:
    """How far a run had come."""
    if (model / "model.json").is_file():
        return "after the fit"
    if (model / _CHECKPOINT).is_file():
        return "the fit"
    return "snapshots" if (model / "snapshots").is_dir() else "before"


def damaged(model: Path) -> list[str]:
    """Files that cannot be read; what is temporary, by its name, may be anything."""
    found = []
    for path in sorted(p for p in model.rglob("*") if p.is_file() and p.name[0] != "."):
        try:
            if path.suffix == ".h5":
                Store(path.parent).read([path.stem])
            elif path.suffix == ".safetensors":
                safetensors.numpy.load_file(path)
            elif path.suffix == ".json":
                json.loads(path.read_text())
        except Exception as error:  # noqa: BLE001  (whatever it is, the file is damaged)
            found.append(f"{path}: {error}")
    return found


def contents(model: Path) -> dict[str, object]:
    """All numbers of a model and its snapshots; not its times and the words of its card."""
    told: dict[str, object] = {"snapshots": Store(model / "snapshots").read().digest}
    told["files"] = sorted(
        str(p.relative_to(model)) for p in model.rglob("*") if p.is_file() and p.name != ".lock"
    )
    for path in sorted(model.rglob("*.safetensors")):
        arrays = safetensors.numpy.load_file(path)
        told[str(path.relative_to(model))] = {k: a.tobytes() for k, a in sorted(arrays.items())}
    return told


def main() -> int:
    """Kill; 1 if anything was damaged, or ended otherwise."""
    assert __doc__ is not None
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--size", type=int, default=10, help="how long a training is (10)")
    parser.add_argument("--json", type=Path, help="write the outcome, too")
    parser.add_argument("--quick", action="store_true", help="3 kills of a short one")
    asked = parser.parse_args()
    kills, size = (3, 1) if asked.quick else (asked.kills, asked.size)
    with tempfile.TemporaryDirectory() as folder:
        out = soak(kills, asked.seed, Path(folder), size, shown=True)
    print("\n".join(out.bad) or "nothing was damaged, every run ended with the same bits")
    if asked.json is not None:
        told = {"kills": out.kills, "runs": out.runs, "met": dict(out.met), "bad": out.bad}
        asked.json.write_text(json.dumps(told))
    return 1 if out.bad else 0


if __name__ == "__main__":
    sys.exit(main())
