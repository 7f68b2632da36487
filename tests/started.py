"""Scripts started as a user starts them."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

Refused = Callable[..., str]


def started(
    app: Path, *arguments: object, folder: Path | None = None
) -> subprocess.CompletedProcess[str]:
    """The script in a process of its own, in a folder or in this one."""
    command = [sys.executable, str(app), *map(str, arguments)]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)


_HOLD = """
import sys, time
from hodsim.files import alone
with alone(sys.argv[1]):
    print("held", flush=True)
    time.sleep(600)
"""


@contextmanager
def held(folder: Path) -> Iterator[None]:
    """Another process writes in the folder meanwhile, and is killed in the end."""
    with subprocess.Popen(
        [sys.executable, "-c", _HOLD, str(folder)], stdout=subprocess.PIPE, text=True
    ) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "held\n"
        try:
            yield
        finally:
            other.kill()
            other.wait()
