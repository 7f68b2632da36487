"""A live simulation of one scene: a clock and the bodies that follow it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from hodsim.cubature import Scheme
from hodsim.dynamics import parse_spec
from hodsim.errors import InputError
from hodsim.fem import Body, body_of
from hodsim.scene import Scene
from hodsim.session.clock import Clock
from hodsim.session.driven import Driven
from hodsim.session.frames import LaneInfo
from hodsim.session.inputs import Action, Recording
from hodsim.session.lane import Lane
from hodsim.session.ring import Board, Ring
from hodsim.snapshots import origin_of
from hodsim.subspaces import Model

Tell = Callable[..., None]


class Simulation:
    """Bodies of a scene, each in a thread.

    Parameters
    ----------
    scene, body, model, cubatures, solver
        As for `setup_of`; without a model there is full space only.
    board, rings
        Where the clock's state and the frames go: a buffer for each body that there may be.
    tell
        Called from any thread with ("lane", place, width, LaneInfo) when a body is ready,
        ("failed", label, why) when it cannot be made, and ("note", text).
    """

    def __init__(
        self,
        scene: Scene,
        body: Body,
        model: Model | None,
        cubatures: Mapping[str, Scheme],
        solver: str,
        board: Board,
        rings: list[memoryview],
        tell: Tell,
    ) -> None:
        self._scene, self._body, self._model = scene, body, model
        self._cubatures, self._solver = cubatures, solver
        self._board, self._rings, self._tell = board, rings, tell
        self._lanes: dict[str, tuple[int, Lane | None]] = {}
        self._making = threading.Lock()
        self._closed = False
        self.clock = Clock(scene.time.step, self._slowest)
        self.clock.begin()
        self._poster = threading.Thread(target=self._post, daemon=True, name="board")
        self._poster.start()

    def choose(self, labels: tuple[str, ...]) -> None:
        """Which bodies there are. New ones come when they are ready and live through all that was
        done since the last reset."""
        with self.clock.changed:
            gone = [label for label in self._lanes if label not in labels]
            lanes = [self._lanes.pop(label) for label in gone]
        for _, lane in lanes:
            if lane is not None:
                lane.close()
        for label in labels:
            with self.clock.changed:
                if label in self._lanes:
                    continue
                taken = {place for place, _ in self._lanes.values()}
                place = min(set(range(len(self._rings))) - taken)
                self._lanes[label] = place, None
            threading.Thread(target=self._make, args=(label, place), daemon=True).start()

    def _make(self, label: str, place: int) -> None:
        try:
            with self._making:  # one at a time: kernels are compiled here
                lane, ring, info = self._made(label, place)
        except InputError as error:
            with self.clock.changed:
                if self._lanes.get(label) == (place, None):
                    del self._lanes[label]
                self.clock.changed.notify_all()
            self._tell("failed", label, str(error))
            return
        with self.clock.changed:
            if self._closed or self._lanes.get(label) != (place, None):
                return  # no longer wanted
            ring.clear()
            self._lanes[label] = place, lane
            self.clock.changed.notify_all()
        lane.begin()
        width = 0 if info.basis is None else info.basis.shape[1]
        self._tell("lane", place, width or self._body.n_dofs, info)

    def _made(self, label: str, place: int) -> tuple[Lane, Ring, LaneInfo]:
        spec = parse_spec(label)
        # A body of its own: the buffers of its forces are for one thread.
        body = body_of(self._scene)
        driven = Driven(self._scene, body, spec, self._model, self._cubatures, self._solver)
        subspace, tets = driven.setup.subspace, driven.setup.tets
        if subspace is None:
            info = LaneInfo(label, 0, None, np.empty(0), np.empty(0), tets)
            ring = Ring(self._rings[place], 0, self._body.n_dofs)
        else:
            assert self._model is not None
            r, basis = subspace.rank, subspace.basis
            reach = self._model.reach(subspace.kind, r)
            # Without a known range, sliders go to what is a moderate pose in most subspaces.
            low, high = (-np.ones(r), np.ones(r)) if reach is None else (reach.low, reach.high)
            info = LaneInfo(label, r, basis, low, high, tets)
            ring = Ring(self._rings[place], r, basis.shape[1])
        lane = Lane(self.clock, driven, ring.write, lambda text: self._tell("note", text))
        return lane, ring, info

    def act(self, action: Action) -> None:
        """What a user does, from the next step on."""
        self.clock.act(action)

    def recording(self) -> Recording:
        """All that was done since the last reset."""
        with self.clock.changed:
            events, steps = tuple(self.clock.events), self.clock.step
        time, origin = self._scene.time, origin_of(self._body)
        return Recording(self._scene.name, origin, time.integrator, steps, events)

    def close(self) -> None:
        with self.clock.changed:
            self._closed = True
            lanes = [lane for _, lane in self._lanes.values() if lane is not None]
            self._lanes = {}
            self.clock.changed.notify_all()
        for lane in lanes:
            lane.close()
        self.clock.close()
        self._poster.join(timeout=5.0)

    def _slowest(self) -> int | None:
        """Asked by the clock, which holds its lock. A scene does not begin before its bodies."""
        lanes = [lane for _, lane in self._lanes.values()]
        if None in lanes and self.clock.step == 0:
            return None
        return min((lane.step for lane in lanes if lane is not None), default=self.clock.step)

    def _post(self) -> None:
        """Keep the board up to date."""
        clock = self.clock
        with clock.changed:
            while not self._closed:
                lanes: list[Any] = [None] * len(self._rings)
                for place, lane in self._lanes.values():
                    if lane is not None:
                        lanes[place] = lane.step, lane.t, lane.taken
                head = (clock.playing, clock.step, clock.t, clock.rate, clock.together)
                self._board.write(head, lanes)
                clock.changed.wait()
