"""Pictures show what they were given: every panel is there, and errors have colour."""

from __future__ import annotations

import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import matplotlib.image
import numpy as np
import pytest
from PIL import Image, ImageSequence

from hodsim.errors import InputError
from hodsim.mesh import beam
from hodsim.viewer import Curve, Panel, Row, animation, error_plot, side_by_side

MESH = beam((6, 1, 1), (1.0, 0.2, 0.2))
FRAMES = 5


def bent(amount: float) -> np.ndarray:
    """Positions over frames, bent downwards more and more, (FRAMES, n_vertices, 3)."""
    x = np.repeat(MESH.vertices[None], FRAMES, axis=0)
    x[:, :, 2] -= np.linspace(0.0, amount, FRAMES)[:, None] * x[:, :, 0] ** 2
    return x


def row(*amounts: float) -> Row:
    panels = tuple(Panel(f"body {k}", bent(a)) for k, a in enumerate(amounts))
    return Row("scene", MESH.surface, np.linspace(0.0, 1.0, FRAMES), panels)


def pixels(path: Path) -> np.ndarray:
    return np.asarray(matplotlib.image.imread(path))[..., :3].astype(float)


def redness(image: np.ndarray) -> float:
    """Largest lead of red over green: pale is below 0.2, the map's red end 0.5 and more."""
    return float((image[..., 0] - image[..., 1]).max())


def panels_of(image: np.ndarray, n: int) -> list[np.ndarray]:
    """The picture without the colour bar on its right, cut into its panels."""
    width = image.shape[1] * (2.7 * n) / (2.7 * n + 1.25)
    body = image[: -image.shape[0] // 6]
    return [body[:, int(width * k / n) : int(width * (k + 1) / n)] for k in range(n)]


def test_side_by_side_colours_errors_only(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "side.png"
    side_by_side(path, [row(0.4, 0.4, 0.1)], [FRAMES - 1])
    truth, same, off = panels_of(pixels(path), 3)
    for panel in (truth, same, off):
        assert (panel.min(axis=2) < 0.9).mean() > 0.02  # a body stands there
    assert redness(truth) < 0.2
    assert redness(same) < 0.2
    assert redness(off) > 0.4
    assert list(path.parent.iterdir()) == [path]


def test_bodies_keep_clear_of_the_edges(tmp_path: Path) -> None:
    path = tmp_path / "side.png"
    side_by_side(path, [row(0.5, 1.5), row(0.1, 0.2)], [FRAMES - 1, 2])
    image = pixels(path)
    border = np.concatenate([image[:5].ravel(), image[-5:].ravel(), image[:, :5].ravel()])
    assert border.min() == 1.0
    assert image[:, -5:].min() == 1.0


def test_animation_moves(tmp_path: Path) -> None:
    path = tmp_path / "film.gif"
    told: list[tuple[int, int]] = []
    animation(path, [row(0.4, 0.1)], fps=10, progress=lambda *at: told.append(at))
    assert told == [(k + 1, FRAMES) for k in range(FRAMES)]
    with Image.open(path) as film:
        assert film.n_frames == FRAMES
        frames = [np.asarray(f.convert("L"), dtype=float) for f in ImageSequence.Iterator(film)]
    assert all(np.abs(b - a).max() > 50 for a, b in pairwise(frames))
    assert list(tmp_path.iterdir()) == [path]


def test_rows_must_have_as_many_panels(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="same number of panels"):
        side_by_side(tmp_path / "side.png", [row(0.1, 0.2), row(0.1)], [0, 0])
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("scenes", [1, 3, 5])
def test_error_plot_draws_every_scene(tmp_path: Path, scenes: int) -> None:
    t = np.linspace(0.0, 1.0, 20)
    curves = {"a": Curve(t, 0.1 * t), "b": Curve(t[:9], 0.01 * t[:9], strong=True)}
    error_plot(tmp_path / "error.png", {f"scene {k}": curves for k in range(scenes)})
    image = pixels(tmp_path / "error.png")
    columns, lines = min(scenes, 3), -(-scenes // 3)
    for k in range(scenes):
        j, i = k % columns, k // columns
        h, w = image.shape[0] // lines, image.shape[1] // columns
        part = image[i * h : (i + 1) * h, j * w : (j + 1) * w]
        assert redness(part) > 0.4  # the first curve's colour
        assert (part.max(axis=2) < 0.1).mean() > 0.002  # the strong one's, and the letters


def test_importing_the_viewer_loads_no_plotting() -> None:
    code = "import sys, hodsim.viewer; print({'matplotlib', 'h5py'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
