"""Who takes part in a row: our call, the peers that were asked for and can be had, the floor."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.util import find_spec
from typing import Final

from cases import Problem
from contender import Contender

# Family, as it is asked for on the command line; the module that it needs.
PEERS: Final = {
    "autograd": "torch",
    "func": "torch",
    "compile": "torch",
    "jax": "jax",
    "jet": "jax",
    "tf": "tensorflow",
}
FAMILIES: Final = {
    "autograd": "torch.autograd",
    "func": "torch.func",
    "compile": "torch.func compiled",
    "jax": "jax",
    "jet": "jax jet",
    "tf": "tensorflow",
}


def missing(peers: tuple[str, ...]) -> list[str]:
    """Peers whose library is not installed."""
    return [peer for peer in peers if find_spec(PEERS[peer]) is None]


def contenders(p: Problem, family: str) -> Iterator[Contender]:
    """All variants of a family ("ours", "floor" or one of PEERS) for a problem."""
    match family:
        case "ours":
            from ours import ours

            yield ours(p)
        case "floor":
            from floor import floors

            yield from floors(p)
        case "autograd" | "func" | "compile":
            import peers_torch

            if family == "autograd":
                yield from peers_torch.autograd(p)
            else:
                yield from peers_torch.func(p, compiled=family == "compile")
        case "jax" | "jet":
            import peers_jax

            yield from (peers_jax.variants if family == "jax" else peers_jax.jets)(p)
        case "tf":
            import peers_tensorflow

            yield from peers_tensorflow.variants(p)
