"""Frames into an mp4 that every player takes, by ffmpeg, whose last word is heard."""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import numpy as np

from hodsim.errors import InputError

Take = Callable[[np.ndarray], None]


@contextmanager
def mp4(path: Path, size: tuple[int, int], fps: float, *options: str) -> Iterator[Take]:
    """A function that takes frames, RGB uint8 (height, width, 3); the file is whole afterwards.

    Parameters
    ----------
    path
        The file; it is written where it stands, so that it should be a temporary one.
    size
        Width and height [pixels], both even.
    fps
        Frames a second.
    options
        Of the encoder, as ffmpeg spells them.

    Raises
    ------
    InputError
        There is no ffmpeg, or it did not write all, as on a full disk.
    """
    command = [_ffmpeg(), "-y", "-v", "error", "-f", "rawvideo", "-pix_fmt", "rgb24"]
    command += ["-s", f"{size[0]}x{size[1]}", "-r", f"{fps:.10g}", "-i", "-", "-an"]
    command += ["-c:v", "libx264", "-pix_fmt", "yuv420p", *options]
    command += ["-movflags", "+faststart", "-f", "mp4", str(path)]
    with tempfile.TemporaryFile() as said:
        process = subprocess.Popen(  # noqa: S603  (our own command)
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=said,
            start_new_session=True,  # Ctrl-C is for us
        )
        assert process.stdin is not None
        pipe = process.stdin

        def take(image: np.ndarray) -> None:
            pipe.write(np.ascontiguousarray(image).data)

        broken = False
        try:
            try:
                yield take
                pipe.close()
            except BrokenPipeError:
                broken = True
            code = process.wait()
        finally:
            if process.poll() is None:
                process.kill()
                process.wait()
            with suppress(BrokenPipeError):  # what was still to be written
                pipe.close()
        if code or broken:
            said.seek(0)
            raise InputError(_told(code, said.read()))


def _told(code: int, said: bytes) -> str:
    text = said.decode(errors="replace")
    # The first line is the trouble, the later ones are what follows from it.
    first = next((line.strip() for line in text.splitlines() if line.strip()), f"exit code {code}")
    why = "no space left on the disk" if "No space left" in text else first
    return f"film: ffmpeg did not write it ({why}); free some space or choose another place"


def _ffmpeg() -> str:
    import imageio_ffmpeg

    try:
        return str(imageio_ffmpeg.get_ffmpeg_exe())
    except RuntimeError as error:
        raise InputError(
            "film: expected ffmpeg to write an mp4, found none; pip install imageio-ffmpeg or "
            "apt install ffmpeg, or write a .gif"
        ) from error
