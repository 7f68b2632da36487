"""TensorFlow's GradientTape and forward accumulator in a tf.function, plain and compiled by XLA."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from cases import Problem
from contender import Contender, Run, moved, shaped
from timing import hushed

with hushed():  # it logs on loading, before any setting of its own is read
    import tensorflow as tf

tf.get_logger().setLevel("ERROR")  # it warns of every new problem
tf.config.threading.set_intra_op_parallelism_threads(1)
tf.config.threading.set_inter_op_parallelism_threads(1)

F = Callable[[Any], Any]
XLA = ", xla"
ACTIVATIONS = {"elu": tf.nn.elu, "silu": tf.nn.silu}


def gradient_of(g: F) -> F:
    def gradient(x: Any) -> Any:
        with tf.GradientTape() as tape:
            tape.watch(x)
            y = g(x)
        return tape.gradient(y, x)

    return gradient


def reversed_(g: F) -> F:
    """(batch, ...) -> (batch, ..., n)."""

    def jacobian(x: Any) -> Any:
        with tf.GradientTape() as tape:
            tape.watch(x)
            y = g(x)
        return tape.batch_jacobian(y, x)

    return jacobian


def along(g: F, a: Any) -> F:
    # Not inside a tape when nested: TensorFlow 2.21's tape over two accumulators is silently wrong,
    # seen on tanh alone. Accumulators over a tape are right.
    def directional(x: Any) -> Any:
        with tf.autodiff.ForwardAccumulator(x, a) as accumulator:
            y = g(x)
        return accumulator.jvp(y)

    return directional


def variants(p: Problem) -> list[Contender]:
    """Each composition twice: first all as graphs, then all compiled by XLA (`jit_compile`)."""
    return sorted(_variants(p), key=lambda c: c.name.endswith(XLA))


def _variants(p: Problem) -> Iterator[Contender]:
    x, a, b, c, w = (tf.constant(q) for q in (p.x, p.a, p.b, p.c, p.w))
    layers = [(tf.constant(W.T), tf.constant(bias)) for W, bias in p.layers]
    activation = ACTIVATIONS[p.case.activation]
    n, m, B, width = p.case.n, p.case.m, p.batch, max(p.case.widths)

    # Its peak was seen to grow with the layers too: 8 GB where one layer takes 0.7.
    kept = 1.5 * width * len(layers)

    def f(x: Any) -> Any:
        for W, bias in layers[:-1]:
            x = activation(x @ W + bias)
        W, bias = layers[-1]
        return x @ W + bias

    def scalar(x: Any) -> Any:
        return tf.linalg.matvec(f(x), w)

    def fwd(g: F) -> F:  # (n, batch, ...)
        lanes = tf.tile(tf.eye(n, dtype=x.dtype)[:, None], (1, B, 1))
        return lambda x: tf.vectorized_map(lambda v: along(g, v)(x), lanes)

    def both(name: str, g: F, tidy: Any, live: float = 0.0) -> Iterator[Contender]:
        for xla in (False, True):

            def make(xla: bool = xla) -> Run:
                run = tf.function(g, jit_compile=xla)
                # CPU tensors of an eager call are computed when it returns.
                return lambda: run(x)

            yield Contender("tensorflow", name + XLA * xla, make, tidy, kept * live)

    match p.quantity:
        case "jacobian":
            yield from both("batch_jacobian", reversed_(f), shaped(p), 2 * m * B)
            yield from both("forward accumulator", fwd(f), moved((1, 2, 0)), 2 * n * B)
        case "hessian":
            # An outer reverse has a row for every entry of the Jacobian.
            yield from both("rev over rev", reversed_(reversed_(f)), shaped(p), 2 * n * m * m * B)
            yield from both("fwd over rev", fwd(reversed_(f)), moved((1, 2, 3, 0)), 2 * n * m * B)
            yield from both("fwd over fwd", fwd(fwd(f)), moved((2, 3, 0, 1)), 2 * n * n * B)
        case "scalar-hessian":
            yield from both("rev over rev", reversed_(gradient_of(scalar)), shaped(p), 4 * n * B)
            yield from both("fwd over rev", fwd(gradient_of(scalar)), moved((1, 2, 0)), 4 * n * B)
        case "third":
            yield from both(
                "fwd over fwd over rev", along(along(reversed_(f), a), b), shaped(p), 16 * m * B
            )
            yield from both(
                "fwd over fwd over fwd", fwd(along(along(f, a), b)), moved((1, 2, 0)), 16 * n * B
            )
        case "number":
            yield from both(
                "fwd over fwd over rev",
                lambda x: tf.reduce_sum(along(along(gradient_of(scalar), a), b)(x) * c, -1),
                shaped(p),
            )
            yield from both(
                "fwd over fwd over fwd", along(along(along(scalar, a), b), c), shaped(p)
            )
        case "lanes":

            def lanes(x: Any) -> Any:
                J = reversed_(f)
                first = along(J, a)
                return J(x), reversed_(J)(x), first(x), along(first, a)(x)

            def forward(x: Any) -> Any:
                first = along(f, a)
                return fwd(f)(x), fwd(fwd(f))(x), fwd(first)(x), fwd(along(first, a))(x)

            plain, last = (0, 1, 2), (1, 2, 0)
            yield from both(
                "reverse", lanes, moved(plain, (0, 1, 2, 3), plain, plain), 4 * n * m * m * B
            )
            yield from both(
                "forward accumulator", forward, moved(last, (2, 3, 0, 1), last, last), 8 * n * n * B
            )
