"""The direct rivals of HoD-Net, as entries of its own structure that training does not move."""

from __future__ import annotations

from typing import Final

import torch
from torch import Tensor

from hodsim.networks import HoDNet

DESIGNS: Final = ("hod", "autoencoder", "hybrid")

# A parameter, and 1 where training may move it, 0 where not.
Mask = tuple[Tensor, Tensor]


def constrain(network: HoDNet, design: str, linear: int) -> list[Mask]:
    """Give a network that starts at principal directions the fixed entries of a design.

    A gradient multiplied by its mask leaves those entries alone to the last bit: Adam moves
    nothing whose gradient was always 0.

    - "hod": none.
    - "autoencoder" (Fulton et al. 2019, an autoencoder over PCA coordinates): no linear skip in
      encoder or decoder.
    - "hybrid" (Shen et al. 2021, PCA and a network): the latent coordinates are [p, s]. p are the
      first `linear` PCA coordinates, to the encoder and to the decoder, whose hidden layers see s
      alone and give displacements along the remaining directions alone.
    """
    encoder, decoder = network.encoder, network.decoder
    skip, head, mix = encoder.skip.weight, encoder.head.weight, decoder.mix.weight
    r, k = network.shape.rank, linear
    if design == "hod":
        return []
    free_skip, free_head, free_mix = (torch.ones_like(weight) for weight in (skip, head, mix))
    masks: list[Mask] = [(skip, free_skip), (head, free_head), (mix, free_mix)]
    with torch.no_grad():
        if design == "autoencoder":
            skip.zero_()
            mix[:, -r:] = 0.0
            free_skip.zero_()
            free_mix[:, -r:] = 0.0
            return masks
        first = next(p for p in decoder.hidden.parameters())
        first[:, :k] = 0.0
        head[:k] = 0.0
        mix[:k] = 0.0
        mix[:, -r : k - r] = 0.0
        mix[:k, -r : k - r] = torch.eye(k)
        skip[:k] = torch.eye(k, skip.shape[1])
        free_first = torch.ones_like(first)
        free_first[:, :k] = 0.0
        free_head[:k] = 0.0
        free_mix[:k] = 0.0
        free_mix[:, -r : k - r] = 0.0
        free_skip[:k] = 0.0
        return [*masks, (first, free_first)]
