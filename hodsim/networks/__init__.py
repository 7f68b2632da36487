"""Plain torch modules of the encoder-decoder, and their files."""

from __future__ import annotations

from hodsim.networks.checkpoint import load_network, save_network
from hodsim.networks.hodnet import (
    ACTIVATIONS,
    Decoder,
    Encoder,
    Features,
    HoDNet,
    Shape,
    since_rest,
)

__all__ = [
    "ACTIVATIONS",
    "Decoder",
    "Encoder",
    "Features",
    "HoDNet",
    "Shape",
    "load_network",
    "save_network",
    "since_rest",
]
