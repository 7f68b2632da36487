"""A block's products, activations and law loops, in both branches, against numpy and torch."""

# No `from __future__ import annotations` here: Warp reads a kernel's annotations as objects.
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import warp as wp

from hodsim.kernels.block import ELU, SILU, SOFTPLUS, TANH, aligned, block, padded
from hodsim.kernels.block.laws import law_loops
from hodsim.materials import LAWS, evaluate, law_named

REALS = {"float64": wp.float64, "float32": wp.float32}
every_real = pytest.mark.parametrize("dtype", list(REALS))
# (strided, threads): whole vectors, shared entries by one thread, and by a block of them.
BRANCHES = {"vectors": (False, 1), "strided": (True, 1), "block": (True, 32)}
every_branch = pytest.mark.parametrize("branch", list(BRANCHES))


@pytest.fixture(autouse=True)
def _blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wp.config, "enable_cpu_blocks", True)


def _launch(kernel: Any, threads: int, inputs: list[Any]) -> None:
    wp.launch(kernel, dim=(1, threads), inputs=inputs, device="cpu", block_dim=threads)


def _array(x: np.ndarray, dtype: str) -> wp.array:
    return wp.array(aligned(x.astype(dtype).ravel()), dtype=REALS[dtype], device="cpu", copy=False)


def _rows(rng: np.random.Generator, n: int, length: int, dtype: str) -> np.ndarray:
    """Random rows, padded by zeros."""
    out = np.zeros((n, padded(length, np.dtype(dtype).itemsize)))
    out[:, :length] = rng.standard_normal((n, length))
    return out.astype(dtype).astype(float)


@cache
def _product(dtype: str, strided: bool, which: str) -> Any:
    functions = block(REALS[dtype], strided)
    product = functions.multiply if which == "multiply" else functions.gram
    array = wp.array(dtype=REALS[dtype])

    @wp.kernel(module="unique", enable_backward=False)
    def run(
        m: int,
        n: int,
        k: int,
        A: array,
        lda: int,
        B: array,
        ldb: int,
        C: array,
        ldc: int,
        add: wp.bool,
    ):
        product(m, n, k, A, 0, lda, B, 0, ldb, C, 0, ldc, add)

    return run


SHAPES = [(1, 1, 1), (1, 160, 40), (1, 37, 166), (2, 9, 3), (3, 33, 50), (4, 160, 6), (5, 8, 17)]
SHAPES += [(6, 40, 21), (7, 63, 40), (8, 5, 64), (9, 24, 10), (21, 50, 30), (13, 1, 7)]


@every_branch
@every_real
@pytest.mark.parametrize("which", ["multiply", "gram"])
@pytest.mark.parametrize("add", [False, True])
def test_products_of_every_shape(branch: str, dtype: str, which: str, add: bool) -> None:
    strided, threads = BRANCHES[branch]
    kernel = _product(dtype, strided, which)
    rng = np.random.default_rng(0)
    for m, n, k in SHAPES:
        A = _rows(rng, m, k, dtype)
        B = _rows(rng, *((k, n) if which == "multiply" else (n, k)), dtype)
        C = _rows(rng, m, n, dtype)
        inner = A[:, :k] @ B[:, :n] if which == "multiply" else A[:, :k] @ B[:, :k].T
        size = np.abs(A[:, :k]) @ np.abs(B[:, :n] if which == "multiply" else B[:, :k].T)
        out = _array(C, dtype)
        ld = [x.shape[1] for x in (A, B, C)]
        given = [m, n, k, _array(A, dtype), ld[0], _array(B, dtype), ld[1], out, ld[2], add]
        _launch(kernel, threads, given)
        got = out.numpy().reshape(C.shape)
        wanted = inner + (C[:, :n] if add else 0.0)
        bound = (k + 2) * np.finfo(dtype).eps * (size + np.abs(C[:, :n]))
        assert (np.abs(got[:, :n] - wanted) <= bound).all(), (m, n, k)
        if which == "multiply":
            assert (got[:, n:] == 0.0).all(), "padding stays zero"


def _activation(code: int, y: torch.Tensor) -> torch.Tensor:
    f = torch.nn.functional
    known = {ELU: f.elu, SILU: f.silu, TANH: torch.tanh, SOFTPLUS: f.softplus}
    return known[code](y)


@every_branch
@every_real
@pytest.mark.parametrize("code", [ELU, SILU, TANH, SOFTPLUS])
def test_activations_and_two_derivatives(branch: str, dtype: str, code: int) -> None:
    strided, threads = BRANCHES[branch]
    activate = block(REALS[dtype], strided).activate
    array = wp.array(dtype=REALS[dtype])

    @wp.kernel(module="unique", enable_backward=False)
    def run(code: int, n: int, B: array, S: array, ld: int):
        activate(code, n, B, 0, S, 0, ld, 2 * ld, 3 * ld)

    # Far out, near 0 from both sides, and either side of softplus' linear part.
    tails = np.concatenate([np.geomspace(1e-9, 100.0, 60), [19.99, 20.01, 700.0, 1e4]])
    y = np.concatenate([tails, -tails]).astype(dtype)
    bias = np.full(len(y), 0.125, dtype)
    ld = padded(len(y), y.itemsize)
    scratch = np.zeros((4, ld))
    scratch[0, : len(y)] = y
    S = _array(scratch, dtype)
    _launch(run, threads, [code, len(y), _array(np.pad(bias, (0, ld - len(y))), dtype), S, ld])
    h, s1, s2 = S.numpy().reshape(4, ld)[1:, : len(y)]

    x = torch.from_numpy((y + bias).astype(np.float64)).requires_grad_(True)
    value = _activation(code, x)
    (first,) = torch.autograd.grad(value.sum(), x, create_graph=True)
    second = torch.autograd.grad(first.sum(), x)[0] if first.requires_grad else 0.0 * x
    eps = np.finfo(dtype).eps
    # A relative error of eps in x moves sigma by eps x sigma': near x = 0 all are of order 1.
    reach = eps * (1.0 + np.abs(x.detach().numpy()))
    for got, wanted in zip((h, s1, s2), (value, first, second), strict=True):
        assert (np.abs(got - wanted.detach().numpy()) <= 8.0 * reach).all()


@every_branch
@every_real
@pytest.mark.parametrize("name", list(LAWS))
def test_law_loops_are_the_law(branch: str, dtype: str, name: str) -> None:
    strided, threads = BRANCHES[branch]
    law = law_named(name)
    loops = law_loops(REALS[dtype], strided, law.shared, law.stress, law.tangent)
    stresses, tangents, declare = loops.stresses, loops.tangents, loops.declare
    array = wp.array(dtype=REALS[dtype])

    @wp.kernel(module="unique", enable_backward=False)
    def run(tets: int, r: int, F: array, D: array, C: array):
        declare(C)
        stresses(tets, F, 0, 9 * tets, 18 * tets, C, 0, tets, 2 * tets)
        tangents(r, tets, F, 0, 9 * tets, 27 * tets, D, 0, C, 0, tets, 2 * tets)

    rng = np.random.default_rng(1)
    T, r = 3 * padded(1, np.dtype(dtype).itemsize), 3
    a, b = law.parameters(0.7, 1.3)
    gradient = 0.3 * rng.standard_normal((9, T)).astype(dtype)
    directions = rng.standard_normal((r, 9, T)).astype(dtype)
    weights = rng.random(T).astype(dtype)
    F = _array(np.concatenate([gradient, np.zeros((18 + 9 * r, T))]), dtype)
    constants = _array(np.stack([np.full(T, a), np.full(T, b), weights]), dtype)
    _launch(run, threads, [T, r, F, _array(directions, dtype), constants])
    rows = F.numpy().reshape(-1, T)

    whole = np.eye(3) + gradient.astype(float).T.reshape(T, 3, 3)
    tolerance = 500 * np.finfo(dtype).eps
    for i in range(r):
        d = directions[i].astype(float).T.reshape(T, 3, 3)
        _, P, dP = evaluate(law, whole, d, a, b)
        for got, wanted in ((rows[18:27], P), (rows[27 + 9 * i : 36 + 9 * i], dP)):
            wanted = weights * wanted.reshape(T, 9).T
            assert np.abs(got - wanted).max() <= tolerance * max(1.0, np.abs(wanted).max())


@every_branch
@every_real
def test_solve_and_its_refusals(branch: str, dtype: str) -> None:
    strided, threads = BRANCHES[branch]
    functions = block(REALS[dtype], strided)
    solve, thread = functions.solve, functions.thread
    array = wp.array(dtype=REALS[dtype])

    @wp.kernel(module="unique", enable_backward=False)
    def run(r: int, S: array, good: wp.array(dtype=wp.int32)):
        if thread() == 0:
            good[0] = 0
            if solve(r, S, 0, r * r):
                good[0] = 1

    def solved(A: np.ndarray, b: np.ndarray) -> tuple[bool, np.ndarray]:
        S = _array(np.concatenate([A.ravel(), b]), dtype)
        good = wp.zeros(1, dtype=wp.int32, device="cpu")
        _launch(run, threads, [len(b), S, good])
        return bool(good.numpy()[0]), S.numpy()[A.size :]

    rng = np.random.default_rng(2)
    for r in (1, 2, 6, 20):
        A, b = rng.standard_normal((r, r)), rng.standard_normal(r)
        A[0, 0] = 0.0 if r > 1 else A[0, 0]  # needs pivoting
        good, x = solved(A, b)
        bound = 4 * r * r * np.finfo(dtype).eps * np.linalg.cond(A)
        assert good
        assert np.linalg.norm(x - np.linalg.solve(A, b)) <= bound * np.linalg.norm(x)
    assert not solved(np.zeros((3, 3)), np.ones(3))[0]
    assert not solved(np.diag([1.0, 0.0]), np.ones(2))[0]
    assert not solved(np.array([[1.0, 0.0], [0.0, np.nan]]), np.ones(2))[0]
    big = 1e30 if dtype == "float32" else 1e300
    assert not solved(np.diag([1.0 / big, 1.0]), np.array([big, 1.0]))[0]


_NARROW = """
import importlib.util, sys
import warp as wp

wp.config.kernel_cache_dir = sys.argv[1]
wp.config.cpu_compiler_flags = f"{wp.config.cpu_compiler_flags} {sys.argv[2]}".strip()
spec = importlib.util.spec_from_file_location("these", sys.argv[3])
these = importlib.util.module_from_spec(spec)
spec.loader.exec_module(these)
for dtype in these.REALS:
    for which in ("multiply", "gram"):
        these.test_products_of_every_shape("vectors", dtype, which, True)
    for code in (these.SILU, these.SOFTPLUS):
        these.test_activations_and_two_derivatives("vectors", dtype, code)
    these.test_law_loops_are_the_law("vectors", dtype, "neo-hookean")
print("agreed")
"""


@pytest.mark.parametrize("flags", ["-U__AVX512F__", "-U__AVX512F__ -U__AVX__"])
def test_narrow_vectors_too(flags: str, tmp_path: Path) -> None:
    """The branches that a machine with wide vectors would never run."""
    command = [sys.executable, "-c", _NARROW, str(tmp_path), flags, __file__]
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    assert run.stdout.strip().endswith("agreed"), run.stderr[-2000:]
