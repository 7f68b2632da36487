"""The four networks of the paper's Application I, of layers that hodsim.derivatives knows.

Their weights are drawn from torch's global generator: call `torch.manual_seed` before.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import pairwise
from types import MappingProxyType
from typing import Final

from torch import Tensor, nn
from torch.nn import functional

from hodsim.errors import InputError

ACTIVATIONS: Final[Mapping[str, type[nn.Module]]] = MappingProxyType(
    {
        "elu": nn.ELU,
        "relu": nn.ReLU,
        "sigmoid": nn.Sigmoid,
        "silu": nn.SiLU,
        "softplus": nn.Softplus,
        "tanh": nn.Tanh,
    }
)
_VGG11: Final = (64, 0, 128, 0, 256, 256, 0, 512, 512, 0, 512, 512, 0)  # 0 halves the image


def autoencoder(
    sizes: Sequence[int] = (784, 1000, 500, 250, 30), activation: str = "tanh"
) -> nn.Sequential:
    """The deep autoencoder of MNIST (Hinton and Salakhutdinov 2006; Martens 2010).

    Takes images of any shape (n, ...) with sizes[0] pixels; gives (n, sizes[0]) logits, the sigmoid
    of which is the image. The decoder mirrors the encoder; the code, sizes[-1] wide, is linear.
    Weights begin as Glorot and Bengio (2010) draw them, which trains at this depth without
    pretraining where the activation is not "sigmoid"; biases at 0.

    Raises
    ------
    InputError : fewer than two sizes, a size below 1, an unknown activation.
    """
    make = _activation(activation)
    if len(sizes) < 2 or min(sizes) < 1:
        raise InputError(f"sizes: expected two or more numbers of at least 1, got {tuple(sizes)}")
    layers: list[nn.Module] = [nn.Flatten()]
    widths = (*sizes, *reversed(sizes[:-1]))
    for i, (n, m) in enumerate(pairwise(widths), start=1):
        layer = nn.Linear(n, m)
        nn.init.xavier_normal_(layer.weight)
        nn.init.zeros_(layer.bias)
        layers.append(layer)
        if i not in (len(sizes) - 1, len(widths) - 1):
            layers.append(make())
    return nn.Sequential(*layers)


def lenet5(
    classes: int = 10, channels: int = 1, size: int = 28, activation: str = "tanh"
) -> nn.Sequential:
    """LeNet-5 (LeCun et al. 1998) as it is commonly written: all maps connected, average pooling.

    Takes images (n, channels, size, size), size 28 (padded to 32) or 32; gives (n, classes) logits.
    61,706 parameters.

    Raises
    ------
    InputError : another size, classes or channels below 1, an unknown activation.
    """
    make = _activation(activation)
    _at_least_one(classes=classes, channels=channels)
    if size not in (28, 32):
        raise InputError(f"size: expected images of 28 or 32 pixels, got {size}")
    return nn.Sequential(
        *(nn.Conv2d(channels, 6, 5, padding=(32 - size) // 2), make(), nn.AvgPool2d(2)),
        *(nn.Conv2d(6, 16, 5), make(), nn.AvgPool2d(2)),
        *(nn.Flatten(), nn.Linear(400, 120), make(), nn.Linear(120, 84), make()),
        nn.Linear(84, classes),
    )


def vgg11(width: float = 1.0, classes: int = 10, batch_norm: bool = False) -> nn.Sequential:
    """VGG-11 (Simonyan and Zisserman 2014, configuration A) for images of 32 x 32.

    Takes (n, 3, 32, 32), gives (n, classes) logits. Its eight convolutions are the published ones,
    of `width` times the channels; as 32 pixels leave one, a single linear layer follows in place
    of three. `batch_norm` puts a normalisation after each convolution, as in torchvision's
    vgg11_bn.

    Raises
    ------
    InputError : width not above 0, or classes below 1.
    """
    if not 0 < width < math.inf:
        raise InputError(f"width: expected a number above 0, got {width}")
    _at_least_one(classes=classes)
    layers: list[nn.Module] = []
    n = 3
    for published in _VGG11:
        if not published:
            layers.append(nn.MaxPool2d(2))
            continue
        m = max(1, round(width * published))
        layers.append(nn.Conv2d(n, m, 3, padding=1))
        if batch_norm:
            layers.append(nn.BatchNorm2d(m))
        layers.append(nn.ReLU())
        n = m
    return _drawn(nn.Sequential(*layers, nn.Flatten(), nn.Linear(n, classes)))


def resnet20(classes: int = 10) -> nn.Sequential:
    """ResNet-20 for CIFAR-10 (He et al. 2016, section 4.2), shortcuts of option A.

    Takes images (n, 3, height, width) of any size, gives (n, classes) logits. 269,722 parameters
    with ten classes. Batch normalisation in training mode mixes the batch.

    Raises
    ------
    InputError : classes below 1.
    """
    _at_least_one(classes=classes)
    layers: list[nn.Module] = [_conv3x3(3, 16), nn.BatchNorm2d(16), nn.ReLU()]
    n = 16
    for m in (16, 32, 64):
        for _ in range(3):
            layers.append(_Residual(n, m))
            n = m
    return _drawn(
        nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, classes))
    )


class _Residual(nn.Module):
    """Two convolutions beside the identity; from n to m > n channels the image is halved."""

    def __init__(self, n: int, m: int) -> None:
        super().__init__()
        self.stride, self.new = (1, 0) if n == m else (2, m - n)
        self.body = nn.Sequential(
            *(_conv3x3(n, m, self.stride), nn.BatchNorm2d(m), nn.ReLU()),
            *(_conv3x3(m, m), nn.BatchNorm2d(m)),
        )

    def forward(self, x: Tensor) -> Tensor:
        short = x
        if self.new:  # option A: every second pixel, the new channels zero
            short = x[:, :, :: self.stride, :: self.stride]
            short = functional.pad(short, (0, 0, 0, 0, self.new // 2, self.new - self.new // 2))
        return functional.relu(self.body(x) + short)


def _conv3x3(n: int, m: int, stride: int = 1) -> nn.Conv2d:
    return nn.Conv2d(n, m, 3, stride, padding=1, bias=False)


def _drawn(network: nn.Sequential) -> nn.Sequential:
    """Convolutions as He et al. (2015) draw them for ReLU, their biases at 0."""
    for layer in network.modules():
        if isinstance(layer, nn.Conv2d):
            nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)
    return network


def _activation(name: str) -> type[nn.Module]:
    if name not in ACTIVATIONS:
        raise InputError(f"activation: expected one of {', '.join(ACTIVATIONS)}, got {name!r}")
    return ACTIVATIONS[name]


def _at_least_one(**numbers: int) -> None:
    for name, value in numbers.items():
        if value < 1:
            raise InputError(f"{name}: expected a whole number of at least 1, got {value}")
