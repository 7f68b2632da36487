"""The compiled step builds for CUDA without a GPU, within what its multiprocessors have."""

from __future__ import annotations

import re
import subprocess
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import warp as wp

from hodsim.dynamics.compiled.step import step_kernel

ARCHITECTURES = (80, 90)  # A100, H100
# Without the libraries that a step does not call.
OPTIONS = {"enable_mathdx_gemm": False, "enable_mathdx_solver": False, "block_dim": 128}
# A little above what was measured: a spill or a lost branch of the compiler's shows. Two blocks of
# 128 threads fit a multiprocessor up to 255 registers; the stack is local memory.
CASES = [
    ("network", "neo-hookean", wp.float64, {"REG": 216, "STACK": 448, "SHARED": 2048}),
    ("network", "neo-hookean", wp.float32, {"REG": 216, "STACK": 448, "SHARED": 2048}),
    ("quadratic", "stvk", wp.float64, {"REG": 224, "STACK": 448, "SHARED": 2048}),
    ("linear", "corotational", wp.float32, {"REG": 240, "STACK": 512, "SHARED": 2048}),
    ("network", "polynomial", wp.float64, {"REG": 176, "STACK": 448, "SHARED": 2048}),
]


def _cuobjdump() -> Path | None:
    spec = find_spec("nvidia")
    places = spec.submodule_search_locations if spec and spec.submodule_search_locations else []
    return next((x for place in places for x in Path(place).glob("**/bin/cuobjdump")), None)


@pytest.mark.parametrize(("form", "law", "real", "ceilings"), CASES)
def test_builds_within_its_ceilings(
    form: str,
    law: str,
    real: Any,
    ceilings: dict[str, int],
    tmp_path: Path,
) -> None:
    module = step_kernel(form, law, real, True).module
    before = dict(module.options)
    module.options.update(OPTIONS)
    try:
        built = wp.compile_aot_module(
            module, arch=ARCHITECTURES, use_ptx=False, module_dir=tmp_path
        )
    finally:
        module.options.update(before)
    assert [
        f".sm{arch}.cubin" in str(path) for arch, path in zip(ARCHITECTURES, built, strict=True)
    ]
    reader = _cuobjdump()
    if reader is None:
        pytest.skip("built; its resources need nvidia-cuda-cuobjdump")
    for path in built:
        told = subprocess.run(
            [reader, "--dump-resource-usage", path], capture_output=True, text=True, check=True
        ).stdout
        for name, most in ceilings.items():
            used = [int(x) for x in re.findall(rf"{name}:(\d+)", told)]
            assert used, told
            assert max(used) <= most, f"{path.name}: {name} {max(used)} > {most}"
