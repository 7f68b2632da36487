"""The Jacobian of residuals by parameters, factored by lanes and never formed.

The layer y = W x + b meets every lane of a pass, so that row r of the Jacobian, in W's place, is

    sum_T  c_T^r (x_T)^T        c_T^r : how residual r depends on lane T of y

and the same for b with 1 for x on the real lane, 0 on others. The product of the Jacobian with its
transpose is then, with points n, n' and components k, k' of the residual,

    G[(n, k), (n', k')] = sum_layers sum_(S, T) (x_S^n . x_T^n') (c_S^(n, k) . c_T^(n', k')),

for which no row is ever made: its cost has the layers' widths where J J^T has their product.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from hodsim.derivatives import LaneTensor
from hodsim.errors import InputError

Pairs = list[tuple[Tensor, Tensor]]


def check_layers(network: nn.Module) -> None:
    """Refuse a network with parameters anywhere but in linear layers that it uses as they are.

    Raises
    ------
    InputError : such a parameter or its layer, by name; or one that two layers share.
    """
    owner: dict[int, str] = {}
    for name, module in network.named_modules():
        own = dict(module.named_parameters(recurse=False))
        if own and type(module) is not nn.Linear:
            raise InputError(
                f"network: expected parameters in nn.Linear layers alone for Gauss-Newton, got "
                f"{', '.join(own)} of {type(module).__name__} {name or '(the network)'}; take lbfgs"
            )
        for p in own.values():
            if owner.setdefault(id(p), name) != name:
                raise InputError(
                    f"network: expected a parameter of its own in every layer for Gauss-Newton, "
                    f"got one in both {owner[id(p)]} and {name}; take lbfgs"
                )
        if any(not p.requires_grad for p in own.values()):
            raise InputError(
                f"network: expected every parameter to be trained by Gauss-Newton, got a frozen "
                f"one in layer {name}; take lbfgs"
            )


def linear_layers(network: nn.Module) -> list[nn.Linear]:
    """All of a network's linear layers, in the order of its parameters."""
    return [m for m in network.modules() if isinstance(m, nn.Linear)]


class Rows:
    """The rows of several sets of residuals, each of other points.

    Attributes
    ----------
    residual : all of them as one vector, shape (R,).
    """

    def __init__(
        self, layers: Sequence[nn.Linear], residuals: Sequence[Callable[[], Tensor]]
    ) -> None:
        """layers : whose parameters are meant, as `linear_layers` gives them, or some of them.
        residuals : each gives values of shape (n, m), component k of point n from point n
        alone, by passes of lanes through the network."""
        self.layers = list(layers)
        self._shapes: list[tuple[int, int]] = []
        # For each set and layer: x (lanes, n, in + 1) and c (lanes, n, m, out).
        self._x: list[list[Tensor]] = []
        self._c: list[list[Tensor]] = []
        values = []
        for residual in residuals:
            with torch.enable_grad(), _tapped(self.layers) as met:
                out = residual()
            values.append(out.detach().reshape(-1))
            self._shapes.append((out.shape[0], out.shape[1]))
            self._add(out, met)
        self.residual = torch.cat(values)
        counts = [n * m for n, m in self._shapes]
        self._starts = [sum(counts[:i]) for i in range(len(counts) + 1)]

    def _add(self, out: Tensor, met: Sequence[Pairs]) -> None:
        places = [y for pairs in met for _, y in pairs]
        m = out.shape[1]
        each = [
            torch.autograd.grad(
                out[:, k].sum(), places, retain_graph=k + 1 < m, materialize_grads=True
            )
            for k in range(m)
        ]
        cotangents = iter([torch.stack(parts, 2) for parts in zip(*each, strict=True)])
        xs, cs = [], []
        for layer, pairs in zip(self.layers, met, strict=True):
            xs.append(torch.cat([_with_one(x, layer.bias is not None) for x, _ in pairs]))
            cs.append(torch.cat([next(cotangents) for _ in pairs]))
        self._x.append(xs)
        self._c.append(cs)

    def gram(self) -> Tensor:
        """J J^T, shape (R, R)."""
        total = self.residual.new_zeros(self._starts[-1], self._starts[-1])
        for p in range(len(self._shapes)):
            for q in range(p + 1):
                self._block(total, p, q)
                if q < p:
                    self._part(total, q, p).copy_(self._part(total, p, q).T)
        return total

    def _part(self, total: Tensor, p: int, q: int) -> Tensor:
        s = self._starts
        return total[s[p] : s[p + 1], s[q] : s[q + 1]]

    def _block(self, total: Tensor, p: int, q: int) -> None:
        (n, m), (n2, m2) = self._shapes[p], self._shapes[q]
        block = total.new_zeros(n, m, n2, m2)
        # Of one set with itself lanes (t, s) give the transpose of (s, t).
        above = torch.zeros_like(block) if p == q else block
        for x, x2, c, c2 in zip(self._x[p], self._x[q], self._c[p], self._c[q], strict=True):
            for s in range(len(x)):
                a = c[s].reshape(n * m, -1)
                for t in range(s if p == q else 0, len(x2)):
                    meet = (a @ c2[t].reshape(n2 * m2, -1).T).view(n, m, n2, m2)
                    into = block if s == t else above
                    into.addcmul_(meet, (x[s] @ x2[t].T)[:, None, :, None])
        part = self._part(total, p, q)
        part.copy_(block.view_as(part))
        if p == q:
            part += above.view_as(part)
            part += above.view_as(part).T

    def pull(self, w: Tensor) -> list[Tensor]:
        """J^T w, for w of shape (R,): for each layer its weight's part, then its bias'."""
        parts = [
            part.view(shape)
            for part, shape in zip(w.split(self._counts), self._shapes, strict=True)
        ]
        out = []
        for i, layer in enumerate(self.layers):
            both: Any = 0.0
            for x, c, part in zip(self._x, self._c, parts, strict=True):
                weighted = torch.einsum("tnko,nk->tno", c[i], part)
                both = both + torch.einsum("tno,tni->oi", weighted, x[i])
            out.append(both[:, :-1])
            if layer.bias is not None:
                out.append(both[:, -1])
        return out

    def outputs(self) -> list[Tensor]:
        """The rows by the last layer's parameters, for each of its outputs those of its own.

        Returns for each output a matrix of shape (rows, in + 1), or in without bias, with the
        residual behind it as a last column: the parts of a least-squares problem that has no more
        to do with the others. One matrix over all outputs, (R, parameters of the weight, then of
        the bias, + 1), where some row depends on several.
        """
        biased = self.layers[-1].bias is not None
        xs = [x[-1] if biased else x[-1][..., :-1] for x in self._x]
        cs = [c[-1] for c in self._c]
        parts = self.residual.split(self._counts)
        rs = [r.view(shape) for r, shape in zip(parts, self._shapes, strict=True)]
        reached = [(c != 0).any(0).any(0) for c in cs]  # (m, out): which row, which output
        if all(int(on.sum(1).max()) <= 1 for on in reached):
            return [
                torch.cat(
                    [
                        torch.cat(
                            (
                                torch.einsum("tnk,tni->nki", c[..., on[:, o], o], x),
                                r[:, on[:, o], None],
                            ),
                            -1,
                        ).flatten(0, 1)
                        for x, c, r, on in zip(xs, cs, rs, reached, strict=True)
                    ]
                )
                for o in range(cs[0].shape[-1])
            ]
        whole = []
        for x, c, r in zip(xs, cs, rs, strict=True):
            each = torch.einsum("tnko,tni->nkoi", c, x)
            n = self.layers[-1].in_features
            row = (each[..., :n].flatten(2), each[..., n:].flatten(2), r.unsqueeze(-1))
            whole.append(torch.cat(row, -1).flatten(0, 1))
        return [torch.cat(whole)]

    @property
    def _counts(self) -> list[int]:
        return [n * m for n, m in self._shapes]


def _with_one(x: Tensor, biased: bool) -> Tensor:
    """Lanes of a layer's input, and what its bias is multiplied with: 1 on the real lane."""
    one = x.new_zeros(*x.shape[:-1], 1)
    one[0] = float(biased)
    return torch.cat((x.detach(), one), -1)


@contextmanager
def _tapped(layers: Sequence[nn.Linear]) -> Iterator[list[Pairs]]:
    """Collect what goes into each layer and comes out of it, lanes ahead, pass by pass."""
    met: list[Pairs] = [[] for _ in layers]

    def tap(pairs: Pairs) -> Callable[..., None]:
        def hook(_: nn.Module, given: tuple[Any, ...], out: Any) -> None:
            x = given[0]
            if not isinstance(x, LaneTensor) or not isinstance(out, LaneTensor):
                raise InputError("residual: expected the network to be met through u alone")
            pairs.append((x.lanes.values, out.lanes.values))

        return hook

    taps = [m.register_forward_hook(tap(p)) for m, p in zip(layers, met, strict=True)]
    try:
        yield met
    finally:
        for handle in taps:
            handle.remove()
