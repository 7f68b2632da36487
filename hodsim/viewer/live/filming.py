"""A film of what a window draws, at the pace of the wall clock, encoded beside the drawing."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from hodsim.errors import InputError
from hodsim.files import atomic
from hodsim.viewer.encoder import mp4

FPS = 30.0
_WAITING = 4  # frames that may wait for the encoder
_SHARE = 1.5  # seconds of drawing that each second of taking frames leaves at least


def next_name(stem: str, suffix: str, folder: Path) -> Path:
    """The first of `stem-001.suffix`, `stem-002.suffix`, ... that is not there yet."""
    number = 1
    while (path := folder / f"{stem}-{number:03d}{suffix}").exists():
        number += 1
    return path


class Film:
    """Writes an mp4 of 30 frames a second of wall time; a moment without a new frame repeats the
    last one. The file appears when the film is stopped.

    Parameters
    ----------
    path
        The file to be.
    clock
        Wall time [s]; tests have their own.
    """

    def __init__(self, path: Path, clock: Callable[[], float] = time.monotonic) -> None:
        self.path, self._clock = path, clock
        self._start = clock()
        self._due = self._start
        # A frame and when it was drawn, in frames from the start; no frame is the end.
        self._frames: queue.Queue[tuple[int, np.ndarray | None]] = queue.Queue(_WAITING)
        self._trouble = "its writing was broken off"  # until it is known to be whole
        self._thread = threading.Thread(target=self._run, name="film", daemon=True)
        self._thread.start()

    def take(self, draw: Callable[[], np.ndarray]) -> bool:
        """Take a frame by `draw()`, RGB uint8 (height, width, 3), if one is due and the encoder
        keeps up; gives whether it did."""
        now = self._clock()
        if now < self._due or self._frames.full() or not self._thread.is_alive():
            return False
        slot = self._slot()
        image = draw()
        # Taking a frame costs drawing time: what is slow is done less often.
        after = self._clock()
        self._due = max(self._start + (slot + 1) / FPS, after + _SHARE * (after - now))
        self._frames.put_nowait((slot, image))
        return True

    def _slot(self) -> int:
        return int((self._clock() - self._start) * FPS)

    def stop(self) -> str:
        """Finish the file; gives a word to the user: where it is, or why there is none."""
        end = self._slot()
        while self._thread.is_alive():
            try:
                self._frames.put((end, None), timeout=0.2)
                break
            except queue.Full:
                continue
        self._thread.join()
        return f"no film: {self._trouble}" if self._trouble else f"saved {self.path}"

    def _run(self) -> None:
        try:
            with atomic(self.path) as temporary:
                self._encode(temporary)
        except (InputError, OSError) as error:
            self._trouble = " ".join(str(error).split())
        else:
            self._trouble = ""

    def _encode(self, path: Path) -> None:
        _, new = self._frames.get()
        if new is None:
            raise InputError("expected at least one frame, none was drawn; film for longer")
        height, width = (n - n % 2 for n in new.shape[:2])  # the codec wants even sizes
        written = 0
        with mp4(path, (width, height), FPS, "-preset", "ultrafast") as take:
            while new is not None:
                image = _fit(new, height, width)
                slot, new = self._frames.get()
                for _ in range(max(slot, written + 1) - written):
                    take(image)
                    written += 1


def _fit(image: np.ndarray, height: int, width: int) -> np.ndarray:
    """The image cut or filled up in white to the film's size, after a window has changed its."""
    if image.shape[:2] == (height, width):
        return np.ascontiguousarray(image)
    out = np.full((height, width, 3), 255, dtype=np.uint8)
    part = image[:height, :width]
    out[: part.shape[0], : part.shape[1]] = part
    return out
