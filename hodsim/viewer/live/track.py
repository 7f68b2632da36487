"""The last seconds of one body's motion, for plots."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from hodsim.session.frames import Frame
from hodsim.viewer.live.picture import Series

SPAN = 10.0  # simulated seconds kept
_MOST = 12_000  # rows kept: 10 s in steps of 1 ms, and some
TIME, TIP, ENERGY, ITERATIONS, STEP_MS = range(5)


class Track:
    """A row a step: t [s], tip's distance from rest [m], energy [J] (nan where no one looked),
    Newton iterations and wall time [ms] of the step."""

    def __init__(self) -> None:
        # Rows move to the front once in a while instead of with each step.
        self._rows = np.empty((2 * _MOST, 5))
        self._start = self._end = 0
        self.step = -1

    def clear(self) -> None:
        """Forget all, as after a reset."""
        self._start = self._end = 0
        self.step = -1

    def add(self, frames: Sequence[Frame], tip: np.ndarray) -> None:
        """Later frames, oldest first, and the tip's distance from rest [m] in each, (k,)."""
        frames, tip = frames[-_MOST:], tip[-_MOST:]
        if self._end + len(frames) > len(self._rows):
            kept = self.rows[-_MOST + len(frames) :] if len(frames) < _MOST else self.rows[:0]
            kept = kept.copy()
            self._rows[: len(kept)] = kept
            self._start, self._end = 0, len(kept)
        for frame, distance in zip(frames, tip, strict=True):
            row = (frame.t, distance, np.nan, frame.iterations, frame.step_ms)
            self._rows[self._end] = row
            self._end += 1
            self.step = frame.step
        times = self.rows[:, TIME]
        if len(times):
            self._start += int(np.searchsorted(times, times[-1] - SPAN))
            self._start = max(self._start, self._end - _MOST)

    def put_energy(self, energy: float) -> None:
        """The energy [J] at the latest step."""
        if self._end > self._start:
            self._rows[self._end - 1, ENERGY] = energy

    @property
    def rows(self) -> np.ndarray:
        """What is kept, oldest first, (k, 5), as a view."""
        return self._rows[self._start : self._end]

    def series(self, column: int, label: str) -> Series:
        """One column against time, as far as it is known and finite."""
        known = self.rows[np.isfinite(self.rows[:, column])]
        return Series(label, known[:, TIME].copy(), known[:, column].copy())
