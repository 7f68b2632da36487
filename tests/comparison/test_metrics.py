"""Metrics against values worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest

from hodsim.comparison import error_over_time, relative_rms, travel, turn
from hodsim.comparison.metrics import energies, energy_error, volume_change, worst_vertex
from hodsim.dynamics import FullSpace, simulate
from hodsim.fem import Body, Loads, make_body
from hodsim.mesh import TetMesh, beam
from hodsim.scene import Load, MaterialSpec, NewtonSpec, Region


def test_relative_rms() -> None:
    truth = np.array([[3.0, 0.0], [0.0, 4.0]])
    motion = np.array([[3.0, 1.0], [2.0, 4.0]])
    assert relative_rms(motion, truth) == pytest.approx(np.sqrt(5.0 / 25.0))
    # Squares of the errors per column: 4, 1; of the truth: 9, 16.
    mass = np.array([2.0, 3.0])
    assert relative_rms(motion, truth, mass) == pytest.approx(np.sqrt(11.0 / 66.0))
    assert relative_rms(truth, truth) == 0.0
    assert np.isnan(relative_rms(motion, 0.0 * truth))


def test_error_over_time_of_a_motion_that_stopped() -> None:
    truth = np.array([[0.0, 0.0], [1.0, 1.0], [2.0, 2.0]])  # mean square 10/6
    motion = np.array([[0.0, 0.0], [1.0, 2.0]])
    expected = [0.0, np.sqrt(0.5 / (10.0 / 6.0))]
    assert error_over_time(motion, truth) == pytest.approx(expected)
    whole = error_over_time(truth[::-1], truth)
    # The mean square over time is the square of the relative error over all.
    assert np.sqrt((whole**2).mean()) == pytest.approx(relative_rms(truth[::-1], truth))


def test_travel_is_of_the_centroid() -> None:
    u = np.array([[[0.0, 0.0, 0.0]] * 2, [[3.0, 1.0, 0.0], [3.0, -1.0, 8.0]]])
    assert travel(u.reshape(2, 6)) == pytest.approx([0.0, 5.0])


def test_turn_unwraps_and_ignores_shift_and_size() -> None:
    rng = np.random.default_rng(0)
    rest = rng.standard_normal((7, 3))
    angles = np.array([0.0, 80.0, 160.0, 240.0, 320.0, 400.0])
    moved = []
    for angle in np.radians(angles):
        c, s = np.cos(angle), np.sin(angle)
        R = np.array([[1, 0, 0], [0, c, -s], [0, s, c]])
        moved.append(1.3 * (rest @ R.T) + rng.standard_normal(3) - rest)
    assert turn(rest, np.array(moved).reshape(6, -1)) == pytest.approx(angles)


def rod(fixed: tuple[int, ...] = ()) -> Body:
    """A beam of 1 m x 0.2 m x 0.2 m, far from the origin, free unless vertices are fixed."""
    mesh = beam((3, 1, 1), (1.0, 0.2, 0.2))
    mesh = TetMesh(mesh.vertices + np.array([50.0, -20.0, 7.0]), mesh.tets)
    return make_body(mesh, MaterialSpec("neo-hookean", 5e4, 0.3, 1000.0), np.array(fixed, int))


def test_a_rigid_motion_keeps_volume_and_a_stretch_does_not() -> None:
    body = rod()
    x = body.mesh.vertices
    R, _ = np.linalg.qr(np.random.default_rng(0).standard_normal((3, 3)))
    R *= np.sign(np.linalg.det(R))
    moved = [x @ R.T + [3.0, 0.0, -1.0], x + 0.5]
    assert volume_change(body, body.restrict(np.array(moved) - x)) < 1e-12
    # The largest of the times counts, whichever its sign.
    stretched = np.array([x * [1.1, 1.0, 1.0], x * [0.8, 1.0, 1.0]]) - x
    assert volume_change(body, body.restrict(stretched)) == pytest.approx(0.2)
    # Volume inside is not seen from outside, and the sum over tets says the same.
    u = 0.02 * np.random.default_rng(1).standard_normal((1, body.n_dofs))
    a, b, c, d = np.moveaxis((x + body.expand(u[0]))[body.mesh.tets], 1, 0)
    V = np.einsum("ij,ij->i", np.cross(b - a, c - a), d - a).sum() / 6.0
    assert volume_change(body, u) == pytest.approx(abs(V / 0.04 - 1.0))


def test_energy_of_rigid_motion_is_kinetic() -> None:
    body = rod()
    rest = body.mesh.vertices
    speed, spin = np.array([2.0, -1.0, 0.5]), np.array([0.0, 0.0, 3.0])
    v = [np.tile(speed, (len(rest), 1)), np.cross(spin, rest - rest.mean(axis=0))]
    u = np.zeros((2, body.n_dofs))
    mass = body.mass.diagonal()[::3]
    r = rest - rest.mean(axis=0)
    inertia = (mass * (r[:, 0] ** 2 + r[:, 1] ** 2)).sum()
    expected = [0.5 * 40.0 * (speed @ speed), 0.5 * inertia * 9.0]
    assert energies(body, u, body.restrict(np.array(v))) == pytest.approx(expected)
    stretched = body.restrict(0.1 * r[None])
    assert energies(body, stretched, 0.0 * stretched)[0] == pytest.approx(body.energy(stretched[0]))


def test_a_free_undamped_motion_keeps_its_energy_the_better_the_shorter_the_step() -> None:
    body = rod(fixed=tuple(np.flatnonzero(beam((3, 1, 1), (1.0, 0.2, 0.2)).vertices[:, 0] < 1e-9)))
    region = Region("nearest", nearest=(51.0, -20.0, 7.0))
    pull = Load("force", (0.0, 0.2, 0.4), ((0, 0, 0), (0, 2.0, 0), (0, 0, 0)), region)
    drift = []
    for step in (0.01, 0.005):
        full = FullSpace(body, Loads(body, (pull,)), step, "bdf2", NewtonSpec(1e-10))
        motion = simulate(full, round(0.8 / step))
        E = energies(body, motion.displacements(), motion.velocities())
        free = E[round(0.42 / step) :]
        drift.append(np.ptp(free) / free[0])
    assert drift[1] < 0.05
    # BDF2 loses energy with h^3; that of softer modes alone would be a factor of 8.
    assert drift[1] < drift[0] / 3.0


def test_worst_vertex_and_energy_error_by_hand() -> None:
    truth = np.array([[0.0, 0, 0, 3.0, 4.0, 0], [0, 0, 1.0, 0, 0, 2.0]])
    motion = truth + np.array([[0, 0, 0, 0, 0, 0], [0.3, 0, 0.4, 0, 0.1, 0]])
    assert worst_vertex(motion, truth) == pytest.approx(0.5 / 5.0)
    assert worst_vertex(truth, truth) == 0.0
    assert np.isnan(worst_vertex(motion, 0.0 * truth))
    E = np.array([1.0, 4.0, 2.0])
    assert energy_error(np.array([1.0, 3.0, 3.5]), E) == pytest.approx(1.5 / 4.0)
    assert energy_error(E, E) == 0.0
    assert np.isnan(energy_error(E, 0.0 * E))
