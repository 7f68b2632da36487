"""Which motions are kept from training."""

from __future__ import annotations

from collections.abc import Sequence

# Every so many trajectories of a scene, one is kept from the fit to measure it.
_HELD_OUT = 12


def held_out_of(trajectories: Sequence[str]) -> list[str]:
    """Those of the trajectories ("bend-0011") that are kept from every fit, to measure it."""
    index = {name: name.rsplit("-", 1)[-1] for name in trajectories}
    return [n for n, k in index.items() if k.isdecimal() and int(k) % _HELD_OUT == _HELD_OUT - 1]
