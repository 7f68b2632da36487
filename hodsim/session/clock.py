"""The clock of a live simulation, and the load history that its bodies follow."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Final

from hodsim.session.inputs import Action, Drag, Event, Pose, Release, TimeStep

# The clock does not make up for more than this of wall time [s] in which it could not run.
_BACKLOG: Final = 0.25
# Asked for more than can be done, it takes so many steps and leaves the lock so long [s] to others.
_MOST: Final = 100
_BREATH: Final = 1e-3


class Clock:
    """Raises, in a thread of its own, the step that every body is to reach.

    An action is stamped with the clock's step and taken by each body when it gets there, so that
    all bodies see the same load history, however far behind they are. A body never goes past the
    clock, so no stamp comes late. `changed` guards everything here and tells of every change.

    Parameters
    ----------
    h
        Time step [s] that the scene begins with.
    slowest
        The step that all bodies have reached; None while some are still being made.
    """

    def __init__(self, h: float, slowest: Callable[[], int | None]) -> None:
        self.changed = threading.Condition()
        self.playing, self.together, self.rate = False, False, 1.0
        self.step, self.t, self.run = 0, 0.0, 0
        self.version = 0
        self.events: list[Event] = []
        self._first_h = self._h = h
        self._slowest, self._closed = slowest, False
        self._next = time.monotonic()
        self._thread = threading.Thread(target=self._loop, daemon=True, name="clock")

    def begin(self) -> None:
        self._thread.start()

    def act(self, action: Action) -> None:
        """Stamp an action; it takes the place of one like it of the same step."""
        with self.changed:
            event, k = Event(self.step, action), len(self.events)
            while k and self.events[k - 1].step == self.step:
                k -= 1
                if _key(self.events[k].action) == _key(action):
                    del self.events[k]
                    break
            self.events.append(event)
            self._tell()

    def play(self) -> None:
        with self.changed:
            self.playing, self._next = True, time.monotonic()
            self._tell()

    def pause(self) -> None:
        with self.changed:
            self.playing = False
            self._tell()

    def advance(self, steps: int) -> None:
        """Stop, and take so many steps more."""
        with self.changed:
            self.playing = False
            for _ in range(steps):
                self._raise()
            self._tell()

    def reset(self) -> None:
        """Begin anew, with nothing done; settings are the scene's."""
        with self.changed:
            self.step, self.t, self._h = 0, 0.0, self._first_h
            self.run += 1
            self.events = []
            self._next = time.monotonic()
            self._tell()

    def set_pace(self, rate: float, together: bool) -> None:
        """Simulated over wall seconds, and whether to wait for the slowest body."""
        with self.changed:
            self.rate, self.together = rate, together
            self._tell()

    def close(self) -> None:
        with self.changed:
            self._closed = True
            self._tell()
        self._thread.join(timeout=5.0)

    def _tell(self) -> None:
        self.version += 1
        self.changed.notify_all()

    def _raise(self) -> None:
        for event in reversed(self.events):
            if event.step != self.step:
                break
            if isinstance(event.action, TimeStep):
                self._h = event.action.step
        self.step += 1
        self.t += self._h

    def _loop(self) -> None:
        with self.changed:
            while not self._closed:
                slowest = self._slowest()
                waits = slowest is None or (self.together and slowest < self.step)
                if not self.playing or waits:
                    self.changed.wait()
                    self._next = max(self._next, time.monotonic() - _BACKLOG)
                    continue
                now = time.monotonic()
                if now < self._next:
                    self.changed.wait(self._next - now)
                    continue
                for _ in range(1 if self.together else _MOST):
                    self._raise()
                    self._next = max(self._next + self._h / self.rate, now - _BACKLOG)
                    if now < self._next:
                        break
                self._tell()
                if now >= self._next:
                    self.changed.wait(_BREATH)


def _key(action: Action) -> tuple[object, ...]:
    """Alike actions take each other's place: one user's drags and release, or one setting."""
    if isinstance(action, Drag | Release):
        return "drag", action.by
    if isinstance(action, Pose):
        return "pose", action.subspace
    return (type(action),)
