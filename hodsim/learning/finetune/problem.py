"""What is finetuned: a network with its images, what is minimised, and what counts as wrong."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Final

import torch
from torch import Tensor, nn
from torch.nn import functional

from hodsim.errors import InputError
from hodsim.learning.images import Images, batches, digest_of
from hodsim.learning.networks import autoencoder, lenet5, resnet20, vgg11
from hodsim.optimizers import Batch

NETWORKS: Final = ("autoencoder", "lenet5", "vgg11", "resnet20")
_HIDDEN: Final = (1000, 500, 250, 30)  # of the autoencoder (Hinton and Salakhutdinov 2006)
_SCALE: Final = 1e-2  # of a mean over pixels, most of which are always black
# A gradient keeps about 2.3 MB an image of ResNet-20, and up to 1.6 MB of VGG-11.
_MOST: Final = {"resnet20": 1024, "vgg11": 2048}

Loss = Callable[[Tensor, Tensor], Tensor]


@dataclass(frozen=True, eq=False)
class Problem:
    """A network to be trained on images; the mean of `loss` over the training part is minimised.

    Attributes
    ----------
    name : of the network, with what tells it from others of its kind.
    images : the data.
    make : draws the network, of layers that hodsim.derivatives knows, from torch's generator.
    loss : of outputs (n, ...) and targets, a mean over n; convex in the outputs.
    target : targets out of images and classes.
    wrong : the share of what is wrong, of outputs and targets, a number in 0..1 for each of n.
    error : what `wrong` says, for axes and tables.
    scale : how curved the loss is, about, as a multiple of a cross entropy: settings that have a
        scale are swept around it.
    most : images that one evaluation may take, for memory's sake.
    digest : of the data.
    """

    name: str
    images: Images
    make: Callable[[], nn.Module]
    loss: Loss
    target: Loss
    wrong: Loss
    error: str
    scale: float = 1.0
    most: int = 10_000
    digest: str = field(init=False)

    def __post_init__(self) -> None:
        images = self.images
        told = digest_of(images.train_x, images.train_y, images.test_x, images.test_y)
        object.__setattr__(self, "digest", told)

    def drawn(self, seed: int) -> nn.Module:
        """The network with weights that `seed` decides, in training mode."""
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            return self.make().train()

    def batch(self, network: nn.Module, x: Tensor, y: Tensor) -> Batch:
        """The mean loss of a network on images (n, channels, height, width) of classes (n,)."""
        return Batch(network, self.loss, x, self.target(x, y))

    def epoch(self, network: nn.Module, size: int, seed: int, epoch: int) -> Iterator[Batch]:
        """Batches of the training part, each image once, in an order of `seed` and `epoch`."""
        images = self.images
        for x, y in batches(images.train_x, images.train_y, size, seed, epoch):
            yield self.batch(network, x, y)


def problem_of(network: str, images: Images, width: float = 1.0) -> Problem:
    """One of the paper's networks on a set of images.

    The autoencoder minimises the mean squared error of its pixels, a sigmoid after its logits; the
    others the cross entropy of classes.

    width : of hidden layers (autoencoder) or channels (vgg11), as a multiple of the published one.

    Raises
    ------
    InputError : an unknown network, one that does not take images of this size, a width it has not.
    """
    if network not in NETWORKS:
        raise InputError(f"network: expected one of {', '.join(NETWORKS)}, got {network!r}")
    if not 0.0 < width < float("inf"):
        raise InputError(f"width: expected a number above 0, got {width}")
    if width != 1.0 and network not in ("autoencoder", "vgg11"):
        raise InputError(f"width: expected 1 for {network}, which has one width, got {width:g}")
    channels, height, across = images.train_x.shape[1:]
    told = network if width == 1.0 else f"{network}-{width:g}"
    if network == "autoencoder":
        hidden = [max(1, round(width * n)) for n in _HIDDEN]
        sizes = (channels * height * across, *hidden)
        return Problem(
            told,
            images,
            # The sigmoid is the network's, not the loss's: the squared error is convex in pixels.
            lambda: nn.Sequential(autoencoder(sizes), nn.Sigmoid()),
            functional.mse_loss,
            lambda x, _: x.flatten(1),
            _pixels_wrong,
            "pixels on the wrong side of 1/2",
            scale=_SCALE,
        )
    made = _classifier(network, channels, (height, across), width)
    made()  # refuses what it cannot take
    return Problem(
        told,
        images,
        made,
        functional.cross_entropy,
        lambda _, y: y,
        _classes_wrong,
        "error rate",
        most=_MOST.get(network, 10_000),
    )


def _classifier(
    network: str, channels: int, size: tuple[int, int], width: float
) -> Callable[[], nn.Module]:
    if network == "lenet5":
        if size[0] != size[1]:
            raise InputError(f"lenet5: expected square images, got {size[0]} x {size[1]} pixels")
        return lambda: lenet5(channels=channels, size=size[0])
    if channels != 3 or (network == "vgg11" and size != (32, 32)):
        wanted = "3 x 32 x 32 pixels" if network == "vgg11" else "3 channels"
        got = " x ".join(map(str, (channels, *size)))
        raise InputError(
            f"{network}: expected images of {wanted}, got {got}; take cifar10 or svhn, or another "
            "network"
        )
    return resnet20 if network == "resnet20" else lambda: vgg11(width)


def _classes_wrong(outputs: Tensor, y: Tensor) -> Tensor:
    return (outputs.argmax(1) != y).float()


def _pixels_wrong(outputs: Tensor, x: Tensor) -> Tensor:
    return ((outputs > 0.5) != (x > 0.5)).float().mean(1)
