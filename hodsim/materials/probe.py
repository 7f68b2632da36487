"""Running a law on given deformation gradients: for tests, plots and curious people."""

# No `from __future__ import annotations` here: Warp reads a kernel's annotations as objects.
from functools import cache
from typing import Any

import numpy as np
import warp as wp

from hodsim.kernels import matrix_type, share


def probe(
    energy: Any,
    shared: Any,
    stress: Any,
    tangent: Any,
    F: np.ndarray,
    dF: np.ndarray,
    a: float,
    b: float,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """W [J/m^3] (k,), P [Pa] (k, 3, 3) and dP [Pa] (k, 3, 3) of a law's four Warp functions."""
    real, mat = wp.float64, matrix_type(wp.float64)
    F, dF = (np.ascontiguousarray(x, dtype=np.float64) for x in (F, dF))
    W, P, dP = np.empty(len(F)), np.empty_like(F), np.empty_like(F)
    arrays = [share(F, mat), share(dF, mat), share(W, real), share(P, mat), share(dP, mat)]
    kernel = _kernel(energy, shared, stress, tangent)
    wp.launch(kernel, dim=len(F), inputs=[*arrays, a, b], device="cpu")
    return W, P, dP


@cache
def _kernel(energy: Any, shared: Any, stress: Any, tangent: Any) -> Any:
    real, mat = wp.float64, matrix_type(wp.float64)

    @wp.kernel(module="unique", enable_backward=False)
    def law(
        F: wp.array(dtype=mat),
        dF: wp.array(dtype=mat),
        W: wp.array(dtype=real),
        P: wp.array(dtype=mat),
        dP: wp.array(dtype=mat),
        a: real,
        b: real,
    ):
        i = wp.tid()
        W[i] = energy(F[i], a, b)
        X = shared(F[i], a, b)
        P[i] = stress(F[i], X, a, b)
        dP[i] = tangent(F[i], X, dF[i], a, b)

    return law
