"""The app end to end in few steps, again from what it kept, and what it refuses."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path

import pytest
from matplotlib.image import imread
from started import Refused, started

APP = Path(__file__).parents[2] / "apps" / "poisson_pinn.py"
run = partial(started, APP)


def test_a_plate_end_to_end_and_again_from_what_was_kept(tmp_path: Path) -> None:
    kept, out = tmp_path / "kept.json", tmp_path / "out"
    few = ("--problem", "plate", "--quick", "--method", "adam", "--steps", "3", "--seeds", "2")
    done = run(*few, "--out", out, "--json", kept)
    assert done.returncode == 0, done.stderr
    told = json.loads(kept.read_text())
    assert json.loads((out / "plate-adam.json").read_text()) == told
    for picture in ("plate-adam-maps.png", "plate-adam-errors.png"):
        image = imread(out / picture)
        assert min(image.shape[:2]) > 300
        assert image[..., :3].std() > 0.02  # something is drawn
    assert {name: len(runs) for name, runs in told["runs"].items()} == {"lanes": 2, "autograd": 2}
    for ours, rival in zip(told["runs"]["lanes"], told["runs"]["autograd"], strict=True):
        assert ours["curve"][0]["errors"] == rival["curve"][0]["errors"]
        assert rival["plan"]["seconds"] == ours["curve"][-1]["seconds"]
        assert ours["stopped"] == ""
    assert len({r["curve"][-1]["errors"][0] for r in told["runs"]["lanes"]}) == 2
    before = {path: path.stat().st_mtime_ns for path in (out / "runs").iterdir()}
    assert len(before) == 4
    again = run(*few, "--out", out, "--json", kept)
    assert again.stdout == done.stdout
    assert json.loads(kept.read_text()) == told
    assert {path: path.stat().st_mtime_ns for path in (out / "runs").iterdir()} == before


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("--problem", "eq14"), "argument --problem: invalid choice"),
        (("--method", "newton"), "argument --method: invalid choice"),
        (("--seeds", "0"), "seeds and seed: expected at least 1 and 0"),
        (("--seed", "-1"), "seeds and seed"),
        (("--steps", "-1"), "steps: expected a whole number of at least 0"),
        (("--nonsense",), "--nonsense"),
    ],
)
def test_bad_arguments_are_one_line(
    arguments: tuple[str, ...], told: str, refused: Refused
) -> None:
    assert told in refused("--quick", *arguments)
