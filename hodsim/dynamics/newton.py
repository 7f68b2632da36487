"""Newton's method with backtracking on |g|, and a result that always says how it ended."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from hodsim.errors import ConvergenceError

# Shortest trial is 2^-10 of Newton's step: below that |g| is not falling along the direction.
_HALVINGS = 10


@dataclass(frozen=True)
class NewtonResult:
    """How one solve went.

    `status` is "converged", "max_iterations", "line_search" (|g| would not fall along any
    direction offered), "singular" or "not_finite". `residuals` holds |g| / scale at the start and
    after each iteration; `steps` the step lengths taken.
    """

    x: np.ndarray
    status: str
    iterations: int
    residuals: tuple[float, ...]
    steps: tuple[float, ...]

    @property
    def converged(self) -> bool:
        """Whether x solves the equation to the tolerance asked for."""
        return self.status == "converged"

    def check(self, what: str) -> NewtonResult:
        """Itself if converged, else raises `ConvergenceError` naming `what`."""
        if not self.converged:
            raise ConvergenceError(
                f"{what}: Newton's method ended with status {self.status} after "
                f"{self.iterations} iterations, relative residual {self.residuals[-1]:.2e}"
            )
        return self


def newton(
    residual: Callable[[np.ndarray], tuple[np.ndarray, float]],
    directions: Callable[[np.ndarray, np.ndarray], Iterator[np.ndarray]],
    x: np.ndarray,
    tolerance: float,
    max_iterations: int,
    rounding: float = 0.0,
) -> NewtonResult:
    """Solve g(x) = 0 to |g| <= max(tolerance * scale, rounding).

    `residual(x)` gives g and the scale it is measured by: the sum of the norms of the forces that
    balance in it. `directions(x, g)` yields Newton's direction, then safer ones, which are asked
    for only where |g| does not fall along the first. No direction at all means a singular matrix.
    `rounding` is the |g| that rounding alone can make: a body at rest has no larger force to
    measure by, and no iteration gets below it.
    """
    with np.errstate(all="ignore"):  # Overflow in a trial step is caught below, not warned about.
        g, scale = residual(x)
        size = float(np.linalg.norm(g))
        residuals = [_ratio(size, scale)]
        steps: list[float] = []
        status = "max_iterations"
        while True:
            if not np.isfinite(size):
                status = "not_finite"
                break
            if size <= max(tolerance * scale, rounding):
                status = "converged"
                break
            if len(steps) == max_iterations:
                break
            taken = 0.0
            status = "singular"
            for direction in directions(x, g):
                status = "line_search"
                for k in range(_HALVINGS + 1):
                    length = 0.5**k
                    trial = x + length * direction
                    g_new, scale_new = residual(trial)
                    size_new = float(np.linalg.norm(g_new))
                    if size_new < (1.0 - 1e-4 * length) * size or (
                        size_new <= max(tolerance * scale_new, rounding)
                    ):
                        taken = length
                        break
                if taken:
                    break
            if not taken:
                break
            x, g, scale, size = trial, g_new, scale_new, size_new
            steps.append(taken)
            residuals.append(_ratio(size, scale))
            status = "max_iterations"
    return NewtonResult(x, status, len(steps), tuple(residuals), tuple(steps))


def _ratio(size: float, scale: float) -> float:
    return size / scale if scale > 0.0 else size
