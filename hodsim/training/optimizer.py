"""What moves the weights: Muon for the wide matrices and Adam for the rest, or Adam alone."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import torch
from torch import Tensor

OPTIMIZERS: Final = ("muon", "adam")


class Optimizer:
    """One optimiser of a list of parameters, `rate` being the peak of both methods' rates.

    "muon" turns each matrix's momentum into the nearest matrix with orthonormal rows or columns
    (Jordan et al. 2024, "Muon"; its Newton-Schulz products are in bfloat16), so that all directions
    that a layer may learn in are learnt at one pace, where Adam leaves the faint ones to the end.
    It takes matrices of both sizes above `narrow`; biases, and the layers next to the latent
    coordinates, are Adam's. "adam" leaves all to Adam (Kingma and Ba 2015).
    """

    def __init__(self, method: str, params: Sequence[Tensor], rate: float, narrow: int) -> None:
        self.params, self.rate = params, rate
        wide = [q for q in params if method == "muon" and q.ndim == 2 and min(q.shape) > narrow]
        ids = set(map(id, wide))
        rest = [q for q in params if id(q) not in ids]
        self._methods: list[torch.optim.Optimizer] = [torch.optim.Adam(rest, lr=rate)]
        if wide:
            self._methods.append(torch.optim.Muon(wide, lr=rate, weight_decay=0.0))

    def step(self, pace: float) -> None:
        """One step along the gradients, at so much of the rate; no gradient is left."""
        for method in self._methods:
            for group in method.param_groups:
                group["lr"] = self.rate * pace
            method.step()
            method.zero_grad()

    def state(self) -> dict[int, dict[str, Tensor]]:
        """What the methods remember of each parameter, by its place in the list."""
        return {
            k: method.state[q]
            for k, q in enumerate(self.params)
            for method in self._methods
            if q in method.state
        }

    def restore(self, state: dict[int, dict[str, Tensor]]) -> None:
        """Go on from a `state`."""
        place = {id(q): k for k, q in enumerate(self.params)}
        for method in self._methods:
            own = [place[id(q)] for q in method.param_groups[0]["params"]]
            told = {i: state[k] for i, k in enumerate(own) if k in state}
            method.load_state_dict({**method.state_dict(), "state": told})
