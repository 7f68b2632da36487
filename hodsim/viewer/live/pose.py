"""Sliders that pose a reduced body by hand, one for each latent coordinate."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from hodsim.errors import InputError
from hodsim.session.frames import LaneInfo
from hodsim.viewer.live.picture import Menu, Slider

if TYPE_CHECKING:
    from hodsim.session import Session

_MORE = 0.1  # of the training range, added at both of its ends


class Pose:
    """Which body is posed, and how. While nothing is set by hand the sliders follow the body."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._label = ""
        # What was set, until the body moves on: its frames come later than the next slider does.
        self._q: np.ndarray | None = None

    def forget(self) -> None:
        """The body moves on by itself."""
        self._q = None

    def menu(self) -> tuple[Menu, ...]:
        """The menu "pose", where any reduced body is shown."""
        choices, info = tuple(self._reduced()), self._info()
        return (Menu("pose", "pose", choices, info.label),) if info else ()

    def choose(self, label: str) -> None:
        """Pose that body from now on. Raises `InputError` for one that is not there."""
        if label not in self._reduced():
            raise InputError(
                f"pose: expected one of {', '.join(self._reduced()) or 'no body'}; given {label!r}"
            )
        self._label, self._q = label, None

    def sliders(self) -> tuple[Slider, ...]:
        info = self._info()
        if info is None:
            return ()
        low, high = _bounds(info)
        q = np.clip(self._pose(info), low, high)
        return tuple(
            Slider(
                f"q{k + 1}",
                f"q{k + 1}",
                float(low[k]),
                float(high[k]),
                float(q[k]),
                False,
                "latent",
            )
            for k in range(info.rank)
        )

    def set(self, name: str, value: float) -> None:
        """Set coordinate "q1", "q2", ...: the simulation pauses. Raises `InputError`."""
        info = self._info()
        number = name.removeprefix("q")
        if info is None or not number.isdecimal() or not 1 <= int(number) <= info.rank:
            raise InputError(f"slider: expected the name of one, given {name!r}")
        k = int(number) - 1
        low, high = _bounds(info)
        q = self._pose(info).copy()
        q[k] = np.clip(value, low[k], high[k])
        self._q = q
        self._session.pause()
        self._session.pose(info.label, q.copy())

    def _reduced(self) -> dict[str, LaneInfo]:
        return {label: info for label, info in self._session.lanes.items() if info.rank}

    def _info(self) -> LaneInfo | None:
        """The body that is chosen; the last one where that has gone."""
        reduced = self._reduced()
        if self._label not in reduced:
            self._label, self._q = next(reversed(reduced), ""), None
        return reduced.get(self._label)

    def _pose(self, info: LaneInfo) -> np.ndarray:
        if self._q is not None and len(self._q) == info.rank:
            return self._q
        frame = self._session.latest(info.label)
        if frame is None or len(frame.q) != info.rank or not np.isfinite(frame.q).all():
            return np.zeros(info.rank)
        return frame.q


def _bounds(info: LaneInfo) -> tuple[np.ndarray, np.ndarray]:
    more = np.maximum(_MORE * (info.high - info.low), 1e-9)
    return info.low - more, info.high + more
