"""How fast drawing goes, and the clock of the simulation beside the one on the wall."""

from __future__ import annotations

from collections import deque

_SPAN = 2.0  # seconds of wall time looked back


class Rates:
    """Counts frames drawn, and simulated time passed, over the last two seconds."""

    def __init__(self) -> None:
        self._seen: deque[tuple[float, float]] = deque()

    def tick(self, now: float, t: float) -> None:
        """A frame is drawn at wall time `now` [s] with the simulation's clock at `t` [s]."""
        if self._seen and t < self._seen[-1][1]:
            self._seen.clear()
        self._seen.append((now, t))
        while self._seen[0][0] < now - _SPAN:
            self._seen.popleft()

    @property
    def frames_per_second(self) -> float:
        passed = self._seen[-1][0] - self._seen[0][0]
        return (len(self._seen) - 1) / passed if passed > 0.0 else 0.0

    @property
    def real_time(self) -> float:
        """Simulated seconds in a second of wall time."""
        passed = self._seen[-1][0] - self._seen[0][0]
        return (self._seen[-1][1] - self._seen[0][1]) / passed if passed > 0.0 else 0.0
