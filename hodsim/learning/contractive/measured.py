"""What is measured of a trained encoder: for the choice of weights, and for Fig. 6 and Table 1."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from hodsim.errors import InputError
from hodsim.learning.contractive.classify import Classified, Classifier, classify
from hodsim.learning.contractive.ratio import RADII, Ratio, contractive_ratio
from hodsim.learning.contractive.runs import Job, Trained, reconstruction
from hodsim.learning.images import Parts, spread


@dataclass(frozen=True)
class Measures:
    """How encoders are measured.

    Attributes
    ----------
    classifier : of Table 1.
    radii : of Fig. 6, as parts of the RMS distance of two test images.
    images, directions : test images, and directions around each; the same for every encoder.
    """

    classifier: Classifier = field(default_factory=Classifier)
    radii: tuple[float, ...] = RADII
    images: int = 500
    directions: int = 16

    def __post_init__(self) -> None:
        if self.images < 2 or self.directions < 1:
            raise InputError(
                "ratio: expected at least two images and one direction, got "
                f"{self.images} and {self.directions}"
            )


@dataclass(frozen=True)
class Tried:
    """A setting that was tried, judged by the validation part alone."""

    alpha: float
    beta: float
    validation_loss: float | None
    validation_error: float | None
    diverged: str = ""

    @property
    def score(self) -> float:
        """What the lowest of is chosen; infinite where it diverged."""
        found = self.validation_loss
        return math.inf if self.diverged or found is None else found


@dataclass(frozen=True)
class Measured:
    """A training with what was measured of it.

    Attributes
    ----------
    job : what was trained.
    history : `Trained.history`.
    reconstruction : mean squared error of a pixel on the test part.
    ratio : Fig. 6.
    frozen, finetuned : Table 1, the encoder left as it is or trained on.
    seconds : CPU time of the training.
    diverged : "", or why it ended early; the rest, measured of the last good weights, is then no
        result.
    """

    job: Mapping[str, Any]
    history: tuple[Mapping[str, Any], ...]
    reconstruction: float | None
    ratio: Ratio | None
    frozen: Classified | None
    finetuned: Classified | None
    seconds: float
    diverged: str = ""

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    @staticmethod
    def from_dict(told: Mapping[str, Any]) -> Measured:
        ratio, frozen, finetuned = (told[k] for k in ("ratio", "frozen", "finetuned"))
        return Measured(
            job=dict(told["job"]),
            history=tuple(told["history"]),
            reconstruction=told["reconstruction"],
            ratio=None if ratio is None else Ratio(**{k: _tuple(v) for k, v in ratio.items()}),
            frozen=None if frozen is None else Classified(**frozen),
            finetuned=None if finetuned is None else Classified(**finetuned),
            seconds=float(told["seconds"]),
            diverged=str(told["diverged"]),
        )


def tried(job: Job, done: Trained, parts: Parts, how: Classifier, finetuned: bool) -> Tried:
    """Judge a setting by a classifier's validation loss.

    The classifier is Table 1's, trained on the training part: a setting is judged by what it will
    be used for. Not the validation error, of which a thousand images tell tens apart at best, but
    the cross entropy that belongs to it. A ratio would not do, nor a ratio at equal reconstruction:
    the strongest penalty has the lowest, whatever it loses.
    """
    if done.diverged:
        return Tried(job.alpha, job.beta, None, None, done.diverged)
    found = classify(done.network.encoder, parts, how, job.seed, finetuned)
    if found.diverged:
        return Tried(job.alpha, job.beta, None, None, f"the classifier: {found.diverged}")
    return Tried(job.alpha, job.beta, found.validation_loss, found.validation_error)


def measured(job: Job, done: Trained, parts: Parts, how: Measures) -> Measured:
    """Fig. 6 and Table 1 of one encoder; nothing but the reason of one that diverged."""
    history = tuple(done.history)
    if done.diverged:
        return Measured(job.to_dict(), history, None, None, None, None, done.seconds, done.diverged)
    encoder, test = done.network.encoder, parts.images.test_x
    some = spread(test, how.images)
    heads = [classify(encoder, parts, how.classifier, job.seed, tuned) for tuned in (False, True)]
    why = next((f"the classifier: {head.diverged}" for head in heads if head.diverged), "")
    return Measured(
        job=job.to_dict(),
        history=history,
        reconstruction=reconstruction(done.network, test),
        ratio=contractive_ratio(encoder, some, how.radii, how.directions),
        frozen=None if why else heads[0],
        finetuned=None if why else heads[1],
        seconds=done.seconds,
        diverged=why,
    )


def _tuple(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value
