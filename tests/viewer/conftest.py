"""Fixtures of the viewer's tests."""

from __future__ import annotations

from pathlib import Path

import imageio_ffmpeg
import pytest


@pytest.fixture
def full_disk(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An ffmpeg that takes all frames and finds at the end that there is no space for them."""
    program = tmp_path_factory.mktemp("full") / "ffmpeg"
    program.write_text(
        "#!/bin/sh\ncat > /dev/null\n"
        "echo 'av_interleaved_write_frame(): No space left on device' >&2\nexit 228\n"
    )
    program.chmod(0o755)
    monkeypatch.setattr(imageio_ffmpeg, "get_ffmpeg_exe", lambda: str(program))
    return program
