"""README and CONTRIBUTING: their Python runs as it stands, and their commands exist."""

from __future__ import annotations

import pytest
from documents import ROOT, blocks, check, commands, inline_commands, run

README = (ROOT / "README.md").read_text(encoding="utf-8")
CODE = blocks(README, "python")


@pytest.mark.parametrize("number", range(len(CODE)))
def test_code_runs(number: int) -> None:
    assert len(CODE) >= 2
    run(CODE[number], f"README block {number}")


@pytest.mark.parametrize("name", ["README.md", "CONTRIBUTING.md"])
def test_commands_exist(name: str) -> None:
    text = (ROOT / name).read_text(encoding="utf-8")
    known = [check(words) for words in commands(text)]
    known += [check(words, whole=False) for words in inline_commands(text)]
    assert any(known)
