"""Implicit time schemes: what the rate of x at t_(n+1) is, as a function of x_(n+1).

Each scheme reads x' = c x - alpha and x'' = c x' - beta, with alpha and beta from the past:
implicit Euler has c = 1/h, BDF2 c = 3/(2h). All else in the integrators is the same for both.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from hodsim.errors import InputError


@dataclass(frozen=True)
class Motion:
    """Coordinates x and their rate v at one time, and those of the step before (BDF2).

    x may be displacements [m] or latent coordinates; v is x' [x/s].
    """

    x: np.ndarray
    v: np.ndarray
    x_before: np.ndarray | None = None
    v_before: np.ndarray | None = None

    def ahead(self, h: float) -> np.ndarray:
        """Where x will be after h [s] if its acceleration stays: Newton's first guess.

        An acceleration within the rounding of x is none: a body at rest must not gather it.
        """
        guess = self.x + h * self.v
        if self.v_before is None:
            return guess
        change = h * (self.v - self.v_before)
        noise = 16.0 * np.finfo(np.float64).eps * np.abs(self.x).max()
        return guess if np.abs(change).max() <= noise else guess + change

    def guesses(self, h: float) -> tuple[np.ndarray, ...]:
        """First guesses, to be tried in this order: `ahead`, no motion at all, and between both."""
        ahead = self.ahead(h)
        return ahead, self.x, 0.5 * (ahead + self.x)

    def then(self, x: np.ndarray, v: np.ndarray) -> Motion:
        """The motion one step on."""
        return Motion(x, v, self.x, self.v)


@dataclass(frozen=True)
class Rates:
    """x' = c x - alpha and x'' = c x' - beta for the step that ends at x."""

    c: float
    alpha: np.ndarray
    beta: np.ndarray

    def first(self, x: np.ndarray) -> np.ndarray:
        """Rate x' where the coordinates are x."""
        return self.c * x - self.alpha

    def second(self, v: np.ndarray) -> np.ndarray:
        """Second rate x'' where the rate is v."""
        return self.c * v - self.beta


def rates(integrator: str, motion: Motion, h: float) -> Rates:
    """The scheme's rates for a step of h [s] from `motion`; BDF2 starts with one Euler step.

    Raises `InputError` for an integrator other than "implicit-euler" and "bdf2".
    """
    if integrator not in ("implicit-euler", "bdf2"):
        raise InputError(
            f"integrator: expected implicit-euler or bdf2, given {integrator!r}; choose one"
        )
    x, v = motion.x, motion.v
    if integrator == "bdf2" and motion.x_before is not None and motion.v_before is not None:
        alpha = (4.0 * x - motion.x_before) / (2.0 * h)
        beta = (4.0 * v - motion.v_before) / (2.0 * h)
        return Rates(1.5 / h, alpha, beta)
    return Rates(1.0 / h, x / h, v / h)
