"""Table 1: a classifier on a trained encoder, which stays as it is or is finetuned with it.

"We take the trained encoder as a head of an MLP" leaves open which: both are here. The MLP is given
features less their mean, over their RMS: so it begins alike whatever scale a penalty left them at.
"""

from __future__ import annotations

import copy
import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from hodsim.errors import InputError
from hodsim.learning.contractive.runs import features
from hodsim.learning.images import Parts, batches


@dataclass(frozen=True)
class Classifier:
    """How a classifier is trained: hidden width of the MLP, and Adam's epochs, batch and rate,
    which falls to 0 along a cosine."""

    hidden: int = 200
    epochs: int = 20
    batch: int = 64
    rate: float = 1e-3

    def __post_init__(self) -> None:
        if min(self.hidden, self.epochs, self.batch) < 1 or not 0.0 < self.rate < math.inf:
            raise InputError(
                "classifier: expected hidden, epochs and batch of at least 1 and a rate above 0, "
                f"got {self.hidden}, {self.epochs}, {self.batch} and {self.rate}"
            )


@dataclass(frozen=True)
class Classified:
    """Shares of wrong classes, and the validation part's mean cross entropy.

    `diverged` says why where the numbers are not finite; the errors are then of no use.
    """

    validation_loss: float
    validation_error: float
    test_error: float
    diverged: str = ""


def classify(
    encoder: nn.Module, parts: Parts, how: Classifier, seed: int, finetuned: bool
) -> Classified:
    """Train an MLP of one hidden layer on an encoder by cross entropy; the encoder is copied.

    finetuned : train the encoder on; otherwise it stays as it is.
    """
    images = parts.images
    mean, scale = _standard(features(encoder, images.train_x))
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        top = nn.Sequential(
            *(nn.Linear(len(mean), how.hidden), nn.ELU(), nn.Linear(how.hidden, 10))
        )
    base = copy.deepcopy(encoder).requires_grad_(finetuned)
    given: dict[str, Tensor] = {
        "train": images.train_x,
        "validation": parts.validation_x,
        "test": images.test_x,
    }
    if not finetuned:  # features never change: found once
        given = {name: features(base, x) for name, x in given.items()}
        base = nn.Identity()
    network = nn.Sequential(base, _Standard(mean, scale), top)
    _train(network, given["train"], images.train_y, how, seed)
    z = features(network, given["validation"])
    loss = float(functional.cross_entropy(z, parts.validation_y))
    why = "" if math.isfinite(loss) else f"the validation loss is {loss}"
    return Classified(
        loss,
        _wrong(z, parts.validation_y),
        _wrong(features(network, given["test"]), images.test_y),
        why,
    )


class _Standard(nn.Module):
    """Features less a mean, over one scale."""

    def __init__(self, mean: Tensor, scale: Tensor) -> None:
        super().__init__()
        self.mean, self.scale = mean, scale

    def forward(self, z: Tensor) -> Tensor:
        return (z - self.mean) / self.scale


def _standard(z: Tensor) -> tuple[Tensor, Tensor]:
    mean = z.mean(0)
    scale = (z - mean).square().mean().sqrt()
    return mean, torch.where(scale > 0.0, scale, torch.ones_like(scale))


def _train(network: nn.Module, x: Tensor, y: Tensor, how: Classifier, seed: int) -> None:
    adam = torch.optim.Adam((p for p in network.parameters() if p.requires_grad), how.rate)
    per_epoch = -(-len(x) // how.batch)
    for epoch in range(how.epochs):
        for k, (some, wanted) in enumerate(batches(x, y, how.batch, seed, epoch)):
            share = (epoch * per_epoch + k) / (how.epochs * per_epoch)
            for group in adam.param_groups:
                group["lr"] = 0.5 * how.rate * (1.0 + math.cos(math.pi * share))
            adam.zero_grad()
            functional.cross_entropy(network(some), wanted).backward()
            adam.step()


def _wrong(z: Tensor, y: Tensor) -> float:
    return float((z.argmax(1) != y).double().mean())
