"""From a body, its loads and a subspace to the flat arrays that the kernel reads."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import warp as wp

from hodsim.cubature import Cubature, Polynomial, Sampled, gradients
from hodsim.dynamics.compiled.plan import Store, on_device, pad, plan_type
from hodsim.errors import InputError
from hodsim.fem import Body, Loads
from hodsim.kernels.block import ELU, SILU, SOFTPLUS, TANH, padded
from hodsim.materials import lame, law_named
from hodsim.scene import NewtonSpec
from hodsim.subspaces import HoD, Linear, Quadratic, Subspace

# How many units in the last place a tet's stress and z are off in float32, for the stopping rule
# alone. Measured on the scenes of apps/: |g| stalls at 1/50 to 1/5 of this floor; with a fifth of
# it one step in a hundred finds no direction any more.
_STRESS, _INERTIA, _STALLED = 1.0, 2.0, 8.0
_CODES = {"elu": ELU, "silu": SILU, "tanh": TANH, "softplus": SOFTPLUS}


@dataclass(frozen=True)
class Packed:
    """A plan without its device arrays, what those hold, and one body's row of scratch at start."""

    plan: Any
    model: np.ndarray
    layer: np.ndarray
    turns: np.ndarray
    scratch: np.ndarray

    def on(self, device: Any, real: Any) -> Any:
        """The plan with its arrays on a device."""
        self.plan.model = on_device(self.model, real, device)
        self.plan.layer = on_device(self.layer, wp.int32, device)
        self.plan.turns = on_device(self.turns, wp.int32, device)
        return self.plan


def pack(
    body: Body,
    loads: Loads,
    subspace: Subspace,
    cubature: Cubature | Polynomial | None,
    h: float,
    integrator: str,
    spec: NewtonSpec,
    real: Any,
) -> Packed:
    """Everything in its place. Raises `InputError` for a subspace of a form that has no kernel."""
    dtype = np.dtype(wp.dtype_to_numpy(real))
    B = subspace.basis
    r, width = subspace.rank, B.shape[1]
    plan = plan_type(real)()
    model, scratch = Store(dtype), Store(dtype)
    plan.rank, plan.width = r, width
    plan.ld_q, plan.ld_z = (padded(n, dtype.itemsize) for n in (r, width))
    plan.bdf2, plan.max_iterations = int(integrator == "bdf2"), spec.max_iterations
    plan.h, plan.tolerance, plan.eps = h, spec.tolerance, float(np.finfo(dtype).eps)

    # -------------------------------------------------------------------------------- elasticity
    places: list[int] = []
    if isinstance(cubature, Polynomial):
        places = _pack_polynomial(cubature, plan, model, scratch)
    else:
        _pack_tets(body, subspace, cubature, plan, model, scratch)
    # ----------------------------------------------------------------------------------- inertia
    mass, damping = B.T @ (body.mass @ B), B.T @ (body.damping @ B)
    plan.mass, plan.damping = model.rows(mass.T), model.rows(damping.T)
    rates = np.array([1.0, 1.5]) / h
    effective = [(c * c * mass + c * damping).T for c in rates]
    plan.effective = model.put(pad(np.array(effective), plan.ld_z))

    # ------------------------------------------------------------- what rounding can make of |g|
    if dtype == np.float64:
        # That of `ReducedSpace`, though |u| is bounded here (swing |z|), not measured.
        floor = _floor(body, B, cubature)
        plan.noise, plan.far, plan.swing = floor.noise, floor.far, floor.swing
        plan.gram, plan.stalled = model.rows(floor.gram), 1.0
    else:
        # Here F = 1 + G z is rounded, not a position: each tet's stress by about eps (a + b). And
        # the second difference of z loses the digits of z.
        tets, weights = _tets_of(body, cubature)
        scale = weights * body.mesh.volumes[tets] * sum(_constants(body))
        G = (gradient_map(body, B, tets) * scale).reshape(width, -1)
        plan.noise, plan.far, plan.swing = _STRESS * plan.eps, 1.0, 0.0
        plan.gram, plan.stalled = model.rows(G @ G.T), _STALLED
        plan.mass_noise = _INERTIA * plan.eps * float(rates.max()) ** 2 / float(np.sqrt(width))
        plan.mass_gram = model.rows(mass @ mass)

    # ------------------------------------------------------------------------------------- loads
    reduced = loads.reduce(B)
    columns, stiff = reduced.columns.T, reduced.stiff.transpose(0, 2, 1)
    turns = np.flatnonzero(stiff.any(axis=(1, 2))).astype(np.int32)
    plan.amplitudes, plan.turning = len(columns), len(turns)
    plan.columns = model.rows(columns)
    plan.stiff = model.put(pad(stiff[turns], plan.ld_z))

    # ------------------------------------------------------------------------------------- lanes
    plan.q, plan.x, plan.d, plan.ahead, plan.g = (scratch.room(r) for _ in range(5))
    plan.Z = scratch.room(1 + r, plan.ld_z)
    plan.alpha, plan.beta, plan.R, plan.load = (scratch.room(width) for _ in range(4))
    plan.past = scratch.room(2, plan.ld_z)
    plan.dz, plan.forces = scratch.room(2, plan.ld_z), scratch.room(4, plan.ld_z)
    plan.parts = scratch.room(4, r)
    plan.A, plan.H, plan.LU = (scratch.room(r, r) for _ in range(3))
    plan.s = scratch.room(plan.amplitudes + plan.turning)
    plan.turn, plan.Y = scratch.room(width, plan.ld_z), scratch.room(r, plan.ld_z)
    plan.flag = scratch.room(1)
    layer = np.array([places], dtype=np.int32) if places else np.zeros((1, 9), dtype=np.int32)
    if isinstance(subspace, HoD):
        layer = np.vstack([_pack_network(subspace, plan, model, scratch), layer])
    elif isinstance(subspace, (Linear, Quadratic)):
        for i in range(r):
            scratch.fill(plan.Z + (1 + i) * plan.ld_z + i, np.ones(1))
    else:
        raise InputError(
            "subspace: expected a network, a quadratic or a linear one for a compiled step, given "
            f"{subspace.kind}; use ReducedSpace"
        )
    turns = turns if len(turns) else np.zeros(1, np.int32)
    return Packed(plan, model.flat(), layer, turns, scratch.flat())


def gradient_map(body: Body, basis: np.ndarray, tets: np.ndarray) -> np.ndarray:
    """G (w, 9, k): the displacement's gradient in tet e is the sum over f of G[f, :, e] z_f."""
    G = gradients(body, basis, tets)
    return np.ascontiguousarray(G.reshape(*G.shape[:2], 9).transpose(0, 2, 1))


def _tets_of(body: Body, scheme: Cubature | Polynomial | None) -> tuple[np.ndarray, np.ndarray]:
    """The tets that a scheme evaluates, and their weights; of a polynomial, those it is made of."""
    if isinstance(scheme, Cubature):
        return scheme.tets, scheme.weights
    return np.arange(body.mesh.n_tets), np.ones(body.mesh.n_tets)


def _constants(body: Body) -> tuple[float, float]:
    material = body.material
    return law_named(material.law).parameters(*lame(material.young, material.poisson))


def _pack_tets(
    body: Body,
    subspace: Subspace,
    cubature: Cubature | None,
    plan: Any,
    model: Store,
    scratch: Store,
) -> None:
    tets, weights = _tets_of(body, cubature)
    r = subspace.rank
    T = padded(len(tets), model.dtype.itemsize)
    plan.tets, plan.ld_f = T, 9 * T
    a, b = _constants(body)
    plan.G = model.put(pad(gradient_map(body, subspace.basis, tets), T))
    plan.a, plan.b = model.put(np.full(T, a)), model.put(np.full(T, b))
    plan.w = model.put(pad(weights * body.mesh.volumes[tets], T))
    # z = q in a linear subspace, whose gradients of J are G itself.
    plan.F = scratch.room(1 if isinstance(subspace, Linear) else 1 + r, plan.ld_f)
    plan.X, plan.P, plan.dP = (scratch.room(n, plan.ld_f) for n in (1, 1, r))


def _pack_polynomial(polynomial: Polynomial, plan: Any, model: Store, scratch: Store) -> list[int]:
    """Its row of `Plan.layer`."""
    C, Q = polynomial.slopes
    ld = padded(len(Q), model.dtype.itemsize)
    constants = [model.put(polynomial.quadratic), model.rows(C.T), model.rows(Q.T)]
    rooms = [scratch.room(ld), scratch.room(2, ld), scratch.room(plan.width, plan.ld_z)]
    return [len(Q), ld, *constants, *rooms, 0]


@dataclass(frozen=True)
class _Floor:
    """|f_int| that rounding makes is noise (far + |u|), |u| at most swing |z|, the longest row of
    B times |z|; |B J|^2 = tr J^T gram J."""

    noise: float
    far: float
    swing: float
    gram: np.ndarray


def _floor(body: Body, B: np.ndarray, cubature: Cubature | Polynomial | None) -> _Floor:
    if not isinstance(cubature, Cubature):
        swing = float(np.linalg.norm(B, axis=1).max())
        return _Floor(body.rounding, float(np.abs(body.mesh.vertices).max()), swing, B.T @ B)
    sampled = Sampled(body, B, cubature)
    swing = float(np.linalg.norm(sampled.basis, axis=1).max())
    return _Floor(sampled.rounding, sampled.far, swing, sampled.gram)


def _pack_network(subspace: HoD, plan: Any, model: Store, scratch: Store) -> np.ndarray:
    """Weights as rows of inputs, and room for every layer's lanes; returns `Plan.layer`."""
    decoder, shape = subspace.network.decoder, subspace.network.shape
    r, size = shape.rank, model.dtype.itemsize
    linears = [m for m in decoder.hidden if isinstance(m, torch.nn.Linear)]
    plan.layers, plan.code = len(linears), _CODES[shape.activation]
    last = padded(linears[-1].out_features, size)
    plan.ld_top = plan.ld_q + last
    plan.top = scratch.room(1 + r, plan.ld_top)
    plan.T = scratch.room(r, max(padded(m.out_features, size) for m in linears))
    rows = []
    for m in linears:
        weight, n = m.weight.numpy().T, m.out_features
        ld = padded(n, size)
        W, bias = model.rows(weight), model.put(pad(m.bias.numpy(), ld))
        Y = scratch.room(1 + r, ld)
        H = plan.top + plan.ld_q if m is linears[-1] else scratch.room(1 + r, ld)
        rows.append([n, ld, W, bias, Y, H, *(scratch.room(ld) for _ in range(3))])
    first = rows[0]
    scratch.fill(first[4] + first[1], pad(linears[0].weight.numpy().T, first[1]))
    for i in range(r):
        scratch.fill(plan.top + (1 + i) * plan.ld_top + i, np.ones(1))
    n = shape.decoder[-1]
    hidden, skip = np.split(decoder.mix.weight.numpy().T, [n])
    plan.mix = model.rows(np.vstack([pad(skip.T, plan.ld_q).T, hidden]))
    plan.rest = model.put(decoder.rest().detach().numpy())
    return np.array(rows, dtype=np.int32)
