"""Conjugate gradients beside dense solves."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor
from zoo import F64, normal

from hodsim.optimizers import Stop, conjugate_gradients

TIGHT = Stop(iterations=200, tolerance=1e-13)


def spd(n: int, condition: float, seed: int = 1) -> Tensor:
    Q = torch.linalg.qr(normal(n, n, seed=seed)).Q
    return Q @ torch.diag(torch.logspace(0, np.log10(condition), n, dtype=F64)) @ Q.T


@pytest.mark.parametrize("damping", [0.0, 0.3])
def test_agrees_with_a_dense_solve(damping: float) -> None:
    A, b = spd(30, 50.0), normal(30, seed=2)
    done = conjugate_gradients(lambda v: A @ v, b, damping, TIGHT)
    wanted = np.linalg.solve((A + damping * torch.eye(30, dtype=F64)).numpy(), b.numpy())
    np.testing.assert_allclose(done.x.numpy(), wanted, rtol=0, atol=1e-11 * np.abs(wanted).max())
    assert done.ended == "tolerance"
    torch.testing.assert_close(done.Hx, A @ done.x, rtol=1e-10, atol=1e-12)
    assert done.residual <= 1e-13
    assert done.smallest is not None
    assert 1.0 + damping - 1e-9 <= done.smallest <= 50.0 + damping


def test_damping_may_differ_from_entry_to_entry() -> None:
    A, b, damping = spd(10, 5.0), normal(10, seed=2), torch.rand(10, dtype=F64)
    x = conjugate_gradients(lambda v: A @ v, b, damping, TIGHT).x
    torch.testing.assert_close(x, torch.linalg.solve(A + damping.diag(), b), rtol=1e-10, atol=0)


def test_few_eigenvalues_take_as_many_iterations() -> None:
    A = torch.tensor([2.0] * 5 + [7.0] * 4 + [11.0] * 3, dtype=F64).diag()
    done = conjugate_gradients(lambda v: A @ v, normal(12), stop=TIGHT)
    assert (done.iterations, done.ended) == (3, "tolerance")


def test_error_falls_at_least_as_fast_as_chebyshev_says() -> None:
    A, b = spd(60, 400.0), normal(60, seed=4)
    exact = torch.linalg.solve(A, b)
    rate = (np.sqrt(400.0) - 1) / (np.sqrt(400.0) + 1)
    for k in (5, 20, 40):
        done = conjugate_gradients(lambda v: A @ v, b, stop=Stop(k, 0.0))
        error = done.x - exact
        assert (done.iterations, done.ended) == (k, "iterations")
        assert float(error @ A @ error) ** 0.5 <= 2 * rate**k * float(exact @ A @ exact) ** 0.5


def test_product_count_is_the_iterations() -> None:
    A, calls = spd(20, 30.0), []

    def product(v: Tensor) -> Tensor:
        calls.append(v)
        return A @ v

    done = conjugate_gradients(product, normal(20), stop=Stop(50, 1e-8))
    assert len(calls) == done.iterations


def test_negative_curvature_ends_with_what_was_reached() -> None:
    A = torch.tensor([4.0, 3.0, -0.01], dtype=F64).diag()
    b = torch.tensor([1.0, 1.0, 0.05], dtype=F64)
    done = conjugate_gradients(lambda v: A @ v, b)
    assert done.ended == "negative curvature"
    assert done.iterations >= 1
    assert done.smallest is not None
    assert done.smallest < 0.0
    assert float(b @ done.x) > 0.0
    torch.testing.assert_close(done.Hx, A @ done.x)


@pytest.mark.parametrize("curvature", [-2.0, 0.0])
def test_at_once_it_is_steepest_descent(curvature: float) -> None:
    b = normal(4)
    done = conjugate_gradients(lambda v: curvature * v, b)
    assert (done.ended, done.iterations) == ("steepest descent", 0)
    assert torch.equal(done.x, b)
    assert torch.equal(done.Hx, curvature * b)


def test_damping_makes_negative_curvature_positive() -> None:
    A, b = torch.tensor([4.0, -0.5], dtype=F64).diag(), torch.ones(2, dtype=F64)
    done = conjugate_gradients(lambda v: A @ v, b, 1.0, TIGHT)
    torch.testing.assert_close(done.x, torch.tensor([0.2, 2.0], dtype=F64))


def test_flat_directions_are_damped() -> None:
    b = torch.ones(3, dtype=F64)
    done = conjugate_gradients(lambda v: 1e-9 * v, b, flatness=1e-3)
    assert done.flat >= 1
    torch.testing.assert_close(done.x, b / (1e-9 + 1e-3), rtol=1e-9, atol=0)
    free = conjugate_gradients(lambda v: 1e-9 * v, b)
    assert free.flat == 0
    torch.testing.assert_close(free.x, b * 1e9, rtol=1e-9, atol=0)
    # From 1e-8 on nothing is flat.
    assert conjugate_gradients(lambda v: 2e-8 * v, b, flatness=1e-3).flat == 0


def test_a_start_helps_and_never_hurts() -> None:
    A, b = spd(40, 300.0), normal(40, seed=3)
    exact = torch.linalg.solve(A, b)
    stop = Stop(100, 1e-8)
    cold = conjugate_gradients(lambda v: A @ v, b, stop=stop)
    near = conjugate_gradients(lambda v: A @ v, b, stop=stop, start=exact + 1e-4 * normal(40))
    assert near.iterations < cold.iterations
    torch.testing.assert_close(near.Hx, A @ near.x, rtol=1e-9, atol=1e-9)
    # Of a good direction any length serves; one that ascends is not taken up at all.
    scaled = conjugate_gradients(lambda v: A @ v, b, stop=Stop(1, 0.0), start=37.0 * exact)
    assert scaled.residual < 1e-12
    wrong = conjugate_gradients(lambda v: A @ v, b, stop=stop, start=-exact)
    assert torch.equal(wrong.x, cold.x)


def test_a_diagonal_preconditioner() -> None:
    diagonal, b = torch.logspace(0, 4, 50, dtype=F64), normal(50, seed=3)
    exact = conjugate_gradients(lambda v: diagonal * v, b, stop=Stop(50, 1e-12), scale=3 * diagonal)
    assert exact.iterations == 1
    torch.testing.assert_close(exact.x, b / diagonal, rtol=1e-10, atol=0)
    # Its residual is that of the system itself.
    A = diagonal.sqrt()[:, None] * spd(50, 10.0) * diagonal.sqrt()
    some = conjugate_gradients(lambda v: A @ v, b, stop=Stop(12, 0.0), scale=A.diagonal())
    assert some.residual == pytest.approx(float((b - A @ some.x).norm() / b.norm()), rel=1e-8)
    stop = Stop(2000, 1e-8)
    helped = conjugate_gradients(lambda v: A @ v, b, stop=stop, scale=A.diagonal())
    plain = conjugate_gradients(lambda v: A @ v, b, stop=stop)
    assert 2 * helped.iterations < plain.iterations
    torch.testing.assert_close(helped.x, torch.linalg.solve(A, b), rtol=1e-5, atol=1e-7)
    hill = conjugate_gradients(lambda v: -v, b, scale=diagonal)
    assert hill.ended == "steepest descent"
    assert torch.equal(hill.x, b / diagonal)


def test_martens_stop_and_the_iterates_on_the_way() -> None:
    A, b = spd(400, 1e5), normal(400, seed=5)
    stop = Stop(400, 0.0, progress=5e-4)
    done = conjugate_gradients(lambda v: A @ v, b, stop=stop, keep=True)
    assert done.ended == "progress"
    i = done.iterations
    k = max(10, int(np.ceil(0.1 * i)))

    def quadratic(n: int) -> float:
        x = conjugate_gradients(lambda v: A @ v, b, stop=Stop(n, 0.0)).x
        return float(0.5 * x @ A @ x - b @ x)

    def share(n: int) -> float:
        return (quadratic(n) - quadratic(n - k)) / quadratic(n)

    assert share(i) < k * 5e-4 <= share(i - 1)
    values = [float(0.5 * x @ A @ x - b @ x) for x, _ in done.iterates]
    assert values == sorted(values, reverse=True)
    assert torch.equal(done.iterates[-1][0], done.x)
    for x, Hx in done.iterates:
        torch.testing.assert_close(Hx, A @ x, rtol=1e-7, atol=1e-9)
    assert 5 < len(done.iterates) < i / 2


def test_nothing_to_solve_and_nothing_finite() -> None:
    zero = conjugate_gradients(lambda v: v, torch.zeros(3))
    assert (zero.ended, zero.iterations, zero.residual) == ("tolerance", 0, 0.0)
    lost = conjugate_gradients(lambda v: v * float("nan"), torch.ones(3))
    assert lost.ended == "not finite"
    assert not lost.x.any()
