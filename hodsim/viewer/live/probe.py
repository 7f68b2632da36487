"""Whether this machine can draw: tried in another process, for graphics libraries can crash."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from functools import cache

from hodsim.errors import InputError
from hodsim.viewer.render import in_software

_PATIENCE = 60.0  # seconds; a cold start of the libraries on a busy machine takes ten
_MISSING = 41  # what the other process says when the package itself is not there
_TRY = """
import sys
try:
    import {package}
except ModuleNotFoundError as error:
    if error.name == "{package}":
        sys.exit({missing})
    raise
{body}
"""
_WINDOW = """
import polyscope
polyscope.set_verbosity(0)
polyscope.set_use_prefs_file(False)
polyscope.set_allow_headless_backends({headless})
polyscope.init("{backend}")
polyscope.frame_tick()
"""
_OFFSCREEN = """
plotter = pyvista.Plotter(off_screen=True, window_size=[8, 8])
plotter.add_mesh(pyvista.Plane())
sys.exit(plotter.screenshot(return_img=True).shape[0] != 8)
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
    trouble = _trouble(python, "polyscope", in_memory if headless else on_display, displays)
    if not trouble:
        return
    # Where drawing into memory works the libraries are whole, and the display is to blame.
    if not headless and not _trouble(python, "polyscope", in_memory, displays):
        name = displays[0] or displays[1]
        raise InputError(
            f"window: display {name!r} cannot be used ({trouble}); check DISPLAY, use `xvfb-run`, "
            "or `hodsim view --web`"
        )
    raise InputError(
        f"window: the GL libraries are missing or broken ({trouble}); "
        "apt install libx11-6 libegl1 libgl1 libgl1-mesa-dri"
    )


def check_offscreen(*, python: str = sys.executable) -> None:
    """Raise `InputError`, saying what to install, where pyvista cannot draw without a display."""
    in_software()
    trouble = _trouble(python, "pyvista", _OFFSCREEN, ())
    if trouble:
        raise InputError(
            f"pictures: the GL library is missing or broken ({trouble}); apt install libosmesa6"
        )


@cache
def _trouble(
    python: str,
    package: str,
    body: str,
    surroundings: tuple[str, ...],  # noqa: ARG001  (what an outcome holds for)
) -> str:
    """How a trial ended, "" if well. `surroundings` are what it depends on besides its text."""
    text = _TRY.format(package=package, missing=_MISSING, body=body)
    try:
        done = subprocess.run(  # noqa: S603  (an interpreter, and our own text)
            [python, "-c", text], capture_output=True, check=False, timeout=_PATIENCE
        )
    except subprocess.TimeoutExpired:
        return f"the probe did not answer within {_PATIENCE:g} s"
    except OSError as error:
        return f"the probe did not start: {error.strerror}"
    if done.returncode == _MISSING:
        raise InputError(f"{package} is not installed; pip install {package}")
    if done.returncode < 0:
        return f"the probe died by {signal.Signals(-done.returncode).name}"
    return f"the probe ended with code {done.returncode}" if done.returncode else ""
