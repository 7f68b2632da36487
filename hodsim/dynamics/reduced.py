"""The reduced integrator, in the words of its formulas (METHOD section 3; paper Eq. 12).

u = B z(q). The residual lives in the w features, R = M_w z'' + C_w z' + B^T f_int(B z) - f_w with
M_w = B^T M B computed once (and - B^T f_contact, where there are obstacles); virtual work on the
manifold is g(q) = J^T R = 0, J = dz/dq.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np
import scipy.linalg

from hodsim.cubature import Cubature, Elasticity, Polynomial, elasticity_of
from hodsim.dynamics.applied import Applied, gravity_columns
from hodsim.dynamics.contact import SAMPLE, ReducedContact
from hodsim.dynamics.newton import NewtonResult, newton
from hodsim.dynamics.schemes import Motion, rates
from hodsim.dynamics.trajectory import State
from hodsim.errors import InputError
from hodsim.fem import Body, Loads
from hodsim.scene import NewtonSpec, Obstacle
from hodsim.subspaces import FeatureLanes, Subspace

FORMULATIONS: Final = ("incremental", "lagrangian")


@dataclass(frozen=True)
class Terms:
    """Which derivatives of the decoder Newton's matrix keeps.

    The residual is never touched, so what a term buys is iterations; but where a step has several
    roots (the lagrangian form, strong loads), another matrix may lead to another one.
    """

    second: bool = True
    third: bool = True

    @property
    def order(self) -> int:
        return 3 if self.third else 2 if self.second else 1


class ReducedSpace:
    """Steps a body in the r latent coordinates of a subspace.

    Parameters
    ----------
    body, loads
        As for `FullSpace`.
    subspace
        The map u = B z(q).
    step
        Time step h [s].
    integrator
        "implicit-euler" or "bdf2".
    formulation
        "incremental" (default): z' and z'' by the scheme in feature space, the stationary point of
        an incremental potential (Fulton 2019) where loads have one; it mirrors the full-space
        scheme step for step and needs no D^3 z. "lagrangian": q' and
        q'' by the scheme and z'' by the chain rule (paper, Eq. 12), whose Newton's matrix holds
        D^3 z; it differs from the full-space scheme by O(h) where the manifold is curved.
    terms
        Which derivative terms Newton's matrix keeps.
    newton_spec
        When Newton's method stops.
    cubature
        A few tets that stand for the elasticity of all, fitted for this subspace, or the polynomial
        that it is (St. Venant-Kirchhoff); all tets unless given. Raises `InputError` for one of
        another body or subspace.
    obstacles, contact_points
        What stands in the body's way, and how many points of the surface meet it (None: all).
    """

    def __init__(
        self,
        body: Body,
        loads: Loads,
        subspace: Subspace,
        step: float,
        integrator: str = "implicit-euler",
        formulation: str = FORMULATIONS[0],
        terms: Terms | None = None,
        newton_spec: NewtonSpec | None = None,
        cubature: Cubature | Polynomial | None = None,
        obstacles: tuple[Obstacle, ...] = (),
        contact_points: int | None = SAMPLE,
    ) -> None:
        if formulation not in FORMULATIONS:
            raise InputError(
                f"formulation: expected {' or '.join(FORMULATIONS)}, given {formulation!r}"
            )
        if not (np.isfinite(step) and step > 0.0):
            raise InputError(f"step: expected a time above 0 s, given {step}")
        if subspace.basis.shape[0] != body.n_dofs:
            raise InputError(
                f"subspace: expected {body.n_dofs} free degrees of freedom, as the body has; "
                f"given a subspace of {subspace.basis.shape[0]}; train one for this body"
            )
        self.body, self.subspace, self.h, self.integrator = body, subspace, step, integrator
        self.formulation, self.terms = formulation, terms or Terms()
        self.spec = newton_spec or NewtonSpec()
        B = subspace.basis
        self.loads = loads.reduce(B)
        self.mass, self.damping = B.T @ (body.mass @ B), B.T @ (body.damping @ B)
        self.elastic: Elasticity = elasticity_of(body, subspace, cubature)
        self.contact: ReducedContact | None = None
        if obstacles:
            self.contact = ReducedContact(body, obstacles, B, contact_points)
        self.applied: tuple[np.ndarray, np.ndarray] | None = None
        self._gravity: np.ndarray | None = None

    def apply_input(self, applied: Applied) -> None:
        """From the next step on, what a user applies besides the scene's loads."""
        B = self.subspace.basis
        if self._gravity is None:
            self._gravity = B.T @ gravity_columns(self.body)
        self.applied = None
        if applied != Applied():
            self.applied = applied.reduce(self.body, B, self._gravity)

    def copy_applied(self, other: ReducedSpace) -> None:
        """Apply to another space what is applied to this one."""
        other.applied = self.applied

    def start(self, q: np.ndarray | None = None, v: np.ndarray | None = None) -> State:
        """The state at t = 0: latent coordinates q and rates q' [1/s], rest unless given."""
        zero = np.zeros(self.subspace.rank)
        q, v = zero if q is None else q.copy(), zero if v is None else v.copy()
        at = self.subspace.lanes(q)
        z, dz = at.z, at.J @ v
        if self.formulation == "incremental":
            return State(0.0, Motion(q, v), z, dz, Motion(z, dz))
        return State(0.0, Motion(q, v), z, dz)

    def step(self, state: State) -> tuple[State, NewtonResult]:
        """One step; the result says whether it converged. The state given is left as it was.

        Where Newton's method fails from the extrapolated guess (|g| has minima that are no roots),
        two others are tried; the result is that of the last one tried.
        """
        step = _Step(self, state)
        spec = self.spec
        for guess in state.motion.guesses(self.h):
            result = newton(
                step.residual,
                step.directions,
                guess,
                spec.tolerance,
                spec.max_iterations,
                step.rounding(guess),
            )
            if result.converged:
                break
        return step.after(result.x), result


class _Step:
    """The equations of one step: everything from the past is fixed, q is sought."""

    def __init__(self, space: ReducedSpace, state: State) -> None:
        self.space, self.state = space, state
        self.t = state.t + space.h
        self.q_rates = rates(space.integrator, state.motion, space.h)
        self.z_rates = None
        if state.features is not None:
            self.z_rates = rates(space.integrator, state.features, space.h)
        self.p, self.G = space.loads.at(self.t)
        if space.applied is not None:
            self.p, self.G = self.p + space.applied[0], self.G + space.applied[1]
        self._seen: tuple[np.ndarray, FeatureLanes, np.ndarray] | None = None

    def _kinematics(self, at: FeatureLanes, q: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """z' and z'' at q."""
        if self.z_rates is not None:
            dz = self.z_rates.first(at.z)
            return dz, self.z_rates.second(dz)
        v = self.q_rates.first(q)
        assert at.vv is not None
        return at.J @ v, at.J @ self.q_rates.second(v) + at.vv

    def _lanes(self, q: np.ndarray) -> FeatureLanes:
        """All lanes that the matrix will want: one pass costs less than two smaller ones."""
        order = self.space.terms.order
        if self.z_rates is not None:
            return self.space.subspace.lanes(q, None, min(order, 2))
        return self.space.subspace.lanes(q, self.q_rates.first(q), order)

    def _forces(self, at: FeatureLanes, q: np.ndarray) -> np.ndarray:
        """The forces that balance in R, (4, w) or (5, w): inertia, damping, elasticity, loads, and
        contact."""
        space = self.space
        dz, ddz = self._kinematics(at, q)
        elastic = space.elastic.force(at.z)
        forces = [space.mass @ ddz, space.damping @ dz, elastic, -(self.p + self.G @ at.z)]
        if space.contact is not None:
            forces.append(-space.contact.at(at.z, dz).force)
        return np.stack(forces)

    def _at(self, q: np.ndarray) -> tuple[FeatureLanes, np.ndarray]:
        """Lanes and forces at q; the last q's are kept, for the matrix and the end of the step."""
        if self._seen is None or self._seen[0] is not q:
            at = self._lanes(q)
            self._seen = q, at, self._forces(at, q)
        return self._seen[1:]

    def rounding(self, q: np.ndarray) -> float:
        """|g| that rounding of the internal force and of contact alone can make."""
        at, _ = self._at(q)
        noise, contact = self.space.elastic.noise(at.z, at.J), self.space.contact
        if contact is not None:
            noise += contact.at(at.z, self._kinematics(at, q)[0]).noise(at.J, self.q_rates.c)
        return noise

    def residual(self, q: np.ndarray) -> tuple[np.ndarray, float]:
        at, forces = self._at(q)
        parts = forces @ at.J
        return parts.sum(axis=0), float(np.sqrt((parts * parts).sum(axis=1)).sum())

    def directions(self, q: np.ndarray, g: np.ndarray) -> Iterator[np.ndarray]:
        """Newton's direction; where |g| does not fall along it, safer ones.

        The second keeps J alone, whose matrix is symmetric (but for a torque's part) and, where the
        body is stable, positive definite. The others are Levenberg's, along which |g|^2 falls
        unless it is at a minimum.
        """
        newton_matrix = self.matrix(q, self.space.terms)
        yield from _solve(newton_matrix, g)
        if self.space.terms.second or self.space.terms.third:
            yield from _solve(self.matrix(q, Terms(second=False, third=False)), g)
        normal = newton_matrix.T @ newton_matrix
        for shift in (1e-4, 1e-2, 1.0):
            damped = normal + shift * np.trace(normal) / len(g) * np.eye(len(g))
            yield from _solve(damped, newton_matrix.T @ g)

    def matrix(self, q: np.ndarray, terms: Terms) -> np.ndarray:
        """A = dg/dq, (r, r), with the terms given.

        Column i is D^2 z[e_i, .]^T R + J^T (M_w dz''_i + C_w dz'_i + K_w J e_i), where
        dz''_i = c^2 J e_i + D^2 z[q'', e_i] + D^3 z[q', q', e_i] + 2c D^2 z[q', e_i] and
        dz'_i = c J e_i + D^2 z[q', e_i] (the first term alone in the incremental form).
        Contact adds minus J^T times its derivatives by z along J e_i and by z' along dz'_i.
        """
        space = self.space
        at, forces = self._at(q)
        J = at.J
        c = self.q_rates.c
        ddz, dz = c * c * J, c * J
        if self.z_rates is None and terms.second:
            assert at.H is not None
            v = self.q_rates.first(q)
            a = self.q_rates.second(v)
            ve = (v @ at.H.reshape(len(v), -1)).reshape(J.T.shape).T  # D^2 z[q', e_i], (w, r)
            ae = (a @ at.H.reshape(len(a), -1)).reshape(J.T.shape).T
            ddz, dz = ddz + ae + 2.0 * c * ve, dz + ve
        if self.z_rates is None and terms.third:
            assert at.vve is not None
            ddz = ddz + at.vve.T
        A = J.T @ (space.mass @ ddz + space.damping @ dz - self.G @ J)
        A += space.elastic.stiffness(at.z, J)
        if space.contact is not None:
            A += space.contact.at(at.z, self._kinematics(at, q)[0]).stiffness(J, dz)
        if terms.second:
            assert at.H is not None
            A += at.H @ forces.sum(axis=0)
        return A

    def after(self, q: np.ndarray) -> State:
        """The state at the end of the step."""
        at, _ = self._at(q)
        dz, _ = self._kinematics(at, q)
        motion = self.state.motion.then(q, self.q_rates.first(q))
        features = self.state.features
        return State(
            self.t, motion, at.z, dz, None if features is None else features.then(at.z, dz)
        )


def _solve(A: np.ndarray, g: np.ndarray) -> Iterator[np.ndarray]:
    """-A^-1 g by LU, for A is not symmetric; nothing if A is singular or not finite."""
    # LAPACK itself: scipy's wrappers warn on stderr of a singular matrix, which is no news here.
    _, _, x, info = scipy.linalg.lapack.dgesv(A, g)
    if info == 0 and np.isfinite(x).all():
        yield -x
