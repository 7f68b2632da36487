"""Few tets that stand for the elastic forces of a whole mesh: chosen offline, summed online."""

from __future__ import annotations

from hodsim.cubature.elasticity import (
    Elasticity,
    Quartic,
    Sampled,
    WholeMesh,
    elasticity_of,
)
from hodsim.cubature.fit import MAX_TETS, fit_cubature, pose_errors
from hodsim.cubature.polynomial import Polynomial, check_law, elastic_polynomial, gradients
from hodsim.cubature.polynomials import (
    POLYNOMIALS,
    Scheme,
    load_schemes,
    polynomial_of,
    save_polynomial,
)
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
    "POLYNOMIALS",
    "Cubature",
    "Elasticity",
    "Polynomial",
    "Quartic",
    "Sampled",
    "Scheme",
    "WholeMesh",
    "check_law",
    "elastic_polynomial",
    "elasticity_of",
    "fingerprint_of",
    "fit_cubature",
    "fit_cubatures",
    "gradients",
    "load_cubature",
    "load_cubatures",
    "load_schemes",
    "peers_of",
    "polynomial_of",
    "pose_errors",
    "save_cubatures",
    "save_polynomial",
    "subspaces_of",
    "usable_cubatures",
]
