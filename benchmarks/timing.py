"""One thread on one core, CPU time, contenders in turn."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from importlib import metadata
from math import ceil
from pathlib import Path
from statistics import median
from typing import Any, Final

# What a user may have set to steady numpy's BLAS; it chooses kernels older than the machine.
_SLOWING: Final = ("OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE")
_CLEARED: Final = "HODSIM_BENCHMARK_CLEARED"
_WANTED: Final = {
    "OMP_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "XLA_FLAGS": "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1",
    "TF_NUM_INTEROP_THREADS": "1",
    "TF_NUM_INTRAOP_THREADS": "1",
    "TF_CPP_MIN_LOG_LEVEL": "3",
    "JAX_PLATFORMS": "cpu",
    "CUDA_VISIBLE_DEVICES": "",
}
# A sample shorter than this is made of several calls.
_SAMPLE: Final = 0.02


def settle() -> None:
    """Run again with the environment that the libraries must find when they load, on one core."""
    cleared = [name for name in _SLOWING if name in os.environ]
    if cleared or any(os.environ.get(name) != value for name, value in _WANTED.items()):
        env = {name: value for name, value in os.environ.items() if name not in _SLOWING}
        env |= _WANTED | {_CLEARED: " ".join(cleared)}
        sys.stdout.flush()
        os.execve(sys.executable, [sys.executable, *sys.orig_argv[1:]], env)
    if hasattr(os, "sched_setaffinity"):  # not on macOS or Windows
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})


@contextmanager
def hushed() -> Iterator[None]:
    """Drop what native code writes to stderr meanwhile."""
    kept, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)


def cpu_ms(run: Callable[[], Any], calls: int) -> float:
    """CPU time of one of `calls` calls [ms], all threads of this process counted."""
    start = time.process_time()
    for _ in range(calls):
        run()
    return 1e3 * (time.process_time() - start) / calls


def rough_ms(run: Callable[[], Any]) -> float:
    """CPU time of a call [ms], from one call if it is long and the best of a few if it is not."""
    once = cpu_ms(run, 1)
    if once > 300:
        return once
    calls = _calls(once)
    return min(cpu_ms(run, calls) for _ in range(3))


def in_turn(
    runs: Mapping[str, Callable[[], Any]], rough: Mapping[str, float], rounds: int, seconds: float
) -> tuple[dict[str, float], int]:
    """Median CPU time of each [ms] over rounds A B C A B C ..., and how many rounds there were.

    There are at least three rounds, and no more than `rounds` or than `seconds` allow.
    """
    calls = {name: _calls(rough[name]) for name in runs}
    one_round = sum(rough[name] * (calls[name] + 1) for name in runs) / 1e3
    rounds = max(min(rounds, int(seconds / one_round)), min(3, rounds))
    samples: dict[str, list[float]] = {name: [] for name in runs}
    for _ in range(rounds):
        for name, run in runs.items():
            if calls[name] > 1:
                run()  # back into the cache after the others
            samples[name].append(cpu_ms(run, calls[name]))
    return {name: median(values) for name, values in samples.items()}, rounds


def _calls(ms: float) -> int:
    return max(1, ceil(1e3 * _SAMPLE / max(ms, 1e-3)))


def machine() -> dict[str, Any]:
    """What decides the figures: processor, BLAS, versions, commit."""
    return {
        "machine": platform.platform(),
        "cpu": _cpu_name(),
        "core": sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else None,
        "threads": 1,
        "blas": _blas(),
        "cleared": os.environ.get(_CLEARED, "").split(),
        "versions": {"python": platform.python_version()}
        | {name: version(name) for name in ("hodsim", "numpy", "torch", "jax", "tensorflow")},
        "commit": _commit(),
    }


def version(name: str) -> str | None:
    """Version of a package, or None."""
    for distribution in (name, f"{name}-cpu"):
        try:
            return metadata.version(distribution)
        except metadata.PackageNotFoundError:
            continue
    return None


def _cpu_name() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor()
    return next((x.split(":", 1)[1].strip() for x in lines if x.startswith("model name")), "")


def _blas() -> dict[str, str]:
    import torch

    found = {"torch": torch.backends.cpu.get_cpu_capability()}
    found["torch"] += ", MKL" if torch.backends.mkl.is_available() else ""
    try:
        from threadpoolctl import threadpool_info
    except ImportError:
        found["numpy"] = "kernel unknown (threadpoolctl is not installed)"
        return found
    for pool in threadpool_info():
        if pool["user_api"] == "blas" and "numpy" in pool["filepath"]:
            found["numpy"] = f"{pool['internal_api']} {pool['version']}, {pool['architecture']}"
    return found


def _commit() -> str | None:
    try:
        run = subprocess.run(
            ["git", "describe", "--always", "--dirty", "--abbrev=12"],
            cwd=Path(__file__).parent,
            capture_output=True,
            text=True,
            check=True,
        )
    except (OSError, subprocess.CalledProcessError):
        return None
    return run.stdout.strip()
