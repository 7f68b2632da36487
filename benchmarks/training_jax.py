"""The same steps in jax under jit: its transforms, its Taylor mode, and a forward Laplacian."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import jax
import jax.numpy as jnp
import numpy as np
from jax import jacfwd, jacrev, jvp, vmap
from jax.experimental.jet import jet
from torch import nn
from training_cases import ALPHA, BETA, Run, Task

jax.config.update("jax_enable_x64", True)

Parameters = list[tuple[Any, Any]]
Loss = Callable[[Parameters, Any], Any]


def _net(task: Task) -> Callable[[Parameters, Any], Any]:
    # ELU by operations that jet has rules for.
    elu = task.case.activation is nn.ELU
    act = (lambda z: jnp.where(z > 0, z, jnp.expm1(jnp.where(z > 0, 0.0, z)))) if elu else jnp.tanh

    def f(layers: Parameters, x: Any) -> Any:
        for W, b in layers[:-1]:
            x = act(x @ W.T + b)
        W, b = layers[-1]
        return x @ W.T + b

    return f


def _step(task: Task, loss: Loss) -> Run:
    numbers = [jnp.asarray(p.detach().numpy()) for p in task.leaves]
    layers = list(zip(numbers[::2], numbers[1::2], strict=True))
    x = jnp.asarray(task.x.numpy())
    step = jax.jit(jax.value_and_grad(loss))

    def run() -> tuple[Any, list[Any]]:
        value, gradient = jax.block_until_ready(step(layers, x))
        return np.asarray(value), [np.asarray(a) for pair in gradient for a in pair]

    run()  # compiles
    return run


def _residual(task: Task, operator: Callable[[Parameters, Any], Any]) -> Run:
    """operator(layers, x) at all points."""
    border, source, trace = (jnp.asarray(a.numpy()) for a in (task.border, task.source, task.trace))
    f = _net(task)

    def loss(layers: Parameters, x: Any) -> Any:
        inside = jnp.mean((operator(layers, x) - source) ** 2)
        return inside + jnp.mean((f(layers, border) - trace) ** 2)

    return _step(task, loss)


def _jacobian(transform: Any) -> Callable[[Task], Run]:
    def make(task: Task) -> Run:
        f = _net(task)

        def loss(layers: Parameters, x: Any) -> Any:
            J = vmap(transform(lambda q: f(layers, q)))(x)
            return ALPHA * jnp.sum(J**2) / task.batch

        return _step(task, loss)

    return make


def _twice(f: Any, x: Any, v: Any) -> tuple[Any, Any]:
    return jvp(lambda s: jvp(f, (s,), (v,))[1], (x,), (v,))


def _taylor(f: Any, x: Any, v: Any, order: int) -> list[Any]:
    """D^k f[v, ..., v] for k = 1 .. order."""
    zeros = [jnp.zeros_like(x)] * (order - 1)
    return jet(f, (x,), ((v, *zeros),))[1]


def _order2(along: Any) -> Callable[[Task], Run]:
    def make(task: Task) -> Run:
        f, eye = _net(task), jnp.eye(task.n, dtype=task.x.numpy().dtype)

        def loss(layers: Parameters, x: Any) -> Any:
            def both(v: Any) -> Any:
                return along(lambda q: f(layers, q), x, jnp.broadcast_to(v, x.shape))

            first, second = vmap(both)(eye)
            return (ALPHA * jnp.sum(first**2) + BETA * jnp.sum(second**2)) / task.batch

        return _step(task, loss)

    return make


def _along_axes(along: Any) -> Callable[[Task], Run]:
    def make(task: Task) -> Run:
        f, eye = _net(task), jnp.eye(task.n, dtype=task.x.numpy().dtype)

        def operator(layers: Parameters, x: Any) -> Any:
            def of(v: Any) -> Any:
                return along(lambda q: f(layers, q), x, jnp.broadcast_to(v, x.shape))[1]

            return vmap(of)(eye).sum(0)

        return _residual(task, operator)

    return make


def _forward_laplacian(task: Task) -> Run:
    """As folx does it: value, gradient and Laplacian through each layer together (tanh)."""

    def operator(layers: Parameters, x: Any) -> Any:
        W, b = layers[0]
        z, u, s = x @ W.T + b, jnp.broadcast_to(W.T[:, None], (task.n, task.batch, len(b))), 0.0
        for W, b in layers[1:]:
            h = jnp.tanh(z)
            d = 1.0 - h * h
            s = d * s - 2.0 * h * d * jnp.sum(u * u, 0)
            z, u, s = h @ W.T + b, (d * u) @ W.T, s @ W.T
        return s

    return _residual(task, operator)


def _biharmonic_by_taylor(task: Task) -> Run:
    """Three directions at 60 degrees, as ours."""
    f, angles = _net(task), np.arange(3) * np.pi / 3
    V = jnp.asarray(np.stack([np.cos(angles), np.sin(angles)], 1), dtype=task.x.numpy().dtype)

    def operator(layers: Parameters, x: Any) -> Any:
        def of(v: Any) -> Any:
            return _taylor(lambda q: f(layers, q), x, jnp.broadcast_to(v, x.shape), 4)[3]

        return vmap(of)(V).sum(0) * (8.0 / 9.0)

    return _residual(task, operator)


def _biharmonic_by_jvp(task: Task) -> Run:
    f, eye = _net(task), jnp.eye(2, dtype=task.x.numpy().dtype)

    def laplacian(g: Any) -> Any:
        return lambda x: sum(_twice(g, x, jnp.broadcast_to(v, x.shape))[1] for v in eye)

    return _residual(task, lambda layers, x: laplacian(laplacian(lambda q: f(layers, q)))(x))


def _jet2(f: Any, x: Any, v: Any) -> list[Any]:
    return _taylor(f, x, v, 2)


RIVALS: Final[dict[str, dict[str, Callable[[Task], Run]]]] = {
    "jacobian": {
        "jax: vmap of jacrev": _jacobian(jacrev),
        "jax: vmap of jacfwd": _jacobian(jacfwd),
    },
    "order2": {"jax: vmap of jvp of jvp": _order2(_twice), "jax: jet": _order2(_jet2)},
    "laplacian": {
        "jax: forward Laplacian": _forward_laplacian,
        "jax: vmap of jvp of jvp": _along_axes(_twice),
        "jax: jet": _along_axes(_jet2),
    },
    "biharmonic": {"jax: jet": _biharmonic_by_taylor, "jax: jvp of jvp": _biharmonic_by_jvp},
}
