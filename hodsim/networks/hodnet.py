"""HoD-Net: an encoder and a decoder of plain layers, displacements in, displacements out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise
from typing import Any, Final

import torch
from torch import Tensor, nn

from hodsim.errors import InputError

ACTIVATIONS: Final[dict[str, type[nn.Module]]] = {
    "silu": nn.SiLU,
    "elu": nn.ELU,
    "tanh": nn.Tanh,
    "softplus": nn.Softplus,
}


@dataclass(frozen=True)
class Shape:
    """The sizes that make a HoD-Net.

    `n_dofs` displacements and `rank` latent coordinates; the hidden widths of `encoder` and
    `decoder`; and `projected`, the width of the linear layers next to the displacements, all that
    the nonlinear layers between see of a pose and give back. Raises `InputError` for sizes below 1,
    a rank above `projected`, or an unknown activation.
    """

    n_dofs: int
    rank: int = 6
    decoder: tuple[int, ...] = (160, 160)
    encoder: tuple[int, ...] = (256, 256)
    projected: int = 40
    activation: str = "silu"

    def __post_init__(self) -> None:
        object.__setattr__(self, "decoder", tuple(self.decoder))
        object.__setattr__(self, "encoder", tuple(self.encoder))
        sizes = (self.n_dofs, self.rank, self.projected, *self.decoder, *self.encoder)
        if any(not isinstance(n, int) or n < 1 for n in sizes) or not self.decoder:
            raise InputError(f"network: expected whole sizes of at least 1, given {asdict(self)}")
        if self.rank > self.projected:
            raise InputError(
                f"network: expected a rank of at most projected = {self.projected}, given "
                f"{self.rank}; choose a smaller rank"
            )
        if self.activation not in ACTIVATIONS:
            raise InputError(
                f"activation: expected one of {', '.join(ACTIVATIONS)}; given {self.activation!r}"
            )


class Decoder(nn.Module):
    """u = f(q) = B z(q), z(q) = W [h(q) - h(0), q]: hidden layers h, a linear skip, two linears.

    Subtracting h(0) makes f(0) = 0, exactly (`since_rest`), so that an unloaded body stays put.
    """

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.hidden = _hidden(shape.rank, shape.decoder, shape.activation)
        self.mix = nn.Linear(shape.decoder[-1] + shape.rank, shape.projected, bias=False)
        self.out = nn.Linear(shape.projected, shape.n_dofs, bias=False)
        self.rank = shape.rank

    def features(self, q: Tensor) -> Tensor:
        """z(q), shape (..., projected)."""
        moved = since_rest(q, self.hidden(q), self.rest())
        z: Tensor = self.mix(torch.cat([moved, q], dim=-1))
        return z

    def rest(self) -> Tensor:
        """h(0), the hidden layers' answer to rest."""
        h: Tensor = self.hidden(torch.zeros_like(self.mix.weight[0, : self.rank]))
        return h

    def forward(self, q: Tensor) -> Tensor:
        out: Tensor = self.out(self.features(q))
        return out


class Encoder(nn.Module):
    """q = L p + e(p) - e(0) with p = P u: a linear projection, a linear skip and hidden layers."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.project = nn.Linear(shape.n_dofs, shape.projected, bias=False)
        self.skip = nn.Linear(shape.projected, shape.rank, bias=False)
        self.hidden = _hidden(shape.projected, shape.encoder, shape.activation)
        last = shape.encoder[-1] if shape.encoder else shape.projected
        self.head = nn.Linear(last, shape.rank, bias=False)

    def latent(self, p: Tensor) -> Tensor:
        """q (..., r) of projected displacements p (..., projected)."""
        rest = self.hidden(torch.zeros_like(self.skip.weight[0]))
        q: Tensor = self.skip(p) + self.head(since_rest(p, self.hidden(p), rest))
        return q

    def forward(self, u: Tensor) -> Tensor:
        return self.latent(self.project(u))


class HoDNet(nn.Module):
    """Encoder and decoder; both map rest to rest exactly. u in metres, shape (..., n_dofs)."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.shape = shape
        self.encoder = Encoder(shape)
        self.decoder = Decoder(shape)

    def forward(self, u: Tensor) -> Tensor:
        out: Tensor = self.decoder(self.encoder(u))
        return out


def since_rest(x: Tensor, h: Tensor, rest: Tensor) -> Tensor:
    """h - rest, and 0 where x (..., n) is 0, whatever rounding says: a batch's matrix product adds
    up in another order than the single vector's that gave `rest`. Derivatives are those of h - rest
    everywhere."""
    moved = h - rest
    return moved - moved.detach().masked_fill(x.any(-1, keepdim=True), 0.0)


def _hidden(n: int, widths: Sequence[int], activation: str) -> nn.Sequential:
    layers: list[nn.Module] = []
    for a, b in pairwise((n, *widths)):
        layers += [nn.Linear(a, b), ACTIVATIONS[activation]()]
    return nn.Sequential(*layers)


class Features(nn.Module):
    """The decoder up to its last linear layer, q -> z(q), for derivatives at its narrow width."""

    def __init__(self, decoder: Decoder) -> None:
        super().__init__()
        self.hidden, self.mix = decoder.hidden, decoder.mix
        self.rest: Tensor
        self.register_buffer("rest", decoder.rest().detach())

    def forward(self, q: Tensor) -> Tensor:
        moved = since_rest(q, self.hidden(q), self.rest)
        z: Tensor = self.mix(torch.cat([moved, q], dim=-1))
        return z


def shape_to_dict(shape: Shape) -> dict[str, Any]:
    """The shape, ready for JSON."""
    return {k: list(v) if isinstance(v, tuple) else v for k, v in asdict(shape).items()}
