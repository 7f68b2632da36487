"""Sparse direct solves over one fixed pattern: the symbolic analysis is done once and reused."""

from __future__ import annotations

import ctypes
import sys
from functools import cache
from typing import Any, Protocol

import numpy as np
import scipy.sparse as sp
import scipy.sparse.linalg as spl

from hodsim.errors import ConvergenceError, InputError
from hodsim.fem.assembly import Pattern


class SingularError(ConvergenceError):
    """The matrix could not be factored: it is not positive definite."""


class Factorization(Protocol):
    """A solver of H x = b, H (3n, 3n) symmetric positive definite, its data on a fixed pattern."""

    name: str

    def factor(self, data: np.ndarray) -> None:
        """Factor the matrix with these CSR data. Raises `SingularError`."""

    def solve(self, b: np.ndarray) -> np.ndarray:
        """Solution x of H x = b for the matrix factored last, shape (3n,)."""


class SuperLU:
    """scipy's SuperLU in symmetric mode; the ordering is found once.

    Pivots stay on the diagonal, so that H = L D L^T with D the diagonal of U: by Sylvester's law
    H is positive definite just where D is, and both solvers refuse the same matrices.
    """

    name = "superlu"

    def __init__(self, pattern: Pattern) -> None:
        self._pattern = pattern
        self._order: np.ndarray | None = None

    def factor(self, data: np.ndarray) -> None:
        """Factor the matrix with these CSR data. Raises `SingularError`."""
        matrix = self._pattern.matrix(data).tocsc()
        if self._order is None:
            first = _splu(matrix, "MMD_AT_PLUS_A")
            self._order = np.argsort(first.perm_c)
            # A permutation's image of the positions, so that later calls only gather.
            places = self._pattern.matrix(np.arange(1.0, len(data) + 1.0)).tocsc()
            placed = places[self._order][:, self._order].tocsc()
            placed.sort_indices()
            self._gather = placed.data.astype(np.int64) - 1
            self._permuted = placed
        self._permuted.data = data[self._gather]
        self._lu = _splu(self._permuted, "NATURAL")
        # A zero pivot makes SuperLU leave the diagonal; a NaN fails the comparison too.
        if not ((self._lu.U.diagonal() > 0.0).all() and (self._lu.perm_r == self._lu.perm_c).all()):
            raise SingularError("sparse factorisation failed: the matrix is not positive definite")

    def solve(self, b: np.ndarray) -> np.ndarray:
        """Solution x of H x = b for the matrix factored last, shape (3n,)."""
        x = np.empty_like(b)
        x[self._order] = self._lu.solve(b[self._order])
        return x


def _splu(matrix: sp.csc_array, ordering: str) -> Any:
    try:
        return spl.splu(
            matrix,
            permc_spec=ordering,
            diag_pivot_thresh=0.0,
            options={"SymmetricMode": True, "Equil": False},
        )
    except RuntimeError as error:
        raise SingularError(f"sparse factorisation failed: {error}") from error


class Pardiso:
    """MKL PARDISO's Cholesky factorisation (matrix type 2) through the extra `pypardiso`."""

    name = "pardiso"

    def __init__(self, pattern: Pattern) -> None:
        rows = np.repeat(np.arange(3 * pattern.n), np.diff(pattern.indptr))
        self._upper = np.flatnonzero(pattern.indices >= rows)
        counts = np.bincount(rows[self._upper], minlength=3 * pattern.n)
        self._n = 3 * pattern.n
        self._ia = np.concatenate([[0], np.cumsum(counts)]).astype(np.int32)
        self._ja = np.ascontiguousarray(pattern.indices[self._upper], dtype=np.int32)
        self._a = np.empty(len(self._upper))
        self._pt = np.zeros(64, dtype=np.int64)
        self._iparm = np.zeros(64, dtype=np.int32)
        # 1-based: 1 own settings; 2 ordering (METIS pays for large meshes only); 8 no refinement;
        # 10 pivoting; 35 zero-based indices.
        for place, value in ((1, 1), (2, 0 if self._n < 5000 else 2), (8, 0), (10, 8), (35, 1)):
            self._iparm[place - 1] = value
        self._b = np.zeros(self._n)
        self._x = np.zeros(self._n)
        self._analysed = False

    def _call(self, phase: int) -> int:
        error = ctypes.c_int32(0)
        pointer = ctypes.POINTER(ctypes.c_int32)
        one, none = ctypes.byref(ctypes.c_int32(1)), ctypes.byref(ctypes.c_int32(0))

        def ints(x: np.ndarray) -> Any:
            return x.ctypes.data_as(pointer)

        _pardiso()(
            self._pt.ctypes.data_as(ctypes.POINTER(ctypes.c_int64)),
            one,
            one,
            ctypes.byref(ctypes.c_int32(2)),
            ctypes.byref(ctypes.c_int32(phase)),
            ctypes.byref(ctypes.c_int32(self._n)),
            self._a.ctypes.data_as(ctypes.POINTER(ctypes.c_double)),
            ints(self._ia),
            ints(self._ja),
            ints(np.zeros(1, dtype=np.int32)),
            one,
            ints(self._iparm),
            none,
            self._b.ctypes.data_as(ctypes.POINTER(ctypes.c_double)),
            self._x.ctypes.data_as(ctypes.POINTER(ctypes.c_double)),
            ctypes.byref(error),
        )
        return error.value

    def factor(self, data: np.ndarray) -> None:
        """Factor the matrix with these CSR data. Raises `SingularError`."""
        np.take(data, self._upper, out=self._a)
        if not self._analysed:
            if code := self._call(11):
                raise SingularError(f"PARDISO analysis failed with code {code}")
            self._analysed = True
        if code := self._call(22):
            raise SingularError(f"PARDISO factorisation failed with code {code}")

    def solve(self, b: np.ndarray) -> np.ndarray:
        """Solution x of H x = b for the matrix factored last, shape (3n,)."""
        self._b[:] = b
        if code := self._call(33):
            raise SingularError(f"PARDISO solve failed with code {code}")
        return self._x.copy()

    def __del__(self) -> None:
        # At the interpreter's end ctypes is gone already, and so will be the memory.
        if getattr(self, "_analysed", False) and not sys.is_finalizing():
            self._call(-1)


@cache
def _pardiso() -> Any:
    """MKL's entry point, found and typed by pypardiso; one thread, as everywhere in hodsim."""
    import pypardiso

    solver = pypardiso.PyPardisoSolver()
    solver.libmkl.MKL_Set_Num_Threads(ctypes.c_int(1))
    return solver.libmkl.pardiso


@cache
def pardiso_available() -> bool:
    """Whether pypardiso and its MKL library load here."""
    try:
        _pardiso()
    except (ImportError, OSError):
        return False
    return True


def factorization(pattern: Pattern, name: str = "auto") -> Factorization:
    """`pardiso` where installed, else `superlu`; or the one named.

    Raises `InputError` for another name, or PARDISO where it is not installed.
    """
    if name not in ("auto", "pardiso", "superlu"):
        raise InputError(f"solver: expected auto, pardiso or superlu, given {name!r}; choose one")
    if name == "pardiso" and not pardiso_available():
        raise InputError(
            "solver: expected pypardiso for pardiso, which does not load here; "
            "pip install pypardiso, or choose superlu"
        )
    if name == "superlu" or (name == "auto" and not pardiso_available()):
        return SuperLU(pattern)
    return Pardiso(pattern)
