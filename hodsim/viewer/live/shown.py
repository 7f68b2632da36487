"""One simulated body as it is drawn: its latest sound frame, its values and its plots."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from hodsim.fem import Body, dofs_of, tip_vertices
from hodsim.session.frames import Frame, LaneInfo, LaneStatus
from hodsim.viewer.live.track import Track
from hodsim.viewer.methods import body_title

if TYPE_CHECKING:
    from hodsim.session import Session

_LATE = 0.2  # seconds behind the clock that are worth a word
# A pose is called outside the training range after so many steps there, or so long [s] where steps
# take longer or none are taken: single steps just outside come with many a motion.
_STEPS, _WAIT = 3, 0.15
_FAR = 1e6  # times the body's extent: no pose that can be drawn


class Shown:
    """A lane of the session.

    Attributes
    ----------
    frame
        The latest finite frame, None before the first.
    u
        Its displacements of all vertices [m], (n_vertices, 3).
    broken
        Whether a later frame was not finite.
    """

    def __init__(self, body: Body, info: LaneInfo) -> None:
        self.body, self.info = body, info
        self.title = body_title(info.label)
        self.track = Track()
        self.frame: Frame | None = None
        self.u = np.zeros((body.mesh.n_vertices, 3))
        self.broken = False
        self._outside, self._since = 0, math.inf
        self._extent = float(np.ptp(body.mesh.vertices, axis=0).max())
        self._tip = dofs_of(body.free_vertices, tip_vertices(body))
        self._tip_basis = None if info.basis is None else info.basis[self._tip]

    def forget(self) -> None:
        """Forget what was, as after a reset."""
        self.track.clear()
        self._outside, self._since = 0, math.inf

    def take(self, session: Session, now: float) -> None:
        """Take up the lane's latest frame, and every step since the last call, at wall time `now`
        [s]."""
        latest = session.latest(self.info.label)
        if latest is None:
            return
        if latest.step < self.track.step:
            self.forget()
        new = session.recent(self.info.label, self.track.step)
        if new:
            self.track.add(new, self._tip_distance(np.stack([frame.z for frame in new])))
        for frame in new:
            self._outside += 1
            if not frame.reach > 1.0:
                self._outside, self._since = 0, math.inf
        self._since = min(self._since, now) if latest.reach > 1.0 else math.inf
        before = self.frame
        if before is not None and before.step == latest.step and (before.z == latest.z).all():
            return  # a pose comes at the same step
        u = self.displacement(latest)
        self.broken = u is None
        if u is None:
            return
        self.frame, self.u = latest, self.body.expand(u)
        if latest.step == self.track.step:
            self.track.put_energy(self.energy())

    def displacement(self, frame: Frame) -> np.ndarray | None:
        """u [m], (n_dofs,), or None where the frame holds no finite pose."""
        if not (np.isfinite(frame.z).all() and np.isfinite(frame.dz).all()):
            return None
        with np.errstate(over="ignore", invalid="ignore"):
            u = self.info.displacement(frame.z)
        # A comparison with nan is false, so nan counts as too far.
        return u if np.abs(u).max(initial=0.0) < _FAR * self._extent else None

    def energy(self) -> float:
        """Elastic and kinetic energy [J] of the frame drawn."""
        if self.frame is None:
            return 0.0
        with np.errstate(over="ignore", invalid="ignore"):  # such energies are not drawn
            kinetic = self.body.kinetic_energy(self.info.displacement(self.frame.dz))
        return self.body.energy(self.body.restrict(self.u)) + kinetic

    def warning(self, status: LaneStatus | None, now: float) -> str:
        """What is wrong with the body at wall time `now` [s], "" for nothing."""
        said = ["not finite: the last good pose is shown"] if self.broken else []
        far = self._outside >= _STEPS or now - self._since > _WAIT
        if self.frame is not None and self.frame.reach > 1.0 and far:
            said.append(f"outside the training range (x {self.frame.reach:.1f})")
        if self.frame is not None and self.frame.held:
            said.append(f"{self.frame.held} step{'s' if self.frame.held > 1 else ''} held")
        if status is not None and status.lag > _LATE:
            said.append(f"{status.lag:.1f} s behind")
        return ", ".join(said)

    def _tip_distance(self, z: np.ndarray) -> np.ndarray:
        """Distance [m] of the tip from rest, RMS over its vertices, (k,) of features (k, w)."""
        with np.errstate(over="ignore", invalid="ignore"):  # such rows are not drawn
            tip = z[:, self._tip] if self._tip_basis is None else z @ self._tip_basis.T
            return np.asarray(np.sqrt((tip * tip).mean(axis=1) * 3.0))
