"""Whether this machine can open a window, and what is missing where it cannot."""

from __future__ import annotations

import os
import sys

from hodsim.errors import InputError
from hodsim.viewer.trial import trial

_WINDOW = """
import polyscope
polyscope.set_verbosity(0)
polyscope.set_use_prefs_file(False)
polyscope.set_allow_headless_backends({headless})
polyscope.init("{backend}")
polyscope.frame_tick()
"""


def check_window(*, headless: bool = False, python: str = sys.executable) -> None:
    """Raise `InputError`, saying what to install or to start, where no polyscope window can open.

    Parameters
    ----------
    headless
        Whether the window is only drawn into memory, which needs no display.
    python
        The interpreter that tries it; an outcome is remembered for the life of the process.
    """
    displays = os.environ.get("DISPLAY", ""), os.environ.get("WAYLAND_DISPLAY", "")
    if not headless and sys.platform.startswith("linux") and not any(displays):
        raise InputError(
            "window: no display (DISPLAY and WAYLAND_DISPLAY are unset); start it on a desktop, "
            "use `xvfb-run`, or `hodsim view --web`"
        )
    in_memory = _WINDOW.format(headless=True, backend="openGL3_egl")
    on_display = _WINDOW.format(headless=False, backend="openGL3_glfw")
    trouble = trial(python, "polyscope", in_memory if headless else on_display, displays)
    if not trouble:
        return
    # Where drawing into memory works the libraries are whole, and the display is to blame.
    if not headless and not trial(python, "polyscope", in_memory, displays):
        name = displays[0] or displays[1]
        raise InputError(
            f"window: display {name!r} cannot be used ({trouble}); check DISPLAY, use `xvfb-run`, "
            "or `hodsim view --web`"
        )
    raise InputError(
        f"window: the GL libraries are missing or broken ({trouble}); "
        "apt install libx11-6 libegl1 libgl1 libgl1-mesa-dri"
    )
