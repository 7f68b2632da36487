"""What a compiled step reads: sizes, and where everything stands in three flat arrays.

`model` holds constants shared by all bodies (weights, cubature, mass), `scratch` and `state` one
row for each body. Rows of matrices are padded to whole vectors (`padded`), padding is zero.
"""

# No `from __future__ import annotations` here: Warp reads a struct's annotations as objects.
# ruff: noqa: N815
from functools import cache
from typing import Any, Final

import numpy as np
import warp as wp

from hodsim.kernels.block import aligned, padded

# How a body's step ended, as `NewtonResult.status` says it; the kernel writes the index.
STATUSES: Final = ("converged", "max_iterations", "line_search", "singular", "not_finite")
CONVERGED, MAX_ITERATIONS, LINE_SEARCH, SINGULAR, NOT_FINITE = range(5)
# What a user applies to a body: a force, or one with a stiffness.
PUSHED, STIFF = 1, 2
NOT_TAKEN: Final = -1  # a step after one that failed


@cache
def plan_type(real: Any) -> Any:
    """The struct that a kernel is given, for the scalar type `real`."""

    @wp.struct
    class Plan:
        # Sizes: latent rank, features, tets, hidden layers, and their rows' lengths.
        rank: int
        width: int
        tets: int
        layers: int
        code: int
        ld_q: int
        ld_z: int
        ld_f: int
        ld_top: int
        # Scheme and stopping rule.
        bdf2: int
        max_iterations: int
        h: real
        tolerance: real
        eps: real
        # Rounding floor of |g|, see `pack.py`; where no direction lessens |g| any more, one of
        # `stalled` times that floor is rounding too.
        noise: real
        far: real
        swing: real
        mass_noise: real
        stalled: real
        # In `model`: mix, h(0); per layer W and b are in `layer`.
        mix: int
        rest: int
        G: int
        a: int
        b: int
        w: int
        mass: int
        damping: int
        gram: int
        mass_gram: int
        effective: int  # c^2 M + c C: implicit Euler's, then BDF2's
        columns: int
        stiff: int
        # Loads: three amplitudes a load; `turning` of them have a stiffness.
        amplitudes: int
        turning: int
        # In a row of `scratch`.
        q: int
        x: int
        d: int
        ahead: int
        Z: int
        past: int
        alpha: int
        beta: int
        dz: int
        forces: int
        R: int
        parts: int
        s: int
        load: int
        turn: int
        Y: int
        F: int
        X: int
        P: int
        dP: int
        A: int
        H: int
        LU: int
        g: int
        flag: int
        top: int
        T: int
        model: wp.array(dtype=real)
        # Rows: width, ld, then where W, b are in `model` and where rows Y (before the activation)
        # and H (after it), sigma', sigma'', adjoint are in `scratch`. After the layers, a row of a
        # polynomial's (`elastic.py`), if it is one.
        layer: wp.array2d(dtype=wp.int32)
        turns: wp.array(dtype=wp.int32)  # which amplitudes have a stiffness

    return Plan


@cache
def bodies_type(real: Any) -> Any:
    """The struct of what each body has (one row each), and what a launch reads and writes."""

    @wp.struct
    class Bodies:
        scratch: wp.array2d(dtype=real)
        state: wp.array2d(dtype=real)
        started: wp.array(dtype=wp.int32)  # whether there is a step before
        scales: wp.array2d(dtype=real)
        push: wp.array2d(dtype=real)  # what a user applies: p (w,) and G (w, w)
        pull: wp.array2d(dtype=real)
        pulls: wp.array(dtype=wp.int32)
        residuals: wp.array2d(dtype=real)  # of the last step's iterations
        lengths: wp.array2d(dtype=real)
        amplitudes: wp.array3d(dtype=real)  # by step, then by body or for all
        status: wp.array2d(dtype=wp.int32)  # by step, then body, as all below
        iterations: wp.array2d(dtype=wp.int32)
        relative: wp.array2d(dtype=real)
        latent: wp.array3d(dtype=real)
        features: wp.array3d(dtype=real)
        velocities: wp.array3d(dtype=real)

    return Bodies


# Columns of `Plan.layer`, and of its last row for a polynomial: how many pairs of features, the
# length of a row of them, K, C and Q in `model`, and the products, slopes and matrix in `scratch`.
N, LD, W, BIAS, ROWS_Y, ROWS_H, S1, S2, ADJOINT = range(9)
PAIRS, LD_P, POLY_K, POLY_C, POLY_Q, PRODUCTS, SLOPES, MATRIX = range(8)


class Store:
    """Lays arrays one after another in a flat one, each at a multiple of 64 bytes."""

    def __init__(self, dtype: Any) -> None:
        self.dtype = np.dtype(dtype)
        self._parts: list[tuple[int, np.ndarray]] = []
        self.size = 0

    def room(self, *shape: int) -> int:
        """Offset of new room for an array of zeros of that shape."""
        at = self.size
        self.size += padded(int(np.prod(shape, dtype=np.int64)), self.dtype.itemsize)
        return at

    def put(self, array: np.ndarray) -> int:
        """Offset of a new copy of the array, as it is."""
        at = self.room(array.size)
        self._parts.append((at, array))
        return at

    def rows(self, array: np.ndarray) -> int:
        """Offset of a new copy of the matrix, its rows padded."""
        return self.put(pad(array, padded(array.shape[-1], self.dtype.itemsize)))

    def fill(self, at: int, array: np.ndarray) -> None:
        """What stands at an offset from the start."""
        self._parts.append((at, array))

    def flat(self) -> np.ndarray:
        """The flat array."""
        out = np.zeros(max(self.size, 1), dtype=self.dtype)
        for at, array in self._parts:
            out[at : at + array.size] = array.ravel()
        return out


def on_device(array: np.ndarray, dtype: Any, device: Any) -> wp.array:
    """A Warp array of its own memory, on the CPU aligned to cache lines."""
    if wp.get_device(device).is_cpu:
        return wp.array(aligned(array), dtype=dtype, device=device, copy=False)
    return wp.array(array, dtype=dtype, device=device)


def pad(array: np.ndarray, length: int) -> np.ndarray:
    """The array with its last axis filled up to `length` by zeros."""
    out = np.zeros((*array.shape[:-1], length))
    out[..., : array.shape[-1]] = array
    return out
