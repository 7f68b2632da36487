"""The bodies of one scene as they are drawn: where they stand, their colours, arrows and plots."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from hodsim.fem.stress import Stress
from hodsim.session.frames import Status
from hodsim.viewer.live import track
from hodsim.viewer.live.colours import Range, colour_table, grey, paint, round_down
from hodsim.viewer.live.controls import DISPLACEMENT, ERROR, STRESS
from hodsim.viewer.live.drags import Grab
from hodsim.viewer.live.forces import LoadArrows
from hodsim.viewer.live.picture import Arrow, BodyPicture, ColourBar, Plot
from hodsim.viewer.live.shown import Shown
from hodsim.viewer.obstacles import surface_of

if TYPE_CHECKING:
    from hodsim.session import Session

_GAP = 1.4  # from body to body along x, in largest extents
_STRESSED = 0.98  # of a body's vertices: up to the stress of these the colours differ
_PLOTS = (
    ("tip distance from rest [m]", track.TIP),
    ("energy, elastic + kinetic [J]", track.ENERGY),
    ("Newton iterations", track.ITERATIONS),
    ("step time [ms]", track.STEP_MS),
)


class Stage:
    """What a session shows, from the opening of a scene to that of the next.

    Attributes
    ----------
    shown
        The bodies by label, from left to right.
    surface, clamped
        Triangles (m, 3), and the indices of the clamped vertices.
    scale, scale_start
        Length [m] and start [m] (3,) of the scale bar.
    obstacles
        What stands in the bodies' way.
    """

    def __init__(self, session: Session) -> None:
        self._session = session
        self._scene, self._body = session.scene, session.body
        mesh = self._body.mesh
        low, high = mesh.vertices.min(axis=0), mesh.vertices.max(axis=0)
        self._extent = float((high - low).max())
        self.obstacles = tuple(surface_of(x, low, high) for x in self._scene.obstacles)
        self.surface = mesh.surface
        self.clamped = np.setdiff1d(np.arange(mesh.n_vertices), self._body.free_vertices)
        self.scale = round_down(self._extent / 2.0)
        self.scale_start = low - [0.0, 0.0, 0.15 * self._extent]
        self._stress = Stress(self._body)
        self._loads = LoadArrows(self._scene, self._body)
        length = 1e-3 * self._extent
        least = {DISPLACEMENT: length, ERROR: length, STRESS: 1e-4 * self._body.material.young}
        self._ranges = {name: Range(value) for name, value in least.items()}
        self.shown: dict[str, Shown] = {}
        self.follow()

    @property
    def over(self) -> bool:
        """Whether the session has gone on to another scene."""
        return self._session.scene is not self._scene or self._session.body is not self._body

    def follow(self) -> None:
        """Bodies come and go."""
        before = self.shown
        self.shown = {
            label: before[label]
            if label in before and before[label].info is info
            else Shown(self._body, info)
            for label, info in self._session.lanes.items()
        }

    def take(self, now: float) -> None:
        """Take up the latest frames at wall time `now` [s]."""
        for shown in self.shown.values():
            shown.take(self._session, now)

    def forget(self) -> None:
        """Forget what was, as after a reset."""
        for shown in self.shown.values():
            shown.forget()

    def offset(self, label: str) -> np.ndarray:
        """What is added [m] to put a body beside the others, (3,)."""
        return np.array([list(self.shown).index(label) * _GAP * self._extent, 0.0, 0.0])

    def nearest(self, label: str, point: np.ndarray) -> int:
        """The free vertex of a body nearest to a drawn point [m], (3,)."""
        free = self._body.free_vertices
        # A cursor's ray may run off to infinity.
        near = np.clip(np.nan_to_num(point), -1e100, 1e100)
        distance = np.linalg.norm(self._positions(label)[free] - near, axis=1)
        return int(free[np.argmin(distance)])

    def bodies(
        self, colour: str, status: Status, now: float
    ) -> tuple[tuple[BodyPicture, ...], ColourBar, str]:
        """The bodies coloured by that quantity at wall time `now` [s], the bar that explains the
        colours, and a word on what is missing."""
        values, word = self._errors() if colour == ERROR else (self._values(colour), "")
        known = [x for x in values.values() if x is not None]
        largest = max((float(x.max()) for x in known), default=0.0)
        # Where a cursor pulls at one vertex the stress is many times that anywhere else.
        most = _STRESSED if colour == STRESS else 1.0
        usual = max((float(np.quantile(x, most)) for x in known), default=0.0)
        top = self._ranges[colour].take(usual, now)
        pictures = tuple(
            BodyPicture(
                label=label,
                title=shown.title,
                positions=self._positions(label),
                offset=self.offset(label),
                colours=grey(len(shown.u)) if value is None else paint(value, top),
                warning=shown.warning(status.lanes.get(label), now),
            )
            for (label, shown), value in zip(self.shown.items(), values.values(), strict=True)
        )
        return pictures, ColourBar(colour, 0.0, top, colour_table(), largest > top), word

    def _positions(self, label: str) -> np.ndarray:
        return np.asarray(self._body.mesh.vertices + self.shown[label].u + self.offset(label))

    def _values(self, colour: str) -> dict[str, np.ndarray | None]:
        """The number at every vertex, (n_vertices,), of every body."""
        if colour == DISPLACEMENT:
            return {label: np.linalg.norm(x.u, axis=1) for label, x in self.shown.items()}
        out: dict[str, np.ndarray | None] = {}
        for label, shown in self.shown.items():
            per_tet = self._stress.von_mises(self._body.restrict(shown.u))
            out[label] = self._stress.at_vertices(per_tet)
        return out

    def _errors(self) -> tuple[dict[str, np.ndarray | None], str]:
        """Distance [m] from full space at the latest step that both have made, or None."""
        full = self.shown.get("full")
        values: dict[str, np.ndarray | None] = dict.fromkeys(self.shown)
        if full is None:
            return values, "no error without full space: choose it as a body"
        for label, shown in self.shown.items():
            if full.frame is None or shown.frame is None:
                continue
            step = min(full.frame.step, shown.frame.step)
            theirs, ours = self._at(full, step), self._at(shown, step)
            if theirs is not None and ours is not None:
                values[label] = np.linalg.norm(self._body.expand(ours - theirs), axis=1)
        gone = [self.shown[label].title for label, x in values.items() if x is None]
        if not gone:
            return values, ""
        return values, f"no error for {', '.join(gone)}: no step at hand that full space made too"

    def _at(self, shown: Shown, step: int) -> np.ndarray | None:
        """Displacements [m] at that very step, (n_dofs,)."""
        frame = shown.frame
        if frame is None or frame.step != step:
            frame = self._session.at(shown.info.label, step)
        return None if frame is None else shown.displacement(frame)

    def arrows(self, bodies: tuple[BodyPicture, ...], grabs: tuple[Grab, ...]) -> tuple[Arrow, ...]:
        """Loads and drags, on every body."""
        gravity = np.asarray(self._session.settings.gravity, dtype=np.float64)
        out = []
        for body in bodies:
            frame = self.shown[body.label].frame
            out += self._loads.arrows(body.positions, frame.t if frame else 0.0, gravity)
            for grab in grabs:
                out.append(Arrow(body.positions[grab.vertex], grab.target + body.offset, "drag"))
        return tuple(out)

    def plots(self) -> tuple[Plot, ...]:
        """The last seconds of every body."""
        return tuple(
            Plot(title, tuple(x.track.series(column, x.title) for x in self.shown.values()))
            for title, column in _PLOTS
        )

    def readout(self, status: Status) -> tuple[str, ...]:
        """The clock, and how fast each body is simulated."""
        lines = [f"t = {status.t:.2f} s, step {status.clock}"]
        for label, shown in self.shown.items():
            rate = status.lanes[label].steps_per_second if label in status.lanes else 0.0
            recent = shown.track.rows[-50:, track.STEP_MS]
            cost = float(np.median(recent)) if len(recent) else 0.0
            lines.append(f"simulation: {shown.title} {rate:.0f} steps/s, {cost:.2g} ms a step")
        return tuple(lines)
