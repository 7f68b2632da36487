"""The autoencoders that are compared: what each adds to the reconstruction's error."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

import torch
from torch import Tensor, nn

from hodsim.derivatives import UnknownRuleError, derivative_norms2, jacobian_norm2
from hodsim.errors import InputError
from hodsim.learning.contractive.penalties import stochastic_norms2


@dataclass(frozen=True)
class Noise:
    """Of the rival's estimate: deviation of the noise on a pixel, and draws for each image."""

    deviation: float = 0.1
    draws: int = 1

    def __post_init__(self) -> None:
        if not 0.0 < self.deviation < float("inf"):
            raise InputError(f"noise: expected a number above 0, got {self.deviation}")
        if self.draws < 1:
            raise InputError(f"draws: expected a whole number of at least 1, got {self.draws}")


# First and second penalty of an encoder on a batch, their means; None where there is none.
Penalties = tuple[Tensor | None, Tensor | None]
Penalise = Callable[[nn.Module, Tensor, Noise, torch.Generator], Penalties]


@dataclass(frozen=True)
class Method:
    """A method by name.

    Attributes
    ----------
    name, title : for commands, and for tables.
    order : of derivatives penalised: 0, 1 (a weight alpha) or 2 (alpha and beta).
    penalise : the penalties.
    """

    name: str
    title: str
    order: int
    penalise: Penalise


def _none(f: nn.Module, x: Tensor, noise: Noise, generator: torch.Generator) -> Penalties:
    del f, x, noise, generator
    return None, None


def _first(f: nn.Module, x: Tensor, noise: Noise, generator: torch.Generator) -> Penalties:
    del noise, generator
    return jacobian_norm2(f, x).mean(), None


def _both(f: nn.Module, x: Tensor, noise: Noise, generator: torch.Generator) -> Penalties:
    del noise, generator
    first, second = derivative_norms2(f, x)
    return first.mean(), second.mean()


def _stochastic(f: nn.Module, x: Tensor, noise: Noise, generator: torch.Generator) -> Penalties:
    first, second = stochastic_norms2(f, x, noise.deviation, noise.draws, generator)
    return first.mean(), second.mean()


METHODS: Final[Mapping[str, Method]] = MappingProxyType(
    {
        m.name: m
        for m in (
            Method("vanilla", "vanilla AE", 0, _none),
            Method("cae", "Jacobian CAE", 1, _first),
            Method("hod", "HoD CAE", 2, _both),
            Method("stochastic", "CAE+H, noise", 2, _stochastic),
        )
    }
)


def methods_of(names: list[str]) -> list[Method]:
    """Methods by name, each once.

    Raises
    ------
    InputError : none, or a name that is unknown or there twice.
    """
    for name in names or [""]:
        if name not in METHODS or names.count(name) > 1:
            raise InputError(
                f"methods: expected some of {', '.join(METHODS)}, each once, got {name!r}"
            )
    return [METHODS[name] for name in names]


def check_encoder(method: Method, encoder: nn.Module, x: Tensor) -> None:
    """Refuse, before anything is trained, an encoder that a method's penalties cannot pass.

    Raises
    ------
    InputError : a layer that hodsim.derivatives has no rule for, by name.
    """
    try:
        method.penalise(encoder, x, Noise(), torch.Generator())
    except UnknownRuleError as error:
        raise InputError(f"encoder: {' '.join(str(error).split())}") from error
