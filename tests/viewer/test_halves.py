"""Triangles cut into right-angled ones cover the same surface."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from hodsim.viewer.live.halves import CORNERS, FACE, Halves, halves


def corners(parts: Halves) -> np.ndarray:
    """Where the copies' corners come to lie, (k, 3, 3)."""
    turns = Rotation.from_quat(np.roll(parts.turns, -1, axis=1)).as_matrix()
    local = parts.sizes[:, None, :] * CORNERS[FACE[0]]
    return parts.places[:, None, :] + np.einsum("kij,kcj->kci", turns, local)


def area(x: np.ndarray) -> np.ndarray:
    """Area vectors, (k, 3), of triangles (k, 3, 3)."""
    return np.cross(x[:, 1] - x[:, 0], x[:, 2] - x[:, 0]) / 2.0


@pytest.fixture
def soup() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    random = np.random.default_rng(3)
    x = random.normal(size=(40, 3))
    faces = np.array([random.choice(40, 3, replace=False) for _ in range(200)])
    return x, faces, random.uniform(size=(40, 3))


def test_both_halves_make_the_triangle(soup: tuple[np.ndarray, ...]) -> None:
    x, faces, colours = soup
    whole = x[faces]
    parts = corners(halves(x, faces, colours))
    first, second = parts[: len(faces)], parts[len(faces) :]
    # Vectors, so that both look to the side to which the triangle looks.
    np.testing.assert_allclose(area(first) + area(second), area(whole), atol=1e-12)
    sizes = [np.linalg.norm(area(half), axis=1) for half in (first, second)]
    np.testing.assert_allclose(sum(sizes), np.linalg.norm(area(whole), axis=1), atol=1e-12)
    # Each corner of the triangle is one of a half: with the areas, that leaves no gap.
    both = np.concatenate([first, second], axis=1)
    gaps = np.linalg.norm(whole[:, :, None] - both[:, None], axis=3).min(axis=2)
    assert gaps.max() < 1e-12


def test_colours_are_those_in_the_middle(soup: tuple[np.ndarray, ...]) -> None:
    x, faces, _ = soup
    slope, level = np.array([[0.1, 0.2, 0.0], [0.0, 0.1, 0.3], [0.2, 0.0, 0.1]]), 0.5
    parts = halves(x, faces, x @ slope + level)
    middles = corners(parts).mean(axis=1)
    np.testing.assert_allclose(parts.colours, middles @ slope + level, atol=1e-12)


@pytest.mark.parametrize(
    "x",
    [np.zeros((3, 3)), np.array([[0.0, 0, 0], [1, 0, 0], [2, 0, 0]]), np.eye(3) * 1e-200],
    ids=["point", "line", "tiny"],
)
def test_triangles_without_area_stay_finite(x: np.ndarray) -> None:
    parts = halves(x, np.array([[0, 1, 2]]), np.zeros((3, 3)))
    for values in (parts.places, parts.turns, parts.sizes, parts.colours):
        assert np.isfinite(values).all()
    np.testing.assert_allclose(np.linalg.norm(parts.turns, axis=1), 1.0)
    np.testing.assert_allclose(area(corners(parts)), 0.0, atol=1e-12)
