"""Cubatures on disk: one safetensors file in a model's folder, with a scheme for each subspace."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import safetensors
import safetensors.numpy

from hodsim.cubature.scheme import Cubature
from hodsim.errors import InputError
from hodsim.files import atomic

CUBATURES = "cubature.safetensors"
_FORMAT = 1
_ARRAYS = {"tets": np.int64, "weights": np.float64, "fingerprint": np.float64, "curve": np.float64}
_FACTS: dict[str, type] = {
    "n_tets": int,
    "mesh": str,
    "subspace": str,
    "rank": int,
    "training_error": float,
    "held_out_error": float,
    "worst_error": float,
    "force_error": float,
    "seed": int,
    "command": str,
}


def save_cubatures(folder: str | Path, cubatures: Mapping[str, Cubature]) -> None:
    """Write all the cubatures of a model in one move; a file of former ones is replaced.

    Raises `InputError` for a key that is not the scheme's own name ("hod-6").
    """
    arrays: dict[str, np.ndarray] = {}
    facts: dict[str, dict[str, Any]] = {}
    for name, cubature in sorted(cubatures.items()):
        if name != cubature.name:
            raise InputError(
                f"cubature: expected the key {cubature.name!r}, its subspace, given {name!r}"
            )
        arrays |= {f"{name}.{k}": getattr(cubature, k).astype(t) for k, t in _ARRAYS.items()}
        facts[name] = {k: t(getattr(cubature, k)) for k, t in _FACTS.items()}
    told = {"format": _FORMAT, "schemes": facts}
    with atomic(Path(folder) / CUBATURES) as path:
        metadata = {"hodsim": json.dumps(told, sort_keys=True)}
        safetensors.numpy.save_file(arrays, path, metadata)


def load_cubatures(folder: str | Path) -> dict[str, Cubature]:
    """All the cubatures of a model's folder by the names of their subspaces; none without a file.

    Raises `InputError` for a file that cannot be read.
    """
    path = Path(folder) / CUBATURES
    if not path.exists():
        return {}
    try:
        with safetensors.safe_open(path, "np") as file:
            told = _told(file.metadata())
            names = set(file.keys())
            return {
                name: _scheme(name, facts, names, file.get_tensor)
                for name, facts in sorted(told["schemes"].items())
            }
    # RecursionError: JSON nested without end. InputError: numbers that make no cubature.
    except (OSError, KeyError, TypeError, ValueError, OverflowError, RecursionError) as error:
        raise _unreadable(path, error) from error
    except safetensors.SafetensorError as error:
        raise _unreadable(path, error) from error


def load_cubature(folder: str | Path, kind: str, rank: int) -> Cubature:
    """The cubature of a subspace of the model in `folder`.

    Raises
    ------
    InputError
        There is none, or the file cannot be read. Whether it fits body and subspace is for
        `Cubature.check` to say.
    """
    found = load_cubatures(folder)
    name = f"{kind}-{rank}"
    if name not in found:
        told = ", ".join(found) or "none"
        raise InputError(
            f"{folder}: expected a cubature for {name}, found {told}; fit one with "
            f"`hodsim cubature --model {folder} --subspaces {name}`"
        )
    return found[name]


def _told(metadata: dict[str, str] | None) -> dict[str, Any]:
    told = json.loads((metadata or {}).get("hodsim", "null"))
    if not isinstance(told, dict) or told.get("format") != _FORMAT:
        raise ValueError(f"expected the facts of hodsim's format {_FORMAT}")
    if not isinstance(told.get("schemes"), dict):
        raise ValueError("expected a table of schemes")
    return told


def _scheme(name: str, facts: Any, names: set[str], tensor: Any) -> Cubature:
    if not isinstance(facts, dict):
        raise ValueError(f"{name}: expected a table of facts")
    values: dict[str, Any] = {}
    for key, wanted in _FACTS.items():
        value = facts.get(key)
        # A whole number may stand for a float, and a bool for neither.
        kinds = (int, float) if wanted is float else (wanted,)
        if not isinstance(value, kinds) or isinstance(value, bool):
            raise ValueError(f"{name}: expected {key} of type {wanted.__name__}")
        values[key] = wanted(value)
    for key, dtype in _ARRAYS.items():
        if f"{name}.{key}" not in names:
            raise ValueError(f"{name}: expected an array {key}, found none")
        array = tensor(f"{name}.{key}")
        if array.dtype != dtype:
            raise ValueError(f"{name}: expected {key} in {np.dtype(dtype)}, given {array.dtype}")
        values[key] = array
    scheme = Cubature(**values)
    if scheme.name != name:
        raise ValueError(f"expected the scheme of {name}, given that of {scheme.name}")
    return scheme


def _unreadable(path: Path, error: Exception) -> InputError:
    why = " ".join(str(error).split())[:200]
    return InputError(
        f"{path}: expected cubatures of hodsim, cannot read them ({why}); fit them again with "
        "`hodsim cubature`"
    )
