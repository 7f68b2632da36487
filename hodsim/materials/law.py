"""What a hyperelastic law is, and the table of laws."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from hodsim.errors import InputError
from hodsim.materials import corotational, neo_hookean, stvk
from hodsim.materials.probe import probe


def lame(young: float, poisson: float) -> tuple[float, float]:
    """Lame's (mu, lambda) [Pa] of Young's modulus [Pa] and Poisson's ratio of linear elasticity."""
    mu = young / (2.0 * (1.0 + poisson))
    lam = young * poisson / ((1.0 + poisson) * (1.0 - 2.0 * poisson))
    return mu, lam


@dataclass(frozen=True)
class Law:
    """A hyperelastic law as functions of the deformation gradient F.

    `parameters(mu, lam)` turns Lame's constants [Pa] into the law's own two constants (a, b), so
    that the law agrees with linear elasticity at rest. The others are Warp functions:
    `energy(F, a, b)` [J/m^3]; `shared(F, a, b)`, the 3 x 3 matrix X that stress and tangent both
    need and that is worth computing once; `stress(F, X, a, b)` = dW/dF [Pa]; and
    `tangent(F, X, dF, a, b)` = the stress's derivative along dF [Pa].
    """

    name: str
    parameters: Callable[[float, float], tuple[float, float]]
    energy: Any
    shared: Any
    stress: Any
    tangent: Any


LAWS: Final[dict[str, Law]] = {
    name: Law(name, room.parameters, room.energy, room.shared, room.stress, room.tangent)
    for name, room in (
        ("stvk", stvk),
        ("neo-hookean", neo_hookean),
        ("corotational", corotational),
    )
}


def law_named(name: str) -> Law:
    """The law of that name; raises `InputError` for an unknown one."""
    if name not in LAWS:
        raise InputError(
            f"material law: expected one of {', '.join(LAWS)}; given {name!r}; choose one of these"
        )
    return LAWS[name]


def evaluate(
    law: Law, F: np.ndarray, dF: np.ndarray, a: float, b: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Energy density [J/m^3] (k,), stress [Pa] (k, 3, 3) and tangent along dF [Pa] (k, 3, 3).

    F and dF have shape (k, 3, 3); a and b come from `law.parameters`.
    """
    return probe(law.energy, law.shared, law.stress, law.tangent, F, dF, a, b)
