"""A live simulation that runs at its own rate in its own process, and what a user does to it."""

from __future__ import annotations

from hodsim.session.driven import Driven, Replay
from hodsim.session.frames import Frame, LaneInfo, LaneStatus, Status
from hodsim.session.inputs import Recording, Settings, load_recording, save_recording
from hodsim.session.session import Session

__all__ = [
    "Driven",
    "Frame",
    "LaneInfo",
    "LaneStatus",
    "Recording",
    "Replay",
    "Session",
    "Settings",
    "Status",
    "load_recording",
    "save_recording",
]
