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
from hodsim.networks.onnx_file import rounding_units, save_onnx

__all__ = [
    "ACTIVATIONS",
    "Decoder",
    "Encoder",
    "Features",
    "HoDNet",
    "Shape",
    "load_network",
    "rounding_units",
    "save_network",
    "save_onnx",
    "since_rest",
]
