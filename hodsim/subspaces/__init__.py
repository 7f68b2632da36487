"""Subspaces behind one protocol, one file each."""

from __future__ import annotations

from hodsim.subspaces.hod import HoD
from hodsim.subspaces.model import KINDS, Model, load_model, save_model
from hodsim.subspaces.pca import Linear, fit_pca, principal_components
from hodsim.subspaces.quadratic import Quadratic, fit_quadratic
from hodsim.subspaces.reach import Cover, Reach, fit_cover, save_covers
from hodsim.subspaces.subspace import FeatureLanes, Subspace

__all__ = [
    "KINDS",
    "Cover",
    "FeatureLanes",
    "HoD",
    "Linear",
    "Model",
    "Quadratic",
    "Reach",
    "Subspace",
    "fit_cover",
    "fit_pca",
    "fit_quadratic",
    "load_model",
    "principal_components",
    "save_covers",
    "save_model",
]
