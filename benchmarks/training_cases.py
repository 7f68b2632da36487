"""Losses with derivatives of a network in them, and torch's ways to a gradient of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import pairwise
from multiprocessing.connection import Connection
from typing import Any, Final

import torch
from memory import peak, settle_worker
from torch import Tensor, nn
from torch.func import functional_call, hessian, jacfwd, jacrev, jvp, vmap

from hodsim.derivatives import biharmonic, derivative_norms2, jacobian_norm2, laplacian

Run = Callable[[], Any]
ALPHA: Final = 0.1
BETA: Final = 0.01


@dataclass(frozen=True)
class Case:
    """A network, and which derivatives its loss has."""

    widths: tuple[int, ...]
    activation: type[nn.Module]
    kind: str


CASES: Final[dict[str, Case]] = {
    **{f"cae/{w}": Case((784, w, w, w, 400), nn.ELU, "jacobian") for w in (400, 200)},
    **{f"order2/{w}": Case((784, w, w, w, 400), nn.ELU, "order2") for w in (400, 200)},
    **{f"pinn/{n}": Case((2, *(100,) * n, 8), nn.Tanh, "laplacian") for n in (5, 8)},
    "poisson10": Case((10, 100, 100, 100, 1), nn.Tanh, "laplacian"),
    "plate": Case((2, 100, 100, 100, 1), nn.Tanh, "biharmonic"),
}
# Case, batch, type.
ROWS: Final = (
    *((f"cae/{w}", b, "float32") for w in (400, 200) for b in (16, 64)),
    *((f"order2/{w}", 16, "float32") for w in (400, 200)),
    *(("pinn/5", b, t) for b in (1000, 4000) for t in ("float32", "float64")),
    ("pinn/8", 1000, "float32"),
    ("poisson10", 1000, "float64"),
    ("plate", 1000, "float64"),
)
QUICK: Final = (
    ("cae/200", 8, "float32"),
    ("order2/200", 1, "float32"),
    ("pinn/5", 250, "float32"),
    ("plate", 50, "float64"),
)


class Task:
    """One step: the loss at random points and its gradient by all parameters.

    small : a network of the same kind, to warm up on.
    """

    def __init__(
        self, name: str, batch: int, dtype: torch.dtype, seed: int, small: bool = False
    ) -> None:
        case = CASES[name]
        if small:
            case = replace(case, widths=(case.widths[0] // 100 + 2, 4, 4, 3))
        torch.manual_seed(seed)
        layers: list[nn.Module] = []
        for a, b in pairwise(case.widths):
            layers += [nn.Linear(a, b), case.activation()]
        self.case, self.network = case, nn.Sequential(*layers[:-1]).to(dtype)
        n, m = case.widths[0], case.widths[-1]
        self.n, self.m, self.batch = n, m, batch
        self.x = torch.rand(batch, n, dtype=dtype)
        self.border = torch.rand(max(1, batch // 4), n, dtype=dtype)
        self.source = torch.randn(batch, m, dtype=dtype)
        self.trace = torch.randn(len(self.border), m, dtype=dtype)
        self.leaves = list(self.network.parameters())

    def step(self, loss: Callable[[], Tensor]) -> Run:
        def run() -> tuple[Tensor, list[Tensor]]:
            value = loss()
            found = torch.autograd.grad(value, self.leaves, allow_unused=True)
            return value, [
                torch.zeros_like(p) if g is None else g
                for g, p in zip(found, self.leaves, strict=True)
            ]

        return run

    def contraction(self, first: Tensor, second: Tensor | None = None) -> Tensor:
        """The penalties of a sum of squares over the batch, or two."""
        loss = ALPHA * first / self.batch
        return loss if second is None else loss + BETA * second / self.batch

    def residual(self, operator: Tensor) -> Tensor:
        """The loss of a partial differential equation and its boundary values."""
        inside = (operator - self.source).square().mean()
        return inside + (self.network(self.border) - self.trace).square().mean()

    def single(self, x: Tensor) -> Tensor:
        """The network at one point, for torch.func."""
        return functional_call(self.network, dict(self.network.named_parameters()), (x,))


# ------------------------------------------------------------------ contenders

OURS: Final = "hodsim"


def _ours(task: Task) -> Run:
    f, x = task.network, task.x
    losses: dict[str, Callable[[], Tensor]] = {
        "jacobian": lambda: task.contraction(jacobian_norm2(f, x).sum()),
        "order2": lambda: task.contraction(*(norm.sum() for norm in derivative_norms2(f, x))),
        "laplacian": lambda: task.residual(laplacian(f, x)),
        "biharmonic": lambda: task.residual(biharmonic(f, x)),
    }
    return task.step(losses[task.case.kind])


def _graph(task: Task) -> tuple[Tensor, Tensor]:
    x = task.x.clone().requires_grad_(True)
    return x, task.network(x)


def _row_by_row(task: Task) -> Run:
    """The paper's rival: a pass back for each output."""

    def loss() -> Tensor:
        x, y = _graph(task)
        rows = (torch.autograd.grad(y[:, j].sum(), x, create_graph=True)[0] for j in range(task.m))
        return task.contraction(sum((row.square().sum() for row in rows), torch.zeros(())))

    return task.step(loss)


def _rows_batched(task: Task) -> Run:
    def loss() -> Tensor:
        x, y = _graph(task)
        seeds = torch.eye(task.m, dtype=x.dtype).unsqueeze(1).expand(-1, task.batch, -1)
        (J,) = torch.autograd.grad(y, x, seeds, create_graph=True, is_grads_batched=True)
        return task.contraction(J.square().sum())

    return task.step(loss)


def _func_jacobian(transform: Any) -> Callable[[Task], Run]:
    def make(task: Task) -> Run:
        J = vmap(transform(task.single))
        return task.step(lambda: task.contraction(J(task.x).square().sum()))

    return make


def _twice(f: Callable[[Tensor], Tensor], x: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
    """D f[v] and D^2 f[v, v]."""
    return jvp(lambda s: jvp(f, (s,), (v,))[1], (x,), (v,))


def _jvp_of_jvp_mapped(task: Task) -> Run:
    """Jacobian and Hessian diagonal in one, all points at once, mapped over the axes."""
    eye = torch.eye(task.n, dtype=task.x.dtype)
    both = vmap(lambda v: _twice(task.single, task.x, v.expand_as(task.x)))
    return task.step(lambda: task.contraction(*(part.square().sum() for part in both(eye))))


def _nested(task: Task, times: int) -> Run:
    """The usual code: gradient of gradient, an output at a time."""

    def laplacian_of(y: Tensor, x: Tensor) -> Tensor:
        (slope,) = torch.autograd.grad(y.sum(), x, create_graph=True)
        parts = [
            torch.autograd.grad(slope[:, i].sum(), x, create_graph=True)[0][:, i]
            for i in range(task.n)
        ]
        return torch.stack(parts).sum(0)

    def loss() -> Tensor:
        x, y = _graph(task)
        columns = []
        for column in y.unbind(1):
            for _ in range(times):
                column = laplacian_of(column, x)
            columns.append(column)
        return task.residual(torch.stack(columns, 1))

    return task.step(loss)


def _along_axes(f: Callable[[Tensor], Tensor], n: int) -> Callable[[Tensor], Tensor]:
    """The Laplacian by jvp of jvp, all points at once, an axis after the other."""

    def of(x: Tensor) -> Tensor:
        eye = torch.eye(n, dtype=x.dtype)
        return torch.stack([_twice(f, x, e.expand_as(x))[1] for e in eye]).sum(0)

    return of


def _jvp_of_jvp(task: Task, times: int = 1) -> Run:
    operator: Callable[[Tensor], Tensor] = task.network
    for _ in range(times):
        operator = _along_axes(operator, task.n)
    return task.step(lambda: task.residual(operator(task.x)))


def _jvp_of_jvp_together(task: Task) -> Run:
    eye = torch.eye(task.n, dtype=task.x.dtype)
    each = vmap(lambda v: _twice(task.single, task.x, v.expand_as(task.x))[1])
    return task.step(lambda: task.residual(each(eye).sum(0)))


def _compiled(task: Task) -> Run:
    operator = torch.compile(_along_axes(task.network, task.n), dynamic=False)
    return task.step(lambda: task.residual(operator(task.x)))


def _hessian_trace(task: Task) -> Run:
    H = vmap(hessian(task.single))
    return task.step(lambda: task.residual(H(task.x).diagonal(dim1=-2, dim2=-1).sum(-1)))


# The first of each is the truth that all are compared with.
RIVALS: Final[dict[str, dict[str, Callable[[Task], Run]]]] = {
    "jacobian": {
        "autograd: row by row": _row_by_row,
        "autograd: is_grads_batched": _rows_batched,
        "func: vmap of jacrev": _func_jacobian(jacrev),
        "func: vmap of jacfwd": _func_jacobian(jacfwd),
    },
    "order2": {"func: vmap of jvp of jvp": _jvp_of_jvp_mapped},
    "laplacian": {
        "autograd: gradient of gradient": lambda task: _nested(task, 1),
        "func: jvp of jvp": _jvp_of_jvp,
        "func: vmap of jvp of jvp": _jvp_of_jvp_together,
        "func: trace of vmap of hessian": _hessian_trace,
    },
    "biharmonic": {
        "autograd: gradient of gradient": lambda task: _nested(task, 2),
        "func: jvp of jvp": lambda task: _jvp_of_jvp(task, 2),
    },
}
COMPILED: Final = {"compile: jvp of jvp": _compiled}


def make(label: str, task: Task) -> Run:
    """One contender's step."""
    if label == OURS:
        return _ours(task)
    if label.startswith("jax"):
        import training_jax

        return training_jax.RIVALS[task.case.kind][label](task)
    return (RIVALS[task.case.kind] | COMPILED)[label](task)


def flat(result: Any) -> Tensor:
    """The loss and its gradient as one vector, in the order of the parameters."""
    value, gradient = result
    return torch.cat(
        [
            torch.tensor(a).flatten() if not isinstance(a, Tensor) else a.detach().flatten()
            for a in (value, *gradient)
        ]
    )


def weigh(send: Connection, name: str, batch: int, dtype: str, seed: int, contender: str) -> None:
    """Send the rise of peak resident memory [MB] over two steps."""
    settle_worker()
    kind = getattr(torch, dtype)
    # The same on a small network first: code and tables that any use of the library loads.
    make(contender, Task(name, 2, kind, seed, small=True))()
    task = Task(name, batch, kind, seed)
    run = make(contender, task)
    before = peak()
    for _ in range(2):
        run()
    send.send(peak() - before)
