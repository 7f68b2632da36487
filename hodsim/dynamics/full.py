"""The full-space integrator: M u'' + C u' + f_int(u) = f_ext(t, u) + f_contact(u, u') by implicit
steps."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import scipy.sparse.linalg as spl

from hodsim.dynamics.applied import Applied, gravity_columns
from hodsim.dynamics.contact import Contact
from hodsim.dynamics.newton import NewtonResult, newton
from hodsim.dynamics.schemes import Motion, rates
from hodsim.dynamics.trajectory import State
from hodsim.fem import Body, Loads, SingularError, factorization
from hodsim.scene import NewtonSpec, Obstacle


class FullSpace:
    """Steps a body in all its degrees of freedom.

    Newton's matrix is c^2 M + c C + K. The load stiffness of a torque is antisymmetric and left
    out, so that a Cholesky factorisation serves: the residual is exact, and only the last digits
    of Newton's quadratic convergence under a torque are given up for it. Where the matrix is not
    positive definite, multiples of M are added until it is. Of friction the matrix has the
    symmetric part, and GMRES with that factorisation finds the direction of the whole one.

    Parameters
    ----------
    body, loads
        What moves and what moves it.
    step
        Time step h [s].
    integrator
        "implicit-euler" or "bdf2".
    newton_spec
        When Newton's method stops.
    solver
        "pardiso", "superlu", or "auto" for the faster one installed.
    obstacles
        What stands in the body's way.
    """

    subspace = None

    def __init__(
        self,
        body: Body,
        loads: Loads,
        step: float,
        integrator: str = "implicit-euler",
        newton_spec: NewtonSpec | None = None,
        solver: str = "auto",
        obstacles: tuple[Obstacle, ...] = (),
    ) -> None:
        self.body, self.loads, self.h, self.integrator = body, loads, step, integrator
        self.spec = newton_spec or NewtonSpec()
        self.factorization = factorization(body.pattern, solver)
        ones = np.ones(body.n_dofs)
        self.contact = Contact(body, obstacles) if obstacles else None
        self._mass_noise = float(np.finfo(np.float64).eps * np.linalg.norm(body.mass @ ones))

        self._gravity: np.ndarray | None = None
        # The user's force is p - k u, k (n_dofs,) the springs' stiffnesses.
        self.applied: tuple[np.ndarray, np.ndarray] | None = None
        pattern = body.pattern
        rows = np.repeat(np.arange(body.n_dofs), np.diff(pattern.indptr))
        self._diagonal = np.flatnonzero(pattern.indices == rows)

    def apply_input(self, applied: Applied) -> None:
        """From the next step on, what a user applies besides the scene's loads."""
        self.applied = None
        if applied == Applied():
            return
        if self._gravity is None:
            self._gravity = gravity_columns(self.body)
        p, k = self._gravity @ np.array(applied.gravity), np.zeros(self.body.n_dofs)
        for spring in applied.springs:
            at = 3 * spring.place(self.body) + np.arange(3)
            rest = self.body.mesh.vertices[spring.vertex]
            p[at] += spring.stiffness * (np.array(spring.target) - rest)
            k[at] += spring.stiffness
        self.applied = p, k

    def copy_applied(self, other: FullSpace) -> None:
        """Apply to another space what is applied to this one."""
        other.applied = self.applied

    def start(self, u: np.ndarray | None = None, v: np.ndarray | None = None) -> State:
        """The state at t = 0: displacements u [m] and velocities v [m/s], rest unless given."""
        zero = np.zeros(self.body.n_dofs)
        u, v = zero if u is None else u.copy(), zero if v is None else v.copy()
        return State(0.0, Motion(u, v), u, v)

    def step(self, state: State) -> tuple[State, NewtonResult]:
        """One step; the result says whether it converged. The state given is left as it was."""
        body, motion, h = self.body, state.motion, self.h
        t = state.t + h
        scheme = rates(self.integrator, motion, h)
        c = scheme.c
        s = self.loads.amplitudes(t)
        applied, contact = self.applied, self.contact

        def residual(u: np.ndarray) -> tuple[np.ndarray, float]:
            v = scheme.first(u)
            forces: tuple[np.ndarray, ...] = (
                body.mass @ scheme.second(v),
                body.damping @ v,
                body.force(u),
                -self.loads.force(s, u),
            )
            if applied is not None:
                forces = (*forces, applied[1] * u - applied[0])
            if contact is not None:
                forces = (*forces, -contact.force(u, v))
            return sum(forces[1:], forces[0]), float(sum(np.linalg.norm(f) for f in forces))

        def directions(u: np.ndarray, g: np.ndarray) -> Iterator[np.ndarray]:
            _, data = body.elastic.force_and_stiffness(u)
            inertia = c * c * body.mass.data
            H = data + inertia + c * body.damping.data
            if applied is not None:
                H[self._diagonal] += applied[1]
            whole = None
            if contact is not None:
                symmetric, rest = contact.stiffness(u, scheme.first(u), c, len(H))
                whole = None if rest is None else H + symmetric + rest
                H = H + symmetric
            shift = 0.0
            for _ in range(12):
                try:
                    self.factorization.factor(H + shift * inertia if shift else H)
                except SingularError:
                    shift = max(1.0, 4.0 * shift)
                    continue
                if whole is not None and not shift:
                    yield -self._solve(whole, g)
                yield -self.factorization.solve(g)
                shift = max(1.0, 4.0 * shift)

        guess = motion.ahead(h)
        # Rounding of u in its second difference, and of the positions in the internal force.
        reach = float(np.abs(guess).max() + np.abs(motion.x).max())
        rounding = body.force_noise(guess) + c * c * self._mass_noise * reach
        if contact is not None:
            rounding += contact.noise(guess, scheme.first(guess), c)
        spec = self.spec
        result = newton(residual, directions, guess, spec.tolerance, spec.max_iterations, rounding)
        v = scheme.first(result.x)
        return State(t, motion.then(result.x, v), result.x, v), result

    def _solve(self, data: np.ndarray, b: np.ndarray) -> np.ndarray:
        """x of A x = b, A of those data on the pattern, near the matrix factored last."""
        n = self.body.n_dofs
        A = self.body.pattern.matrix(data)
        near = spl.LinearOperator((n, n), self.factorization.solve, dtype=np.float64)
        # Whatever x it ends with: Newton's line search finds out whether |g| falls along it.
        x, _ = spl.gmres(A, b, rtol=1e-8, restart=30, maxiter=2, M=near)
        return np.asarray(x)
