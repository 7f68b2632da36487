"""Reduced-order finite elements in the latent space of a network with exact high-order derivatives.

The public names below are loaded when first used, so that `import hodsim` stays quick.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hodsim.errors import ConvergenceError, InputError
    from hodsim.mesh import TetMesh, beam, read_mesh, write_mesh
    from hodsim.scene import Scene, read_scene

__version__ = "0.1.0"

# Public name -> the module that holds it; keep in step with the imports above and `__all__`.
_HOMES = {
    "ConvergenceError": "hodsim.errors",
    "InputError": "hodsim.errors",
    "Scene": "hodsim.scene",
    "TetMesh": "hodsim.mesh",
    "beam": "hodsim.mesh",
    "read_mesh": "hodsim.mesh",
    "read_scene": "hodsim.scene",
    "write_mesh": "hodsim.mesh",
}

__all__ = [
    "ConvergenceError",
    "InputError",
    "Scene",
    "TetMesh",
    "beam",
    "read_mesh",
    "read_scene",
    "write_mesh",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'hodsim' has no attribute {name!r}")
    value = getattr(import_module(_HOMES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOMES})
