"""Machines that cannot draw, played by interpreters that do not work."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from hodsim.errors import InputError
from hodsim.viewer import check_drawing, trial
from hodsim.viewer.live.probe import check_window


def interpreter(folder: Path, script: str) -> str:
    """An interpreter that ends as the shell script does; $2 is the text that it is to run."""
    path = folder / "python"
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return str(path)


@pytest.fixture
def _display(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DISPLAY", ":4711")


CRASH = "kill -SEGV $$"
MISSING = f"""
text=$(printf '%s' "$2" | sed -E 's/(polyscope|pyvista)/\\1_is_not_here/')
exec {sys.executable} -c "$text"
"""


def said(error: pytest.ExceptionInfo[InputError]) -> str:
    text = str(error.value)
    assert "\n" not in text
    return text


def test_no_display(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DISPLAY", raising=False)
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    with pytest.raises(InputError) as error:
        check_window()
    assert "no display" in said(error)
    assert "hodsim view --web" in said(error)


@pytest.mark.usefixtures("_display")
def test_a_display_that_is_not_there() -> None:
    with pytest.raises(InputError) as error:
        check_window()
    assert "display ':4711' cannot be used" in said(error)


@pytest.mark.usefixtures("_display")
@pytest.mark.parametrize(
    ("script", "ending"),
    [(CRASH, "the probe died by SIGSEGV"), ("exit 3", "the probe ended with code 3")],
)
@pytest.mark.parametrize("headless", [False, True])
def test_broken_libraries(tmp_path: Path, script: str, ending: str, headless: bool) -> None:
    with pytest.raises(InputError) as error:
        check_window(headless=headless, python=interpreter(tmp_path, script))
    assert said(error) == (
        f"window: the GL libraries are missing or broken ({ending}); "
        "apt install libx11-6 libegl1 libgl1 libgl1-mesa-dri"
    )


@pytest.mark.usefixtures("_display")
def test_a_library_that_hangs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trial, "_PATIENCE", 0.2)
    with pytest.raises(InputError) as error:
        check_window(python=interpreter(tmp_path, "exec sleep 60"))
    assert "did not answer within 0.2 s" in said(error)


@pytest.mark.usefixtures("_display")
def test_an_interpreter_that_does_not_start(tmp_path: Path) -> None:
    with pytest.raises(InputError) as error:
        check_window(python=str(tmp_path / "no such"))
    assert "did not start" in said(error)


@pytest.mark.usefixtures("_display")
def test_missing_packages(tmp_path: Path) -> None:
    python = interpreter(tmp_path, MISSING)
    with pytest.raises(InputError) as error:
        check_window(python=python)
    assert said(error) == "polyscope is not installed; pip install polyscope"
    with pytest.raises(InputError) as error:
        check_drawing(python=python)
    assert said(error) == "pyvista is not installed; pip install pyvista"


def test_pictures_without_their_library(tmp_path: Path) -> None:
    with pytest.raises(InputError) as error:
        check_drawing(python=interpreter(tmp_path, CRASH))
    assert said(error).endswith("(the probe died by SIGSEGV); apt install libosmesa6")


def test_this_machine_can_draw_without_a_display() -> None:
    """If this fails: apt install libx11-6 libegl1 libgl1 libgl1-mesa-dri libosmesa6."""
    check_window(headless=True)
    check_drawing()


def test_a_machine_is_tried_once(tmp_path: Path) -> None:
    """The second question costs nothing."""
    log = tmp_path / "log"
    python = interpreter(tmp_path, f"echo x >> {log}")
    for _ in range(3):
        check_window(headless=True, python=python)
    assert log.read_text().split() == ["x"]
    for _ in range(3):
        check_drawing(python=python)
    assert log.read_text().split() == ["x", "x"]
