"""Networks and layers to differentiate: three classics, and normalisation written as primitives.

torch's own normalisation layers are no truth at high order (their nested derivatives are silently
wrong), nor is its CELU (its factor 1/alpha is a float32): here they are plain sums and products.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

F64 = torch.float64
Make = Callable[..., nn.Module]


# ---------------------------------------------------------------- random numbers, and agreement


def normal(*shape: int, seed: int = 1) -> Tensor:
    """Normally distributed numbers."""
    return torch.randn(*shape, dtype=F64, generator=torch.Generator().manual_seed(seed))


def spaced(*shape: int, seed: int = 1, limit: float = 1.9) -> Tensor:
    """Numbers in random order, evenly spaced in [-limit, limit]: no two alike, and none near 0."""
    count = torch.Size(shape).numel()
    numbers = torch.linspace(-limit, limit, count + count % 2, dtype=F64)[:count]
    order = torch.randperm(count, generator=torch.Generator().manual_seed(seed))
    return numbers[order].reshape(shape)


def agree(got: Tensor, wanted: Tensor, rtol: float = 1e-10) -> None:
    """Equal shapes, and entries equal to `rtol` of the largest, which must not be zero."""
    got, wanted = got.detach(), wanted.detach()
    assert got.shape == wanted.shape
    scale = float(wanted.abs().max())
    assert scale > 1e-8
    assert float((got - wanted).abs().max()) <= rtol * scale


def randomise(module: nn.Module, seed: int = 0, scale: float = 1.0) -> nn.Module:
    """Normally distributed parameters and running statistics in place of torch's initial ones."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for tensor in (*module.parameters(), *module.buffers()):
            if tensor.is_floating_point():
                tensor.copy_(scale * torch.randn(tensor.shape, generator=generator))
        for name, buffer in module.named_buffers():
            if name.endswith("running_var"):
                buffer.abs_().add_(0.5)
    return module.to(F64)


# ---------------------------------------------------------------- layers as primitives


def normalised(x: Tensor, axes: Sequence[int], eps: float) -> Tensor:
    """(x - mean) / sqrt(variance + eps)."""
    centred = x - x.mean(axes, keepdim=True)
    return centred / torch.sqrt((centred * centred).mean(axes, keepdim=True) + eps)


class PlainNorm(nn.Module):
    """What a torch normalisation layer computes, of sums and products alone; the same weights."""

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, x: Tensor) -> Tensor:
        layer = self.layer
        channels = [1, -1, *(1,) * (x.dim() - 2)]
        if isinstance(layer, nn.LayerNorm):
            shape = tuple(layer.normalized_shape)
            y = normalised(x, list(range(x.dim() - len(shape), x.dim())), layer.eps)
        elif isinstance(layer, nn.GroupNorm):
            shape = tuple(channels)
            grouped = x.reshape(x.shape[0], layer.num_groups, -1)
            y = normalised(grouped, [2], layer.eps).reshape(x.shape)
        else:
            shape = tuple(channels)
            own_statistics = layer.training or layer.running_mean is None
            axes = [0, *range(2, x.dim())]
            if isinstance(layer, nn.InstanceNorm1d | nn.InstanceNorm2d):
                axes = axes[1:]
            if own_statistics:
                y = normalised(x, axes, layer.eps)
            else:
                mean, variance = (
                    b.reshape(channels) for b in (layer.running_mean, layer.running_var)
                )
                y = (x - mean) / torch.sqrt(variance + layer.eps)
        weight, bias = layer.weight, layer.bias
        if weight is None:
            return y
        return y * weight.reshape(shape) + bias.reshape(shape)


class PlainBatchNorm(nn.Module):
    """Batch normalisation in training mode, of sums and products alone."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))

    def forward(self, x: Tensor) -> Tensor:
        shape = [1, -1, *(1,) * (x.dim() - 2)]
        y = normalised(x, [0, *range(2, x.dim())], 1e-5)
        return y * self.weight.reshape(shape) + self.bias.reshape(shape)


class PlainCELU(nn.Module):
    """CELU by its formula."""

    def __init__(self, alpha: float) -> None:
        super().__init__()
        self.alpha = alpha

    def forward(self, x: Tensor) -> Tensor:
        below = self.alpha * (torch.exp(x.clamp(max=0.0) / self.alpha) - 1.0)
        return torch.where(x > 0, x, below)


class Sine(nn.Module):
    """sin x, which torch has no module for."""

    def forward(self, x: Tensor) -> Tensor:
        return torch.sin(x)


# ---------------------------------------------------------------- networks


class LeNet5(nn.Module):
    """LeCun et al. 1998 for 28 x 28 pictures; `norm(channels)` after each convolution."""

    def __init__(self, activation: Make = nn.ReLU, norm: Make = nn.Identity) -> None:
        super().__init__()
        self.features = nn.Sequential(
            *(nn.Conv2d(1, 6, 5, padding=2), norm(6), activation(), nn.MaxPool2d(2)),
            *(nn.Conv2d(6, 16, 5), norm(16), activation(), nn.MaxPool2d(2)),
        )
        self.head = nn.Sequential(
            *(nn.Flatten(), nn.Linear(400, 120), activation()),
            *(nn.Linear(120, 84), activation(), nn.Linear(84, 10)),
        )

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.features(x))


class VGG11(nn.Module):
    """Simonyan and Zisserman 2015, configuration A, for 32 x 32 pictures."""

    def __init__(
        self, activation: Make = nn.ReLU, norm: Make = nn.BatchNorm2d, width: float = 1.0
    ) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        channels = 3
        for stage in ([64], [128], [256, 256], [512, 512], [512, 512]):
            for full in stage:
                out = int(full * width)
                layers += [nn.Conv2d(channels, out, 3, padding=1), norm(out), activation()]
                channels = out
            layers.append(nn.MaxPool2d(2))
        self.features = nn.Sequential(*layers)
        self.classes = nn.Linear(channels, 10)

    def forward(self, x: Tensor) -> Tensor:
        return self.classes(torch.flatten(self.features(x), 1))


class Residual(nn.Module):
    """Two convolutions and a shortcut, added in place as torchvision does."""

    def __init__(self, inside: int, out: int, stride: int, activation: Make, norm: Make) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inside, out, 3, stride, 1, bias=False)
        self.norm1 = norm(out)
        self.conv2 = nn.Conv2d(out, out, 3, 1, 1, bias=False)
        self.norm2 = norm(out)
        self.activation = activation()
        self.shortcut = nn.Sequential()
        if stride != 1 or inside != out:
            self.shortcut = nn.Sequential(nn.Conv2d(inside, out, 1, stride, bias=False), norm(out))

    def forward(self, x: Tensor) -> Tensor:
        out = self.activation(self.norm1(self.conv1(x)))
        out = self.norm2(self.conv2(out))
        out += self.shortcut(x)
        return self.activation(out)


class ResNet20(nn.Module):
    """He et al. 2016 for 32 x 32 pictures: three stages of three blocks."""

    def __init__(self, activation: Make = nn.ReLU, norm: Make = nn.BatchNorm2d) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 16, 3, 1, 1, bias=False), norm(16), activation())
        blocks: list[nn.Module] = []
        channels = 16
        for stage, out in enumerate((16, 32, 64)):
            for number in range(3):
                stride = 2 if stage and not number else 1
                blocks.append(Residual(channels, out, stride, activation, norm))
                channels = out
        self.blocks = nn.Sequential(*blocks)
        self.classes = nn.Linear(channels, 10)

    def forward(self, x: Tensor) -> Tensor:
        out = self.blocks(self.stem(x))
        out = functional.avg_pool2d(out, out.size(3))
        return self.classes(out.view(out.size(0), -1))


def kink_distance(network: nn.Module, x: Tensor) -> float:
    """How far x is from where a ReLU or the choice of a maximum switches, in the layers' inputs."""
    found = [float("inf")]

    def relu(module: nn.Module, args: tuple[Tensor, ...]) -> None:
        found.append(float(args[0].abs().min()))

    def maximum(module: nn.MaxPool2d, args: tuple[Tensor, ...]) -> None:
        windows = functional.unfold(args[0].flatten(0, 1).unsqueeze(1), 2, stride=2)
        first, second = windows.topk(2, dim=1).values.unbind(1)
        # Equal zeros come from a ReLU that is off: every choice has the same derivative.
        found.append(float((first - second)[first != 0].min()))

    handles = []
    for module in network.modules():
        if isinstance(module, nn.ReLU):
            handles.append(module.register_forward_pre_hook(relu))
        elif isinstance(module, nn.MaxPool2d):
            handles.append(module.register_forward_pre_hook(maximum))
    with torch.no_grad():
        network(x)
    for handle in handles:
        handle.remove()
    return min(found)
