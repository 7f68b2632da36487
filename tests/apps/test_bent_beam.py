"""Fig. 8's app as a user starts it."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from started import started

APP = Path(__file__).parents[2] / "apps" / "bent_beam.py"
run = partial(started, APP)


def test_quick_run_writes_picture_and_numbers(tmp_path: Path) -> None:
    done = run("--quick", "--out", "pictures/beam.png", "--json", "numbers.json", folder=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    assert "hod-6" in done.stdout
    told = json.loads((tmp_path / "numbers.json").read_text())
    assert list(told["curves"]) == ["pca-6", "pca-12", "pca-20", "hod-6"]
    # Fig. 8's claim, at the moment that is drawn: full space's tip moved by 67 cm.
    off = told["tip_distance"]
    assert off["full"] == 0.0
    assert off["hod-6"] < 0.01
    assert off["pca-6"] > 0.1
    assert told["time"] == pytest.approx(0.7, abs=0.05)
    image = np.asarray(Image.open(tmp_path / "pictures" / "beam.png"))
    panels, curves = image[60:550], image[-320:]
    for k in range(3):
        red = panels[:, 480 * k : 480 * k + 480].astype(int)
        assert ((red[..., 0] - red[..., 1]) > 100).mean() > 0.01
    for colour in ((0xD5, 0x5E, 0x00), (0xCC, 0x79, 0xA7), (0x00, 0x72, 0xB2), (0, 0, 0)):
        assert (np.abs(curves.astype(int) - colour).sum(axis=2) < 30).sum() > 100
    assert sorted(path.name for path in tmp_path.iterdir()) == ["numbers.json", "pictures"]


@pytest.mark.parametrize(
    "arguments",
    [
        ("--nonsense",),
        ("none.toml",),
        ("--out", "a.jpg"),
        ("--out", "file/a.png"),
        ("--json", "file/a.json"),
    ],
)
def test_bad_arguments_are_one_line_and_exit_2(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    (tmp_path / "file").write_text("")
    done = run(*arguments, folder=tmp_path)
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.count("\n") == 1
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
