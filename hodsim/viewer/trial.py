"""Whether this machine can draw: tried in another process, for graphics libraries can crash."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from functools import cache

from hodsim.errors import InputError

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
_OFFSCREEN = """
plotter = pyvista.Plotter(off_screen=True, window_size=[8, 8])
plotter.add_mesh(pyvista.Plane())
sys.exit(plotter.screenshot(return_img=True).shape[0] != 8)
"""


def check_drawing(*, python: str = sys.executable) -> None:
    """Raise `InputError`, saying what to install, where pyvista cannot draw without a display.

    It takes a second, the first time. `python` is the interpreter that tries it.
    """
    in_software()
    trouble = trial(python, "pyvista", _OFFSCREEN)
    if trouble:
        raise InputError(
            f"pictures: the GL library is missing or broken ({trouble}); apt install libosmesa6"
        )


def in_software() -> None:
    """Have VTK draw in memory, by OSMesa on Linux, unless the environment names another way.

    Left alone, VTK asks for an X server first and complains on stderr where there is none.
    """
    if sys.platform.startswith("linux"):
        os.environ.setdefault("VTK_DEFAULT_OPENGL_WINDOW", "vtkOSOpenGLRenderWindow")


@cache
def trial(
    python: str,
    package: str,
    body: str,
    surroundings: tuple[str, ...] = (),  # noqa: ARG001  (what an outcome holds for)
) -> str:
    """How a text `body`, run by an interpreter that has imported `package`, ended: "" if well.

    Tried once in the life of this process. `surroundings` are what an outcome depends on besides
    the text. Raises `InputError` where the package is not installed.
    """
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
