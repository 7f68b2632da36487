"""The same reduced step by jax.jit: J by jacfwd, the scalar Hessian of R.z, Newton in while_loop.

Left out, in jax's favour: line search, fallback directions, other first guesses, the rounding floor
of |g| and loads that turn. None of them is used on the benchmark's scene.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import product
from typing import Any, Final

import jax
import jax.numpy as jnp
import numpy as np
import torch
from jax import lax

from hodsim.dynamics import State
from hodsim.dynamics.compiled import CompiledSpace
from hodsim.dynamics.compiled.pack import gradient_map
from hodsim.materials import lame, law_named

jax.config.update("jax_enable_x64", True)

HESSIANS: Final = {"forward over reverse": False, "forward over forward": True}
# Where J comes from: with the value, in one pass at every q, or where the matrix is wanted.
JACOBIANS: Final = {"J with z": True, "J for the matrix": False}
SOLVES: Final = ("lu", "cholesky")


@dataclass(frozen=True)
class JaxStep:
    """One variant. `step(y, s)` and `steps(y, all_s)` give the state after, and iterations.

    A state y is (q, v, v_before, started, z, dz); s are the loads' amplitudes.
    """

    name: str
    step: Callable[[Any, Any], Any]
    steps: Callable[[Any, Any], Any]


def variants(space: CompiledSpace, quick: bool) -> Iterator[JaxStep]:
    """Every sensible way to write it; two of them if `quick`. For HoD, neo-Hookean, Euler."""
    choices = list(product(HESSIANS, JACOBIANS, SOLVES))
    for hessian, jacobian, solve in choices[:1] if quick else choices:
        one = _step(space, HESSIANS[hessian], JACOBIANS[jacobian], solve)
        several = jax.jit(lambda y, s, one=one: lax.scan(one, y, s))
        yield JaxStep(f"{hessian}, {jacobian}, {solve}", jax.jit(one), several)


def state_of(state: State) -> Any:
    """A state of the integrator as jax's."""
    m = state.motion
    before = np.zeros_like(m.v) if m.v_before is None else m.v_before
    parts = (m.x, m.v, before, m.v_before is not None, state.z, state.dz)
    return tuple(jnp.asarray(x) for x in parts)


def _stress(F: Any, a: float, b: float) -> Any:
    """P (3, 3, k) of the stable neo-Hookean law, as `hodsim.materials.neo_hookean` has it."""
    cross = lambda x, y: jnp.stack(  # noqa: E731
        [x[1] * y[2] - x[2] * y[1], x[2] * y[0] - x[0] * y[2], x[0] * y[1] - x[1] * y[0]]
    )
    f0, f1, f2 = F[:, 0], F[:, 1], F[:, 2]
    C = jnp.stack([cross(f1, f2), cross(f2, f0), cross(f0, f1)], axis=1)
    J = (f0 * C[:, 0]).sum(axis=0)
    I = (F * F).sum(axis=(0, 1))  # noqa: E741
    return a * (1.0 - 1.0 / (I + 1.0)) * F + b * (J - 1.0 - 0.75 * a / b) * C


def _step(space: CompiledSpace, forwards: bool, together: bool, solve: str) -> Any:
    body, subspace, h, spec = space.body, space.subspace, space.h, space.spec
    decoder = subspace.network.decoder  # type: ignore[attr-defined]
    layers = [
        (jnp.asarray(m.weight.numpy().T), jnp.asarray(m.bias.numpy()))
        for m in decoder.hidden
        if isinstance(m, torch.nn.Linear)
    ]
    mix, rest = jnp.asarray(decoder.mix.weight.numpy().T), jnp.asarray(decoder.rest().numpy())
    B = subspace.basis
    M, C = (jnp.asarray(B.T @ (A @ B)) for A in (body.mass, body.damping))
    columns = jnp.asarray(space.loads.reduce(B).columns)
    tets, weights = space.cubature.tets, space.cubature.weights
    G = gradient_map(body, B, tets)
    w, k, r = len(G), len(tets), subspace.rank
    G = jnp.asarray(G.reshape(w, 9 * k))
    volume = jnp.asarray(weights * body.mesh.volumes[tets])
    material = body.material
    a, b = law_named(material.law).parameters(*lame(material.young, material.poisson))
    eye = jnp.eye(3)[:, :, None]
    c = 1.0 / h
    effective = c * c * M + c * C

    def features(q: Any) -> Any:
        x = q
        for W, bias in layers:
            x = jax.nn.silu(x @ W + bias)
        return jnp.concatenate([x - rest, q]) @ mix

    def value_and_jacobian(q: Any) -> Any:
        def twice(x: Any) -> Any:
            z = features(x)
            return z, z

        J, z = jax.jacfwd(twice, has_aux=True)(q)
        return z, J

    def pressed(F: Any) -> Any:
        return volume * _stress(F, a, b)

    def forces_of(z: Any, past: Any, load: Any) -> Any:
        z_n, dz_n = past
        dz = c * (z - z_n)
        F = (z @ G).reshape(3, 3, k) + eye
        P = pressed(F).reshape(9 * k)
        return F, jnp.stack([M @ (c * (dz - dz_n)), C @ dz, G @ P, -load])

    def at(q: Any, past: Any, load: Any) -> Any:
        """z, J (or nothing), F, R, g and what |g| is measured by."""
        if together:
            z, J = value_and_jacobian(q)
            F, forces = forces_of(z, past, load)
            parts = forces @ J
        else:
            z, back = jax.vjp(features, q)
            J = jnp.zeros((0, 0))
            F, forces = forces_of(z, past, load)
            parts = jax.vmap(lambda f: back(f)[0])(forces)
        scale = jnp.sqrt((parts * parts).sum(axis=1)).sum()
        return z, J, F, forces.sum(axis=0), parts.sum(axis=0), scale

    def matrix(q: Any, J: Any, F: Any, R: Any) -> Any:
        if not together:
            J = jax.jacfwd(features)(q)
        dF = J.T @ G
        push = lambda d: jax.jvp(pressed, (F,), (d.reshape(3, 3, k),))[1].reshape(9 * k)  # noqa: E731
        work = lambda x: R @ features(x)  # noqa: E731
        H = jax.jacfwd(jax.jacfwd(work) if forwards else jax.grad(work))(q)
        return J.T @ effective @ J + dF @ jax.vmap(push)(dF).T + H

    def solved(A: Any, g: Any) -> Any:
        if solve == "cholesky":
            return jax.scipy.linalg.cho_solve(jax.scipy.linalg.cho_factor(A), g)
        return jnp.linalg.solve(A, g)

    def one(y: Any, s: Any) -> Any:
        q, v, v_before, started, z_n, dz_n = y
        past, load = (z_n, dz_n), columns @ s
        guess = q + h * v + jnp.where(started, h * (v - v_before), 0.0)

        def going(carry: Any) -> Any:
            taken, _, (*_, g, scale) = carry
            size = jnp.sqrt(g @ g)
            return (size > spec.tolerance * scale) & (taken < spec.max_iterations)

        def iterate(carry: Any) -> Any:
            taken, x, (_, J, F, R, g, _) = carry
            x = x - solved(matrix(x, J, F, R), g)
            return taken + 1, x, at(x, past, load)

        taken, x, (z, *_) = lax.while_loop(going, iterate, (0, guess, at(guess, past, load)))
        after = (x, c * (x - q), v, jnp.asarray(True), z, c * (z - z_n))
        return after, (x, taken)

    assert r == subspace.rank
    return one
