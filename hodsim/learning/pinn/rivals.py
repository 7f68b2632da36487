"""The same training by torch's own derivatives: what the lanes are compared with."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

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

    def forget(self) -> None:
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

    def __init__(self, network: nn.Module, problem: Problem, points: Sequence[Tensor]) -> None:
        self._shapes = [p.shape for p in network.parameters()]
        parameters = {name: p.detach() for name, p in network.named_parameters()}
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

    def pull(self, w: Tensor) -> list[Tensor]:
        """J^T w, as the parameters are."""
        parts = (w @ self.J).split([shape.numel() for shape in self._shapes])
        return [part.view(shape) for part, shape in zip(parts, self._shapes, strict=True)]
