"""The rivals in HoD-Net's own structure: what training must not move, and what that means."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from hodsim import InputError, beam
from hodsim.dynamics import ReducedSpace, simulate
from hodsim.dynamics.compiled import CompiledSpace
from hodsim.fem import Loads, make_body
from hodsim.networks import HoDNet
from hodsim.scene import Load, MaterialSpec, Region
from hodsim.snapshots import Snapshots
from hodsim.subspaces import HoD, fit_pca
from hodsim.training import FitOptions, fit

R, LINEAR = 4, 2
OPTIONS = FitOptions(
    R, (12, 9), (10,), 6, epochs=30, whole_epochs=4, batch=16, rate=1e-2, seed=1, design="hybrid"
)
every_design = pytest.mark.parametrize("design", ["autoencoder", "hybrid"])


def _poses(dofs: int = 24, n: int = 150) -> Snapshots:
    rng = np.random.default_rng(0)
    q = rng.uniform(-1, 1, (n, R)) * 0.7 ** np.arange(R)
    across = np.stack([q[:, 0] ** 2, q[:, 0] * q[:, 1], q[:, 2] ** 2, q[:, 3] * q[:, 0]], axis=1)
    E = np.linalg.qr(rng.standard_normal((dofs, 8)))[0]
    u = 0.2 * np.concatenate([q, 0.3 * across], axis=1) @ E.T
    return Snapshots(u.astype(np.float32), np.repeat([0, 1], n // 2), ("a-0", "a-1"), {})


def _weights(network: HoDNet) -> dict[str, np.ndarray]:
    return {k: v.numpy().copy() for k, v in network.state_dict().items()}


def _frozen(design: str, r: int = R, k: int = LINEAR) -> list[tuple[str, tuple[slice, slice]]]:
    every = slice(None)
    if design == "autoencoder":
        skips = slice(-r, None)
        return [("encoder.skip.weight", (every, every)), ("decoder.mix.weight", (every, skips))]
    return [
        ("encoder.skip.weight", (slice(k), every)),
        ("encoder.head.weight", (slice(k), every)),
        ("decoder.hidden.0.weight", (every, slice(k))),
        ("decoder.mix.weight", (slice(k), every)),
        ("decoder.mix.weight", (every, slice(-r, k - r))),
    ]


@every_design
def test_frozen_entries_stay_to_the_last_bit(design: str) -> None:
    poses, options = _poses(), replace(OPTIONS, design=design, linear=None)
    before = _weights(fit(poses, replace(options, epochs=0))[0])
    network, history = fit(poses, options)
    after = _weights(network)
    assert {row["stage"] for row in history} == {"inner"}
    moved = {k: before[k] != after[k] for k in before}
    for name, place in _frozen(design):
        assert not moved[name][place].any()
    for name, place in _frozen(design):
        moved[name][place] = True
    # Outer layers stay at principal directions; all else is trained.
    for name, where in moved.items():
        outer = name in ("encoder.project.weight", "decoder.out.weight")
        assert where.any() != outer or name == "encoder.skip.weight"
        assert outer or where.mean() > 0.95
    V = fit_pca(poses.u, 6).basis
    B = after["decoder.out.weight"]
    np.testing.assert_allclose(np.abs(np.sum(V * B, axis=0)) / np.linalg.norm(B, axis=0), 1.0)


def test_an_autoencoder_has_no_skip() -> None:
    weights = _weights(fit(_poses(), replace(OPTIONS, design="autoencoder", linear=None))[0])
    assert not weights["encoder.skip.weight"].any()
    assert not weights["decoder.mix.weight"][:, -R:].any()


@pytest.mark.parametrize("linear", [None, 1, 3])
def test_a_hybrid_is_pca_and_a_network_on_what_is_left(linear: int | None) -> None:
    poses = _poses()
    network, _ = fit(poses, replace(OPTIONS, linear=linear))
    k = linear or R // 2
    subspace, pca = HoD(network, "hybrid"), fit_pca(poses.u, R)
    assert (subspace.kind, subspace.form) == ("hybrid", "network")
    u = poses.u.astype(np.float64)
    V = pca.basis[:, :k]
    q = subspace.encode(u)
    scale = np.linalg.norm(subspace.basis[:, 0])
    # p are PCA's coordinates, in the network's unit, and give u along V_p and nothing else.
    np.testing.assert_allclose(np.abs(q[:, :k] * scale), np.abs(u @ V), atol=1e-6)
    again = subspace.decode(q)
    np.testing.assert_allclose(again @ V, u @ V, atol=1e-6)
    other = q.copy()
    other[:, :k] += 0.3
    moved = subspace.decode(other) - again
    np.testing.assert_allclose(moved, moved[0] * np.ones((len(u), 1)), atol=1e-7)
    np.testing.assert_allclose(moved @ V @ V.T, moved, atol=1e-6)
    # The network did learn, and without it nothing but PCA of rank k is left.
    error = np.linalg.norm(again - u)
    assert error < 0.7 * np.linalg.norm(u - (u @ V) @ V.T)
    with torch.no_grad():
        network.decoder.mix.weight[k:] = 0.0
    bare = HoD(network, "hybrid").reconstruct(u)
    np.testing.assert_allclose(bare, (u @ V) @ V.T, atol=1e-6)


class Stopped(Exception):
    pass


@every_design
def test_a_stopped_fit_goes_on_and_moves_nothing_frozen(tmp_path: Path, design: str) -> None:
    poses, options = _poses(), replace(OPTIONS, design=design, linear=None)
    path = tmp_path / "checkpoint.safetensors"

    def report(row: dict[str, Any]) -> None:
        if row["epoch"] == 17:
            raise Stopped

    with pytest.raises(Stopped):
        fit(poses, options, None, path, report)
    rows: list[dict[str, Any]] = []
    resumed, history = fit(poses, options, None, path, rows.append)
    assert rows[0]["epoch"] == 17
    seconds = [row["seconds"] for row in history]
    assert seconds == sorted(seconds)
    undisturbed, _ = fit(poses, options)
    for name, value in undisturbed.state_dict().items():
        assert torch.equal(resumed.state_dict()[name], value)
    # Another design does not go on from it.
    other = replace(options, design="hod", linear=None)
    fit(poses, other, None, path, rows.append)
    assert rows[-options.epochs - options.whole_epochs]["epoch"] == 1


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"design": "resnet"}, "design: expected one of hod, autoencoder, hybrid"),
        ({"init": "random"}, "'hybrid' from random"),
        ({"linear": 4}, "given 4 of 4 for hybrid"),
        ({"linear": 0}, "given 0 of 4 for hybrid"),
        ({"rank": 1}, "given 0 of 1 for hybrid"),
        ({"design": "hod", "linear": 2}, "given 2 of 4 for hod"),
        ({"design": "autoencoder", "linear": 2}, "given 2 of 4 for autoencoder"),
    ],
)
def test_options_that_make_no_fit(given: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        replace(OPTIONS, **{"linear": None, **given})


@every_design
def test_the_compiled_step_takes_them(design: str) -> None:
    """Step for step the readable one's, though whole columns of weights are zero."""
    mesh = beam((4, 1, 1), (1.0, 0.2, 0.2))
    fixed = np.flatnonzero(mesh.vertices[:, 0] <= 0.0)
    body = make_body(mesh, MaterialSpec("neo-hookean", 2e4, 0.4, 1000.0), fixed)
    modes = np.linalg.eigh(body.stiffness(np.zeros(body.n_dofs)).toarray())[1][:, :8]
    poses = _poses(8)
    poses = replace(poses, u=(poses.u @ modes.T).astype(np.float32))
    network, _ = fit(poses, replace(OPTIONS, design=design, linear=None))
    subspace = HoD(network, design)
    tip = Region("box", min=(0.999, -1, -1), max=(2, 1, 1))
    loads = Loads(body, (Load("force", (0.0, 0.2), ((0, 0, 0), (0, 1.0, 2.0)), tip),))
    readable = simulate(ReducedSpace(body, loads, subspace, 0.02), 40)
    compiled = simulate(CompiledSpace(body, loads, subspace, None, 0.02), 40)
    assert readable.failure is None
    assert compiled.failure is None
    size = np.abs(readable.coordinates).max()
    assert size > 0.1
    assert np.abs(readable.coordinates - compiled.coordinates).max() < 1e-8 * size
