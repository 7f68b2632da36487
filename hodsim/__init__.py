"""Reduced-order finite elements in the latent space of a network with exact high-order derivatives.

The public names below are loaded when first used, so that `import hodsim` stays quick.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hodsim.dynamics import FullSpace, ReducedSpace, Trajectory, simulate
    from hodsim.errors import ConvergenceError, InputError
    from hodsim.fem import Body, Loads, body_of
    from hodsim.mesh import TetMesh, beam, read_mesh, write_mesh
    from hodsim.scene import Scene, read_scene
    from hodsim.snapshots import Store
    from hodsim.subspaces import Model, Subspace, load_model
    from hodsim.training import TrainOptions, train

__version__ = "0.1.0"

# Public name -> the module that holds it; keep in step with the imports above and `__all__`.
_HOMES = {
    "Body": "hodsim.fem",
    "ConvergenceError": "hodsim.errors",
    "FullSpace": "hodsim.dynamics",
    "InputError": "hodsim.errors",
    "Loads": "hodsim.fem",
    "Model": "hodsim.subspaces",
    "ReducedSpace": "hodsim.dynamics",
    "Scene": "hodsim.scene",
    "Store": "hodsim.snapshots",
    "Subspace": "hodsim.subspaces",
    "TetMesh": "hodsim.mesh",
    "TrainOptions": "hodsim.training",
    "Trajectory": "hodsim.dynamics",
    "beam": "hodsim.mesh",
    "body_of": "hodsim.fem",
    "load_model": "hodsim.subspaces",
    "read_mesh": "hodsim.mesh",
    "read_scene": "hodsim.scene",
    "simulate": "hodsim.dynamics",
    "train": "hodsim.training",
    "write_mesh": "hodsim.mesh",
}

__all__ = [
    "Body",
    "ConvergenceError",
    "FullSpace",
    "InputError",
    "Loads",
    "Model",
    "ReducedSpace",
    "Scene",
    "Store",
    "Subspace",
    "TetMesh",
    "TrainOptions",
    "Trajectory",
    "beam",
    "body_of",
    "load_model",
    "read_mesh",
    "read_scene",
    "simulate",
    "train",
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
