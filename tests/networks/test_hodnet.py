"""HoD-Net's modules: rest to rest bit by bit, lanes against nested autograd, sizes refused."""

from __future__ import annotations

import oracles
import pytest
import torch

from hodsim import InputError
from hodsim.derivatives import LanePlan, push
from hodsim.networks import ACTIVATIONS, Features, HoDNet, Shape

every_activation = pytest.mark.parametrize("activation", ACTIVATIONS)


def _network(activation: str = "silu", seed: int = 0) -> HoDNet:
    torch.manual_seed(seed)
    return HoDNet(Shape(24, 3, (7, 33), (9, 5), 6, activation))


@every_activation
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_rest_maps_to_rest_bit_by_bit(activation: str, dtype: torch.dtype) -> None:
    """However many poses come at once: matrix products of other sizes add up in other orders."""
    for seed in range(3):
        network = _network(activation, seed).to(dtype)
        assert network.decoder.rest().all()
        for batch in ((), (1,), (2,), (17,), (3, 5), (512,)):
            u, q = torch.zeros(*batch, 24, dtype=dtype), torch.zeros(*batch, 3, dtype=dtype)
            for out in (network.encoder(u), network.decoder(q), network(u), network(-u)):
                assert not out.any()
                assert out.dtype == dtype
        # Rest beside other poses is rest as well, and the others are not.
        u[1::2] = torch.randn(256, 24, dtype=dtype)
        moved = network(u).any(-1)
        assert not moved[::2].any()
        assert moved[1::2].all()


def test_shape_of_the_maps() -> None:
    """f(q) = B W [h(q) - h(0), q] and e(u) = L p + M (e(p) - e(0)), written out."""
    network = _network().double()
    decoder, encoder = network.decoder, network.encoder
    q, u = torch.randn(4, 3, dtype=torch.float64), torch.randn(4, 24, dtype=torch.float64)

    def hidden(layers: torch.nn.Sequential, x: torch.Tensor) -> torch.Tensor:
        for linear in layers[::2]:
            a = x @ linear.weight.T + linear.bias
            x = a / (1.0 + torch.exp(-a))
        return x

    h = hidden(decoder.hidden, q) - hidden(decoder.hidden, torch.zeros(3).double())
    z = torch.hstack([h, q]) @ decoder.mix.weight.T
    torch.testing.assert_close(decoder.features(q), z)
    torch.testing.assert_close(decoder(q), z @ decoder.out.weight.T)
    p = u @ encoder.project.weight.T
    e = hidden(encoder.hidden, p) - hidden(encoder.hidden, torch.zeros(6).double())
    latent = p @ encoder.skip.weight.T + e @ encoder.head.weight.T
    torch.testing.assert_close(encoder(u), latent)
    torch.testing.assert_close(network(u), decoder(latent))
    torch.testing.assert_close(Features(decoder)(q), z)


@every_activation
def test_lanes_of_the_features(activation: str) -> None:
    """All lanes to order 3 in five directions, at several points."""
    network = _network(activation, 5).double()
    features = Features(network.decoder).requires_grad_(False)
    plan = LanePlan.symmetric(5, 3)
    for seed in range(3):
        generator = torch.Generator().manual_seed(seed)
        q = torch.randn(3, generator=generator, dtype=torch.float64)
        directions = torch.randn(5, 3, generator=generator, dtype=torch.float64)
        lanes = push(features, q, directions, plan)
        for lane in plan.lanes[::4]:
            wanted = oracles.nested_autograd(
                network.decoder.features, q, [directions[i] for i in lane]
            )
            torch.testing.assert_close(lanes[lane], wanted, rtol=1e-10, atol=1e-12)


def test_lanes_of_a_batch_with_rest_in_it() -> None:
    """Rest is exact by subtracting what rounding left there; its derivatives must survive that."""
    network = _network().double()
    features = Features(network.decoder).requires_grad_(False)
    q = torch.randn(5, 3, dtype=torch.float64)
    q[2] = 0.0
    a = torch.randn(1, 5, 3, dtype=torch.float64)
    lanes = push(features, q, a, LanePlan.symmetric(1, 2))
    assert not lanes.value[2].any()
    for k in range(5):
        for lane in ((), (0,), (0, 0)):
            wanted = oracles.nested_autograd(network.decoder.features, q[k], [a[0, k]] * len(lane))
            torch.testing.assert_close(lanes[lane][k], wanted, rtol=1e-10, atol=1e-12)
    # Autograd and differences agree there too, for both halves.
    for f, n in ((network.decoder, 3), (network.encoder, 24)):
        x = 1e-5 * torch.eye(n, dtype=torch.float64)
        slope = (f(x) - f(-x)) / 2e-5
        wanted = oracles.derivative_tensor(f, torch.zeros(n, dtype=torch.float64), 1)
        torch.testing.assert_close(slope.T, wanted, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"n_dofs": 0}, "n_dofs': 0"),
        ({"rank": -1}, "rank': -1"),
        ({"decoder": ()}, r"decoder': \(\)"),
        ({"decoder": (8, 0)}, r"\(8, 0\)"),
        ({"encoder": (2.5,)}, r"\(2.5,\)"),
        ({"projected": 0}, "projected': 0"),
        ({"activation": "relu"}, "silu, elu, tanh, softplus; given 'relu'"),
    ],
)
def test_sizes_that_make_no_network(given: dict[str, object], message: str) -> None:
    with pytest.raises(InputError, match=message):
        Shape(**{"n_dofs": 12, **given})


def test_an_encoder_may_be_linear() -> None:
    network = HoDNet(Shape(12, 2, (4,), (), 5))
    u = torch.randn(3, 12)
    torch.testing.assert_close(network.encoder(2 * u), 2 * network.encoder(u))
