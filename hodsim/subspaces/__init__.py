"""Subspaces behind one protocol, one file each."""

from __future__ import annotations

from hodsim.subspaces.hod import HoD
from hodsim.subspaces.modal import fit_modal, modal_derivatives, vibration_modes
from hodsim.subspaces.model import KINDS, Model, load_model, save_model
from hodsim.subspaces.pca import Linear, fit_pca, moments, principal_components
from hodsim.subspaces.peers import (
    MANIFOLDS,
    NESTED,
    NETWORKS,
    PEERS,
    Peer,
    Peers,
    other_options,
    peer_name,
    same_poses,
    save_peer,
    unlike,
)
from hodsim.subspaces.quadratic import Quadratic, fit_quadratic
from hodsim.subspaces.reach import Cover, Reach, fit_cover, save_covers
from hodsim.subspaces.subspace import FeatureLanes, Form, Subspace
from hodsim.subspaces.weighted import Weighted, fit_weighted

__all__ = [
    "KINDS",
    "MANIFOLDS",
    "NESTED",
    "NETWORKS",
    "PEERS",
    "Cover",
    "FeatureLanes",
    "Form",
    "HoD",
    "Linear",
    "Model",
    "Peer",
    "Peers",
    "Quadratic",
    "Reach",
    "Subspace",
    "Weighted",
    "fit_cover",
    "fit_modal",
    "fit_pca",
    "fit_quadratic",
    "fit_weighted",
    "load_model",
    "modal_derivatives",
    "moments",
    "other_options",
    "peer_name",
    "principal_components",
    "same_poses",
    "save_covers",
    "save_model",
    "save_peer",
    "unlike",
    "vibration_modes",
]
