"""How fast one mode dies out under Rayleigh damping, against the linear oscillator's theory.

With mass and stiffness damping a and b a mode of frequency w decays as exp(-s t), s = (a + b w^2)/2
(Rayleigh 1877). A scheme adds damping of its own: of x' = m x, m = -s + i sqrt(w^2 - s^2), implicit
Euler makes x_(n+1) = x_n / (1 - h m), BDF2 x_(n+1) = x_n / (2 - sqrt(1 + 2 h m)) once its parasitic
root, below 1/3, has died.
"""

from __future__ import annotations

import numpy as np
import oracles
import pytest
import scipy.linalg

from hodsim import beam
from hodsim.cubature import elastic_polynomial
from hodsim.dynamics import FullSpace, ReducedSpace, Trajectory, simulate
from hodsim.dynamics.compiled import CompiledSpace
from hodsim.fem import Body, Loads, make_body
from hodsim.scene import Damping, MaterialSpec, NewtonSpec
from hodsim.subspaces import Linear

TIGHT = NewtonSpec(1e-12, 20)
# Of the beam's length: far above rounding, and what a mode's nonlinearity adds is some 1e-6.
SMALL = 1e-5
DAMPINGS = {
    "none": Damping(0.0, 0.0),
    "mass": Damping(0.6, 0.0),
    "stiffness": Damping(0.0, 0.03),
    "both": Damping(0.4, 0.01),
}
SPACES = ("full", "reduced", "compiled", "polynomial")
every_space = pytest.mark.parametrize("space", SPACES)


def _body(damping: Damping) -> Body:
    mesh = beam((5, 1, 1), (1.0, 0.2, 0.2))
    fixed = np.flatnonzero(mesh.vertices[:, 0] <= 0.0)
    return make_body(mesh, MaterialSpec("stvk", 2e4, 0.3, 1000.0), fixed, "consistent", damping)


def _modes(body: Body) -> tuple[np.ndarray, np.ndarray]:
    """w^2 and modes phi, phi^T M phi = 1, of the dense eigenproblem."""
    K = body.stiffness(np.zeros(body.n_dofs)).toarray()
    return scipy.linalg.eigh(K, body.mass.toarray())


def _decay(space: str, which: int, damping: Damping, integrator: str, h: float) -> np.ndarray:
    """|v - conj(m) x| of the mode at every step, which theory lets fall by one factor a step."""
    body = _body(damping)
    squares, modes = _modes(body)
    phi, m = modes[:, which], _exponent(squares[which], damping)
    phi = phi * np.sign(phi.sum())
    start = SMALL / np.abs(phi).max() * phi
    steps = 40
    loads = Loads(body, ())
    run: Trajectory
    if space == "full":
        full = FullSpace(body, loads, h, integrator, TIGHT)
        run = simulate(full, steps, start=full.start(start))
    else:
        basis, _ = np.linalg.qr(modes[:, :4])
        subspace = Linear(basis)
        args = (body, loads, subspace)
        made: ReducedSpace | CompiledSpace
        if space == "reduced":
            made = ReducedSpace(*args, h, integrator, newton_spec=TIGHT)
        else:
            exact = elastic_polynomial(body, subspace) if space == "polynomial" else None
            made = CompiledSpace(*args, exact, h, integrator, TIGHT)
        run = simulate(made, steps, start=made.start(basis.T @ start), basis=basis)
    x, v = (y @ (body.mass @ phi) for y in (run.displacements(), run.velocities()))
    return np.abs(v - np.conj(m) * x)


def _exponent(square: float, damping: Damping) -> complex:
    """m of the mode whose w^2 is given."""
    s = 0.5 * (damping.mass + damping.stiffness * square)
    return complex(-s, np.sqrt(square - s * s))


def _factor(m: complex, integrator: str, h: float) -> float:
    """By which a mode falls in one step, in theory."""
    if integrator == "implicit-euler":
        return 1.0 / abs(1.0 - h * m)
    return 1.0 / abs(2.0 - np.sqrt(1.0 + 2.0 * h * m))


@every_space
@pytest.mark.parametrize("integrator", ["implicit-euler", "bdf2"])
@pytest.mark.parametrize("which", [0, 2])
@pytest.mark.parametrize("name", DAMPINGS)
def test_a_mode_decays_as_theory_says(name: str, which: int, integrator: str, space: str) -> None:
    damping = DAMPINGS[name]
    squares, _ = _modes(_body(damping))
    w = float(np.sqrt(squares[which]))
    h = 0.15 / w
    size = _decay(space, which, damping, integrator, h)
    # BDF2 starts with a step of Euler: the parasitic root is below 1e-9 after 20.
    first = 0 if integrator == "implicit-euler" else 20
    found = (size[-1] / size[first]) ** (1.0 / (len(size) - 1 - first))
    m = _exponent(w * w, damping)
    assert found == pytest.approx(_factor(m, integrator, h), rel=1e-6)
    if integrator == "implicit-euler":
        # Without the scheme's own part, of 1/factor^2 = 1 + 2 h s + h^2 w^2: Rayleigh's rate.
        s = (found**-2 - 1.0 - (h * w) ** 2) / (2.0 * h)
        assert s == pytest.approx(-m.real, rel=1e-4, abs=1e-4 * w)


@every_space
@pytest.mark.parametrize(("integrator", "order"), [("implicit-euler", 1.0), ("bdf2", 3.0)])
def test_the_schemes_own_damping_vanishes_with_the_step(
    integrator: str, order: float, space: str
) -> None:
    """What is left is exp(-s t); BDF2's error of order two is of the frequency, that of the decay
    of order three where s is small beside w."""
    damping = Damping(1e-3, 0.0)
    w = float(np.sqrt(_modes(_body(damping))[0][0]))
    errors = []
    for k in range(3):
        h = 0.1 * 0.5**k / w
        size = _decay(space, 0, damping, integrator, h)
        rate = -np.log(size[-1] / size[20]) / ((len(size) - 21) * h)
        errors.append(abs(rate - 0.5 * damping.mass))
    assert oracles.observed_orders(errors) == pytest.approx(order, abs=0.15)
