"""How a network is fitted."""

from __future__ import annotations

from dataclasses import dataclass

from hodsim.errors import InputError
from hodsim.training.designs import DESIGNS


@dataclass(frozen=True)
class FitOptions:
    """How a network is fitted.

    Attributes
    ----------
    rank, decoder, encoder, projected, activation
        The network's `Shape`; `projected` is less where the poses span no more.
    init
        "pca" (outer layers and skips start at principal directions) or "random".
    epochs, whole_epochs
        Epochs of stage inner (0 with random initial weights) and of stage whole.
    batch, rate, whole_rate
        Poses a batch, and Adam's peak rates of the two stages.
    evenness
        0: every pose's squared error counts the same; 1: every trajectory's relative one.
    seed
        Of initial weights and of the order of poses.
    design, linear
        "hod", or one of its rivals in the same structure, "autoencoder" and "hybrid" (see
        `designs.constrain`), which start at principal directions, keep them, and have no stage
        whole; `linear` is how many coordinates of a hybrid are principal components, half of them
        unless given.
    """

    rank: int = 6
    decoder: tuple[int, ...] = (160, 160)
    encoder: tuple[int, ...] = (256, 256)
    projected: int = 40
    activation: str = "silu"
    init: str = "pca"
    epochs: int = 450
    whole_epochs: int = 3
    batch: int = 512
    rate: float = 3e-3
    whole_rate: float = 1e-4
    evenness: float = 0.9
    seed: int = 2
    design: str = "hod"
    linear: int | None = None

    def __post_init__(self) -> None:
        # A card's lists are tuples here.
        object.__setattr__(self, "decoder", tuple(self.decoder))
        object.__setattr__(self, "encoder", tuple(self.encoder))
        if self.init not in ("pca", "random"):
            raise InputError(f"init: expected pca or random, given {self.init!r}; choose one")
        if min(self.epochs, self.whole_epochs) < 0 or self.batch < 1:
            raise InputError("epochs and batch: expected counts of at least 0 and 1")
        if self.design not in DESIGNS or (self.design != "hod" and self.init != "pca"):
            raise InputError(
                f"design: expected one of {', '.join(DESIGNS)}, the last two from init pca; given "
                f"{self.design!r} from {self.init}"
            )
        if self.design == "hybrid" and self.linear is None:
            object.__setattr__(self, "linear", self.rank // 2)
        fits = self.linear is not None and 0 < self.linear < self.rank
        if not (fits if self.design == "hybrid" else self.linear is None):
            raise InputError(
                "linear: expected, for a hybrid alone, at least 1 coordinate and fewer than its "
                f"rank, given {self.linear} of {self.rank} for {self.design}"
            )
