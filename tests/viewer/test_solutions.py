"""Maps of solutions and their errors are drawn from arrays."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from matplotlib.image import imread

from hodsim.viewer import Errors, Maps, errors_plot, maps_plot


def test_maps_are_drawn_the_right_way_round(tmp_path: Path) -> None:
    x = np.linspace(0.0, 1.0, 30)
    truth = np.repeat(x[:, None], 30, axis=1)  # grows along x1 alone
    path = tmp_path / "maps.png"
    maps_plot(path, {"u": Maps(truth, truth + 0.1 * truth.T, 0.1)}, title="a caption")
    image = imread(path)[..., :3]
    assert image.std() > 0.02
    # Of the upper third, where the truth is: yellow (more red) on the right, purple on the left.
    part = image[: image.shape[0] // 4]
    red, blue = part[..., 0], part[..., 2]
    yellow = np.argwhere((red > 0.8) & (blue < 0.3))[:, 1].mean()
    purple = np.argwhere((red < 0.35) & (blue > 0.3) & (part[..., 1] < 0.3))[:, 1].mean()
    assert yellow > purple + 20


def test_exact_and_constant_solutions_are_drawn(tmp_path: Path) -> None:
    flat = np.ones((4, 4))
    path = tmp_path / "flat.png"
    maps_plot(path, {"a": Maps(flat, flat, 0.0), "b": Maps(flat, 2.0 * flat, 1.0)})
    assert path.stat().st_size > 0
    with pytest.raises(ValueError, match="at least one"):
        maps_plot(path, {})


@pytest.mark.parametrize("components", [1, 5, 8])
def test_errors_are_drawn(tmp_path: Path, components: int) -> None:
    seconds = np.linspace(0.0, 3.0, 6)
    fall = np.exp(-seconds)[:, None] * np.ones(components)
    fall[-1, 0] = 0.0
    path = tmp_path / "errors.png"
    runs = {
        "lanes": [Errors(seconds, fall, strong=True), Errors(2.0 * seconds, fall, strong=True)],
        "autograd": [Errors(seconds[:1], fall[:1])],
    }
    errors_plot(path, runs, [f"k = {k}" for k in range(components)], "a caption")
    assert imread(path)[..., :3].std() > 0.01
