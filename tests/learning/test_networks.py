"""The four networks: published parameter counts, shapes, and Hessians times vectors."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn import functional
from zoo import F64, agree, normal, spaced

from hodsim.derivatives import hvp, linearise
from hodsim.errors import InputError
from hodsim.learning import ACTIVATIONS, autoencoder, lenet5, resnet20, vgg11


def flat(tensors: Any) -> Tensor:
    parts = tensors.values() if isinstance(tensors, dict) else tensors
    return torch.cat([part.flatten() for part in parts])


def count(network: nn.Module) -> int:
    return sum(p.numel() for p in network.parameters())


def test_parameter_counts_are_the_published_ones() -> None:
    assert count(autoencoder()) == 2_837_314
    assert count(lenet5()) == 61_706
    assert count(resnet20()) == 269_722
    # torchvision's VGG-11 of 1000 classes, without its three linear layers, with one of ten.
    convolutions = 132_863_336 - 123_642_856
    assert count(vgg11()) == convolutions + 5_130
    assert count(vgg11(batch_norm=True)) == 9_231_114
    quarter = [layer.out_channels for layer in vgg11(0.25) if isinstance(layer, nn.Conv2d)]
    assert quarter == [16, 32, 64, 64, 128, 128, 128, 128]


@pytest.mark.parametrize(
    ("network", "shape", "outputs"),
    [
        (autoencoder((12, 7, 3)), (5, 1, 3, 4), 12),
        (lenet5(), (5, 1, 28, 28), 10),
        (lenet5(7, channels=3, size=32), (5, 3, 32, 32), 7),
        (vgg11(0.125, classes=4), (5, 3, 32, 32), 4),
        (resnet20(6), (5, 3, 32, 32), 6),
    ],
)
def test_shapes(network: nn.Module, shape: tuple[int, ...], outputs: int) -> None:
    with torch.no_grad():
        assert network(torch.rand(shape)).shape == (5, outputs)


def test_the_code_and_the_output_of_the_autoencoder_are_linear() -> None:
    kinds = [type(layer) for layer in autoencoder((6, 5, 4, 2), "elu")]
    linear, elu = nn.Linear, nn.ELU
    encoder = [nn.Flatten, linear, elu, linear, elu, linear]
    assert kinds == [*encoder, linear, elu, linear, elu, linear]


def test_a_shortcut_halves_the_image_and_centres_it_among_zero_channels() -> None:
    block = resnet20()[6]
    nn.init.zeros_(block.body[-1].weight)  # what is left is the shortcut
    x = torch.rand(2, 16, 6, 6)
    with torch.no_grad():
        y = block(x)
    assert torch.equal(y[:, 8:24], x[:, :, ::2, ::2])
    assert not y[:, :8].any()
    assert not y[:, 24:].any()


CASES: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...]]] = {
    **{
        f"autoencoder {name}": (lambda name=name: autoencoder((9, 7, 5, 2), name), (4, 1, 3, 3))
        for name in ACTIVATIONS
    },
    "lenet5": (lenet5, (3, 1, 28, 28)),
    "lenet5 relu": (lambda: lenet5(channels=3, size=32, activation="relu"), (3, 3, 32, 32)),
    "vgg11": (lambda: vgg11(1 / 32), (3, 3, 32, 32)),
    "vgg11 normalised": (lambda: vgg11(1 / 32, batch_norm=True), (4, 3, 32, 32)),
    "resnet20": (resnet20, (3, 3, 8, 8)),
}


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("name", CASES)
def test_hessian_times_vector_is_double_backpropagation_s(name: str, training: bool) -> None:
    make, shape = CASES[name]
    with torch.random.fork_rng():
        torch.manual_seed(3)
        network = make().to(F64).train(training)
    x = spaced(*shape).mul(0.25).add(0.5)  # no two pixels alike: no ties in pooling
    y = torch.arange(len(x)) % 10

    def loss(parameters: dict[str, Tensor]) -> Tensor:
        out = functional_call(network, parameters, (x,))
        if name.startswith("autoencoder"):
            return functional.binary_cross_entropy_with_logits(out, x.flatten(1))
        return functional.cross_entropy(out, y)

    point = {key: p.detach().clone() for key, p in network.named_parameters()}
    v = {key: normal(*p.shape, seed=i) for i, (key, p) in enumerate(point.items())}
    with torch.no_grad():
        got = hvp(loss, point, v)
    leaves = {key: p.clone().requires_grad_() for key, p in point.items()}
    first = torch.autograd.grad(loss(leaves), list(leaves.values()), create_graph=True)
    wanted = torch.autograd.grad(first, list(leaves.values()), list(v.values()))
    # A convolution's bias ahead of a normalisation has no effect: measure all entries together.
    agree(flat(got), flat(wanted))

    curvature = linearise(loss, point)
    kept = [curvature.hvp(v) for _ in range(2)]
    agree(flat(curvature.gradient), flat(first))
    w = {key: normal(*p.shape, seed=90 + i) for i, (key, p) in enumerate(point.items())}
    terms = flat(curvature.hvp(w)) * flat(v)
    for product in kept:
        assert torch.equal(flat(product), flat(got))
        mirrored = float(flat(product) @ flat(w))
        assert abs(float(terms.sum()) - mirrored) <= 1e-11 * float(terms.abs().sum())


@pytest.mark.parametrize(
    ("make", "told"),
    [
        (lambda: autoencoder((784,)), "sizes: expected two or more"),
        (lambda: autoencoder((784, 0)), "sizes: expected two or more"),
        (lambda: autoencoder(activation="swash"), "activation: expected one of elu, relu"),
        (lambda: lenet5(size=30), "size: expected images of 28 or 32 pixels, got 30"),
        (lambda: lenet5(channels=0), "channels: expected a whole number of at least 1, got 0"),
        (lambda: vgg11(0.0), "width: expected a number above 0"),
        (lambda: vgg11(float("nan")), "width: expected a number above 0"),
        (lambda: resnet20(0), "classes: expected a whole number of at least 1"),
    ],
)
def test_bad_input_is_named(make: Callable[[], nn.Module], told: str) -> None:
    with pytest.raises(InputError, match=told):
        make()
