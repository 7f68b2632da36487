"""What every subspace promises: rest stays rest, and lanes are the features' derivatives."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import oracles
import pytest
import torch

from hodsim.networks import ACTIVATIONS, HoDNet, Shape
from hodsim.subspaces import HoD, Linear, Quadratic, Subspace

N, R = 24, 3


def _linear() -> Linear:
    return Linear(np.linalg.qr(np.random.default_rng(0).standard_normal((N, R)))[0])


def _quadratic() -> Quadratic:
    rng = np.random.default_rng(1)
    return Quadratic(_linear().basis, rng.standard_normal((N, R * (R + 1) // 2)))


def _hod(activation: str = "silu", widths: tuple[int, ...] = (9, 33)) -> HoD:
    torch.manual_seed(3)
    return HoD(HoDNet(Shape(N, R, widths, (5,), 7, activation)))


SUBSPACES: dict[str, Callable[[], Subspace]] = {
    "linear": _linear,
    "quadratic": _quadratic,
    **{f"hod {name}": lambda name=name: _hod(name) for name in ACTIVATIONS},
}
every_subspace = pytest.mark.parametrize("make", SUBSPACES.values(), ids=SUBSPACES)
# Every way the integrators ask: (order, with v).
WAYS = [(1, False), (1, True), (2, False), (2, True), (3, True)]


@every_subspace
def test_rest_and_shapes(make: Callable[[], Subspace]) -> None:
    subspace = make()
    w = subspace.basis.shape[1]
    assert (subspace.rank, subspace.basis.shape) == (R, (N, w))
    for order, with_v in WAYS:
        lanes = subspace.lanes(np.zeros(R), np.ones(R) if with_v else None, order)
        assert not lanes.z.any()
        assert lanes.J.shape == (w, R)
        assert lanes.H is None if order < 2 else lanes.H.shape == (R, R, w)
        assert (lanes.vv is None) == (not with_v)
        assert lanes.vve is None if order < 3 else lanes.vve.shape == (R, w)
    for batch in ((), (1,), (4,), (2, 3), (200,)):
        assert not subspace.decode(np.zeros((*batch, R))).any()
        assert not subspace.encode(np.zeros((*batch, N))).any()
        q = np.random.default_rng(2).standard_normal((*batch, R))
        u = subspace.decode(q)
        assert subspace.features(q).shape == (*batch, w)
        assert u.shape == (*batch, N)
        assert subspace.encode(u).shape == (*batch, R)
        np.testing.assert_array_equal(subspace.reconstruct(u), subspace.decode(subspace.encode(u)))


@every_subspace
def test_lanes_are_the_features_derivatives(make: Callable[[], Subspace]) -> None:
    """Central differences of the features, then of J, then of H: second order each."""
    subspace = make()
    rng = np.random.default_rng(7)
    for _ in range(3):
        q, v, e = rng.standard_normal((3, R))
        full = subspace.lanes(q, v, 3)
        np.testing.assert_allclose(full.z, subspace.features(q), rtol=0, atol=1e-14)
        pairs = [
            (subspace.features, full.J @ e),
            (lambda x, v=v: subspace.lanes(x).J @ v, e @ (v @ full.H)),
            (lambda x, v=v: v @ (v @ subspace.lanes(x, order=2).H), e @ full.vve),
        ]
        for f, wanted in pairs:
            errors = oracles.central_errors(f, wanted, q, e, (4e-3, 2e-3, 1e-3))
            if max(errors) > 1e-9:  # else a polynomial of so low a degree, exact but for rounding
                assert oracles.observed_orders(errors) == pytest.approx(2.0, abs=0.1)
            assert errors[-1] < 1e-3
        np.testing.assert_allclose(full.vv, v @ (v @ full.H), atol=1e-12)
        np.testing.assert_array_equal(full.H, full.H.transpose(1, 0, 2))


@every_subspace
def test_every_way_of_asking_gives_the_same(make: Callable[[], Subspace]) -> None:
    subspace = make()
    q, v = np.random.default_rng(8).standard_normal((2, R))
    full = subspace.lanes(q, v, 3)
    for order, with_v in WAYS:
        some = subspace.lanes(q, v if with_v else None, order)
        for name in ("z", "J", "H", "vv", "vve"):
            given = getattr(some, name)
            if given is not None:
                np.testing.assert_allclose(given, getattr(full, name), rtol=0, atol=1e-13)


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_lanes_of_a_network_against_nested_autograd(activation: str) -> None:
    subspace = _hod(activation, (6, 11, 5))
    f = subspace.network.decoder.features
    for seed in range(4):
        q, v = np.random.default_rng(seed).standard_normal((2, R))
        x, along = torch.from_numpy(q), torch.from_numpy(v)
        lanes = subspace.lanes(q, v, 3)
        close = {"rtol": 1e-10, "atol": 1e-12}
        np.testing.assert_allclose(lanes.z, f(x).numpy(), **close)
        np.testing.assert_allclose(lanes.J, oracles.derivative_tensor(f, x, 1).numpy(), **close)
        second = oracles.derivative_tensor(f, x, 2).numpy()
        np.testing.assert_allclose(lanes.H, second.transpose(1, 2, 0), **close)
        np.testing.assert_allclose(
            lanes.vv, oracles.nested_autograd(f, x, [along, along]).numpy(), **close
        )
        for i, e in enumerate(torch.eye(R, dtype=torch.float64)):
            wanted = oracles.nested_autograd(f, x, [along, along, e]).numpy()
            np.testing.assert_allclose(lanes.vve[i], wanted, **close)


def test_a_networks_subspace_is_the_network() -> None:
    torch.manual_seed(0)
    network = HoDNet(Shape(N, R, (4,), (5,), 7)).double()
    subspace = HoD(network)
    u = torch.randn(6, N, dtype=torch.float64)
    np.testing.assert_allclose(
        subspace.reconstruct(u.numpy()), network(u).detach().numpy(), atol=1e-14
    )
    np.testing.assert_allclose(
        subspace.encode(u.numpy()), network.encoder(u).detach().numpy(), atol=1e-14
    )
