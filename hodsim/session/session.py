"""`Session`: a live simulation as its windows see it."""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import numpy as np

from hodsim.dynamics import Spring
from hodsim.errors import InputError
from hodsim.fem import body_of
from hodsim.networks.checkpoint import CARD
from hodsim.scene import Damping, TimeSpec, read_scene
from hodsim.session.frames import Frame, LaneInfo, LaneStatus, Status
from hodsim.session.inputs import (
    Action,
    Damp,
    Drag,
    Recording,
    Release,
    Settings,
    TimeStep,
    gravity,
    pose,
    save_recording,
    settings_of,
)
from hodsim.session.link import Link
from hodsim.session.process import LANES
from hodsim.session.ring import Ring

_PATIENCE: Final = 60.0  # s, for a process to start
_ANSWER: Final = 5.0  # s, for a recording to come
_LASTS: Final = 6.0  # s, for which a word on what has just happened is of use
_NO_ANSWER: Final = "recording: the simulation did not answer; try again"


class Session:
    """A simulation in a process of its own, which never waits for whoever looks at it.

    Every method returns at once, except `__init__`, `save_recording` and `close`. It is for one
    thread at a time, and of use as a context manager: leaving it ends the process.

    Parameters
    ----------
    scenes
        Scene files by the names that menus show; the first is opened, unless `name` is given.
    model
        Folder of a trained model, in place of the scenes' own.
    labels
        The bodies to begin with; those that a scene's model does not offer are left out. Full
        space, and PCA and HoD of the model's rank unless given.
    solver
        Sparse solver of full space.
    name
        The scene to begin with.

    Raises
    ------
    InputError
        A scene or model that cannot be used.
    """

    def __init__(
        self,
        scenes: Mapping[str, Path],
        model: Path | None = None,
        labels: tuple[str, ...] | None = None,
        solver: str = "auto",
        name: str | None = None,
    ) -> None:
        self._paths, self._model, self._solver = dict(scenes), model, solver
        self._wanted = labels
        self._told = ""  # stays until another scene or a reset
        self._said, self._said_at = "", -math.inf
        self._run = 0  # resets of this scene: frames of earlier runs are no longer shown
        self.available: tuple[str, ...] = ()
        self.chosen: tuple[str, ...] = ()
        self._ready: dict[str, tuple[LaneInfo, Ring, int]] = {}
        self._paces: dict[str, deque[tuple[float, float]]] = {}
        self._recording: Recording | None = None
        self._asked, self._expected = 0, 0.0  # recordings still to come, and until when [s]
        self._refused = ""
        self._link = Link()
        try:
            self.open(name or next(iter(self._paths)))
            self._link.wait(lambda: self.available or self._refused, self.poll, _PATIENCE)
            if self._refused or not self.available:
                raise InputError(self._refused or "session: the simulation process did not start")
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Session:
        return self

    def __exit__(self, *failure: object) -> None:
        self.close()

    # ----------------------------------------------------------------------------- what there is
    @property
    def scenes(self) -> tuple[str, ...]:
        """Names of the scenes that can be opened."""
        return tuple(self._paths)

    @property
    def lanes(self) -> dict[str, LaneInfo]:
        """The bodies that are ready, by label, in the order asked for."""
        return {x: self._ready[x][0] for x in self.chosen if x in self._ready}

    @property
    def process_id(self) -> int | None:
        """The number of the simulation's process."""
        return self._link.process_id

    @property
    def ended(self) -> bool:
        """Whether the simulation's process is gone; `status` says so, too."""
        return self._link.ended

    def poll(self) -> None:
        """Take up what the simulation said."""
        for what, rest in self._link.heard():
            self._take(what, rest)

    def _take(self, what: str, rest: list[Any]) -> None:
        if what == "opened":
            self.available = rest[0]
            rank = self.available[-1].partition("-")[2]  # of the model; "" without one
            wanted = self._wanted or (("full", "pca", "hod") if rank else ("full",))
            labels = [x if "-" in x or x == "full" else f"{x}-{rank}" for x in wanted]
            unknown = [x for x in labels if x not in self.available]
            if unknown:
                self._refused = self._told = (
                    f"bodies: expected what the model of scene {self.scene_name} offers (full, and "
                    f"{self.available[1]} to {self.available[-1]}), given {', '.join(unknown)}"
                    if rank
                    else f"bodies: scene {self.scene_name} has no trained model, given "
                    f"{', '.join(unknown)}; train one, or use --model"
                )
            self.choose(tuple(x for x in labels if x in self.available) or ("full",))
            self.play()
        elif what == "lane":
            place, width, info = rest
            if info.label in self.chosen:
                self._ready[info.label] = info, self._link.ring(place, info.rank, width), place
        elif what == "recording":
            # Earlier questions that nobody waits for any more are answered first.
            self._asked -= 1
            self._recording = rest[0] if self._asked == 0 else None
        elif what == "refused":
            self._refused = self._told = rest[0]
        elif what == "failed":
            self.chosen = tuple(x for x in self.chosen if x != rest[0])
            self._told = f"{rest[0]}: {rest[1]}"
        else:
            self._said, self._said_at = rest[0], time.monotonic()

    def latest(self, label: str) -> Frame | None:
        """The last frame of a body since the last reset."""
        ring = self._ring(label)
        return None if ring is None else ring.latest(self._run)

    def recent(self, label: str, since: int) -> list[Frame]:
        """Frames after step `since`, oldest first, as far as they are kept."""
        ring = self._ring(label)
        return [] if ring is None else ring.since(self._run, since)

    def at(self, label: str, step: int) -> Frame | None:
        """The frame of that very step, while it is kept."""
        ring = self._ring(label)
        return None if ring is None else ring.at(self._run, step)

    def _ring(self, label: str) -> Ring | None:
        return self._ready[label][1] if label in self._ready else None

    def status(self) -> Status:
        """The clock, and how each body keeps up."""
        (playing, step, t, _, _), rows = self._link.board()
        now, lanes = time.monotonic(), {}
        for label in self.lanes:
            mine, at, taken = rows[self._ready[label][2]]
            pace = self._paces.setdefault(label, deque([(now, taken)]))
            if now - pace[-1][0] > 0.1:
                pace.append((now, taken))
            while len(pace) > 2 and now - pace[0][0] > 1.0:
                pace.popleft()
            span = now - pace[0][0]
            speed = (taken - pace[0][1]) / span if span > 0.05 else 0.0
            lanes[label] = LaneStatus(int(mine), max(0.0, t - at), max(0.0, speed))
        told = self._told
        if self.ended:
            code = self._link.exit_code
            told = f"the simulation process has ended (exit code {code}); start hodsim again"
        elif now - self._said_at < _LASTS:
            told = "; ".join(x for x in (told, self._said) if x)
        playing = bool(playing) and not self.ended
        return Status(playing, int(step), t, self._rate, self._together, lanes, told)

    # ------------------------------------------------------------------------------ what is done
    def open(self, name: str) -> None:
        """Another scene; all begins anew. Raises `InputError` for one that cannot be used."""
        if name not in self._paths:
            raise InputError(f"scene: expected one of {', '.join(self._paths)}; given {name!r}")
        scene = read_scene(self._paths[name])
        body = body_of(scene)
        self.scene, self.body, self.scene_name = scene, body, name
        self.settings: Settings = settings_of(scene)
        self.available, self.chosen, self._ready, self._paces = (), (), {}, {}
        self._run, self._asked, self._recording = 0, 0, None
        self._rate, self._together, self._told = 1.0, False, ""
        self._said, self._said_at = "", -math.inf
        folder = self._model or scene.model
        if folder is not None and self._model is None and not (folder / CARD).is_file():
            self._told = f"no trained model at {folder}: full space alone"
            folder = None
        self._link.open(self._paths[name], folder, self._solver, body.n_dofs)

    def choose(self, labels: tuple[str, ...]) -> None:
        """Which bodies to show. Raises `InputError` for none, too many, or one not offered."""
        labels = tuple(dict.fromkeys(labels))
        unknown = [x for x in labels if x not in self.available]
        if unknown or not 1 <= len(labels) < LANES:
            raise InputError(
                f"bodies: expected 1 to {LANES - 1} of those that the model offers, given "
                f"{', '.join(unknown or labels) or 'none'}; choose others"
            )
        self.chosen = labels
        for label in [x for x in self._ready if x not in labels]:
            del self._ready[label]
            self._paces.pop(label, None)
        self._link.send("choose", labels)

    def play(self) -> None:
        self._link.send("play")

    def pause(self) -> None:
        self._link.send("pause")

    def advance(self, steps: int = 1) -> None:
        """Pause, and take so many steps more."""
        self._link.send("advance", steps)

    def reset(self) -> None:
        """Back to rest at t = 0; settings are the scene's again."""
        self.settings, self._told, self._said = settings_of(self.scene), "", ""
        self._run += 1
        self._link.send("reset")

    def set_rate(self, rate: float) -> None:
        """Simulated seconds a second of wall time. Raises `InputError` for one not above 0."""
        if not (np.isfinite(rate) and rate > 0.0):
            raise InputError(f"rate: expected a number above 0, given {rate}")
        self._rate = float(rate)
        self._link.send("set_pace", self._rate, self._together)

    def keep_together(self, together: bool) -> None:
        """Whether the clock waits for the slowest body."""
        self._together = together
        self._link.send("set_pace", self._rate, together)

    def drag(self, vertex: int, target: np.ndarray, stiffness: float, by: str = "window") -> None:
        """Pull a vertex to a point [m], (3,), by a spring [N/m]; each user `by` has one.

        Raises `InputError` for a clamped vertex, and numbers that are not finite.
        """
        x, y, z = np.asarray(target, dtype=np.float64).tolist()
        spring = Spring(int(vertex), (x, y, z), float(stiffness))
        spring.place(self.body)
        self._act(Drag(by, spring))

    def release(self, by: str = "window") -> None:
        """Let go."""
        self._act(Release(by))

    def set_gravity(self, acceleration: np.ndarray) -> None:
        """Gravity [m/s^2] (3,) on top of the scene's."""
        action = gravity(acceleration)
        self.settings = replace(self.settings, gravity=action.acceleration)
        self._act(action)

    def set_damping(self, mass: float, stiffness: float) -> None:
        """Rayleigh's damping [1/s] and [s], in place of the scene's."""
        damping = Damping(mass, stiffness)
        self.settings = replace(
            self.settings, damping_mass=damping.mass, damping_stiffness=damping.stiffness
        )
        self._act(Damp(damping))

    def set_time_step(self, step: float) -> None:
        """The time step [s]."""
        h = TimeSpec(step, 1).step
        self.settings = replace(self.settings, time_step=h)
        self._act(TimeStep(h))

    def pose(self, label: str, q: np.ndarray) -> None:
        """Put a body at latent coordinates q (r,), at rest."""
        info = self._ready[label][0] if label in self._ready else None
        if info is None or np.shape(q) != (info.rank,):
            raise InputError(f"pose: expected a body shown and its coordinates, given {label} {q}")
        self._act(pose(label, q))

    def save_recording(self, path: str | Path) -> None:
        """Write what was done since the last reset: see `Recording`.

        Raises `InputError` where it cannot be written, or the simulation does not answer.
        """
        self.ask_recording()
        self._link.wait(lambda: self._recording is not None, self.poll, _ANSWER)
        if not self.put_recording(path):
            raise InputError(_NO_ANSWER)

    def ask_recording(self) -> None:
        """Ask for what was done since the last reset, for `put_recording`."""
        self._recording, self._expected = None, time.monotonic() + _ANSWER
        self._asked += 1
        self._link.send("recording")

    def put_recording(self, path: str | Path) -> bool:
        """Write what was asked for if `poll` has taken it up; gives whether it did.

        Raises `InputError` where it cannot be written, or does not come.
        """
        if self._recording is None:
            if self._link.ended or time.monotonic() > self._expected:
                raise InputError(_NO_ANSWER)
            return False
        recording, self._recording = self._recording, None
        save_recording(path, recording)
        return True

    def close(self) -> None:
        """End the process."""
        self._ready = {}
        self._link.close()

    def _act(self, action: Action) -> None:
        self._link.send("act", action)
