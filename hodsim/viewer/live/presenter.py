"""What a live simulation looks like, and what a user's hand does to it, for any kind of window."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from hodsim.errors import InputError
from hodsim.session.frames import Status
from hodsim.viewer.live.controls import Controls
from hodsim.viewer.live.drags import Drags
from hodsim.viewer.live.filming import next_name
from hodsim.viewer.live.picture import Menu, Picture, Slider
from hodsim.viewer.live.pose import Pose
from hodsim.viewer.live.rates import Rates
from hodsim.viewer.live.stage import Stage

if TYPE_CHECKING:
    from hodsim.session import Session


class Presenter:
    """Makes pictures of a session and passes input on to it. Any thread may call any method.

    Parameters
    ----------
    session
        The simulation. Nobody else may call it.
    folder
        Where "save recording" puts its files.
    clock
        Wall time [s]; tests have their own.
    """

    def __init__(
        self,
        session: Session,
        folder: str | Path = ".",
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._lock = threading.RLock()
        self._session, self._folder, self._clock = session, Path(folder), clock
        self._controls, self._pose, self._rates = Controls(session), Pose(session), Rates()
        self._stage, self._drags = Stage(session), Drags(session, session.body)
        self._note = ""
        self._saving: Path | None = None  # where a recording goes that has been asked for

    @property
    def folder(self) -> Path:
        """Where files of the viewer are saved."""
        return self._folder

    def picture(self) -> Picture:
        """What is to be drawn now. It never waits for the simulation."""
        with self._lock:
            self._catch_up()
            now, status = self._clock(), self._session.status()
            self._rates.tick(now, status.t)
            stage = self._stage
            stage.take(now)
            bodies, bar, word = stage.bodies(self._controls.colour, status, now)
            notes = (self._note, status.note, self._drags.note(), word)
            return Picture(
                surface=stage.surface,
                clamped=stage.clamped,
                bodies=bodies,
                arrows=stage.arrows(bodies, tuple(self._drags.grabs.values())),
                plots=stage.plots(),
                bar=bar,
                readout=(*stage.readout(status), *self._pace(status)),
                note="; ".join(x for x in notes if x),
                scale=stage.scale,
                scale_start=stage.scale_start,
                obstacles=stage.obstacles,
            )

    def _catch_up(self) -> None:
        """Another scene may have come, bodies may have come or gone, a recording may be there."""
        self._session.poll()
        self._put_recording()
        if self._stage.over:
            self._controls.adopt()
            self._pose.forget()
            self._stage = Stage(self._session)
            self._drags = Drags(self._session, self._session.body)
        self._stage.follow()
        for by, grab in tuple(self._drags.grabs.items()):
            if grab.label not in self._stage.shown:
                self._drags.drop(by)

    def _pace(self, status: Status) -> tuple[str, str]:
        rates = self._rates
        pace = f"{rates.real_time:.2f} x real time" if status.playing else "paused"
        asked = f"asked for {status.rate:.2g} x"
        return f"drawing: {rates.frames_per_second:.0f} frames/s", f"speed: {pace} ({asked})"

    def sliders(self) -> tuple[Slider, ...]:
        """All sliders, at their present values."""
        with self._lock:
            return self._controls.sliders() + self._pose.sliders()

    def set(self, name: str, value: float) -> None:
        """A slider was moved. Raises `InputError` for an unknown one, or no finite number."""
        if not np.isfinite(value):
            raise InputError(f"{name}: expected a finite number, given {value}; type another")
        with self._lock:
            self._note = ""
            if name.startswith("q"):
                self._pose.set(name, value)
                return
            self._controls.set(name, value)
            if name == "stiffness":
                self._drags.pull(self._controls.stiffness)

    def menus(self) -> tuple[Menu, ...]:
        """All menus, with their present choices."""
        with self._lock:
            return self._controls.menus() + self._pose.menu()

    def choose(self, name: str, value: str) -> None:
        """A menu's choice was made. Raises `InputError` for an unknown menu or choice."""
        with self._lock:
            self._note = ""
            if name == "pose":
                self._pose.choose(value)
                return
            word = ""
            if name == "scene":
                # What belongs to the scene before is done before the next one comes.
                word = self.finish()
                self._drags.drop_all()
            self._note = "; ".join(x for x in (word, self._controls.choose(name, value)) if x)
            self._catch_up()

    def buttons(self) -> tuple[str, ...]:
        """The buttons' names, the first of which starts and stops the clock."""
        with self._lock:
            playing = self._session.status().playing
        return ("pause" if playing else "play", "step", "reset", "save recording")

    def press_button(self, name: str) -> None:
        """A button was pressed. Raises `InputError` for an unknown one."""
        with self._lock:
            session = self._session
            self._note = ""
            if name == "save recording":
                self._ask_recording()
                return
            self._pose.forget()
            if name == "play":
                session.play()
            elif name == "pause":
                session.pause()
            elif name == "step":
                session.pause()
                session.advance()
            elif name == "reset":
                self._drags.drop_all()
                session.reset()
                self._controls.adopt_settings()
                self._stage.forget()
            else:
                raise InputError(
                    f"button: expected one of {', '.join(self.buttons())}; given {name!r}"
                )

    def _ask_recording(self) -> None:
        """The file comes with a later picture: drawing does not wait for the simulation."""
        if self._saving is None:
            self._saving = next_name("hodsim-recording", ".json", self._folder)
            self._session.ask_recording()
        self._note = f"saving {self._saving}"

    def _put_recording(self) -> None:
        if self._saving is None:
            return
        try:
            if not self._session.put_recording(self._saving):
                return
        except (InputError, OSError) as error:
            self._note = f"not saved: {error}"
        else:
            self._note = f"saved {self._saving}"
        self._saving = None

    def finish(self) -> str:
        """Wait for a recording that is being saved, before the session is closed; gives a word on
        it, "" where there is none."""
        while True:
            with self._lock:
                if self._saving is None:
                    return ""
                self._session.poll()
                self._put_recording()
                if self._saving is None:
                    return self._note
            time.sleep(0.01)

    def grab(self, label: str, vertex: int, by: str = "window") -> bool:
        """Take hold of a vertex of the body `label`; False if that cannot be moved."""
        with self._lock:
            shown, body = self._stage.shown.get(label), self._session.body
            if self._stage.over or shown is None or vertex not in body.free_vertices:
                return False
            place = body.mesh.vertices[vertex] + shown.u[vertex]
            self._drags.grab(label, int(vertex), place, self._controls.stiffness, by)
            return True

    def move(self, point: np.ndarray, by: str = "window") -> None:
        """The cursor that holds a vertex is at `point` [m], (3,), in the drawn world."""
        with self._lock:
            held = self._drags.grabs.get(by)
            if held is not None:
                target = np.asarray(point, dtype=np.float64) - self._stage.offset(held.label)
                self._drags.move(target, self._controls.stiffness, by)

    def drop(self, by: str = "window") -> None:
        """Let go; does nothing where nothing is held."""
        with self._lock:
            self._drags.drop(by)

    def grabbed(self, by: str = "window") -> tuple[str, int] | None:
        """The body and the vertex that are held."""
        with self._lock:
            held = self._drags.grabs.get(by)
            return None if held is None else (held.label, held.vertex)

    def nearest(self, label: str, point: np.ndarray) -> int:
        """The free vertex of a body nearest to a `point` [m], (3,), in the drawn world.

        Raises `InputError` for a body that is not shown.
        """
        with self._lock:
            if label not in self._stage.shown:
                raise InputError(
                    f"body: expected one of {', '.join(self._stage.shown)}; given {label!r}"
                )
            return self._stage.nearest(label, np.asarray(point, dtype=np.float64))
