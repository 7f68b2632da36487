"""LeNet-5, VGG-11 and ResNet-20 on cross-entropy against nested autograd of their primitives."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from oracles import nested_autograd
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn import functional
from zoo import (
    F64,
    VGG11,
    LeNet5,
    PlainBatchNorm,
    ResNet20,
    agree,
    kink_distance,
    normal,
)

from hodsim.derivatives import contract, hvp, vjp

Norm = Callable[[int], nn.Module]
NETWORKS: dict[str, tuple[Callable[[type[nn.Module], Norm], nn.Module], tuple[int, ...]]] = {
    "LeNet-5 without normalisation": (lambda act, _: LeNet5(act), (4, 1, 28, 28)),
    "LeNet-5": (LeNet5, (4, 1, 28, 28)),
    "VGG-11": (lambda act, norm: VGG11(act, norm, width=0.25), (4, 3, 32, 32)),
    "ResNet-20": (ResNet20, (4, 3, 32, 32)),
}
every_network = pytest.mark.parametrize("name", NETWORKS)
both_activations = pytest.mark.parametrize("activation", [nn.ReLU, nn.SiLU])


def _case(name: str, activation: type[nn.Module]) -> tuple[nn.Module, nn.Module, Tensor, Tensor]:
    """A network in training mode, the same one of primitives, a batch, its classes."""
    make, shape = NETWORKS[name]
    torch.manual_seed(3)
    network = make(activation, nn.BatchNorm2d).to(F64)
    with torch.no_grad():
        for key, parameter in network.named_parameters():
            if parameter.dim() == 1:  # biases, and the scales of normalisation away from one
                parameter.add_(0.3 * torch.randn_like(parameter))
            elif "Le" in name:  # without this a small network's third derivative is near zero
                parameter.mul_(2.0)
            assert parameter.requires_grad, key
    reference = make(activation, PlainBatchNorm).to(F64)
    reference.load_state_dict(network.state_dict(), strict=False)
    x, classes = normal(*shape, seed=4), torch.tensor([3, 1, 4, 1])
    # Both compute the same branches only if rounding cannot decide any.
    assert kink_distance(reference, x) > 1e-10
    return network, reference, x, classes


@every_network
@both_activations
def test_gradient_and_hessian_vector_product_by_the_parameters(
    name: str, activation: type[nn.Module]
) -> None:
    network, reference, x, classes = _case(name, activation)
    point = {key: p.detach() for key, p in network.named_parameters()}
    v = {key: normal(*p.shape, seed=i) for i, (key, p) in enumerate(point.items())}

    def loss(parameters: dict[str, Tensor]) -> Tensor:
        return functional.cross_entropy(functional_call(network, parameters, (x,)), classes)

    buffers = {key: b.clone() for key, b in network.named_buffers()}
    with torch.no_grad():
        got_first, got_second = vjp(loss, point), hvp(loss, point, v)
    for key, b in network.named_buffers():
        assert torch.equal(b, buffers[key]), key

    parameters = dict(reference.named_parameters())
    assert list(parameters) == list(point)
    wanted = functional.cross_entropy(reference(x), classes)
    first = torch.autograd.grad(wanted, list(parameters.values()), create_graph=True)
    along = sum((g * v[key]).sum() for g, key in zip(first, parameters, strict=True))
    second = torch.autograd.grad(along, list(parameters.values()))
    # A convolution's bias ahead of a normalisation has no effect: measure all entries together.
    for got, truth in ((got_first, first), (got_second, second)):
        agree(
            torch.cat([got[key].flatten() for key in parameters]),
            torch.cat([t.flatten() for t in truth]),
        )


@every_network
@both_activations
def test_third_order_contraction_of_the_loss_by_the_input(
    name: str, activation: type[nn.Module]
) -> None:
    network, reference, x, classes = _case(name, activation)
    a, b, c = (normal(*x.shape, seed=seed) for seed in (5, 6, 7))
    with torch.no_grad():
        got = contract(lambda t: functional.cross_entropy(network(t), classes), x, [a, b, c])
        opened = contract(
            lambda t: functional.cross_entropy(network(t), classes), x, [a, b], free=1
        )
    wanted = nested_autograd(
        lambda t: functional.cross_entropy(reference(t), classes).reshape(1), x, [a, b, c]
    )
    agree(got.reshape(1), wanted)
    agree((opened * c).sum().reshape(1), wanted)
    assert float(wanted.abs()) > 1e-4


def test_the_logits_of_a_relu_network_have_no_third_derivative_but_its_loss_has() -> None:
    network, _, x, classes = _case("LeNet-5 without normalisation", nn.ReLU)
    a = normal(*x.shape, seed=8)
    with torch.no_grad():
        logits = contract(network, x, [a, a, a])
        loss = contract(lambda t: functional.cross_entropy(network(t), classes), x, [a, a, a])
    assert torch.equal(logits, torch.zeros(4, 10, dtype=F64))
    assert float(loss.abs()) > 1e-4


def test_batch_normalisation_makes_the_logits_smooth_functions_of_the_batch() -> None:
    # The logits of a whole ReLU network do bend once normalisation mixes the batch.
    network, reference, x, _ = _case("LeNet-5", nn.ReLU)
    a, b = (normal(*x.shape, seed=seed) for seed in (9, 10))
    with torch.no_grad():
        got = contract(network, x, [a, a, b])
    wanted = nested_autograd(lambda t: reference(t).flatten(), x, [a, a, b])
    agree(got.flatten(), wanted)
