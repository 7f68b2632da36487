"""Metrics against values worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest

from hodsim.comparison import error_over_time, relative_rms, travel, turn


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
