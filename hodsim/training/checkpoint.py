"""A fit's state on disk: one safetensors file, written in one move."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
from torch import Tensor, nn

from hodsim.files import atomic


def save_checkpoint(
    path: Path,
    key: dict[str, Any],
    network: nn.Module,
    stage: int,
    epoch: int,
    history: list[dict[str, Any]],
    moments: dict[int, dict[str, Tensor]],
) -> None:
    """Store weights, Adam's moments and the place in the fit that `key` names."""
    tensors = {f"weight.{k}": v.detach().contiguous() for k, v in network.state_dict().items()}
    for i, state in moments.items():
        tensors |= {f"adam.{i}.{k}": v.detach().contiguous() for k, v in state.items()}
    told = {"key": key, "stage": stage, "epoch": epoch, "history": history}
    with atomic(path) as temporary:
        safetensors.torch.save_file(tensors, temporary, {"hodsim": json.dumps(told)})


def load_checkpoint(
    path: Path, key: dict[str, Any], network: nn.Module
) -> tuple[int, int, list[dict[str, Any]], dict[int, dict[str, Tensor]]] | None:
    """Put the weights back into `network`; stage, epoch, history and moments of the stored fit.

    None, and the network untouched, where there is no file or it is of another fit.
    """
    if not path.is_file():
        return None
    try:
        with safetensors.safe_open(path, "pt") as file:
            told = json.loads(file.metadata()["hodsim"])
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (OSError, KeyError, TypeError, ValueError, safetensors.SafetensorError):
        return None
    if told["key"] != json.loads(json.dumps(key)):
        return None
    network.load_state_dict(
        {k.removeprefix("weight."): v for k, v in tensors.items() if k.startswith("weight.")}
    )
    moments: dict[int, dict[str, Tensor]] = {}
    for name, value in tensors.items():
        if name.startswith("adam."):
            _, i, what = name.split(".")
            moments.setdefault(int(i), {})[what] = value
    return told["stage"], told["epoch"], told["history"], moments
