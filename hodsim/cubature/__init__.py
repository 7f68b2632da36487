"""Few tets that stand for the elastic forces of a whole mesh: chosen offline, summed online."""

from __future__ import annotations

from hodsim.cubature.elasticity import Elasticity, Sampled, WholeMesh
from hodsim.cubature.fit import MAX_TETS, fit_cubature, pose_errors
from hodsim.cubature.scheme import Cubature, fingerprint_of
from hodsim.cubature.schemes import (
    PCA_RANKS,
    fit_cubatures,
    peers_of,
    subspaces_of,
    usable_cubatures,
)
from hodsim.cubature.store import (
    CUBATURES,
    load_cubature,
    load_cubatures,
    save_cubatures,
)

__all__ = [
    "CUBATURES",
    "MAX_TETS",
    "PCA_RANKS",
    "Cubature",
    "Elasticity",
    "Sampled",
    "WholeMesh",
    "fingerprint_of",
    "fit_cubature",
    "fit_cubatures",
    "load_cubature",
    "load_cubatures",
    "peers_of",
    "pose_errors",
    "save_cubatures",
    "subspaces_of",
    "usable_cubatures",
]
