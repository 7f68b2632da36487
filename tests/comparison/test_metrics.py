"""Metrics against values worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest

from hodsim.comparison import dofs_of, error_over_time, relative_rms, tip_vertices, travel, turn
from hodsim.fem import Body
from hodsim.fem.body import make_body
from hodsim.mesh import TetMesh, beam
from hodsim.scene import MaterialSpec

RUBBER = MaterialSpec(law="neo-hookean", young=5e5, poisson=0.4, density=1000.0)


def clamped(mesh: TetMesh, *ends: float) -> Body:
    x = mesh.vertices[:, 0]
    return make_body(mesh, RUBBER, np.flatnonzero(np.isin(x, ends)))


@pytest.mark.parametrize(("ends", "tip"), [((0.0,), 1.0), ((1.0,), 0.0), ((), 1.0), ((0, 1), 0.5)])
def test_tip_is_the_whole_face_farthest_from_the_clamp(ends: tuple[float, ...], tip: float) -> None:
    mesh = beam((4, 2, 2), (1.0, 0.2, 0.3))
    expected = np.flatnonzero(np.abs(mesh.vertices[:, 0] - tip) < 1e-12)
    assert len(expected) >= 9  # lattice points of a cross-section, and centres on an end cap
    assert tip_vertices(clamped(mesh, *ends)).tolist() == expected.tolist()


def test_tip_of_the_shipped_beam_is_its_end_cap() -> None:
    # 3 x 5 lattice points and 2 x 4 face centres.
    assert len(tip_vertices(clamped(beam(), 0.0))) == 23


def test_tip_follows_the_longest_axis() -> None:
    mesh = beam((1, 1, 3), (0.2, 0.2, 1.0))
    body = make_body(mesh, RUBBER, np.flatnonzero(mesh.vertices[:, 2] < -0.49))
    assert np.ptp(mesh.vertices[tip_vertices(body)], axis=0) == pytest.approx([0.2, 0.2, 0.0])


def test_dofs_of_free_vertices() -> None:
    assert dofs_of(np.array([2, 5, 9]), np.array([5, 9])).tolist() == [3, 4, 5, 6, 7, 8]


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
