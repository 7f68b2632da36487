"""The app draws what the benchmark measured. Nothing is timed here."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from matplotlib.image import imread
from started import started

APP = Path(__file__).parents[2] / "apps" / "derivative_timing.py"
run = partial(started, APP)


def row(case: str, quantity: str, batch: int, ms: float | None) -> dict[str, Any]:
    best = {} if ms is None else {"ours": {"ms": ms}, "jax": {"ms": 2 * ms}, "floor": {"ms": 0.5}}
    names = {"case": case, "quantity": quantity, "dtype": "float64", "batch": batch}
    return names | {"ms": ms, "best": best}


def report() -> dict[str, Any]:
    costs = [
        {"sweep": "order", "what": what, "order": k, "n": 9, "lanes": lanes, "ms": 0.1 * lanes}
        for k in (1, 2, 3)
        for what, lanes in (("distinct", 2**k), ("repeated", k + 1))
    ] + [
        {"sweep": "inputs", "what": what, "order": 3, "n": n, "lanes": 8, "ms": ms}
        for n in (8, 16)
        for what, ms in (("distinct", 0.8), ("value", 0.1), ("first layer's product", 1e-3 * n))
    ]
    rows = [
        row("40-400/200", "jacobian", 1, 1.0),
        row("40-400/200", "jacobian", 64, 9.0),
        row("400-40/200", "jacobian", 1, 2.0),
        row("200-200/200", "hessian", 64, None),
    ]
    return {"header": {}, "rows": rows, "cost": costs}


def test_pictures_from_a_file(tmp_path: Path) -> None:
    (tmp_path / "rows.json").write_text(json.dumps(report()))
    out, kept = tmp_path / "out", tmp_path / "kept.json"
    done = run("--from", str(tmp_path / "rows.json"), "--out", str(out), "--json", str(kept))
    assert done.returncode == 0, done.stderr
    for name in ("derivative_timing.png", "derivative_cost.png"):
        picture = imread(out / name)
        assert min(picture.shape[:2]) > 200
        assert picture[..., :3].std() > 0.02  # something is drawn
    assert json.loads(kept.read_text()) == report()


def test_a_file_without_cost_gives_one_picture(tmp_path: Path) -> None:
    (tmp_path / "rows.json").write_text(json.dumps(report() | {"cost": []}))
    done = run("--from", str(tmp_path / "rows.json"), "--out", str(tmp_path))
    assert done.returncode == 0, done.stderr
    assert [path.name for path in tmp_path.glob("*.png")] == ["derivative_timing.png"]


@pytest.mark.parametrize("text", ["{", '{"rows": [{}]}', '{"rows": []}', "[]"])
def test_other_files_are_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "rows.json"
    path.write_text(text)
    done = run("--from", str(path), "--out", str(tmp_path))
    assert done.returncode == 2
    assert len(done.stderr.splitlines()) == 1


def test_bad_arguments_are_one_line() -> None:
    for arguments in (("--from", "/no/such/file"), ("--nonsense",)):
        done = run(*arguments)
        assert done.returncode == 2
        assert len(done.stderr.splitlines()) == 1
