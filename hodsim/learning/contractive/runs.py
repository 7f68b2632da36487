"""One training: an autoencoder with one method's penalties, kept after every epoch."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from hodsim.errors import InputError
from hodsim.learning.contractive.methods import METHODS, Noise, check_encoder
from hodsim.learning.contractive.networks import Autoencoder, Shape, drawn
from hodsim.learning.images import Parts, batches
from hodsim.training.checkpoint import load_checkpoint, save_checkpoint

# Steps done, and of how many.
Progress = Callable[[int, int], None]
_AT_ONCE = 500  # images in a pass without gradients


@dataclass(frozen=True)
class Job:
    """What is trained.

    Attributes
    ----------
    method : by name.
    alpha, beta : weights of the first and second penalty; 0 where the method has none.
    seed : of first weights, order of images and noise.
    epochs, batch, rate : of Adam, whose rate falls to 0 along a cosine.
    noise : of the stochastic penalty.
    """

    method: str
    alpha: float = 0.0
    beta: float = 0.0
    seed: int = 0
    epochs: int = 10
    batch: int = 16
    rate: float = 1e-3
    shape: Shape = field(default_factory=Shape)
    noise: Noise = field(default_factory=Noise)

    def __post_init__(self) -> None:
        if self.method not in METHODS:
            raise InputError(f"methods: expected some of {', '.join(METHODS)}, got {self.method!r}")
        for name, least in (("seed", 0), ("epochs", 1), ("batch", 1)):
            if getattr(self, name) < least:
                raise InputError(
                    f"{name}: expected a whole number of at least {least}, got "
                    f"{getattr(self, name)}"
                )
        for name in ("alpha", "beta"):
            if not 0.0 <= getattr(self, name) < math.inf:
                raise InputError(f"{name}: expected 0 or more, got {getattr(self, name)}")
        if not 0.0 < self.rate < math.inf:
            raise InputError(f"rate: expected a number above 0, got {self.rate}")

    def to_dict(self) -> dict[str, Any]:
        """All that decides the training but the images: what the method lacks is left out."""
        told = asdict(self)
        told["shape"]["hidden"] = list(self.shape.hidden)  # as a file gives it back
        order = METHODS[self.method].order
        for name in ("alpha", "beta")[order:]:
            told[name] = 0.0
        if self.method != "stochastic":
            told["noise"] = None
        return told

    @staticmethod
    def from_dict(told: Mapping[str, Any]) -> Job:
        """The job of such a table."""
        noise = Noise() if told["noise"] is None else Noise(**told["noise"])
        return Job(**{**told, "shape": Shape(**told["shape"]), "noise": noise})


@dataclass(frozen=True, eq=False)
class Trained:
    """A network trained, or as far as it came.

    Attributes
    ----------
    network : without gradients.
    history : for each epoch its means of "mse", "jacobian" and "second" (the penalties unweighted,
        None where the method has none), and "seconds" of CPU time.
    diverged : "", or at which step the loss was what; the weights are then the last good ones.
    """

    network: Autoencoder
    history: tuple[dict[str, Any], ...]
    diverged: str = ""

    @property
    def seconds(self) -> float:
        return float(sum(row["seconds"] for row in self.history))


def train(
    job: Job, parts: Parts, checkpoint: Path | None = None, progress: Progress | None = None
) -> Trained:
    """Train by Adam, each epoch over all training images in an order of its own.

    checkpoint : where state is kept after each epoch; a training that was stopped goes on there,
        and comes out the same to the last bit.

    Raises
    ------
    InputError : a layer that hodsim.derivatives has no rule for, by name.
    """
    x = parts.images.train_x.flatten(1)  # rows take the fastest way through hodsim.derivatives
    network = drawn(job.shape, parts.pixels, job.seed)
    check_encoder(METHODS[job.method], network.encoder, x[:1])
    state = _State(job, network, len(x), progress)
    key = _key(job, parts)
    if checkpoint is not None:
        state.read(checkpoint, key)
    while len(state.history) < job.epochs and not state.diverged:
        state.epoch(x, parts.images.train_y)
        if checkpoint is not None:
            state.write(checkpoint, key)
    return Trained(network.requires_grad_(False), tuple(state.history), state.diverged)


def trained(job: Job, parts: Parts, checkpoint: Path | None) -> Autoencoder | None:
    """The network of a training that is kept, as far as it came; None where there is none."""
    network = drawn(job.shape, parts.pixels, job.seed).requires_grad_(False)
    if checkpoint is None or load_checkpoint(checkpoint, _key(job, parts), network) is None:
        return None
    return network


def _key(job: Job, parts: Parts) -> dict[str, Any]:
    return {"job": job.to_dict(), "data": parts.digest, "torch": torch.__version__}


class _State:
    """A network, Adam, and the epochs done."""

    def __init__(
        self, job: Job, network: Autoencoder, images: int, progress: Progress | None
    ) -> None:
        self.job, self.network, self.progress = job, network, progress
        self.adam = torch.optim.Adam(network.parameters(), job.rate)
        self.per_epoch = -(-images // job.batch)
        self.history: list[dict[str, Any]] = []

    @property
    def diverged(self) -> str:
        return str(self.history[-1].get("diverged", "")) if self.history else ""

    def epoch(self, x: Tensor, y: Tensor) -> None:
        job, number = self.job, len(self.history)
        began = time.thread_time()
        sums: dict[str, list[float]] = {"mse": [], "jacobian": [], "second": []}
        why = ""
        held = self._weights()
        for k, (some, _) in enumerate(batches(x, y, job.batch, job.seed, number)):
            step = number * self.per_epoch + k
            terms = self._terms(some, step)
            loss = self._loss(terms)
            value = float(loss.detach())
            if not math.isfinite(value):
                why = f"the loss is {value} at step {step + 1}, in epoch {number + 1}"
                break
            for name, term in terms.items():
                sums[name] += [] if term is None else [float(term.detach())]
            held = self._weights()
            self._step(loss, step)
            if self.progress is not None:
                self.progress(step + 1, job.epochs * self.per_epoch)
        if not why:
            # An epoch ends at weights that are good, or not at all: the next begins with them.
            with torch.no_grad():
                value = float(self._loss(self._terms(some, step)))
            if not math.isfinite(value):
                why = f"the loss is {value} after epoch {number + 1}"
        if why:
            self._restore(held)
        row: dict[str, Any] = {
            name: sum(found) / len(found) if found else None for name, found in sums.items()
        }
        row |= {"epoch": number + 1, "seconds": time.thread_time() - began}
        self.history.append(row | ({"diverged": why} if why else {}))

    def _terms(self, x: Tensor, step: int) -> dict[str, Tensor | None]:
        """The parts of the loss; noise is of the seed and the step alone."""
        job, network = self.job, self.network
        seed = int(np.random.default_rng([job.seed, step]).integers(2**62))
        generator = torch.Generator().manual_seed(seed)
        first, second = METHODS[job.method].penalise(network.encoder, x, job.noise, generator)
        return {
            "mse": functional.mse_loss(network(x), x),
            "jacobian": first,
            "second": second,
        }

    def _loss(self, terms: dict[str, Tensor | None]) -> Tensor:
        loss = terms["mse"]
        assert loss is not None
        for weight, name in ((self.job.alpha, "jacobian"), (self.job.beta, "second")):
            term = terms[name]
            loss = loss if term is None else loss + weight * term
        return loss

    def _step(self, loss: Tensor, step: int) -> None:
        share = step / (self.job.epochs * self.per_epoch)
        for group in self.adam.param_groups:
            group["lr"] = 0.5 * self.job.rate * (1.0 + math.cos(math.pi * share))
        self.adam.zero_grad()
        loss.backward()
        self.adam.step()

    def _weights(self) -> list[Tensor]:
        return [p.detach().clone() for p in self.network.parameters()]

    def _restore(self, held: list[Tensor]) -> None:
        with torch.no_grad():
            for p, saved in zip(self.network.parameters(), held, strict=True):
                p.copy_(saved)

    def read(self, path: Path, key: dict[str, Any]) -> None:
        found = load_checkpoint(path, key, self.network)
        if found is not None:
            _, _, self.history, moments = found
            self.adam.load_state_dict({**self.adam.state_dict(), "state": moments})

    def write(self, path: Path, key: dict[str, Any]) -> None:
        moments = self.adam.state_dict()["state"]
        save_checkpoint(path, key, self.network, 0, len(self.history), self.history, moments)


def reconstruction(network: Autoencoder, x: Tensor) -> float:
    """Mean squared error of pixels over all images."""
    with torch.no_grad():
        squares = [(network(some) - some.flatten(1)).square().sum() for some in x.split(_AT_ONCE)]
    return float(sum(float(s) for s in squares)) / x.numel()


def features(encoder: torch.nn.Module, x: Tensor) -> Tensor:
    """Features of all images, (n, m)."""
    with torch.no_grad():
        return torch.cat([encoder(some) for some in x.split(_AT_ONCE)])
