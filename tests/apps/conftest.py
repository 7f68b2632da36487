"""What the tests of several scripts in apps/ share; each names its script `APP`."""

from __future__ import annotations

import runpy
import sys
from pathlib import Path

import pytest
from started import Refused


@pytest.fixture
def refused(
    request: pytest.FixtureRequest,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    tmp_path: Path,
) -> Refused:
    """Call the app in this process with what it must refuse; gives its one line."""
    app = str(request.module.APP)

    def call(*arguments: object) -> str:
        out = tmp_path / "out"
        monkeypatch.setattr(sys, "argv", [app, *map(str, arguments), "--out", str(out)])
        with pytest.raises(SystemExit) as left:
            runpy.run_path(app, run_name="__main__")
        assert left.value.code == 2
        assert not out.exists()
        (line,) = capfd.readouterr().err.splitlines()
        return line

    return call
