"""The short form of tests/soak/stored.py: damaged files of hodsim's own, and of data sets."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest
from soak import stored
from soak.fuzz import mutants


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("stored")
    stored.make(folder)
    return folder


@pytest.mark.parametrize("name", stored.KINDS)
def test_mutants_are_read_or_refused(name: str, home: Path) -> None:
    file = home / stored.KINDS[name][0]
    sound = file.read_bytes()
    assert stored.outcome(name, home, sound) == "read"
    found = Counter(stored.outcome(name, home, data) for data in mutants(sound, 25, 7))
    file.write_bytes(sound)
    assert set(found) <= {"read", "refused"}, found
    assert found["refused"] > 0 or name == "checkpoint"  # which is then made again


def test_what_must_not_be_is_told(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A traceback, a message of two lines, and a process that dies are findings."""
    faults = iter([KeyError("x"), stored.InputError("a\nb"), stored.InputError(str(home))])

    def read(_: Path) -> None:
        raise next(faults)

    monkeypatch.setitem(stored.KINDS, "card", ("model/model.json", read))
    sound = (home / "model" / "model.json").read_bytes()
    told = [stored.outcome("card", home, sound) for _ in range(3)]
    assert told == ["raised KeyError: 'x'", "not one clear line: 'a\\nb'", "refused"]
