"""A reduced body that goes back to full space where its subspace is out of its depth, and returns.

A subspace knows poses like those of its training. `Guarded` looks at each of its steps: one that
does not converge, that ends outside the training range, or that gains energy which nothing gave it
(another root of the step's equations than the one that continues the motion) is thrown away and
taken in full space, from the same displacements and velocities. From there the body returns as
soon as the subspace holds its pose and velocity again.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any, Final

import numpy as np
import scipy.linalg

from hodsim.dynamics.newton import NewtonResult
from hodsim.dynamics.schemes import Motion
from hodsim.dynamics.setup import Setup
from hodsim.dynamics.trajectory import State
from hodsim.errors import InputError
from hodsim.fem import Body, Loads
from hodsim.subspaces import Reach, Subspace

# It returns well inside the range, and not before so many steps: else it would go to and fro.
_INSIDE: Final = 0.9
_LEAST: Final = 5
# What a return may drop: RMS displacement over the body's largest extent, and kinetic energy over
# all the energy there is.
_APART: Final = 1e-3
_SLOWED: Final = 0.01
_ITERATIONS: Final = 20


@dataclass(frozen=True)
class GuardedState(State):
    """A state in full-space coordinates.

    Attributes
    ----------
    inner
        The same state, of the subspace where `why` is empty, else of full space.
    why
        Why the body is in full space; empty in the subspace.
    steps
        Taken there since it came, in full space.
    """

    inner: State | None = None
    why: str = ""
    steps: int = 0


class Guarded:
    """Steps a body in a subspace, and in full space where that will not do.

    Its states are those of full space: a trajectory of it has no basis. In the subspace a step of
    it costs a decoded mesh and, with `gain`, its elastic energy, besides. `whys` says of each step
    since the start why it was taken in full space, and is empty of those in the subspace.

    Parameters
    ----------
    reduced, full
        The two integrators of one scene and step: see `setup_of`.
    body, loads
        What moves and what moves it.
    reach
        The training range; None if it is not known, and then not looked at.
    limit
        How far outside of it a pose may be, 1 being its edge: see `Reach.measure`.
    gain
        Largest energy a step may gain beyond the work of loads and obstacles, over the body's
        energy and that work; infinite for none looked at.

    Raises
    ------
    InputError
        A limit or gain of 0 or less, or integrators of two steps.
    """

    def __init__(
        self,
        reduced: Setup,
        full: Setup,
        body: Body,
        loads: Loads,
        reach: Reach | None,
        limit: float = 1.0,
        gain: float = 0.05,
    ) -> None:
        for name, value in (("limit", limit), ("gain", gain)):
            if not value > 0.0:
                raise InputError(f"{name}: expected a number above 0, given {value}")
        if reduced.subspace is None or reduced.integrator.h != full.integrator.h:
            raise InputError("guard: expected a subspace and full space of one time step")
        self.reduced, self.full, self.h = reduced.integrator, full.integrator, full.integrator.h
        self.body, self.loads = body, loads
        self.reach, self.limit, self.gain = reach, limit, gain
        self.whys: list[str] = []
        self._known: tuple[State | None, float] = None, 0.0
        self._back = _Return(body, reduced.subspace)

    @property
    def reasons(self) -> list[str]:
        """Why the body left the subspace, each reason once."""
        left = [why for before, why in pairwise(["", *self.whys]) if why and not before]
        return list(dict.fromkeys(left))

    def start(self) -> GuardedState:
        self.whys = []
        return self._shown(self.reduced.start())

    def step(self, state: State) -> tuple[State, NewtonResult]:
        """One step, in whichever space will do it; the state is a `GuardedState`."""
        why, after, result = self._step(state)
        self.whys.append(why)
        return after, result

    def _step(self, state: State) -> tuple[str, State, NewtonResult]:
        # A state that was made elsewhere (held, say) is one of full space.
        here = state if isinstance(state, GuardedState) else GuardedState(**vars(state), why="held")
        tried = 0  # iterations of a step that is thrown away
        if not here.why:
            assert here.inner is not None
            after, result = self.reduced.step(here.inner)
            shown = self._shown(after)
            why = self._why_not(here, shown, after, result)
            if not why:
                return "", shown, result
            here = replace(here, inner=None, why=why)
            tried = result.iterations
        start = here.inner or State(here.t, Motion(here.z, here.dz), here.z, here.dz)
        after, result = self.full.step(start)
        result = replace(result, iterations=tried + result.iterations)
        steps = here.steps + 1
        shown = GuardedState(**vars(after), inner=after, why=here.why, steps=steps)
        if result.converged and steps >= _LEAST:
            back = self._returned(after)
            shown = shown if back is None else self._shown(back)
        return here.why, shown, result

    def _shown(self, inner: State) -> GuardedState:
        B = self._back.subspace.basis
        u, v = B @ inner.z, B @ inner.dz
        return GuardedState(inner.t, Motion(u, v), u, v, inner=inner)

    def _why_not(
        self, before: GuardedState, shown: GuardedState, after: State, result: NewtonResult
    ) -> str:
        """Why a step in the subspace will not do; empty where it will."""
        if not result.converged:
            return result.status
        far = 0.0 if self.reach is None else self.reach.measure(after.motion.x)
        if not far <= self.limit:
            return f"outside the training range (x {far:.2f})"
        if math.isfinite(self.gain):
            gained = self._gain(before, shown)
            if not gained <= self.gain:
                return f"energy from nowhere ({100.0 * gained:.0f} %)"
        return ""

    def _gain(self, before: State, after: State) -> float:
        """Energy gained beyond the work done in a step, over the energy and work there are.

        An implicit Euler step loses energy where the elastic energy is convex, its work reckoned by
        the forces at its end. BDF2 lags behind loads that fall, so that what the forces of the
        step's start would do is allowed, too.
        """
        body, du = self.body, after.z - before.z
        was, now = self._energy(before), self._energy(after)
        noise = body.force_noise(after.z) * float(np.linalg.norm(du))
        work = max(float(self._force(state) @ du) for state in (before, after))
        return (now - was - work - noise) / max(now + abs(work) + noise, np.finfo(float).tiny)

    def _energy(self, state: State) -> float:
        """Elastic and kinetic energy [J]; the last state's is kept for the next step."""
        if self._known[0] is not state:
            energy = self.body.energy(state.z) + self.body.kinetic_energy(state.dz)
            self._known = state, energy
        return self._known[1]

    def _force(self, state: State) -> np.ndarray:
        """All forces on the body [N] but its own."""
        force = self.loads.force(self.loads.amplitudes(state.t), state.z)
        whole = self.full.whole
        if whole.applied is not None:
            force = force + whole.applied[0] - whole.applied[1] * state.z
        if whole.contact is not None:
            force = force + whole.contact.force(state.z, state.dz)
        return np.asarray(force)

    def _returned(self, state: State) -> State | None:
        """The state in the subspace, or None where that would drop too much of it."""
        q, z, dz = self._back.nearest(state.z, state.dz)
        if self.reach is not None and not self.reach.measure(q) <= _INSIDE * self.limit:
            return None
        if self._back.apart(state.z, z) > _APART:
            return None
        lost = state.dz - self._back.subspace.basis @ dz
        slowed = self.body.kinetic_energy(lost)
        if slowed > _SLOWED * self._energy(state):
            return None
        begun = self.reduced.whole.start(q, self._back.rates(q, dz))
        # Rates stay as they are in the features: the manifold's tangent does not hold them all.
        features = None if begun.features is None else Motion(begun.z, dz)
        return replace(begun, t=state.t, dz=dz if features else begun.dz, features=features)


class _Return:
    """The pose of a subspace nearest to a displacement, in the norm of the mass."""

    def __init__(self, body: Body, subspace: Subspace) -> None:
        self.body, self.subspace = body, subspace
        B = subspace.basis
        self._forward = (body.mass @ B).T
        self._mass = self._forward @ B
        self._factor: Any = scipy.linalg.cho_factor(self._mass)
        ones = np.ones(body.n_dofs)
        self._total = float(ones @ (body.mass @ ones))
        self._extent = float(np.ptp(body.mesh.vertices, axis=0).max())

    def nearest(self, u: np.ndarray, v: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """q, z(q) and the features' rates dz, of displacements u and velocities v (n_dofs,)."""
        wanted, dz = (scipy.linalg.cho_solve(self._factor, self._forward @ x) for x in (u, v))
        q = self.subspace.encode(u)
        for _ in range(_ITERATIONS):
            at = self.subspace.lanes(q)
            MJ = self._mass @ at.J
            step = np.linalg.lstsq(at.J.T @ MJ, MJ.T @ (wanted - at.z), rcond=None)[0]
            q = q + step
            if np.linalg.norm(step) <= 1e-10 * np.linalg.norm(q):
                break
        return q, self.subspace.features(q), dz

    def rates(self, q: np.ndarray, dz: np.ndarray) -> np.ndarray:
        """q' whose J q' is nearest to dz."""
        J = self.subspace.lanes(q).J
        MJ = self._mass @ J
        return np.asarray(np.linalg.lstsq(J.T @ MJ, MJ.T @ dz, rcond=None)[0])

    def apart(self, u: np.ndarray, z: np.ndarray) -> float:
        """RMS distance by mass between u and B z, over the body's largest extent."""
        off = u - self.subspace.basis @ z
        return math.sqrt(max(0.0, float(off @ (self.body.mass @ off))) / self._total) / self._extent
