"""Processes that fit one network together: torchrun starts them, each takes a share of a batch."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta

import torch
import torch.distributed as dist
from torch import Tensor, nn

from hodsim.errors import InputError

# Others wait while the first makes snapshots and fits what is left to it.
_PATIENCE = timedelta(days=2)


@dataclass(frozen=True)
class Team:
    """A process among those that fit together; alone unless told otherwise.

    All hold the same weights and draw the same batches. Each gives the gradient of its share, and
    the sum of the shares is the gradient that one process alone would have, to rounding.

    Attributes
    ----------
    rank, size
        Which of how many.
    device
        Where this one computes: "cpu", "cuda:1".
    """

    rank: int = 0
    size: int = 1
    device: str = "cpu"

    @property
    def leads(self) -> bool:
        """Whether this is the one that writes and reports."""
        return self.rank == 0

    def share(self, rows: Tensor) -> Tensor:
        """The rows of a batch that are for this one."""
        return rows[self.rank :: self.size].to(self.device)

    def add_gradients(self, parameters: Sequence[nn.Parameter]) -> None:
        """Put the sum over all processes in place of each gradient."""
        if self.size == 1:
            return
        grads = [p.grad for p in parameters if p.grad is not None]
        flat = torch.cat([g.reshape(-1) for g in grads])
        dist.all_reduce(flat)
        for g, part in zip(grads, flat.split([g.numel() for g in grads]), strict=True):
            g.copy_(part.view_as(g))

    def add(self, number: float) -> float:
        """The sum of a number over all processes."""
        if self.size == 1:
            return number
        total = torch.tensor(number, dtype=torch.float64, device=self.device)
        dist.all_reduce(total)
        return float(total)

    def wait(self) -> None:
        """Return once all have come here."""
        if self.size > 1:
            dist.barrier()


def leads() -> bool:
    """Whether this process is alone, or the first of those that torchrun started."""
    return os.environ.get("RANK", "0") == "0"


@contextmanager
def joined(device: str = "cpu") -> Iterator[Team]:
    """The team that torchrun's environment tells of; a team of one without.

    Raises `InputError` for a device that is not "cpu" or "cuda", or a GPU that is not there.
    """
    if device not in ("cpu", "cuda"):
        raise InputError(f"device: expected cpu or cuda, given {device!r}; choose one")
    local = int(os.environ.get("LOCAL_RANK", "0"))
    if device == "cuda" and local >= torch.cuda.device_count():
        raise InputError(
            f"device: expected at least {local + 1} GPU, found {torch.cuda.device_count()}; use "
            "--device cpu, or start fewer processes"
        )
    place = f"cuda:{local}" if device == "cuda" else device
    size = int(os.environ.get("WORLD_SIZE", "1"))
    if size == 1:
        yield Team(device=place)
        return
    if device == "cuda":
        # Before the first barrier, for which all would else take the first GPU.
        torch.cuda.set_device(local)
    dist.init_process_group("nccl" if device == "cuda" else "gloo", timeout=_PATIENCE)
    try:
        yield Team(dist.get_rank(), size, place)
    finally:
        dist.destroy_process_group()
