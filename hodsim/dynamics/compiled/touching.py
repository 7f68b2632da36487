"""Obstacles in the compiled step: contact made linear, launch by launch."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Final

import numpy as np

from hodsim.dynamics.applied import Applied
from hodsim.dynamics.compiled.space import CompiledSpace
from hodsim.dynamics.contact import SAMPLE, ReducedContact
from hodsim.dynamics.newton import NewtonResult
from hodsim.dynamics.reduced import ReducedSpace
from hodsim.dynamics.schemes import Motion, rates
from hodsim.dynamics.trajectory import State
from hodsim.scene import Obstacle

# Launches a step before it is left to `ReducedSpace`; away from obstacles it takes one.
_LAUNCHES: Final = 10


class TouchingSpace:
    """A `CompiledSpace` with obstacles in the way of its first body; steps as `ReducedSpace` does.

    The kernel knows of forces p + G z. So each launch solves a step with contact made linear about
    where the launch before it ended: Newton's method on contact around the kernel's on all else. A
    step that is not solved so (ten launches, or two that brought it no nearer) is taken by
    `ReducedSpace` from its start, and counted in `left`.

    Parameters
    ----------
    space
        What steps; its own `apply` is taken over.
    obstacles, contact_points
        As for `ReducedSpace`.
    reference
        Makes the `ReducedSpace` of the same body, loads, subspace, cubature, step and obstacles;
        called at the first step that needs it.
    """

    def __init__(
        self,
        space: CompiledSpace,
        obstacles: tuple[Obstacle, ...],
        reference: Callable[[], ReducedSpace],
        contact_points: int | None = SAMPLE,
    ) -> None:
        self.space, self.body, self.subspace = space, space.body, space.subspace
        self.contact = ReducedContact(space.body, obstacles, space.subspace.basis, contact_points)
        self.left, self._make = 0, reference
        self._reference: ReducedSpace | None = None
        self.apply_input(Applied())

    @property
    def h(self) -> float:
        return self.space.h

    def start(self, q: np.ndarray | None = None, v: np.ndarray | None = None) -> State:
        """The state at t = 0: latent coordinates q and rates q' [1/s], rest unless given."""
        return self.space.start(q, v)

    def apply_input(self, applied: Applied) -> None:
        """From the next step on, what a user applies besides the scene's loads."""
        self.space.apply_input(applied)
        self._applied, self._user = applied, self.space.applied[0]

    def copy_applied(self, other: TouchingSpace) -> None:
        """Apply to another space what is applied to this one."""
        other.apply_input(self._applied)

    def step(self, state: State) -> tuple[State, NewtonResult]:
        """One step; the result counts the iterations of all launches. One that did not converge
        returns the state that it was given, or what `ReducedSpace` returns."""
        space, contact = self.space, self.contact
        features = state.features or Motion(state.z, state.dz)
        scheme = rates(space.integrator, features, space.h)
        z = features.ahead(space.h)
        touch = contact.at(z, scheme.first(z))
        taken, stalls, before = 0, 0, np.inf
        for _ in range(_LAUNCHES):
            p, G = touch.affine(scheme.c)
            space.apply(self._user[0] + p, self._user[1] + G)
            after, result = space.step(state)
            taken += result.iterations
            if not result.converged:
                break
            touch = contact.at(after.z, after.dz)
            # How far contact is from what the launch took it for.
            off = touch.force - p - G @ after.z
            if not off.any():
                return after, replace(result, iterations=taken)
            J = space.tangent()
            size = float(np.linalg.norm(J.T @ off))
            allowed = space.spec.tolerance * float(np.linalg.norm(J.T @ touch.force))
            if size <= max(allowed, touch.noise(J, scheme.c)):
                return after, replace(result, iterations=taken)
            # Friction that turns round within the step can make whole steps go to and fro: only a
            # line search ends that, and `ReducedSpace` has one.
            stalls += size > 0.5 * before
            if stalls == 2:
                break
            before = size
        return self._leave(state, taken)

    def _leave(self, state: State, taken: int) -> tuple[State, NewtonResult]:
        self.left += 1
        if self._reference is None:
            self._reference = self._make()
        self._reference.apply_input(self._applied)
        after, result = self._reference.step(state)
        return after, replace(result, iterations=taken + result.iterations)
