"""Running a walk's commands on all points of a batch, tile after tile.

A call costs a few microseconds of Python, and nothing of the network outlives it.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Hashable
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor

from hodsim.derivatives.chain import Chain, Signature
from hodsim.derivatives.schemes.walk import LEFT, SCRATCH, ByTorch, Walk, Words
from hodsim.kernels.lanes import launch

TILE = 1024

Writer = Callable[..., None]  # writer(walk, *arguments) writes the commands for walk.points points


@lru_cache(maxsize=128)
def _written(
    writer: Writer, shape: Signature, n: int, size: int, points: int, arguments: Hashable
) -> Walk:
    walk = Walk(shape, n, size, points)
    writer(walk, *arguments)  # type: ignore[misc]
    walk.pause()
    return walk


def walk_through(
    writer: Writer,
    chain: Chain,
    inputs: Tensor,
    out: Tensor,
    left: Tensor | None,
    tile: int,
    arguments: tuple[Hashable, ...],
) -> None:
    """Run what a writer writes on all points, ``tile`` at a time.

    inputs : (batch, rows, n), the real lane first. out : (batch, ...). left : (m,) or (batch, m).
    arguments : hashable, passed to the writer after the walk.
    """
    size, n, batch = out.element_size(), inputs.shape[-1], len(inputs)
    tile = max(1, min(tile, batch))
    bases = np.array([0, inputs.data_ptr(), out.data_ptr(), 0, *chain.addresses], dtype=np.int64)
    steps = [0, inputs.stride(0) * size, out.stride(0) * size, 0]
    if left is not None:
        bases[LEFT] = left.data_ptr()
        steps[LEFT] = left.stride(0) * size if left.dim() == 2 else 0
    spare = _spare.memory
    _spare.memory = None  # a user's activation may come back here while we are using it
    scratch: np.ndarray | None = None
    for start in range(0, batch, tile):
        walk = _written(writer, chain.shape, n, size, min(tile, batch - start), arguments)
        if scratch is None:
            scratch = spare
            if scratch is None or scratch.nbytes < walk.used + 64:
                scratch = np.empty(walk.used + 64, dtype=np.uint8)
            bases[SCRATCH] = aligned(scratch)
        for step in walk.steps:
            if isinstance(step, Words):
                words = step.words.copy()
                words[step.where] += bases[step.slot]
                launch(words, size)
            else:
                _by_torch(step, chain, scratch, out.dtype)
        if start + tile < batch:
            bases[:4] += np.array(steps) * tile
    if scratch is not None and scratch.nbytes <= KEPT:
        _spare.memory = scratch


class _Spare(threading.local):
    """Scratch memory of a thread's last call: fresh pages cost more than what is done in them."""

    memory: np.ndarray | None = None


_spare = _Spare()
KEPT = 1 << 25  # bytes of it at most


def aligned(memory: np.ndarray) -> int:
    """The first address in it on a cache line."""
    address = int(memory.__array_interface__["data"][0])
    return address + -address % 64


def empty(*shape: int, dtype: torch.dtype) -> Tensor:
    """Memory for a result. Large arrays of numpy lie on large pages, which torch's do not."""
    real = np.float64 if dtype is torch.float64 else np.float32
    return torch.from_numpy(np.empty(shape, dtype=real))


def _by_torch(step: ByTorch, chain: Chain, scratch: np.ndarray, dtype: torch.dtype) -> None:
    module, sigma = chain.activations[step.act]
    start = aligned(scratch) - int(scratch.__array_interface__["data"][0])
    usable = (scratch.nbytes - start) // 64 * 64
    memory = torch.from_numpy(scratch[start : start + usable]).view(dtype)
    size = (step.points, step.width)
    z = memory.as_strided(size, (step.z[1], 1), memory.storage_offset() + step.z[0])
    for k, values in enumerate(sigma(module, z, step.order)):
        at = memory.storage_offset() + step.t[0] + k * step.ld
        memory.as_strided(size, (step.t[1], 1), at).copy_(values)
