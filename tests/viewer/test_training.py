"""Training curves and step statistics are drawn from tables, awkward ones too."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from matplotlib.image import imread

from hodsim.viewer import Training, steps_plot, training_plot
from hodsim.viewer.training import _mean, _short


def table(seed: int, points: int = 5) -> dict[str, list[float | None]]:
    rng = np.random.default_rng(seed)
    x = np.linspace(0.0, 4.0 + seed, points)
    values = np.exp(-3.0 * x) + 0.01 * rng.random(points)
    out = {name: list(x) for name in ("epoch", "seconds", "gradients")}
    return out | {name: list(values) for name in ("loss", "error", "held_out_error")}


def test_a_mean_goes_as_far_as_all_runs_and_keeps_their_points() -> None:
    from matplotlib.figure import Figure

    axes = Figure().subplots()
    first, second = table(0), table(1)
    _mean(axes, Training([first, second]), "epoch", "loss", {"color": "black"})
    (line,) = axes.get_lines()
    x, y = (np.asarray(values, float) for values in line.get_data())
    assert (x[0], x[-1]) == (0.0, 4.0)
    for at in first["epoch"]:
        wanted = np.mean([np.interp(at, t["epoch"], t["loss"]) for t in (first, second)])
        assert y[np.flatnonzero(x == at)[0]] == pytest.approx(wanted)


def test_runs_that_diverged_or_made_no_step_are_drawn(tmp_path: Path) -> None:
    lost = table(2)
    lost["loss"] = [1.0, 2.0, None, None, None]
    curves = {
        "Newton": Training([table(0), table(1)], strong=True),
        "lost": Training([lost]),
        "still": Training([table(3, points=1)]),
        "all lost": Training([{k: [None] * 5 for k in table(0)}]),
    }
    path = tmp_path / "curves.png"
    training_plot(path, curves, "error rate", "a caption")
    assert imread(path)[..., :3].std() > 0.02


def test_steps_are_drawn(tmp_path: Path) -> None:
    steps = {
        "gradients": [1.0, 2.0, 5.0, 9.0],
        "outcome": ["accepted", "skipped", "abandoned", "accepted"],
        "why": ["", "the batch's gradient disagrees with the global one", "no length of 10", ""],
        "cg_iterations": [3, 0, 7, 1],
        "cg_ended": ["tolerance", "", "negative curvature", "tolerance"],
        "length": [1.0, 0.0, 0.0, 0.25],
        "cosine": [0.9, -0.1, None, 0.5],
    }
    still = {k: v[:1] for k, v in steps.items()} | {"cosine": [None]}
    path = tmp_path / "steps.png"
    steps_plot(path, {"Newton": [steps, steps], "other": [still]})
    assert imread(path)[..., :3].std() > 0.02


def test_reasons_lose_their_numbers() -> None:
    assert _short("no length of 10 tried lowers the loss") == _short("no length of 3 tried lowers")
    assert _short("the gradient is zero") == "the gradient is zero"
