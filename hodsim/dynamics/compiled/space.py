"""`CompiledSpace`: the reduced integrator as one recorded kernel launch a step."""

from __future__ import annotations

from bisect import bisect_right
from typing import Any, Final

import numpy as np
import warp as wp

from hodsim.cubature import Cubature, Polynomial
from hodsim.dynamics.applied import Applied, Spring, gravity_columns
from hodsim.dynamics.compiled.elastic import POLYNOMIAL
from hodsim.dynamics.compiled.launches import FirstBody, Launcher, device_named, threads_of
from hodsim.dynamics.compiled.pack import pack
from hodsim.dynamics.compiled.plan import PUSHED, STATUSES, STIFF
from hodsim.dynamics.compiled.step import step_kernel
from hodsim.dynamics.newton import NewtonResult
from hodsim.dynamics.schemes import Motion
from hodsim.dynamics.trajectory import State
from hodsim.errors import InputError
from hodsim.fem import Body, Loads
from hodsim.scene import NewtonSpec
from hodsim.subspaces import Subspace

DTYPES: Final[dict[str, Any]] = {"float64": wp.float64, "float32": wp.float32}


class CompiledSpace:
    """Steps a body as `ReducedSpace` does (incremental formulation), in one kernel launch a step.

    A step knows nothing of the mesh's size: elastic forces come from the tets of a cubature, and
    only their gradients are decoded. In float64 it agrees with `ReducedSpace` to rounding.

    Parameters
    ----------
    body, loads, subspace, step, integrator, newton_spec
        As for `ReducedSpace`.
    cubature
        The tets and weights that stand for the elastic forces, or their polynomial; all tets if
        None.
    dtype
        "float64" or "float32". In float32 forces within its rounding of the elastic ones (for the
        shipped beam about 1e-4 of its loads) are taken for none, and steps far below 1 ms fail.
    device
        "cpu", or "cuda" (one of several: "cuda:1"), where the step is captured in a CUDA graph.
    bodies
        How many bodies `simulate_batch` steps at once; `step` moves the first.
    block_dim
        Threads a block; unless given, 1 on the CPU and 128 on CUDA. More than one on the CPU needs
        `warp.config.enable_cpu_blocks`, and is there for tests.

    Raises
    ------
    InputError
        A parameter out of its range, a subspace or cubature of another body, no such device.
    """

    def __init__(
        self,
        body: Body,
        loads: Loads,
        subspace: Subspace,
        cubature: Cubature | Polynomial | None,
        step: float,
        integrator: str = "implicit-euler",
        newton_spec: NewtonSpec | None = None,
        dtype: str = "float64",
        device: str = "cpu",
        bodies: int = 1,
        block_dim: int | None = None,
    ) -> None:
        if integrator not in ("implicit-euler", "bdf2"):
            raise InputError(
                f"integrator: expected implicit-euler or bdf2, given {integrator!r}; choose one"
            )
        if dtype not in DTYPES:
            raise InputError(f"dtype: expected float64 or float32, given {dtype!r}; choose one")
        if not (np.isfinite(step) and step > 0.0):
            raise InputError(f"step: expected a time above 0 s, given {step}")
        if bodies < 1:
            raise InputError(f"bodies: expected at least 1, given {bodies}")
        if subspace.basis.shape[0] != body.n_dofs:
            raise InputError(
                f"subspace: expected {body.n_dofs} free degrees of freedom, as the body has; "
                f"given a subspace of {subspace.basis.shape[0]}; train one for this body"
            )
        if cubature is not None:
            cubature.check(body, subspace)
        self.body, self.subspace, self.loads, self.cubature = body, subspace, loads, cubature
        self.h, self.integrator, self.dtype, self.bodies = step, integrator, dtype, bodies
        self.spec = newton_spec or NewtonSpec()
        real, on = DTYPES[dtype], device_named(device)
        threads = threads_of(block_dim, on)
        law = POLYNOMIAL if isinstance(cubature, Polynomial) else body.material.law
        kernel = step_kernel(subspace.form, law, real, strided=on.is_cuda or threads > 1)
        packed = pack(body, loads, subspace, cubature, step, integrator, self.spec, real)
        self.launcher = Launcher(kernel, packed, real, on, threads, bodies)
        self.amplitudes_at = _Amplitudes(loads)
        self._gravity: np.ndarray | None = None
        self._scratch = self.launcher.scratch(1)
        self._one = self.launcher.record(self.launcher.output(1), 1, self._scratch)
        self._first = FirstBody(self.launcher, self._one.out)
        self._last: State | None = None
        # The forces that the user applies, by body.
        self.applied: dict[int, tuple[np.ndarray, np.ndarray]] = {}

    # ------------------------------------------------------------------------------ user's loads
    def spring(
        self, vertex: int, target: np.ndarray, stiffness: float
    ) -> tuple[np.ndarray, np.ndarray]:
        """(p, G) of a spring of `stiffness` [N/m] from a vertex to a point `target` [m], (3,).

        Its force on the features is p + G z, of energy stiffness/2 |x_vertex - target|^2. Raises
        `InputError` for a clamped vertex or one that is not there.
        """
        x, y, z = np.asarray(target, dtype=np.float64)
        return Spring(vertex, (x, y, z), stiffness).reduce(self.body, self.subspace.basis)

    def gravity(self, acceleration: np.ndarray) -> np.ndarray:
        """p (w,) of gravity along `acceleration` [m/s^2], (3,), on top of what the scene has."""
        x, y, z = np.asarray(acceleration, dtype=np.float64)
        return np.asarray(self._columns() @ np.array(Applied(gravity=(x, y, z)).gravity))

    def _columns(self) -> np.ndarray:
        if self._gravity is None:
            self._gravity = np.asarray(self.subspace.basis.T @ gravity_columns(self.body))
        return self._gravity

    def apply(
        self, p: np.ndarray | None = None, G: np.ndarray | None = None, which: int = 0
    ) -> None:
        """From the next step on, a force p + G z on the features of one body, besides the scene's
        loads; p (w,), G (w, w), none unless given. It replaces the one applied before."""
        w = self.launcher.plan.width
        p = np.zeros(w) if p is None else np.asarray(p, dtype=np.float64)
        G = np.zeros((w, w)) if G is None else np.asarray(G, dtype=np.float64)
        if p.shape != (w,) or G.shape != (w, w):
            raise InputError(
                f"apply: expected p ({w},) and G ({w}, {w}), given {p.shape} and {G.shape}"
            )
        if not 0 <= which < self.bodies:
            raise InputError(f"apply: expected a body from 0 to {self.bodies - 1}, given {which}")
        if not (np.isfinite(p).all() and np.isfinite(G).all()):
            raise InputError("apply: expected finite p and G, given NaN or inf; check the target")
        self.applied[which] = p, G
        owned, put = self.launcher.owned, self.launcher.put
        put(owned.push, which, p)
        put(owned.pull, which, G.ravel())
        put(owned.pulls, which, STIFF if G.any() else PUSHED if p.any() else 0)

    def apply_input(self, applied: Applied) -> None:
        """From the next step on, what a user applies to the first body; replaces the one before."""
        self.apply(*applied.reduce(self.body, self.subspace.basis, self._columns()))

    def copy_applied(self, other: CompiledSpace) -> None:
        """Apply to another space what is applied to this one."""
        for which, (p, G) in self.applied.items():
            other.apply(p, G, which)

    # ------------------------------------------------------------------------------------- steps
    def start(self, q: np.ndarray | None = None, v: np.ndarray | None = None) -> State:
        """The state at t = 0: latent coordinates q and rates q' [1/s], rest unless given."""
        zero = np.zeros(self.subspace.rank)
        q, v = zero if q is None else q.copy(), zero if v is None else v.copy()
        at = self.subspace.lanes(q)
        z, dz = at.z, at.J @ v
        return State(0.0, Motion(q, v), z, dz, Motion(z, dz))

    def step(self, state: State) -> tuple[State, NewtonResult]:
        """One step; the result says whether it converged. One that did not returns the state that
        it was given, which is left as it was."""
        first = self._first
        fresh = state is not self._last
        if fresh:
            self._put(state)
            self.launcher.owned.scales.fill_(1.0)  # a batch may have scaled the loads
        t = state.t + self.h
        first.amplitudes[:] = self.amplitudes_at(t)
        first.send(fresh)
        self._one.launch()
        first.fetch()
        status, taken = STATUSES[first.status[0, 0]], int(first.iterations[0, 0])
        residuals = tuple(first.residuals[0, : taken + 1].tolist())
        lengths = tuple(first.lengths[0, :taken].tolist())
        row = first.state[0].astype(np.float64)
        q, v, q_before, v_before, z, dz, z_before, dz_before = [
            row[place] for place in self.launcher.places
        ]
        result = NewtonResult(q, status, taken, residuals, lengths)
        if status != "converged":
            return state, result
        self._last = State(
            t, Motion(q, v, q_before, v_before), z, dz, Motion(z, dz, z_before, dz_before)
        )
        return self._last, result

    def tangent(self) -> np.ndarray:
        """J = dz/dq (w, r) where the last step ended, if it converged."""
        plan = self.launcher.plan
        rows = self._scratch.numpy()[0, plan.Z + plan.ld_z :][: plan.rank * plan.ld_z]
        J = rows.reshape(plan.rank, plan.ld_z)[:, : plan.width].T
        return np.asarray(J, dtype=np.float64)

    def _put(self, state: State) -> None:
        """Make the state that of the first body."""
        features = state.features or Motion(state.z, state.dz)
        motion, first = state.motion, self._first
        parts = (
            *(motion.x, motion.v, motion.x_before, motion.v_before),
            *(features.x, features.v, features.x_before, features.v_before),
        )
        for place, part in zip(self.launcher.places, parts, strict=True):
            first.state[0, place] = 0.0 if part is None else part
        first.started[0] = motion.v_before is not None

    def begin(self, q: np.ndarray, v: np.ndarray, scales: np.ndarray) -> None:
        """Make q and v (bodies, r) those of all, for a fresh launch, and scales (bodies, n) what
        their loads' amplitudes are multiplied by."""
        owned, places = self.launcher.owned, self.launcher.places
        state = np.zeros(owned.state.shape, dtype=self.dtype)
        state[:, places[0]], state[:, places[1]] = q, v
        owned.state.assign(state)
        if scales.size:
            owned.scales.assign(scales.astype(self.dtype))
        self._last = None


class _Amplitudes:
    """All amplitudes as one piecewise linear function of time: `Loads.amplitudes`, faster."""

    def __init__(self, loads: Loads) -> None:
        self._times = sorted({t for load in loads.loads for t in load.times}) or [0.0]
        self._values = np.array([loads.amplitudes(t) for t in self._times])
        self._slopes = np.diff(self._values, axis=0) / np.diff(self._times)[:, None]

    def __call__(self, t: float) -> np.ndarray:
        k = bisect_right(self._times, t) - 1
        if k < 0:
            return np.asarray(self._values[0])
        if k == len(self._slopes):
            return np.asarray(self._values[-1])
        return np.asarray(self._values[k] + (t - self._times[k]) * self._slopes[k])
