"""Films are whole, or it is said that they are not."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import imageio_ffmpeg
import numpy as np
import pytest

from hodsim.errors import InputError
from hodsim.mesh import beam
from hodsim.viewer import Shot, Solid, film
from hodsim.viewer.encoder import mp4

NOISE = np.random.default_rng(0).integers(0, 255, (240, 320, 3), dtype=np.uint8)
MESH = beam((3, 1, 1), (1.0, 0.2, 0.2))


def children() -> set[str]:
    return {
        pid for task in Path("/proc/self/task").iterdir()
        for pid in (task / "children").read_text().split()
    }  # fmt: skip


def write(path: Path, frames: int, then: Callable[[], None] = lambda: None) -> None:
    with mp4(path, (320, 240), 25.0) as take:
        for _ in range(frames):
            take(NOISE)
        then()


def test_every_frame_is_there(tmp_path: Path) -> None:
    path = tmp_path / "film.mp4"
    with mp4(path, (320, 240), 12.5) as take:
        for k in range(25):
            take(np.roll(NOISE, k, axis=1)[:, ::-1])  # not contiguous either
    count, seconds = imageio_ffmpeg.count_frames_and_secs(str(path))
    assert (count, seconds) == (25, pytest.approx(2.0))


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs Linux's /dev/full")
@pytest.mark.parametrize("frames", [1, 400])  # found at the end, and on the way
def test_a_full_disk_is_told(frames: int) -> None:
    before = children()
    with pytest.raises(InputError) as error:
        write(Path("/dev/full"), frames)
    assert str(error.value) == (
        "film: ffmpeg did not write it (no space left on the disk); free some space or choose "
        "another place"
    )
    assert children() == before


@pytest.mark.parametrize(
    ("script", "told"),
    [
        ("cat > /dev/null; exit 3", "exit code 3"),
        ("echo 'no such codec' >&2; exit 1", "no such co"),
    ],
)
def test_whatever_ffmpeg_says_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str, told: str
) -> None:
    program = tmp_path / "ffmpeg"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    monkeypatch.setattr(imageio_ffmpeg, "get_ffmpeg_exe", lambda: str(program))
    with pytest.raises(InputError, match=told):
        write(tmp_path / "a.mp4", 50)


def test_a_stop_leaves_no_process(tmp_path: Path) -> None:
    before = children()
    during = []

    def stopped() -> None:
        during.append(children())
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write(tmp_path / "a.mp4", 1, stopped)
    assert len(during[0]) == len(before) + 1
    assert children() == before


def test_no_ffmpeg(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def none() -> str:
        raise RuntimeError("No ffmpeg exe could be found")

    monkeypatch.setattr(imageio_ffmpeg, "get_ffmpeg_exe", none)
    with pytest.raises(InputError, match="apt install ffmpeg"):
        write(tmp_path / "a.mp4", 1)


@pytest.mark.usefixtures("full_disk")
def test_a_film_that_was_not_written_leaves_what_was_there(tmp_path: Path) -> None:
    path = tmp_path / "film.mp4"
    path.write_bytes(b"before")
    solid = Solid("a", MESH.vertices[None], np.zeros((1, MESH.n_vertices)))
    shot = Shot(MESH.vertices, MESH.surface, np.arange(0), np.zeros(1), (solid,), "nothing [1]")
    with pytest.raises(InputError, match="no space left"):
        film(path, shot)
    assert path.read_bytes() == b"before"
    assert list(tmp_path.iterdir()) == [path]
