"""A fit's state on disk: one safetensors file, written in one move."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
import torch
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
    told = json.dumps({"key": key, "stage": stage, "epoch": epoch, "history": history})
    about = {"hodsim": told, "digest": _digest(told, tensors)}
    with atomic(path) as temporary:
        safetensors.torch.save_file(tensors, temporary, about)


def load_checkpoint(
    path: Path, key: dict[str, Any], network: nn.Module
) -> tuple[int, int, list[dict[str, Any]], dict[int, dict[str, Tensor]]] | None:
    """Put the weights back into `network`; stage, epoch, history and moments of the stored fit.

    None, and the network untouched, where there is no file, it is of another fit, or it is not
    what `save_checkpoint` wrote: damaged weights would be trained on unseen.
    """
    if not path.is_file():
        return None
    try:
        with safetensors.safe_open(path, "pt") as file:
            about = file.metadata()
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        if about["digest"] != _digest(about["hodsim"], tensors):
            return None
        told = json.loads(about["hodsim"])
        place = told["stage"], told["epoch"], told["history"]
        moments = _moments(tensors)
        if told["key"] != json.loads(json.dumps(key)):
            return None
    # RecursionError: JSON nested without end.
    except (
        OSError,
        KeyError,
        TypeError,
        ValueError,
        RecursionError,
        safetensors.SafetensorError,
    ):
        return None
    weights = {k.removeprefix("weight."): v for k, v in tensors.items() if k.startswith("weight.")}
    own = {k: v.shape for k, v in network.state_dict().items()}
    if {k: v.shape for k, v in weights.items()} != own:
        return None
    network.load_state_dict(weights)
    return *place, moments


def _moments(tensors: dict[str, Tensor]) -> dict[int, dict[str, Tensor]]:
    found: dict[int, dict[str, Tensor]] = {}
    for name, value in tensors.items():
        if name.startswith("adam."):
            _, i, what = name.split(".")
            found.setdefault(int(i), {})[what] = value
    return found


def _digest(told: str, tensors: dict[str, Tensor]) -> str:
    whole = hashlib.sha256(told.encode())
    for name, tensor in sorted(tensors.items()):
        whole.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        whole.update(tensor.cpu().reshape(-1).view(torch.uint8).numpy().data)
    return whole.hexdigest()
