"""Networks on disk: a folder with weights (safetensors) and what they belong to (JSON)."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
import torch

from hodsim.errors import InputError
from hodsim.files import atomic
from hodsim.networks.hodnet import HoDNet, Shape, shape_to_dict

WEIGHTS = "weights.safetensors"
CARD = "model.json"
_FORMAT = 1


def save_network(folder: str | Path, network: HoDNet, card: dict[str, Any]) -> None:
    """Write weights, then the card; each file in one move, the card naming the weights' digest.

    A run stopped between the two leaves a card that does not fit its weights, which
    `load_network` refuses.
    """
    folder = Path(folder)
    weights = {k: v.detach().contiguous() for k, v in network.state_dict().items()}
    with atomic(folder / WEIGHTS) as path:
        safetensors.torch.save_file(weights, path)
    digest = _digest(folder / WEIGHTS)
    told = {**card, "format": _FORMAT, "shape": shape_to_dict(network.shape), "weights": digest}
    with atomic(folder / CARD) as path:
        path.write_text(json.dumps(told, indent=2, sort_keys=True) + "\n")


def load_network(folder: str | Path) -> tuple[HoDNet, dict[str, Any]]:
    """The network (float64, evaluation mode, no gradients) and its card.

    Raises
    ------
    InputError
        The folder is not a model's, or its files do not fit together.
    """
    folder = Path(folder)
    for name in (CARD, WEIGHTS):
        if not (folder / name).is_file():
            raise InputError(
                f"{folder}: expected a model's folder with {CARD} and {WEIGHTS}, found no {name}; "
                "train one with `hodsim train`"
            )
    try:
        card = json.loads((folder / CARD).read_text())
        missing = [k for k in ("format", "shape", "weights") if k not in card]
        if not isinstance(card, dict) or missing:
            raise ValueError(f"{CARD}: expected an object with format, shape and weights")
        if card["format"] != _FORMAT:
            raise ValueError(f"{CARD}: expected format {_FORMAT}, given {card['format']!r}")
        if card["weights"] != _digest(folder / WEIGHTS):
            raise ValueError(f"{WEIGHTS}: expected the weights that {CARD} names, given others")
        network = HoDNet(Shape(**card["shape"])).double()
        weights = safetensors.torch.load_file(folder / WEIGHTS)
        network.load_state_dict({k: v.double() for k, v in weights.items()})
    except (
        OSError,
        KeyError,
        TypeError,
        ValueError,
        RuntimeError,
        safetensors.SafetensorError,
    ) as error:
        told = " ".join(str(error).split())[:200]
        raise InputError(f"{folder}: cannot read this model ({told}); train it again") from error
    if not all(torch.isfinite(p).all() for p in network.parameters()):
        raise InputError(f"{folder}: expected finite weights, found NaN or inf; train it again")
    return network.eval().requires_grad_(False), card


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
