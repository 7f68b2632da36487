"""The compiled commands, one by one, against numpy and torch."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from hodsim.derivatives.activations import activation_of
from hodsim.kernels.lanes import ELU, SIGMOID, SILU, SOFTPLUS, TANH, Stream, launch, padded

DTYPES = [np.float64, np.float32]
every_dtype = pytest.mark.parametrize("dtype", DTYPES)


def _run(stream: Stream) -> None:
    launch(np.array([*stream.words, 0], dtype=np.int64), stream.size)


def _random(rng: np.random.Generator, *shape: int, dtype: type) -> np.ndarray:
    return rng.standard_normal(shape).astype(dtype)


@every_dtype
@pytest.mark.parametrize("plain", [False, True])
@pytest.mark.parametrize("whole", [False, True])
def test_products_of_every_remainder(dtype: type, plain: bool, whole: bool) -> None:
    rng, size = np.random.default_rng(0), np.dtype(dtype).itemsize
    eps = np.finfo(dtype).eps
    for M in (1, 2, 3, 7, 8, 9, 42, 70):
        for N in (1, 7, 8, 15, 17, 24, 50, 65):
            for K in (1, 5, 16, 33, 513):
                A = _random(rng, M, K, dtype=dtype)
                W = _random(rng, *((K, N) if plain else (N, K)), dtype=dtype)
                ld = padded(N, size) if whole else N
                C = np.full((M + 1, ld), 7, dtype=dtype)
                stream = Stream(size)
                at = (A.ctypes.data, K, W.ctypes.data, W.shape[1], C.ctypes.data, ld)
                stream.multiply(*at, (M, N, K), plain=plain, whole=whole)
                _run(stream)
                B = (W if plain else W.T).astype(np.float64)
                bound = np.abs(A.astype(np.float64)) @ np.abs(B)
                assert (np.abs(C[:M, :N] - A.astype(np.float64) @ B) <= K * eps * bound).all()
                assert (C[M] == 7).all()  # nothing written past the end


@every_dtype
def test_blocks_of_rows_and_a_triangle(dtype: type) -> None:
    rng, size = np.random.default_rng(1), np.dtype(dtype).itemsize
    A, W = _random(rng, 5, 4, 20, dtype=dtype), _random(rng, 30, 20, dtype=dtype)
    C = np.zeros((5, 3, 30), dtype=dtype)
    stream = Stream(size)
    at = (A.ctypes.data, 20, W.ctypes.data, 20, C.ctypes.data, 30)
    stream.multiply(*at, (3, 30, 20), count=5, step_a=80, step_c=90)
    _run(stream)
    np.testing.assert_allclose(C, A[:, :3] @ W.T, rtol=0, atol=100 * np.finfo(dtype).eps)

    J = _random(rng, 60, 20, dtype=dtype)
    H = np.zeros((60, 60), dtype=dtype)
    stream = Stream(size)
    at = (J.ctypes.data, 20, J.ctypes.data, 20, H.ctypes.data, 60)
    stream.multiply(*at, (60, 60, 20), triangle=1)
    _run(stream)
    np.testing.assert_allclose(np.triu(H), np.triu(J @ J.T), atol=100 * np.finfo(dtype).eps)
    stream = Stream(size)
    stream.mirror(1, 60, H.ctypes.data, 0, 60)
    _run(stream)
    assert (H == H.T).all()


@every_dtype
def test_transpose_and_scale(dtype: type) -> None:
    rng, size = np.random.default_rng(2), np.dtype(dtype).itemsize
    W = _random(rng, 37, 21, dtype=dtype)
    to = np.zeros((21, 40), dtype=dtype)
    stream = Stream(size)
    stream.transpose(37, 21, W.ctypes.data, 21, to.ctypes.data, 40)
    t, scaled = _random(rng, 3, 21, dtype=dtype), np.zeros((3, 37, 21), dtype=dtype)
    place = (scaled.ctypes.data, 37 * 21, 21)
    stream.scale(3, 37, 21, (W.ctypes.data, 0, 21), (t.ctypes.data, 21), place)
    _run(stream)
    assert (to[:, :37] == W.T).all()
    assert (scaled == W * t[:, None]).all()


@every_dtype
@pytest.mark.parametrize(
    ("code", "module", "parameters"),
    [
        (ELU, nn.ELU(alpha=1.7), (1.7, 0.0)),
        (SILU, nn.SiLU(), (0.0, 0.0)),
        (TANH, nn.Tanh(), (0.0, 0.0)),
        (SIGMOID, nn.Sigmoid(), (0.0, 0.0)),
        (SOFTPLUS, nn.Softplus(beta=1.5, threshold=15.0), (1.5, 15.0)),
    ],
)
def test_activations_to_rounding(
    dtype: type, code: int, module: nn.Module, parameters: tuple[float, float]
) -> None:
    size, eps = np.dtype(dtype).itemsize, np.finfo(dtype).eps
    ends = [0.0, 1e-30, -1e-30, 1e-4, -1e-4, 30.0, -30.0, 80.0, -80.0, 800.0, -800.0, -np.inf]
    if code == SILU:
        ends = ends[:-1]  # -inf times 0
    z = np.array([*np.linspace(-12, 12, 700), *ends], dtype=dtype)
    ld = padded(len(z), size)
    x, bias = np.zeros((1, ld), dtype), np.zeros(len(z), dtype)
    x[0, : len(z)] = z
    T = np.zeros((4, ld), dtype)
    stream = Stream(size)
    at = (bias.ctypes.data, x.ctypes.data, ld, T.ctypes.data, 4 * ld, ld)
    stream.sigma(code, parameters, 3, 1, len(z), *at)
    _run(stream)
    sigma = activation_of(type(module))
    assert sigma is not None
    wanted = sigma(module, torch.from_numpy(z).double(), 3)
    for k, values in enumerate(wanted):
        exact = values.numpy()
        usual = np.abs(z) <= 12
        # Sums of a few terms, each to rounding: relative to the largest of them.
        near = z[usual]
        scale = np.abs(exact[usual]) + np.exp(-np.abs(near)) * (1 + np.abs(near)) * (8 if k else 0)
        error = np.abs(T[k, : len(z)] - exact)
        assert (error[usual] <= 16 * eps * np.maximum(scale, np.finfo(dtype).tiny)).all(), k
        assert np.isfinite(T[k, : len(z)]).all()
        tiny = float(np.finfo(dtype).tiny)
        assert (error[~usual] <= 64 * eps * np.abs(exact[~usual]) + 1000 * tiny).all(), k


@every_dtype
def test_nan_stays_nan(dtype: type) -> None:
    size = np.dtype(dtype).itemsize
    ld = padded(3, size)
    for code in (ELU, SILU, TANH, SIGMOID, SOFTPLUS):
        x, T = np.full((1, ld), np.nan, dtype), np.zeros((4, ld), dtype)
        stream = Stream(size)
        at = (0, x.ctypes.data, ld, T.ctypes.data, 4 * ld, ld)
        stream.sigma(code, (1.0, 20.0), 3, 1, 3, *at)
        _run(stream)
        assert np.isnan(T[0, :3]).all()
