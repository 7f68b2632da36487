"""The latest frames of a lane in memory that two processes share; nobody ever waits for it."""

from __future__ import annotations

from typing import Final

import numpy as np

from hodsim.session.frames import Frame

HEAD: Final = 64  # bytes before the rows: the number of frames written
_NUMBERS: Final = 7  # run, step, t, iterations, step_ms, reach, held


class Ring:
    """Rows of the last frames, r latent coordinates and w features each, in a buffer.

    One process writes, any number read. A row is written before it is counted, so that what is
    counted is whole until the writer has come round to it.
    """

    def __init__(self, buffer: memoryview, r: int, w: int) -> None:
        self._r, self._w = r, w
        width = _NUMBERS + r + 2 * w
        self.slots = (len(buffer) - HEAD) // (8 * width)
        self._count = np.frombuffer(buffer, dtype=np.int64, count=1)
        rows = np.frombuffer(buffer, dtype=np.float64, count=self.slots * width, offset=HEAD)
        self._rows = rows.reshape(self.slots, width)

    def clear(self) -> None:
        """Forget all frames."""
        self._count[0] = 0

    def write(self, run: int, frame: Frame) -> None:
        """Add a frame of a run, the time between two resets."""
        count = int(self._count[0])
        row = self._rows[count % self.slots]
        row[:_NUMBERS] = (
            *(run, frame.step, frame.t, frame.iterations),
            *(frame.step_ms, frame.reach, frame.held),
        )
        row[_NUMBERS:] = np.concatenate([frame.q, frame.z, frame.dz])
        self._count[0] = count + 1

    def latest(self, run: int) -> Frame | None:
        """The last frame, if it is of this run."""
        frames = self._read(run, int(self._count[0]) - 1, 1)
        return frames[0] if frames else None

    def since(self, run: int, step: int, most: int = 1000) -> list[Frame]:
        """Frames of this run after a step, oldest first, of the last `most`."""
        count = int(self._count[0])
        first = max(0, count - min(self.slots - 1, most))
        known = self._rows[np.arange(first, count) % self.slots, :2]
        new = np.flatnonzero((known[:, 0] == run) & (known[:, 1] > step))
        if not len(new):
            return []
        start = first + int(new[0])
        return [f for f in self._read(run, start, count - start) if f.step > step]

    def at(self, run: int, step: int) -> Frame | None:
        """That step of this run, while it is kept."""
        count = int(self._count[0])
        first = max(0, count - self.slots + 1)
        where = np.arange(first, count)
        known = self._rows[where % self.slots, :2]
        found = np.flatnonzero((known[:, 0] == run) & (known[:, 1] == step))
        frames = self._read(run, int(where[found[-1]]), 1) if len(found) else []
        return frames[0] if frames else None

    def _read(self, run: int, start: int, n: int) -> list[Frame]:
        if start < 0:
            return []
        rows = self._rows[np.arange(start, start + n) % self.slots].copy()
        lost = int(self._count[0]) - self.slots + 1 - start  # overwritten while we copied
        return [self._frame(row) for row in rows[max(lost, 0) :] if row[0] == run]

    def _frame(self, row: np.ndarray) -> Frame:
        q, z, dz = np.split(row[_NUMBERS:], [self._r, self._r + self._w])
        return Frame(
            step=int(row[1]),
            t=float(row[2]),
            q=q,
            z=z,
            dz=dz,
            iterations=int(row[3]),
            step_ms=float(row[4]),
            reach=float(row[5]),
            held=int(row[6]),
        )


class Board:
    """The clock's state and how far each body is, as numbers in shared memory."""

    SIZE: Final = 1024  # bytes
    _HEAD: Final = 5

    def __init__(self, buffer: memoryview, lanes: int) -> None:
        count = self._HEAD + 3 * lanes
        self._numbers = np.frombuffer(buffer, dtype=np.float64, count=count)

    def write(
        self,
        head: tuple[bool, int, float, float, bool],
        lanes: list[tuple[int, float, int] | None],
    ) -> None:
        """`head` is (playing, step, t, rate, together); a body's are (step, t, taken)."""
        rows = [row or (0, 0.0, 0) for row in lanes]
        self._numbers[:] = np.concatenate([head, np.ravel(rows)])

    def read(self) -> tuple[np.ndarray, np.ndarray]:
        """Head (5,), and a row a body (lanes, 3)."""
        numbers = self._numbers.copy()
        return numbers[: self._HEAD], numbers[self._HEAD :].reshape(-1, 3)
