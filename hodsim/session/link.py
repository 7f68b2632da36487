"""The process of a live simulation seen from outside: what goes to and fro, and shared memory."""

from __future__ import annotations

import multiprocessing
import time
from collections.abc import Callable, Iterator
from multiprocessing.shared_memory import SharedMemory
from pathlib import Path
from typing import Any, Final

import numpy as np

from hodsim.errors import InputError
from hodsim.session.process import LANES, Opening, regions, run
from hodsim.session.ring import HEAD, Board, Ring

_LEAST: Final = 8 * 2**20  # bytes of frames kept for a body
_FEWEST: Final = 8  # frames kept, however large


class Link:
    """Starts the process and ends it; sends to it and hears from it.

    Attributes
    ----------
    ended
        Whether there is no process any more, or none that answers.
    """

    def __init__(self) -> None:
        self.ended = False
        self._number = 0
        self._memory: SharedMemory | None = None
        self._regions: list[memoryview] = []
        self._board: Board | None = None
        context = multiprocessing.get_context("spawn")
        self._pipe, theirs = context.Pipe()
        self._process = context.Process(target=run, args=(theirs,), daemon=True, name="hodsim")
        self._process.start()
        theirs.close()

    @property
    def process_id(self) -> int | None:
        """The number of the process."""
        return self._process.pid

    @property
    def exit_code(self) -> int | None:
        """How the process ended; None while it runs."""
        return self._process.exitcode

    def open(self, scene: Path, model: Path | None, solver: str, n_dofs: int) -> None:
        """Have a scene simulated whose body has so many degrees of freedom, with new memory. What
        is heard from now on is of that scene; nothing may look at the former memory any more."""
        # The widest frames are those of full space.
        row = 8 * (7 + 2 * n_dofs + 64)
        region = 64 * (max(_LEAST, HEAD + _FEWEST * row) // 64 + 1)
        memory = SharedMemory(create=True, size=Board.SIZE + LANES * region)
        self._number += 1
        self._board, self._regions = regions(memory, region)
        before, self._memory = self._memory, memory
        _discard(before)
        self.send("open", Opening(self._number, scene, model, solver, memory.name, region))

    def ring(self, place: int, r: int, w: int) -> Ring:
        """The frames of the body at a place: r latent coordinates and w features each."""
        return Ring(self._regions[place], r, w)

    def board(self) -> tuple[np.ndarray, np.ndarray]:
        """What the board says: see `Board.read`. Raises `InputError` after `close`."""
        if self._board is None:
            raise InputError("session: expected an open one, given one that is closed")
        return self._board.read()

    def send(self, *message: Any) -> None:
        """Say something; it is lost where nobody listens."""
        if not self.ended:
            try:
                self._pipe.send(message)
            except OSError:
                self._end()

    def heard(self) -> Iterator[tuple[str, list[Any]]]:
        """What has been said of the open scene and not been heard yet: a word and what it is of."""
        while not self.ended and self._pipe.poll():
            try:
                number, what, *rest = self._pipe.recv()
            except (EOFError, OSError):
                self._end()
                return
            if number == self._number:
                yield what, rest
        if not self.ended and not self._process.is_alive():
            self._end()

    def wait(self, done: Callable[[], object], poll: Callable[[], None], seconds: float) -> None:
        """Call `poll` whenever there is something to hear, until it is done, or for so long [s]."""
        until = time.monotonic() + seconds
        while not done() and not self.ended and time.monotonic() < until:
            if self._pipe.poll(0.05) or not self._process.is_alive():
                poll()

    def close(self) -> None:
        """End the process and give its memory back; nothing may look at it any more."""
        self.ended = True
        self._pipe.close()
        self._process.join(timeout=2.0)
        if self._process.is_alive():
            self._process.kill()
            self._process.join()
        self._regions, self._board = [], None
        before, self._memory = self._memory, None
        _discard(before)

    def _end(self) -> None:
        self.ended = True
        self._process.join(timeout=1.0)


def _discard(memory: SharedMemory | None) -> None:
    if memory is not None:
        memory.unlink()
        memory.close()
