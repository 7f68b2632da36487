"""A material law over many tets at once, entry by entry in rows: (9, tets) for each quantity.

The law itself is the one of `hodsim.materials`, as Warp compiles it: the native loops below call
those functions, and the CPU's compiler makes vectors of tets of them.
"""

# No `from __future__ import annotations` here: Warp reads a kernel's annotations as objects.
# mypy: disable-error-code="index,valid-type"
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import warp as wp

from hodsim.kernels.block import native
from hodsim.kernels.runtime import matrix_type


@dataclass(frozen=True)
class LawLoops:
    """The loops of one law; all arrays are rows of `tets` entries, offsets in entries.

    `stresses(tets, S, at_F, at_X, at_P, C, at_a, at_b, at_w)`: 1 is added to F (which holds the
    displacement's gradient); X, what stress and tangent share; P, the stress times w.
    `tangents(r, tets, S, at_F, at_X, D, at_dF, S, at_dP, C, at_a, at_b, at_w)`: dP, the stress's
    derivative along each of r directions dF, times w.
    `declare(C)` must be called before them in a kernel: it makes Warp emit the law's functions
    ahead of the loops.
    """

    stresses: Any
    tangents: Any
    declare: Any


def law_loops(real: Any, strided: bool, shared: Any, stress: Any, tangent: Any) -> LawLoops:
    """The loops over a law's three Warp functions (see `hodsim.materials.Law`)."""
    mat = matrix_type(real)
    array = wp.array(dtype=real)
    # Warp's own matrix type; REAL is double or float, of which wp::float64 and float32 are names.
    text = "typedef wp::mat_t<3, 3, REAL> matrix;\n" + _text("law")

    @wp.func
    def law_shared(F: mat, a: real, b: real):
        return shared(F, a, b)

    @wp.func
    def law_stress(F: mat, X: mat, a: real, b: real):
        return stress(F, X, a, b)

    @wp.func
    def law_tangent(F: mat, X: mat, dF: mat, a: real, b: real):
        return tangent(F, X, dF, a, b)

    # Warp numbers its functions' C names by order of creation; these must be known to the loops.
    law_shared.native_func = "hodsim_law_shared"
    law_stress.native_func = "hodsim_law_stress"
    law_tangent.native_func = "hodsim_law_tangent"

    @wp.func
    def declare(C: array):
        I = mat()
        X = law_shared(I, C[0], C[0])
        return law_tangent(I, X, law_stress(I, X, C[0], C[0]), C[0], C[0])

    @wp.func_native(native(real, strided, text + _text("stresses")))
    def stresses(
        tets: int,
        S: array,
        at_F: int,
        at_X: int,
        at_P: int,
        C: array,
        at_a: int,
        at_b: int,
        at_w: int,
    ): ...

    @wp.func_native(native(real, strided, text + _text("tangents")))
    def tangents(
        r: int,
        tets: int,
        S: array,
        at_F: int,
        at_X: int,
        at_dP: int,
        D: array,
        at_dF: int,
        C: array,
        at_a: int,
        at_b: int,
        at_w: int,
    ): ...

    return LawLoops(stresses, tangents, declare)


def _text(name: str) -> str:
    return Path(__file__).with_name(f"{name}.h").read_text(encoding="utf-8")
