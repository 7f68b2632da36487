"""The cubatures that ship are those of the shipped model and beam."""

from __future__ import annotations

import numpy as np
import pytest

from hodsim import body_of, load_model, read_scene
from hodsim.cubature import Sampled, WholeMesh, load_cubatures, subspaces_of
from hodsim.files import data_dir

FOLDER = data_dir("trained_models") / "beam"


def test_every_subspace_that_training_fits_has_one() -> None:
    found = load_cubatures(FOLDER)
    names = [f"{kind}-{rank}" for kind, rank in subspaces_of(load_model(FOLDER))]
    assert sorted(found) == sorted(names)
    for scheme in found.values():
        assert scheme.command.startswith("hodsim cubature --model trained_models/beam")
        assert len(scheme.tets) <= 100
        assert scheme.held_out_error < 0.003


@pytest.mark.parametrize("name", ["hod-6", "quadratic-6", "pca-12", "pca-20"])
def test_they_fit_the_body_and_its_stiffness_at_rest(name: str) -> None:
    body = body_of(read_scene(data_dir("scenes") / "twist.toml"))
    scheme = load_cubatures(FOLDER)[name]
    subspace = load_model(FOLDER).subspace(scheme.subspace, scheme.rank)
    scheme.check(body, subspace)
    at = subspace.lanes(np.zeros(subspace.rank))
    K, wanted = (
        elastic.stiffness(at.z, at.J)
        for elastic in (
            Sampled(body, subspace.basis, scheme),
            WholeMesh(body, subspace.basis),
        )
    )
    # Rest is no pose that weighs in the fit: nearness here says that soft directions stay soft.
    softest = np.linalg.eigvalsh(wanted)[0]
    assert np.linalg.eigvalsh(0.5 * (K + K.T))[0] == pytest.approx(softest, rel=0.2)
