"""Ratios and rows of images are drawn, few and many."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from matplotlib.image import imread

from hodsim.viewer import Contraction, images_plot, ratio_plot


def ratios(level: float, seeds: int, strong: bool = False) -> Contraction:
    radii = np.geomspace(0.1, 10.0, 6)
    values = level * (1.0 + 0.1 * np.arange(seeds))[:, None] * np.linspace(1.0, 1.2, 6)
    return Contraction(radii, values, 2.0 * values, strong)


@pytest.mark.parametrize(("columns", "seeds"), [(1, 1), (3, 2)])
def test_ratios(columns: int, seeds: int, tmp_path: Path) -> None:
    methods = {"plain": ratios(0.5, seeds), "order 2": ratios(0.2, seeds, strong=True)}
    path = tmp_path / "ratio.png"
    ratio_plot(path, {f"set {k}": methods for k in range(columns)}, "a caption\nof two lines")
    image = imread(path)
    assert image.shape[1] > 500 * columns
    black = (image[..., :3].max(-1) < 0.1).sum()
    methods["order 2"] = ratios(0.2, seeds)
    ratio_plot(path, {f"set {k}": methods for k in range(columns)}, "a caption\nof two lines")
    assert (imread(path)[..., :3].max(-1) < 0.1).sum() < black  # the strong one is black


def test_images(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    rows = {"test image": [rng.random((8, 8)) for _ in range(4)], "made": [np.zeros((8, 8))]}
    path = tmp_path / "images.png"
    images_plot(path, rows, "a caption")
    assert imread(path)[..., :3].std() > 0.02
