"""What `hodsim cubature` does where the exact elastic forces of a subspace are asked for."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hodsim.cli import output

if TYPE_CHECKING:
    from hodsim.fem import Body
    from hodsim.subspaces import Model


def compute_polynomials(
    folder: Path, body: Body, model: Model, wanted: Sequence[tuple[str, int]]
) -> dict[str, Any]:
    """Compute and store the polynomials of subspaces (kind, rank), and say how large they are.

    Raises `InputError` as `elastic_polynomial` does, for a material other than stvk.
    """
    from hodsim.cubature import elastic_polynomial, save_polynomial

    console, found = output.console(), {}
    for kind, rank in wanted:
        began = time.perf_counter()
        with output.progress() as report:

            def told(done: int, total: int, name: str = f"{kind}-{rank} polynomial") -> None:
                report(name, done, total)

            polynomial = elastic_polynomial(body, model.subspace(kind, rank), told)
        place = save_polynomial(folder, polynomial)
        parts = (polynomial.quadratic, polynomial.cubic, polynomial.quartic)
        facts = {
            "features": polynomial.width,
            "coefficients": sum(len(part) for part in parts),
            "seconds": round(time.perf_counter() - began, 3),
            "file": str(place),
        }
        found[polynomial.name] = facts
        console.print(
            f"{polynomial.name}: {facts['coefficients']} coefficients of {polynomial.width} "
            f"features, in {facts['seconds']:.2f} s; wrote {place}",
            soft_wrap=True,
        )
    return found
