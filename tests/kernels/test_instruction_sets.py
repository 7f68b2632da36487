"""The narrower branches of the native lanes, which a machine with wide vectors would never run."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

_CODE = """
import sys
import warp as wp

wp.config.kernel_cache_dir = sys.argv[1]
wp.config.cpu_compiler_flags = f"{wp.config.cpu_compiler_flags} {sys.argv[2]}".strip()

import torch
from hodsim.derivatives import contract, hessian, jacobian
from hodsim.derivatives.chain import chain_of

torch.manual_seed(0)
for activation in (torch.nn.ELU, torch.nn.SiLU, torch.nn.Softplus):
    f = torch.nn.Sequential(
        torch.nn.Linear(5, 33), activation(), torch.nn.Linear(33, 19), activation(),
        torch.nn.Linear(19, 7),
    )
    for dtype, tolerance in ((torch.float64, 1e-12), (torch.float32, 2e-5)):
        f = f.to(dtype)
        x, a, b = torch.randn(3, 6, 5, dtype=dtype)
        calls = (lambda: jacobian(f, x), lambda: hessian(f, x), lambda: contract(f, x, [a, a, b]))
        for call in calls:
            wanted = call().detach()  # with gradients: through torch
            with torch.no_grad():
                assert chain_of(f) is not None
                got = call()
            assert float((got - wanted).abs().max()) <= tolerance * float(wanted.abs().max())
print("agreed")
"""


@pytest.mark.parametrize("flags", ["-U__AVX512F__", "-U__AVX512F__ -U__AVX__"])
def test_narrow_vectors_give_the_same(flags: str, tmp_path: Path) -> None:
    command = [sys.executable, "-c", _CODE, str(tmp_path), flags]
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    assert run.stdout.strip().endswith("agreed"), run.stderr[-2000:]
