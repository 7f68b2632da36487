"""Starting Warp, and the few types that every kernel shares."""

from __future__ import annotations

import logging
import os
import tempfile
from functools import cache
from typing import Any

import numpy as np
import warp as wp

# Warp's CPU compiler emits no fused multiply-add unless asked: worth a third of a step's time.
_FLAG = "-ffp-contract=fast"
if _FLAG not in wp.config.cpu_compiler_flags:
    wp.config.cpu_compiler_flags = f"{wp.config.cpu_compiler_flags} {_FLAG}".strip()
wp.config.log_level = logging.ERROR


def _start() -> None:
    """`wp.init()` without its native line on machines that simply have no GPU."""
    err = os.dup(2)
    try:
        with tempfile.TemporaryFile() as said:
            os.dup2(said.fileno(), 2)
            try:
                wp.init()
            finally:
                os.dup2(err, 2)
            said.seek(0)
            lines = said.read().splitlines(keepends=True)
        os.write(2, b"".join(x for x in lines if b"load the NVIDIA CUDA driver" not in x))
    finally:
        os.close(err)


_start()


@cache
def vector_type(real: Any) -> Any:
    """The 3-vector of scalar type `real` (wp.float32 or wp.float64)."""
    return wp.types.vector(length=3, dtype=real)


@cache
def matrix_type(real: Any) -> Any:
    """The 3 x 3 matrix of scalar type `real` (wp.float32 or wp.float64)."""
    return wp.types.matrix(shape=(3, 3), dtype=real)


def share(array: np.ndarray, dtype: Any) -> wp.array:
    """A Warp view of a C-contiguous numpy array: both see the same memory, nothing is copied."""
    if not array.flags.c_contiguous:
        raise ValueError("share needs a C-contiguous array: pass np.ascontiguousarray(array)")
    return wp.array(array, dtype=dtype, device="cpu", copy=False)
