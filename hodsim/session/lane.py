"""One body of a live simulation, in a thread of its own, following the clock."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

import numpy as np

from hodsim.dynamics import State, hold
from hodsim.errors import InputError
from hodsim.session.clock import Clock
from hodsim.session.driven import Driven
from hodsim.session.frames import Frame
from hodsim.session.inputs import Action, Event, Pose

Publish = Callable[[int, Frame], None]  # of a run, the time between two resets
_NO_Q = np.empty(0)


class Lane:
    """Steps a body until it has reached the clock, taking actions where they are stamped.

    `step`, `t` and `taken` (steps in all) are guarded by the clock's lock.

    Parameters
    ----------
    clock, driven
        What it follows, and what it steps.
    publish
        Gets every frame.
    refuse
        Is told why an action was not taken.
    """

    def __init__(
        self,
        clock: Clock,
        driven: Driven,
        publish: Publish,
        refuse: Callable[[str], None],
    ) -> None:
        self._clock, self._driven = clock, driven
        self._publish, self._refuse = publish, refuse
        self.step, self.t, self.taken = 0, 0.0, 0
        self._held, self._closed = 0, False
        self._thread = threading.Thread(target=self._loop, daemon=True, name=driven.name)

    def begin(self) -> None:
        self._thread.start()

    def close(self) -> None:
        """Stop after the step that is being taken, and wait for that."""
        with self._clock.changed:
            self._closed = True
            self._clock.changed.notify_all()
        self._thread.join()

    def _loop(self) -> None:
        clock = self._clock
        run, seen, done = -1, -1, 0
        state = self._driven.start()
        while True:
            with clock.changed:
                while not self._closed and self.step >= clock.step and seen == clock.version:
                    clock.changed.wait()
                if self._closed:
                    return
                seen = clock.version
                fresh, run = run != clock.run, clock.run
                if fresh:
                    done = self.step = self._held = 0
                    self.t = 0.0
                waiting, behind = clock.events[done:], self.step < clock.step
            if fresh:
                state = self._driven.start()
                self._publish(run, self._frame(0, state))
            if not behind:
                self._preview(run, state, waiting)
                continue
            for event in waiting:
                if event.step > self.step:
                    break
                state = self._do(state, event.action)
                done += 1
            state = self._advance(run, state)

    def _advance(self, run: int, state: State) -> State:
        began = time.perf_counter()
        eased = self._driven.eased
        after, result = self._driven.step(state)
        if self._driven.eased < eased == 1.0:
            self._refuse(f"{self._driven.name}: the pull is too strong to follow, and weakened")
        took = 1e3 * (time.perf_counter() - began)
        if not result.converged:
            after = hold(after, self._driven.h)
            self._held += 1
        with self._clock.changed:
            if run != self._clock.run:  # reset meanwhile: this step is of the past
                return after
            self.step += 1
            self.t, self.taken = after.t, self.taken + 1
            step = self.step
            self._clock.changed.notify_all()
        self._publish(run, self._frame(step, after, result.iterations, took))
        return after

    def _preview(self, run: int, state: State, waiting: list[Event]) -> None:
        """Show at once the pose that the next step will begin with."""
        poses = [e.action for e in waiting if isinstance(e.action, Pose)]
        mine = [pose for pose in poses if pose.subspace == self._driven.name]
        if mine:
            self._publish(run, self._frame(self.step, self._do(state, mine[-1])))

    def _do(self, state: State, action: Action) -> State:
        try:
            return self._driven.do(state, action)
        except InputError as error:
            self._refuse(str(error))
            return state

    def _frame(self, step: int, state: State, iterations: int = 0, took: float = 0.0) -> Frame:
        reduced = self._driven.setup.subspace is not None
        q = state.motion.x if reduced else _NO_Q
        reach = self._driven.reach(state)
        return Frame(step, state.t, q, state.z, state.dz, iterations, took, reach, self._held)
