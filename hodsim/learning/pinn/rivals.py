"""The same training by torch's own derivatives: what the lanes are compared with."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.func import functional_call, jacrev, jvp, vmap

from hodsim.learning.pinn.field import Field, Operator
from hodsim.learning.pinn.problem import Problem, weighted


class FunctionalField(Field):
    """By nested torch.func.jvp, at parameters of its own; goes through vmap and jacrev."""

    def __init__(self, network: nn.Module, parameters: Mapping[str, Tensor]) -> None:
        super().__init__(network)
        self._parameters = dict(parameters)

    def apply(self, operator: Operator, x: Tensor) -> Tensor:
        total = x.new_zeros(())
        for lane, weight in operator:
            at: Callable[[Tensor], Tensor] = self._values
            for axis in lane:
                at = _along(at, axis)
            total = total + weight * at(x)
        return total

    def forget(self, formula: Hashable = None) -> None:
        """Nothing is kept."""

    def _values(self, x: Tensor) -> Tensor:
        out: Tensor = functional_call(self.network, self._parameters, (x,))
        return out


def _along(f: Callable[[Tensor], Tensor], axis: int) -> Callable[[Tensor], Tensor]:
    def slope(x: Tensor) -> Tensor:
        direction = torch.zeros_like(x)
        direction[..., axis] = 1.0
        out: Tensor = jvp(f, (x,), (direction,))[1]
        return out

    return slope


class JacobianRows:
    """What `rows.Rows` is, by the Jacobian itself: torch.func's vmap of jacrev over points."""

    def __init__(
        self,
        network: nn.Module,
        problem: Problem,
        points: Sequence[Tensor],
        layers: Sequence[nn.Linear] | None = None,
    ) -> None:
        """layers : whose parameters are meant; None for all of the network's."""
        own = {id(p) for layer in layers or (network,) for p in layer.parameters()}
        parameters = {k: p.detach() for k, p in network.named_parameters() if id(p) in own}
        self._shapes = [p.shape for p in parameters.values()]
        residuals, rows = [], []
        for (residual, weights), x in zip(problem.sides, points, strict=True):

            def one(
                held: dict[str, Tensor],
                position: Tensor,
                residual: Callable[[Field, Tensor], Tensor] = residual,
                weights: tuple[float, ...] = weights,
                n: int = len(x),
            ) -> tuple[Tensor, Tensor]:
                u = FunctionalField(network, held)
                out = weighted(residual(u, position.unsqueeze(0)), weights, n).squeeze(0)
                return out, out

            with torch.no_grad():
                made = vmap(jacrev(one, has_aux=True), in_dims=(None, 0), chunk_size=64)
                each, values = made(parameters, x)
            residuals.append(values.reshape(-1))
            count = values.numel()
            rows.append(torch.cat([part.reshape(count, -1) for part in each.values()], 1))
        self.residual = torch.cat(residuals)
        self.J = torch.cat(rows)

    def gram(self) -> Tensor:
        """J J^T, shape (R, R)."""
        return self.J @ self.J.T

    def outputs(self) -> list[Tensor]:
        """As `rows.Rows.outputs`."""
        r = self.residual.unsqueeze(1)
        out = self._shapes[-2][0] if len(self._shapes[-1]) == 1 else self._shapes[-1][0]
        each = torch.cat([p.reshape(len(r), out, -1) for p in self._parts(self.J)], 2)
        on = (each != 0).any(2)
        if int(on.sum(1).max()) > 1:
            return [torch.cat((self.J, r), 1)]
        return [torch.cat((each[on[:, o], o], r[on[:, o]]), 1) for o in range(out)]

    def _parts(self, rows: Tensor) -> Sequence[Tensor]:
        parts: Sequence[Tensor] = rows.split([shape.numel() for shape in self._shapes], -1)
        return parts

    def pull(self, w: Tensor) -> list[Tensor]:
        """J^T w, as the parameters are."""
        parts = self._parts(w @ self.J)
        return [part.view(shape) for part, shape in zip(parts, self._shapes, strict=True)]
