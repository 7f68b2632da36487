"""CONTRIBUTING's map of the house against the contract that import-linter holds."""

from __future__ import annotations

import re
import tomllib

from documents import ROOT

ROW = re.compile(r"^\| (\d+) \| ((?:`\w+`(?:, )?)+) \| ", re.MULTILINE)


def test_the_map_is_the_contract() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    (contract,) = project["tool"]["importlinter"]["contracts"]
    layers = [set(re.findall(r"\w+", layer)) for layer in contract["layers"]]
    rows = ROW.findall((ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8"))
    assert [set(re.findall(r"\w+", rooms)) for _, rooms in rows] == layers
    assert [int(number) for number, _ in rows] == list(range(len(layers)))[::-1]


def test_every_room_has_a_page() -> None:
    rooms = {p.parent.name for p in (ROOT / "hodsim").glob("*/__init__.py")} - {"cli"}
    assert {p.stem for p in (ROOT / "docs" / "api").glob("*.md")} - {"index"} == rooms
