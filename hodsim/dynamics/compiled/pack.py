"""From a body, its loads and a subspace to the flat arrays that the kernel reads."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import warp as wp

from hodsim.cubature import Cubature, Sampled
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
    cubature: Cubature | None,
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
    tets = np.arange(body.mesh.n_tets) if cubature is None else cubature.tets
    weights = np.ones(len(tets)) if cubature is None else cubature.weights
    T = padded(len(tets), dtype.itemsize)
    plan.tets, plan.ld_f = T, 9 * T
    material = body.material
    a, b = law_named(material.law).parameters(*lame(material.young, material.poisson))
    plan.G = model.put(pad(gradient_map(body, B, tets), T))
    plan.a, plan.b = model.put(np.full(T, a)), model.put(np.full(T, b))
    plan.w = model.put(pad(weights * body.mesh.volumes[tets], T))
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
        G = gradient_map(body, B, tets) * (weights * body.mesh.volumes[tets] * (a + b))
        G = G.reshape(width, -1)
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
    flat = isinstance(subspace, Linear)
    plan.F = scratch.room(1 if flat else 1 + r, plan.ld_f)
    plan.X, plan.P, plan.dP = (scratch.room(n, plan.ld_f) for n in (1, 1, r))
    plan.flag = scratch.room(1)
    layer = np.zeros((1, 9), dtype=np.int32)
    if isinstance(subspace, HoD):
        layer = _pack_network(subspace, plan, model, scratch)
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
    corners = body.mesh.tets[tets]
    x = body.mesh.vertices[corners]
    inverse = np.linalg.inv((x[:, 1:] - x[:, :1]).transpose(0, 2, 1))
    out = np.empty((basis.shape[1], 9, len(tets)))
    for f, column in enumerate(basis.T):
        u = body.expand(column)[corners]
        edges = (u[:, 1:] - u[:, :1]).transpose(0, 2, 1)
        out[f] = (edges @ inverse).reshape(-1, 9).T
    return out


@dataclass(frozen=True)
class _Floor:
    """|f_int| that rounding makes is noise (far + |u|), |u| at most swing |z|, the longest row of
    B times |z|; |B J|^2 = tr J^T gram J."""

    noise: float
    far: float
    swing: float
    gram: np.ndarray


def _floor(body: Body, B: np.ndarray, cubature: Cubature | None) -> _Floor:
    if cubature is None:
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
