"""Full space by conjugate gradients: the rival of the direct solver on large meshes."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any, Final

import numpy as np
import scipy.sparse as sp

from hodsim.dynamics import FullSpace, NewtonResult, State, newton, rates
from hodsim.fem import Body, Loads, SingularError
from hodsim.scene import NewtonSpec

# Forcing terms (Eisenstat and Walker 1996, choice 2): |g + H d| <= eta |g|.
_FIRST, _GAMMA, _MOST = 0.01, 0.9, 0.1
# Of the residual that Newton's method stops at, this part is left to the linear solve; where the
# forcing term would end within this multiple of it, it goes there at once.
_PART: Final = 0.3
_NEAR: Final = 30.0
_LONGEST: Final = 3000
# Old factors are given up when their iterations in a step took this part of the time of factoring.
_AGED: Final = 0.5

Apply = Callable[[np.ndarray], np.ndarray]


class KrylovSpace(FullSpace):
    """`FullSpace` with Newton's directions from preconditioned conjugate gradients.

    Residual, matrix, first guess, line search and stopping rule are those of `FullSpace`; the
    matrix is assembled once an iteration, and a direction is only as exact as Newton's method has
    use for.

    Parameters
    ----------
    preconditioner
        "block-jacobi": the inverses of the 3 x 3 blocks on the diagonal. "cholesky": the direct
        solver's factors of the matrix of some step before, made anew after a step whose iterations
        took about as long as factoring does.
    """

    def __init__(
        self,
        body: Body,
        loads: Loads,
        step: float,
        integrator: str = "implicit-euler",
        newton_spec: NewtonSpec | None = None,
        preconditioner: str = "cholesky",
    ) -> None:
        super().__init__(body, loads, step, integrator, newton_spec)
        self.preconditioner = preconditioner
        self._apply: Apply | None = None
        self._factor_s = self._solve_s = 0.0
        self.cg_iterations = 0
        pattern = body.pattern
        starts = pattern.first + np.arange(3)[:, None] * pattern.stride  # (3, blocks)
        row, column = _block_places(pattern)
        own = starts[:, row == column]
        self._own = np.moveaxis(own[..., None] + np.arange(3), 0, 1)

    def step(self, state: State) -> tuple[State, NewtonResult]:
        body, motion, h = self.body, state.motion, self.h
        t = state.t + h
        scheme = rates(self.integrator, motion, h)
        c, s, spec = scheme.c, self.loads.amplitudes(t), self.spec
        goal = 0.0
        sizes: list[float] = []

        def residual(u: np.ndarray) -> tuple[np.ndarray, float]:
            nonlocal goal
            v = scheme.first(u)
            forces = (
                body.mass @ scheme.second(v),
                body.damping @ v,
                body.force(u),
                -self.loads.force(s, u),
            )
            scale = float(sum(np.linalg.norm(f) for f in forces))
            goal = spec.tolerance * scale
            return sum(forces[1:], forces[0]), scale

        def directions(u: np.ndarray, g: np.ndarray) -> Iterator[np.ndarray]:
            _, data = body.elastic.force_and_stiffness(u)
            H = data + c * c * body.mass.data + c * body.damping.data
            size = float(np.linalg.norm(g))
            eta = _FIRST if not sizes else min(_MOST, _GAMMA * (size / sizes[-1]) ** 2)
            sizes.append(size)
            aim = eta * size if eta * size > _NEAR * goal else _PART * goal
            x = self._conjugate_gradients(H, -g, aim)
            if x is not None:
                yield x
            self.factorization.factor(H)
            self._apply = self.factorization.solve
            yield -self.factorization.solve(g)

        self._began()
        guess = motion.ahead(h)
        reach = float(np.abs(guess).max() + np.abs(motion.x).max())
        rounding = body.force_noise(guess) + c * c * self._mass_noise * reach
        result = newton(residual, directions, guess, spec.tolerance, spec.max_iterations, rounding)
        v = scheme.first(result.x)
        return State(t, motion.then(result.x, v), result.x, v), result

    def _began(self) -> None:
        """At the start of a step: drop factors that have aged too much."""
        spent = self.cg_iterations * self._solve_s
        if spent > _AGED * self._factor_s:
            self._apply = None
        self.cg_iterations = 0

    def _preconditioner(self, H: np.ndarray) -> Apply:
        if self.preconditioner == "block-jacobi":
            inverse = np.linalg.inv(H[self._own])
            n = len(inverse)
            blocks: Any = sp.bsr_array((inverse, np.arange(n), np.arange(n + 1)))
            return lambda r: blocks @ r
        if self._apply is None:
            began = time.perf_counter()
            self.factorization.factor(H)
            self._factor_s = time.perf_counter() - began
            self._apply = self.factorization.solve
        return self._apply

    def _conjugate_gradients(self, H: np.ndarray, b: np.ndarray, enough: float) -> Any:
        """x with |b - H x| <= enough; None along a direction of no positive curvature."""
        try:
            apply = self._preconditioner(H)
        except SingularError:
            return None
        A = self.body.pattern.matrix(H)
        began = time.perf_counter()
        r = b.copy()
        x, p, rho = np.zeros_like(b), np.zeros_like(b), 1.0
        for k in range(_LONGEST):
            y = apply(r)
            rho, before = float(r @ y), rho
            p *= rho / before if k else 0.0
            p += y
            Ap = A @ p
            curvature = float(p @ Ap)
            if not curvature > 0.0:
                return None
            alpha = rho / curvature
            x += alpha * p
            r -= alpha * Ap
            if float(np.linalg.norm(r)) <= enough:
                break
        self.cg_iterations += k + 1
        self._solve_s = (time.perf_counter() - began) / (k + 1)
        return x


def _block_places(pattern: Any) -> tuple[np.ndarray, np.ndarray]:
    """Block row and column of each block of a pattern."""
    column = pattern.indices[pattern.first] // 3
    row = np.searchsorted(pattern.indptr, pattern.first, side="right") - 1
    return row // 3, column
