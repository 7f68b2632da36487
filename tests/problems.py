"""Things to minimise, with exact gradients and curvature from double backpropagation."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional
from zoo import F64, normal

from hodsim.optimizers import Batch, Objective


class Free(nn.Module):
    """A vector to be moved about."""

    def __init__(self, start: Tensor) -> None:
        super().__init__()
        self.w = nn.Parameter(start.clone())


def on_vector(start: Tensor, f: Callable[[Tensor], Tensor]) -> Objective:
    """f as a function of a vector that starts there."""
    free = Free(start)
    return Objective(free, lambda: f(free.w))


def quadratic(n: int = 12, seed: int = 1) -> tuple[Objective, Tensor]:
    """A convex quadratic with condition number about 100, and where its minimum lies."""
    Q = torch.linalg.qr(normal(n, n, seed=seed)).Q
    A = Q @ torch.diag(torch.logspace(0, 2, n, dtype=F64)) @ Q.T
    lowest = normal(n, seed=seed + 1)
    return on_vector(
        normal(n, seed=seed + 2), lambda w: 0.5 * (w - lowest) @ (A @ (w - lowest)) + 3.0
    ), lowest


def rosenbrock(start: tuple[float, float]) -> Objective:
    return on_vector(
        torch.tensor(start, dtype=F64),
        lambda w: 100.0 * (w[1] - w[0] ** 2) ** 2 + (1.0 - w[0]) ** 2,
    )


def small_net(seed: int = 0, dtype: torch.dtype = F64) -> nn.Sequential:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return nn.Sequential(nn.Linear(3, 5), nn.Tanh(), nn.Linear(5, 2)).to(dtype)


def regression(net: nn.Module, n: int = 20, seed: int = 3) -> Batch:
    """Least squares with a little decay, so that its minima are strict."""
    dtype = next(net.parameters()).dtype
    x, y = normal(n, 3, seed=seed).to(dtype), normal(n, 2, seed=seed + 1).to(dtype)
    return Batch(net, functional.mse_loss, x, y)


def decayed(net: nn.Module, n: int = 20, seed: int = 3) -> Objective:
    """`regression` with weight decay, whose minima are strict."""
    batch = regression(net, n, seed)

    def loss() -> Tensor:
        decay = sum((p * p).sum() for p in net.parameters())
        return functional.mse_loss(net(batch.x), batch.y) + 0.05 * decay

    return Objective(net, loss, n)


def classification(net: nn.Module, n: int = 30, seed: int = 5) -> Batch:
    dtype = next(net.parameters()).dtype
    y = torch.arange(n) % 2
    return Batch(net, functional.cross_entropy, normal(n, 3, seed=seed).to(dtype), y)


def flat(net: nn.Module) -> Tensor:
    return torch.cat([p.detach().reshape(-1) for p in net.parameters()])


def gradient(objective: Objective) -> Tensor:
    loss = objective._called()
    return torch.cat(
        [g.reshape(-1) for g in torch.autograd.grad(loss, list(objective.network.parameters()))]
    )


def dense_hessian(objective: Objective) -> Tensor:
    leaves = list(objective.network.parameters())
    loss = objective._called()
    first = torch.autograd.grad(loss, leaves, create_graph=True)
    rows = []
    for entry in torch.cat([g.reshape(-1) for g in first]):
        parts = torch.autograd.grad(
            entry, leaves, retain_graph=True, allow_unused=True, materialize_grads=True
        )
        rows.append(torch.cat([p.reshape(-1) for p in parts]))
    return torch.stack(rows)


def dense_gauss_newton(batch: Batch) -> Tensor:
    """J^T H_L J of all outputs and parameters, entry by entry."""
    leaves = list(batch.network.parameters())
    out = batch.network(batch.x)
    rows = []
    for entry in out.reshape(-1):
        parts = torch.autograd.grad(entry, leaves, retain_graph=True)
        rows.append(torch.cat([p.reshape(-1) for p in parts]))
    J = torch.stack(rows)
    z = out.detach()
    H = torch.autograd.functional.hessian(lambda z: batch.loss(z, batch.y), z)
    return J.T @ H.reshape(z.numel(), z.numel()) @ J
