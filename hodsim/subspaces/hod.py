"""The network subspace: u = B z(q), z the decoder up to its last layer (paper, Application III)."""

from __future__ import annotations

import numpy as np
import torch

from hodsim.derivatives import LanePlan, push
from hodsim.networks import Features, HoDNet, since_rest
from hodsim.subspaces.subspace import FeatureLanes, Subspace


class HoD(Subspace):
    """A trained HoD-Net. Derivatives of z come from Cauchy-Riemann lanes in float64.

    `kind` names networks of the same structure that were trained otherwise ("autoencoder").
    """

    form = "network"
    kind = "hod"

    def __init__(self, network: HoDNet, kind: str = "hod") -> None:
        self.kind = kind
        network = network.double().eval().requires_grad_(False)
        self.network = network
        self.basis = np.ascontiguousarray(network.decoder.out.weight.numpy())
        self._features = Features(network.decoder).requires_grad_(False)
        r = network.shape.rank
        self._r = r
        first = [(i,) for i in range(r)]
        second = [(i, j) for i in range(r) for j in range(i, r)]
        self._i, self._j = np.triu_indices(r)
        # Direction r is v. Where H is there, D^2 z[v, v] is a contraction of it and needs no lane.
        self._plans = {
            (1, False): LanePlan.closure(first, r),
            (1, True): LanePlan.closure([*first, (r, r)], r + 1),
            (2, False): LanePlan.closure(second, r),
            (3, True): LanePlan.closure([*second, *((i, r, r) for i in range(r))], r + 1),
        }
        self._rows = {
            key: {
                "J": [plan.row(s) for s in first],
                "H": [plan.row(s) for s in second] if key[0] > 1 else None,
                "vv": plan.row((r, r)) if key[1] else None,
                "vve": [plan.row((i, r, r)) for i in range(r)] if key[0] > 2 else None,
            }
            for key, plan in self._plans.items()
        }
        self._eye = torch.eye(r, dtype=torch.float64)

    @property
    def rank(self) -> int:
        return self._r

    def features(self, q: np.ndarray) -> np.ndarray:
        with torch.inference_mode():
            return np.asarray(self._features(torch.from_numpy(np.asarray(q, dtype=float))).numpy())

    def lanes(self, q: np.ndarray, v: np.ndarray | None = None, order: int = 1) -> FeatureLanes:
        with_v = v is not None and order != 2
        key = (order, with_v)
        plan, rows = self._plans[key], self._rows[key]
        with torch.inference_mode():
            directions = self._eye
            if with_v:
                directions = torch.cat([self._eye, torch.from_numpy(v)[None]])
            y = self._feature_lanes(torch.from_numpy(q), directions, plan)
        H = None
        if rows["H"] is not None:
            H = np.empty((self._r, self._r, y.shape[1]))
            H[self._i, self._j] = H[self._j, self._i] = y[rows["H"]]
        vv: np.ndarray | None = None
        if rows["vv"] is not None:
            vv = y[rows["vv"]]
        elif v is not None and H is not None:
            vv = v @ (v @ H)
        return FeatureLanes(
            z=y[0],
            J=y[rows["J"]].T,
            H=H,
            vv=vv,
            vve=None if rows["vve"] is None else y[rows["vve"]],
        )

    def _feature_lanes(
        self, q: torch.Tensor, directions: torch.Tensor, plan: LanePlan
    ) -> np.ndarray:
        """Lanes of z = W [h(q) - h(0), q]: those of the hidden layers, a plain chain, and of q."""
        features = self._features
        hidden = push(features.hidden, q, directions, plan).fill().values
        hidden[0] = since_rest(q, hidden[0], features.rest)
        W, w = features.mix.weight.split([hidden.shape[1], self._r], dim=1)
        z = hidden @ W.T
        z[0] += w @ q
        z[1 : 1 + len(directions)] += directions @ w.T
        return np.asarray(z.numpy())

    def encode(self, u: np.ndarray) -> np.ndarray:
        with torch.inference_mode():
            return np.asarray(self.network.encoder(torch.from_numpy(np.asarray(u, float))).numpy())
