"""Scripts started as a user starts them."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

Refused = Callable[..., str]


def started(
    app: Path, *arguments: object, folder: Path | None = None
) -> subprocess.CompletedProcess[str]:
    """The script in a process of its own, in a folder or in this one."""
    command = [sys.executable, str(app), *map(str, arguments)]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
