"""The comparison is fair: without its nonlinear part, a HoD-Net moves as its linear subspace."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from hodsim import body_of, load_model, read_scene
from hodsim.dynamics import ReducedSpace, Trajectory, simulate
from hodsim.dynamics.compiled import CompiledSpace
from hodsim.fem import Loads
from hodsim.files import data_dir
from hodsim.networks import HoDNet
from hodsim.subspaces import HoD, Linear, Subspace

STEPS, TOLERANCE = 40, 1e-11
SCENE = read_scene(data_dir("scenes") / "heldout" / "bend-1.toml")
BODY = body_of(SCENE)


def _motion(subspace: Subspace, engine: str) -> Trajectory:
    loads, time = Loads(BODY, SCENE.loads), SCENE.time
    newton = replace(SCENE.newton, tolerance=TOLERANCE)
    if engine == "compiled":
        space = CompiledSpace(BODY, loads, subspace, None, time.step, time.integrator, newton)
        return simulate(space, STEPS)
    return simulate(
        ReducedSpace(
            BODY, loads, subspace, time.step, time.integrator, "incremental", newton_spec=newton
        ),
        STEPS,
    )


def _network(with_pca: bool) -> HoDNet:
    """The shipped one, and its linear part alone, at principal components or as trained."""
    network = load_model(data_dir("trained_models") / "beam").network
    components = load_model(data_dir("trained_models") / "beam").components
    r = network.shape.rank
    with torch.no_grad():
        network.decoder.mix.weight[:, :-r] = 0.0
        if with_pca:
            network.decoder.mix.weight[:, -r:] = torch.eye(network.shape.projected, r)
            out = network.decoder.out.weight
            out.zero_()
            out[:, : components.shape[1]] = torch.from_numpy(components)
    return network


@pytest.mark.parametrize("engine", ["readable", "compiled"])
@pytest.mark.parametrize("with_pca", [True, False], ids=["at PCA", "as trained"])
def test_without_its_nonlinear_part_it_moves_as_pca(with_pca: bool, engine: str) -> None:
    network = _network(with_pca)
    hod = HoD(network)
    r = hod.rank
    span = hod.basis @ network.decoder.mix.weight[:, -r:].numpy()
    if with_pca:
        linear = load_model(data_dir("trained_models") / "beam").subspace("pca", r)
        np.testing.assert_allclose(span, linear.basis, atol=1e-15)
    else:
        linear = Linear(np.linalg.qr(span)[0])
    curved, flat = _motion(hod, engine), _motion(linear, engine)
    assert curved.failure is None
    assert flat.failure is None
    moved = [m.coordinates @ B.T for m, B in ((curved, span), (flat, linear.basis))]
    size = np.abs(moved[1]).max()
    off = np.abs(moved[0] - moved[1]).max() / size
    print(f"{engine}: {off:.1e} of {size:.3f} m")
    assert size > 0.05
    assert off < 1e-8
    # And the trained one, whole, does not.
    if with_pca and engine == "compiled":
        trained = load_model(data_dir("trained_models") / "beam").subspace("hod")
        whole = _motion(trained, engine)
        assert np.abs(trained.decode(whole.coordinates) - moved[1]).max() > 0.1 * size
