"""jax: every sensible composition of its transforms under jit, and its Taylor mode (jet)."""

# ruff: noqa: ARG001, ARG005  (one signature for every composition: f, w, x, a, b, c)

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import jax
import jax.numpy as jnp
from cases import Problem
from contender import Contender, Run, moved, shaped
from jax import grad, jacfwd, jacrev, jvp, lax, vjp, vmap
from jax.experimental.jet import jet

jax.config.update("jax_enable_x64", True)

F = Callable[[Any], Any]
# Points that one step of a mapped loop takes together.
TOGETHER = 8


def _elu(x: Any) -> Any:
    # As jax.nn.elu is, by operations that jet has rules for.
    return jnp.where(x > 0, x, jnp.expm1(jnp.where(x > 0, 0.0, x)))


def _silu(x: Any) -> Any:
    return x * jax.nn.sigmoid(x)


ACTIVATIONS = {"elu": (jax.nn.elu, _elu), "silu": (jax.nn.silu, _silu)}


class _Made:
    """What all variants of a problem share; weights are arguments of the jitted function."""

    def __init__(self, p: Problem, family: str) -> None:
        self.p, self.family = p, family
        self.plain, self.taylor = ACTIVATIONS[p.case.activation]
        self.n, self.m, self.B = p.case.n, p.case.m, p.batch
        self.width = max(p.case.widths)
        self.numbers = [(jnp.asarray(W.T), jnp.asarray(b)) for W, b in p.layers]
        self.points = tuple(jnp.asarray(q) for q in (p.x, p.a, p.b, p.c))
        self.w = jnp.asarray(p.w)

    def net(self, layers: Any, activation: F) -> F:
        def f(x: Any) -> Any:
            for W, b in layers[:-1]:
                x = activation(x @ W + b)
            W, b = layers[-1]
            return x @ W + b

        return f

    def contender(
        self, name: str, build: Callable[..., Any], tidy: Any, live: float = 0.0
    ) -> Contender:
        """`build(f, w, x, a, b, c)` computes the answer at all points (batch, n)."""
        activation = self.taylor if self.family == "jax jet" else self.plain

        def make() -> Run:
            jitted = jax.jit(
                lambda layers, w, points: build(self.net(layers, activation), w, *points)
            )
            return lambda: jax.block_until_ready(jitted(self.numbers, self.w, self.points))

        return Contender(self.family, name, make, tidy, live)

    def each(
        self, name: str, point: Callable[..., Any], live: float, tidy: Any = None
    ) -> Iterator[Contender]:
        """`point(f, w, x, a, b, c)` at one point: over the batch at once, or in a mapped loop."""
        tidy = tidy or shaped(self.p)
        live *= self.width

        def all_at_once(f: F, w: Any, *points: Any) -> Any:
            return vmap(lambda *q: point(f, w, *q))(*points)

        yield self.contender(f"vmap {name}", all_at_once, tidy, 2 * live * self.B)
        for size in {1, TOGETHER} if self.B > TOGETHER else ():

            def looped(f: F, w: Any, *points: Any, size: int = size) -> Any:
                together = None if size == 1 else size
                return lax.map(lambda q: point(f, w, *q), points, batch_size=together)

            yield self.contender(f"map({size}) {name}", looped, tidy, 2 * live * size)


def along(g: F, a: Any) -> F:
    return lambda x: jvp(g, (x,), (a,))[1]


def variants(p: Problem) -> Iterator[Contender]:
    """jacfwd, jacrev, their compositions, nested jvp; batched by vmap or mapped."""
    made = _Made(p, "jax")
    n, m, B, width = made.n, made.m, made.B, made.width
    kinds = {"fwd": jacfwd, "rev": jacrev}
    rows = {"fwd": n, "rev": m}
    E, R = jnp.eye(n, dtype=p.dtype), jnp.eye(m, dtype=p.dtype)

    def lanes(eye: Any) -> Any:
        return jnp.broadcast_to(eye[:, None], (len(eye), B, len(eye)))

    def fwd(g: F) -> F:
        return lambda x: vmap(lambda v: jvp(g, (x,), (v,))[1])(lanes(E))

    def rev(g: F) -> F:
        return lambda x: vmap(vjp(g, x)[1])(lanes(R))[0]

    match p.quantity:
        case "jacobian":
            for k, jac in kinds.items():
                yield from made.each(k, lambda f, w, x, *_, jac=jac: jac(f)(x), rows[k])
            yield made.contender(
                "lanes fwd", lambda f, w, x, *_: fwd(f)(x), moved((1, 2, 0)), n * B * width * 2
            )
            yield made.contender(
                "lanes rev", lambda f, w, x, *_: rev(f)(x), moved((1, 0, 2)), m * B * width * 2
            )
        case "hessian":
            for k, outer in kinds.items():
                for j, inner in kinds.items():
                    # An outer reverse has a row for every entry of the Jacobian.
                    live = rows[j] * (n if k == "fwd" else m * n)
                    yield from made.each(
                        f"{k} over {j}",
                        lambda f, w, x, *_, o=outer, i=inner: o(i(f))(x),
                        live,
                    )
            yield made.contender(
                "lanes fwd over fwd",
                lambda f, w, x, *_: fwd(fwd(f))(x),
                moved((2, 3, 0, 1)),
                n * n * B * width * 2,
            )
            yield made.contender(
                "lanes fwd over rev",
                lambda f, w, x, *_: fwd(rev(f))(x),
                moved((2, 1, 0, 3)),
                n * m * B * width * 2,
            )
        case "scalar-hessian":
            for k, outer in kinds.items():
                for j, inner in kinds.items():
                    yield from made.each(
                        f"{k} over {j}",
                        lambda f, w, x, *_, o=outer, i=inner: o(i(lambda y: f(y) @ w))(x),
                        4 * n * (n if (k, j) == ("fwd", "fwd") else 1),
                    )
            yield made.contender(
                "lanes fwd over rev",
                lambda f, w, x, *_: fwd(grad(lambda y: (f(y) @ w).sum()))(x),
                moved((1, 2, 0)),
                n * B * width * 4,
            )
        case "third":
            for k, jac in kinds.items():
                yield from made.each(
                    f"{k} over jvp over jvp",
                    lambda f, w, x, a, b, c, jac=jac: jac(along(along(f, a), b))(x),
                    4 * rows[k],
                )
            for k, jac in kinds.items():
                yield from made.each(
                    f"jvp over jvp over {k}",
                    lambda f, w, x, a, b, c, jac=jac: along(along(jac(f), a), b)(x),
                    4 * rows[k],
                )
            yield made.contender(
                "lanes fwd over jvp over jvp",
                lambda f, w, x, a, b, c: fwd(along(along(f, a), b))(x),
                moved((1, 2, 0)),
                n * B * width * 8,
            )
            yield made.contender(
                "lanes jvp over jvp over rev",
                lambda f, w, x, a, b, c: along(along(rev(f), a), b)(x),
                moved((1, 0, 2)),
                m * B * width * 8,
            )
        case "number":
            yield made.contender(
                "jvp over jvp over jvp",
                lambda f, w, x, a, b, c: along(along(along(lambda y: f(y) @ w, a), b), c)(x),
                shaped(p),
            )
            yield made.contender(
                "jvp over jvp over grad",
                lambda f, w, x, a, b, c: (
                    along(along(grad(lambda y: (f(y) @ w).sum()), a), b)(x) * c
                ).sum(-1),
                shaped(p),
            )
        case "lanes":
            tidy = moved((1, 2, 0), (2, 3, 0, 1), (1, 2, 0), (1, 2, 0))
            yield made.contender("nested jvp", _lanes(fwd, nested), tidy)
            yield made.contender("nested jvp, hidden lanes first", _lanes_hidden(fwd), tidy)
            yield from made.each(
                "jacfwd",
                lambda f, w, x, a, *_: (
                    *(jacfwd(g)(x) for g in (f, along(f, a), along(along(f, a), a))),
                    jacfwd(jacfwd(f))(x),
                ),
                n * n * 8,
                lambda out: tuple(jnp.asarray(out[k]) for k in (0, 3, 1, 2)),
            )


def nested(f: F, v: Any) -> F:
    """x -> f, D f[v], D^2 f[v, v] by jvp within jvp."""

    def pushed(x: Any) -> Any:
        (y, first), (_, second) = jvp(lambda z: jvp(f, (z,), (v,)), (x,), (v,))
        return y, first, second

    return pushed


def taylor(f: F, v: Any) -> F:
    """The same by one jet of order 2."""

    def pushed(x: Any) -> Any:
        y, (first, second) = jet(f, (x,), ((v, jnp.zeros_like(v)),))
        return y, first, second

    return pushed


def _lanes(fwd: Callable[[F], F], push: Callable[[F, Any], F]) -> Callable[..., Any]:
    def build(f: F, w: Any, x: Any, v: Any, *_: Any) -> Any:
        J, va, vva = fwd(push(f, v))(x)
        return J, fwd(fwd(f))(x), va, vva

    return build


def _lanes_hidden(fwd: Callable[[F], F]) -> Callable[..., Any]:
    # One pass for everything: Hessian and nested lanes share f, D f[e_i], by hand.
    def build(f: F, w: Any, x: Any, v: Any, *_: Any) -> Any:
        def pushed(x: Any) -> Any:
            return nested(f, v)(x), fwd(f)(x)

        (J, va, vva), H = fwd(pushed)(x)
        return J, H, va, vva

    return build


def jets(p: Problem) -> Iterator[Contender]:
    """Taylor mode. It knows one direction only: mixed derivatives come by polarisation or jvp."""
    made = _Made(p, "jax jet")
    n, B, width = made.n, made.B, made.width
    E = jnp.eye(n, dtype=p.dtype)

    def series(f: F, x: Any, v: Any, order: int) -> Any:
        zeros = [jnp.zeros_like(v)] * (order - 1)
        return jet(f, (x,), ((v, *zeros),))[1][-1]

    def second(f: F, a: Any, b: Any) -> F:  # D^2 f[a, b]
        return lambda x: (series(f, x, a + b, 2) - series(f, x, a - b, 2)) / 4

    def third(f: F, x: Any, a: Any, b: Any, c: Any) -> Any:  # D^3 f[a, b, c]
        signs = jnp.asarray([(1, 1, 1), (1, -1, -1), (-1, 1, -1), (-1, -1, 1)], dtype=p.dtype)
        terms = vmap(lambda s: series(f, x, s[0] * a + s[1] * b + s[2] * c, 3))(signs)
        return terms.sum(0) / 24

    match p.quantity:
        case "jacobian":
            yield made.contender(
                "jet 1",
                lambda f, w, x, *_: vmap(lambda v: series(f, x, jnp.broadcast_to(v, x.shape), 1))(
                    E
                ),
                moved((1, 2, 0)),
                n * B * width * 2,
            )
        case "hessian" | "scalar-hessian":
            scalar = p.quantity == "scalar-hessian"

            def hessian(f: F, w: Any, x: Any, *_: Any) -> Any:
                g = (lambda y: f(y) @ w) if scalar else f

                def pair(i: Any, j: Any) -> Any:
                    return series(g, x, jnp.broadcast_to(E[i] + E[j], x.shape), 2)

                i, j = jnp.triu_indices(n)
                sums = vmap(pair)(i, j)
                row = jnp.zeros((n, n), int).at[i, j].set(jnp.arange(len(i)))
                row = jnp.maximum(row, row.T)
                square = sums[jnp.diagonal(row)] / 4
                # D^2[e_i, e_j] = (D^2[e_i + e_j]^2 - D^2[e_i]^2 - D^2[e_j]^2) / 2
                return (sums[row] - square[:, None] - square[None, :]) / 2

            axes = (2, 0, 1) if scalar else (2, 3, 0, 1)
            live = n * n * B * width * 2 + n * n * B * p.case.m
            yield made.contender("jet 2 of all pairs", hessian, moved(axes), live)
        case "third":
            yield from made.each(
                "fwd over jet 2", lambda f, w, x, a, b, c: jacfwd(second(f, a, b))(x), 6 * n
            )
            yield from made.each(
                "rev over jet 2", lambda f, w, x, a, b, c: jacrev(second(f, a, b))(x), 6 * made.m
            )
            yield from made.each(
                "jet 3",
                lambda f, w, x, a, b, c: vmap(lambda e: third(f, x, a, b, e), out_axes=1)(E),
                16 * n,
            )
        case "number":
            yield made.contender(
                "jet 3",
                lambda f, w, x, a, b, c: third(lambda y: f(y) @ w, x, a, b, c),
                shaped(p),
            )
        case "lanes":

            def fwd(g: F) -> F:
                lanes = jnp.broadcast_to(E[:, None], (n, B, n))
                return lambda x: vmap(lambda v: jvp(g, (x,), (v,))[1])(lanes)

            yield made.contender(
                "fwd over jet 2, fwd over fwd",
                _lanes(fwd, taylor),
                moved((1, 2, 0), (2, 3, 0, 1), (1, 2, 0), (1, 2, 0)),
            )
