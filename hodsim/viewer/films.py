"""Pictures and films of bodies in three dimensions, side by side, made without a display."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from hodsim.errors import InputError
from hodsim.files import atomic
from hodsim.viewer.encoder import mp4
from hodsim.viewer.sheet import LINE, Progress, Sheet
from hodsim.viewer.shot import Shot

if TYPE_CHECKING:
    from PIL import Image

PICTURES, FILMS = (".png",), (".mp4", ".gif")
_GIF_LINE = 960  # pixels of width that the bodies of a gif share


def film_kind(path: Path) -> str:
    """Whether a name is that of a "picture" or a "film". Raises `InputError` if of neither."""
    suffix = path.suffix.lower()
    if suffix in PICTURES:
        return "picture"
    if suffix in FILMS:
        return "film"
    raise InputError(
        f"{path}: expected a name ending in {', '.join((*FILMS, *PICTURES))}, given {path.suffix!r}"
    )


def picture(path: str | Path, shot: Shot, frame: int = 0) -> None:
    """One frame of a shot as a png. Raises `InputError` for another suffix."""
    from PIL import Image

    path = Path(path)
    if film_kind(path) != "picture":
        raise InputError(f"{path}: expected a name ending in .png, given {path.suffix!r}")
    with Sheet(shot) as sheet, atomic(path) as temporary:
        Image.fromarray(sheet.draw(frame)).save(temporary, optimize=True)


def film(path: str | Path, shot: Shot, fps: float = 25.0, progress: Progress | None = None) -> None:
    """All frames of a shot, as mp4 (H.264 that every player takes) or gif, by the suffix.

    The file takes its place in one move when it is whole; nothing of it stays if drawing stops.
    A gif's frames last whole hundredths of a second, at least two.

    Raises
    ------
    InputError
        Another suffix, frames a second out of range, or an mp4 that ffmpeg does not write, as where
        it is missing or the disk is full.
    """
    path = Path(path)
    if film_kind(path) != "film":
        raise InputError(f"{path}: expected a name ending in .mp4 or .gif, given {path.suffix!r}")
    check_fps(fps)
    write = _write_gif if path.suffix.lower() == ".gif" else _write_mp4
    line = _GIF_LINE if path.suffix.lower() == ".gif" else LINE
    with Sheet(shot, line) as sheet, atomic(path) as temporary:
        write(temporary, sheet, fps, progress)


def check_fps(fps: float) -> None:
    """Raise `InputError` unless `fps` frames a second can be shown."""
    if not 1.0 <= fps <= 100.0:
        raise InputError(f"fps: expected 1 to 100 frames a second, given {fps:g}")


def _write_mp4(path: Path, sheet: Sheet, fps: float, progress: Progress | None) -> None:
    with mp4(path, (sheet.width, sheet.height), fps) as take:
        for image in sheet.frames(progress):
            take(image)


def _write_gif(path: Path, sheet: Sheet, fps: float, progress: Progress | None) -> None:
    from PIL import Image

    palette = _palette(sheet)

    def reduced() -> Iterator[Image.Image]:
        for image in sheet.frames(progress):
            yield Image.fromarray(image).quantize(palette=palette, dither=Image.Dither.NONE)

    frames = reduced()
    next(frames).save(
        path,
        save_all=True,
        append_images=frames,
        duration=max(20, 10 * round(100.0 / fps)),
        loop=0,
        optimize=False,
    )


def _palette(sheet: Sheet) -> Image.Image:
    """256 colours for all frames, so that what stands still does not flicker.

    They come from some of the frames, every colour there counting once: arrows are small, and shown
    for a moment, but not to be drawn in another colour. White and black are exact.
    """
    from PIL import Image

    count = len(sheet.shot.times)
    shown = [sum(len(s.arrows[k]) for s in sheet.shot.solids if s.arrows) for k in range(count)]
    some = {round(j * (count - 1) / 6) for j in range(7)} | {int(np.argmax(shown))}
    used = np.zeros(32**3, dtype=bool)
    for k in some:
        red, green, blue = np.moveaxis(sheet.draw(k).astype(np.intp) // 8, 2, 0)
        used[(red * 32 + green) * 32 + blue] = True
    colours = np.stack(np.unravel_index(np.flatnonzero(used), (32, 32, 32)), axis=1) * 8 + 4
    found = (
        Image.fromarray(colours[None].astype(np.uint8)).quantize(254, kmeans=2).getpalette() or []
    )
    palette = Image.new("P", (1, 1))
    palette.putpalette([255, 255, 255, 0, 0, 0, *found[: 3 * 254]])
    return palette
