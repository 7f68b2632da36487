"""Plain data on disk, as studies keep them: a JSON file for each thing done, by what decides it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from hodsim.files import atomic, file_name, sha256_of


def place_of(folder: Path | None, kind: str, name: str, facts: object, suffix: str) -> Path | None:
    """FOLDER/KIND/NAME-DIGEST with what can be in a file's name, and the digest of all facts; None
    without a folder."""
    if folder is None:
        return None
    return folder / kind / f"{file_name(name, sha256_of(facts))}{suffix}"


def read_kept(path: Path | None) -> dict[str, Any]:
    """What a file holds; nothing where there is no file, or it cannot be read."""
    try:
        told = {} if path is None else json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return told if isinstance(told, dict) else {}


def write_kept(path: Path | None, told: dict[str, Any]) -> None:
    """Write in one move; without a path do nothing."""
    if path is not None:
        with atomic(path) as temporary:
            temporary.write_text(json.dumps(told, allow_nan=False) + "\n", encoding="utf-8")
