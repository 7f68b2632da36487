"""The simulation itself: a clock, and a thread for each body that follows it at its own pace.

An action is stamped with the clock's step and taken by each body when it gets there, so that all
bodies see the same load history, however far behind the clock they are.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

import numpy as np

from hodsim.dynamics import hold
from hodsim.errors import InputError
from hodsim.session.driven import Driven
from hodsim.session.frames import Frame
from hodsim.session.inputs import Event, Pose

# The clock does not make up for more than this of wall time [s] in which it could not run.
_BACKLOG: Final = 0.25

Publish = Callable[[int, Frame], None]  # of a run


@dataclass
class Clock:
    """The step that every body is to reach, and how it moves; guarded by the simulation's lock."""

    playing: bool = False
    step: int = 0
    t: float = 0.0
    h: float = 0.0
    rate: float = 1.0
    together: bool = False
    run: int = 0  # counts resets
    events: list[Event] = field(default_factory=list)


class Lane:
    """One body, stepped in a thread of its own."""

    def __init__(
        self,
        clock: Clock,
        changed: threading.Condition,
        driven: Driven,
        measure: Callable[[np.ndarray], float],
        publish: Publish,
        tell: Callable[[str], None],
    ) -> None:
        self._clock, self._changed, self._driven = clock, changed, driven
        self._measure, self._publish, self._tell = measure, publish, tell
        self.step, self.taken, self.t = 0, 0, 0.0
        self._closed = False
        self._thread = threading.Thread(target=self._loop, daemon=True, name=driven.name)

    def begin(self) -> None:
        self._thread.start()

    def close(self) -> None:
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        self._thread.join(timeout=30.0)

    def _loop(self) -> None:
        clock, run, done, shown = self._clock, -1, 0, 0
        while True:
            with self._changed:
                while not self._closed and run == clock.run and self.step >= clock.step:
                    if shown < len(clock.events):
                        break
                    self._changed.wait()
                if self._closed:
                    return
                fresh, run = run != clock.run, clock.run
                if fresh:
                    done = shown = self.step = 0
                    self.t = 0.0
                waiting = clock.events[done:]
                behind = self.step < clock.step
                shown = len(clock.events)
            if fresh:
                state, held = self._driven.start(), 0
                self._show(run, self._frame(state, 0, 0.0, held))
                continue
            if not behind:
                # Paused: a pose is shown at once, and taken with the next step.
                mine = [e.action for e in waiting if isinstance(e.action, Pose)]
                for pose in [p for p in mine if p.subspace == self._driven.name][-1:]:
                    self._show(run, self._frame(self._posed(state, pose), 0, 0.0, held))
                continue
            while waiting and waiting[0].step <= self.step:
                state = self._do(state, waiting.pop(0).action)
                done += 1
            began = time.perf_counter()
            after, result = self._driven.step(state)
            took = 1e3 * (time.perf_counter() - began)
            if not result.converged:
                after, held = hold(after, self._driven.h), held + 1
            state = after
            with self._changed:
                if run == clock.run:
                    self.step += 1
                    self.t = state.t
                    self.taken += 1
                    self._changed.notify_all()
            self._show(run, self._frame(state, result.iterations, took, held))

    def _do(self, state, action):  # type: ignore[no-untyped-def]
        try:
            return self._driven.do(state, action)
        except InputError as error:
            self._tell(str(error))
            return state

    _posed = _do

    def _frame(self, state, iterations: int, took: float, held: int) -> Frame:  # type: ignore[no-untyped-def]
        q = state.motion.x if self._driven.setup.subspace is not None else np.empty(0)
        reach = self._measure(q) if len(q) else float("nan")
        return Frame(self.step, state.t, q, state.z, state.dz, iterations, took, reach, held)

    def _show(self, run: int, frame: Frame) -> None:
        self._publish(run, frame)
