"""Vertices that are held by cursors: each pulls every body by a spring."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from hodsim.fem import Body

if TYPE_CHECKING:
    from hodsim.session import Session

_REACH = 1.5  # of the largest extent: how far from the body's middle a cursor may pull


@dataclass(frozen=True)
class Grab:
    """A vertex held on the body `label`, and where it is pulled to [m], (3,), free of offset."""

    label: str
    vertex: int
    target: np.ndarray
    limited: bool = False


class Drags:
    """The grabs in force, by who holds them."""

    def __init__(self, session: Session, body: Body) -> None:
        self._session = session
        low, high = body.mesh.vertices.min(axis=0), body.mesh.vertices.max(axis=0)
        self._middle = (low + high) / 2.0
        self.radius = _REACH * float((high - low).max())
        self.grabs: dict[str, Grab] = {}

    def grab(self, label: str, vertex: int, place: np.ndarray, stiffness: float, by: str) -> None:
        """Hold a vertex where it is: at `place` [m], free of offset."""
        self.grabs[by] = Grab(label, vertex, place)
        self.move(place, stiffness, by)

    def move(self, point: np.ndarray, stiffness: float, by: str) -> None:
        """Pull to a point [m], free of offset; not beyond `radius` from the body's middle."""
        grab = self.grabs.get(by)
        if grab is None or not np.isfinite(point).all():
            return
        arm = point - self._middle
        # Divided before it is squared, so that no finite point overflows.
        largest = float(np.abs(arm).max(initial=0.0)) or 1.0
        far = largest * float(np.linalg.norm(arm / largest))
        limited = far > self.radius
        target = self._middle + arm / far * self.radius if limited else point
        self.grabs[by] = replace(grab, target=target, limited=limited)
        self._session.drag(grab.vertex, target, stiffness, by=by)

    def pull(self, stiffness: float) -> None:
        """The same grabs with another stiffness [N/m]."""
        for by, grab in self.grabs.items():
            self._session.drag(grab.vertex, grab.target, stiffness, by=by)

    def drop(self, by: str) -> None:
        """Let go."""
        if self.grabs.pop(by, None) is not None:
            self._session.release(by=by)

    def drop_all(self) -> None:
        """Let go of everything."""
        for by in tuple(self.grabs):
            self.drop(by)

    def note(self) -> str:
        """Says when a pull is held back."""
        if any(grab.limited for grab in self.grabs.values()):
            return f"the pull ends {self.radius:.3g} m from the body's middle"
        return ""
