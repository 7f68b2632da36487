"""The cubatures that ship are those of the shipped model and beam."""

from __future__ import annotations

import numpy as np
import pytest

from hodsim import body_of, load_model, read_scene
from hodsim.cubature import Sampled, WholeMesh, load_cubatures, peers_of, subspaces_of
from hodsim.files import data_dir

FOLDER = data_dir("trained_models") / "beam"


def test_every_subspace_that_training_fits_has_one() -> None:
    found = load_cubatures(FOLDER)
    model = load_model(FOLDER)
    names = {f"{kind}-{rank}" for kind, rank in subspaces_of(model)}
    peers = {f"{kind}-{rank}" for kind, rank in peers_of(model)}
    assert names <= set(found) <= names | peers
    for name, scheme in found.items():
        command = "peers" if name in peers else "cubature"
        assert scheme.command.startswith(f"hodsim {command} --model trained_models/beam")
        assert len(scheme.tets) <= 100
        # A subspace that locks needs more than these to be told what it may do.
        assert scheme.held_out_error < (0.01 if name in peers else 0.003)


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
