"""torch's own derivatives: reverse mode (torch.autograd) and transforms (torch.func, compiled)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import torch
from cases import Problem
from contender import Contender, Run, moved, shaped
from nets import tensors, torch_net
from torch import Tensor
from torch.autograd import grad
from torch.func import jacfwd, jacrev, jvp, vjp, vmap

F = Callable[[Tensor], Tensor]


def autograd(p: Problem) -> Iterator[Contender]:
    """Reverse mode alone, one row of the answer at a time or all rows in one batched sweep."""
    f = torch_net(p)
    x, a, b, c, w = tensors(p.x, p.a, p.b, p.c, p.w)
    n, m, B = p.case.n, p.case.m, p.batch
    x = x.requires_grad_(requires_grad=True)
    rows_m = torch.eye(m, dtype=x.dtype)[:, None].expand(m, B, m)
    rows_n = torch.eye(n, dtype=x.dtype)[:, None].expand(n, B, n)
    width = max(p.case.widths)

    def looped(y: Tensor, create: bool = False) -> list[Tensor]:
        columns = y.sum(0).unbind()
        return [grad(s, x, retain_graph=True, create_graph=create)[0] for s in columns]

    def batched(y: Tensor, rows: Tensor, create: bool = False) -> Tensor:
        return grad(y, x, rows, is_grads_batched=True, retain_graph=True, create_graph=create)[0]

    def along(g: F, a: Tensor) -> F:
        """D g[a] by reversing twice: the pullback is linear in its cotangent."""

        def directional(x: Tensor) -> Tensor:
            y = g(x)
            u = torch.zeros_like(y, requires_grad=True)
            (pulled,) = grad(y, x, u, create_graph=True)
            return grad(pulled, u, a, create_graph=True)[0]

        return directional

    def number() -> Tensor:
        s = f(x) @ w
        for d in (a, b, c):
            (g,) = grad(s.sum(), x, create_graph=True)
            s = (g * d).sum(-1)
        return s.detach()

    def jacobians_of(g: F) -> Iterator[tuple[str, Run]]:
        yield "looped", lambda: torch.stack(looped(g(x)))
        yield "batched", lambda: batched(g(x), rows_m)

    match p.quantity:
        case "jacobian":
            for name, run in jacobians_of(f):
                yield _plain("torch.autograd", name, run, moved((1, 0, 2)), m * B * width * 2)
        case "hessian":
            yield _plain(
                "torch.autograd",
                "looped over outputs, batched over inputs",
                lambda: torch.stack(
                    [batched(g, rows_n) for g in looped(f(x), create=True)],
                ),
                moved((2, 0, 1, 3)),
                m * B * n * n * 2 + n * B * width * 8,
            )
        case "scalar-hessian":

            def gradient() -> Tensor:
                return grad((f(x) @ w).sum(), x, create_graph=True)[0]

            yield _plain(
                "torch.autograd",
                "looped",
                lambda: torch.stack(looped(gradient())),
                moved((1, 0, 2)),
            )
            yield _plain(
                "torch.autograd",
                "batched",
                lambda: batched(gradient(), rows_n),
                moved((1, 0, 2)),
                n * B * width * 8,
            )
        case "third":
            for name, run in jacobians_of(along(along(f, a), b)):
                yield _plain("torch.autograd", name, run, moved((1, 0, 2)), m * B * width * 16)
        case "number":
            yield _plain("torch.autograd", "nested", number, shaped(p))
        case "lanes":

            def lanes() -> tuple[Tensor, ...]:
                first = along(f, a)
                second = along(first, a)
                J = batched(f(x), rows_m)
                H = torch.stack([batched(g, rows_n) for g in looped(f(x), create=True)])
                return J, H, batched(first(x), rows_m), batched(second(x), rows_m)

            yield _plain(
                "torch.autograd",
                "batched",
                lanes,
                moved((1, 0, 2), (2, 0, 1, 3), (1, 0, 2), (1, 0, 2)),
                m * B * width * 16,
            )


def func(p: Problem, compiled: bool = False) -> Iterator[Contender]:
    """Compositions of torch.func's transforms; `compiled` passes each through torch.compile."""
    f = torch_net(p)
    x, a, b, c, w = tensors(p.x, p.a, p.b, p.c, p.w)
    n, m, B, width = p.case.n, p.case.m, p.batch, max(p.case.widths)
    E = torch.eye(n, dtype=x.dtype)[:, None].expand(n, B, n)
    rows = torch.eye(m, dtype=x.dtype)[:, None].expand(m, B, m)

    def made(
        name: str, fn: Callable[..., Any], args: tuple[Tensor, ...], tidy: Any, live: float
    ) -> Contender:
        def make() -> Run:
            if not compiled:
                return lambda: fn(*args)
            torch.compiler.reset()  # it counts recompilations by line of code, and gives up at 8
            run = torch.compile(fn, dynamic=False)
            return lambda: run(*args)

        return Contender(
            "torch.func compiled" if compiled else "torch.func", name, make, tidy, live
        )

    def fwd(g: F) -> F:  # lanes over the inputs, the batch carried as it is: (n, ...)
        return lambda x: vmap(lambda v: jvp(g, (x,), (v,))[1])(E)

    def rev(g: F) -> F:  # lanes over the outputs, (m, B, n)
        return lambda x: vmap(vjp(g, x)[1])(rows)[0]

    def scalar(x: Tensor) -> Tensor:
        return f(x) @ w

    def gradient(x: Tensor) -> Tensor:
        y, pull = vjp(scalar, x)
        return pull(torch.ones_like(y))[0]

    def along(g: F, a: Tensor) -> F:
        return lambda x: jvp(g, (x,), (a,))[1]

    def each(g: Callable[..., Tensor]) -> Iterator[tuple[str, Callable[..., Any]]]:
        yield "vmap", vmap(g)
        if B > 1:
            yield "point by point", lambda *args: torch.stack([g(*q) for q in zip(*args)])  # noqa: B905

    kinds = {"fwd": jacfwd, "rev": jacrev}
    rows_of = {"fwd": n, "rev": m}
    match p.quantity:
        case "jacobian":
            for k, jac in kinds.items():
                for how, fn in each(jac(f)):
                    yield made(f"{how} {k}", fn, (x,), shaped(p), rows_of[k] * B * width * 2)
            yield made("lanes fwd", fwd(f), (x,), moved((1, 2, 0)), n * B * width * 2)
            yield made("lanes rev", rev(f), (x,), moved((1, 0, 2)), m * B * width * 2)
        case "hessian":
            for k, outer in kinds.items():
                for j, inner in kinds.items():
                    # An outer reverse has a row for every entry of the Jacobian.
                    live = rows_of[j] * (n if k == "fwd" else m * n) * width * 2
                    for how, fn in each(outer(inner(f))):
                        points = 1 if how == "point by point" else B
                        yield made(f"{how} {k} over {j}", fn, (x,), shaped(p), live * points)
            yield made(
                "lanes fwd over fwd", fwd(fwd(f)), (x,), moved((2, 3, 0, 1)), n * n * B * width * 2
            )
            yield made(
                "lanes fwd over rev", fwd(rev(f)), (x,), moved((2, 1, 0, 3)), n * m * B * width * 2
            )
        case "scalar-hessian":
            for k, outer in kinds.items():
                for j, inner in kinds.items():
                    for how, fn in each(outer(inner(scalar))):
                        live = n * B * width * 4 * (n if (k, j) == ("fwd", "fwd") else 1)
                        yield made(f"{how} {k} over {j}", fn, (x,), shaped(p), live)
            yield made(
                "lanes fwd over rev", fwd(gradient), (x,), moved((1, 2, 0)), n * B * width * 4
            )
        case "third":

            def second(x: Tensor, a: Tensor, b: Tensor) -> Tensor:
                return along(along(f, a), b)(x)

            for k, jac in kinds.items():
                for how, fn in each(jac(second)):
                    live = rows_of[k] * B * width * 8
                    yield made(f"{how} {k} over jvp over jvp", fn, (x, a, b), shaped(p), live)
            inner = along(along(f, a), b)
            yield made(
                "lanes fwd over jvp over jvp", fwd(inner), (x,), moved((1, 2, 0)), n * B * width * 8
            )
            yield made(
                "lanes rev over jvp over jvp", rev(inner), (x,), moved((1, 0, 2)), m * B * width * 8
            )
            yield made(
                "lanes jvp over jvp over rev",
                along(along(rev(f), a), b),
                (x,),
                moved((1, 0, 2)),
                m * B * width * 8,
            )
        case "number":
            yield made(
                "jvp over jvp over jvp", along(along(along(scalar, a), b), c), (x,), shaped(p), 0
            )
            yield made(
                "jvp over jvp over grad",
                lambda x: (along(along(gradient, a), b)(x) * c).sum(-1),
                (x,),
                shaped(p),
                0,
            )
        case "lanes":

            def lanes(x: Tensor) -> tuple[Tensor, ...]:
                def pushed(x: Tensor) -> tuple[Tensor, ...]:
                    first = along(f, a)
                    return f(x), first(x), along(first, a)(x)

                J, va, vva = vmap(lambda e: jvp(pushed, (x,), (e,))[1])(E)
                return J, fwd(fwd(f))(x), va, vva

            tidy = moved((1, 2, 0), (2, 3, 0, 1), (1, 2, 0), (1, 2, 0))
            yield made("lanes fwd", lanes, (x,), tidy, n * n * B * width * 8)


def _plain(family: str, name: str, run: Run, tidy: Any, live: float = 0.0) -> Contender:
    return Contender(family, name, lambda: run, tidy, live)
