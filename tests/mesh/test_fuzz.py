"""The short form of tests/soak/fuzz.py: mutated files end as a mesh or as one clear line."""

from __future__ import annotations

import resource
from pathlib import Path

import pytest
from soak.fuzz import FORMATS, fuzz

from hodsim.mesh import files

HERE = ("veg", "toml")  # read in this process, in a moment


@pytest.mark.parametrize("name", FORMATS)
def test_mutants_are_read_or_refused(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(files, "_SECONDS", 2)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    count = 300 if name in HERE else 8
    ended = fuzz(name, count, 1, tmp_path)
    assert set(ended) <= {"read", "refused"}, ended
    assert sum(ended.values()) == count
    assert ended["refused"] > 0
    # Nothing stays: neither files nor memory, of which a sound file takes a few kilobytes.
    assert not list(tmp_path.glob("mutant*"))
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 300 * 1024
