"""Polynomials on disk: one safetensors file for each subspace, in a folder of the model's."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import safetensors
import safetensors.numpy

from hodsim.cubature.polynomial import Polynomial, check_law, elastic_polynomial, work_of
from hodsim.cubature.scheme import Cubature
from hodsim.cubature.store import load_cubatures
from hodsim.errors import InputError
from hodsim.fem import Body
from hodsim.files import atomic
from hodsim.subspaces import Subspace

POLYNOMIALS = "polynomials"
Scheme = Cubature | Polynomial
_FORMAT = 1
_ARRAYS = ("quadratic", "cubic", "quartic", "fingerprint")
_FACTS = {"width": int, "subspace": str, "rank": int, "origin": str}
# Operations, a few seconds, that one who asked for a motion is not made to wait for unasked.
_PATIENCE = 5e10


def save_polynomial(folder: str | Path, polynomial: Polynomial) -> Path:
    """Write a polynomial into a model's folder in one move; a former one is replaced."""
    told = {key: getattr(polynomial, key) for key in _FACTS} | {"format": _FORMAT}
    place = Path(folder) / POLYNOMIALS / f"{polynomial.name}.safetensors"
    with atomic(place) as path:
        arrays = {name: getattr(polynomial, name) for name in _ARRAYS}
        safetensors.numpy.save_file(arrays, path, {"hodsim": json.dumps(told, sort_keys=True)})
    return place


def load_schemes(folder: str | Path) -> dict[str, Scheme]:
    """The cubatures of a model's folder by the names of their subspaces, and its polynomials by
    those and " polynomial".

    Raises `InputError` for a file that cannot be read.
    """
    found: dict[str, Scheme] = dict(load_cubatures(folder))
    for path in sorted((Path(folder) / POLYNOMIALS).glob("[!.]*.safetensors")):
        polynomial = _load(path)
        found[f"{polynomial.name} polynomial"] = polynomial
    return found


def polynomial_of(
    body: Body, subspace: Subspace, schemes: Mapping[str, Scheme] | None = None
) -> Polynomial:
    """The polynomial of a body in a subspace: one of the schemes, or computed now.

    Raises `InputError` where it is not that of this body in this subspace, or there is none and
    computing it would take long.
    """
    check_law(body)
    name = f"{subspace.kind}-{subspace.rank}"
    found = (schemes or {}).get(f"{name} polynomial")
    if isinstance(found, Polynomial):
        found.check(body, subspace)
        return found
    if work_of(body, subspace) > _PATIENCE:
        raise InputError(
            f"polynomial: expected that of {name} beside the model, for a mesh of "
            f"{body.mesh.n_tets} tets; compute it once with `hodsim cubature --subspaces "
            f"{name}:polynomial`"
        )
    return elastic_polynomial(body, subspace)


def _load(path: Path) -> Polynomial:
    try:
        with safetensors.safe_open(path, "np") as file:
            told = json.loads((file.metadata() or {}).get("hodsim", "null"))
            if not isinstance(told, dict) or told.get("format") != _FORMAT:
                raise ValueError(f"expected the facts of hodsim's format {_FORMAT}")
            for key, kind in _FACTS.items():
                if type(told.get(key)) is not kind:
                    raise ValueError(f"expected {key} of type {kind.__name__}")
            arrays = {name: file.get_tensor(name) for name in _ARRAYS}
        wrong = [name for name, array in arrays.items() if array.dtype != "float64"]
        if wrong:
            raise ValueError(f"expected {', '.join(wrong)} in float64")
        polynomial = Polynomial(**arrays, **{key: told[key] for key in _FACTS})
        if polynomial.name != path.stem:
            raise ValueError(f"expected that of {path.stem}, given that of {polynomial.name}")
    # RecursionError: JSON nested without end. InputError: numbers that make no polynomial.
    except (
        OSError,
        KeyError,
        TypeError,
        ValueError,
        OverflowError,
        RecursionError,
        safetensors.SafetensorError,
    ) as error:
        why = " ".join(str(error).split())[:200]
        raise InputError(
            f"{path}: expected a polynomial of hodsim, cannot read it ({why}); remove it, or "
            f"compute it again with `hodsim cubature --subspaces {path.stem}:polynomial`"
        ) from error
    return polynomial
