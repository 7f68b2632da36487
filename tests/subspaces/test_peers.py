"""Peers in a model's folder: what comes back, what the model offers by them, what is refused."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import safetensors.numpy
import torch

from hodsim import InputError, beam
from hodsim.fem import Body, make_body
from hodsim.networks import HoDNet, Shape
from hodsim.scene import MaterialSpec
from hodsim.snapshots import origin_of
from hodsim.subspaces import (
    Model,
    Peer,
    fit_modal,
    fit_pca,
    fit_quadratic,
    fit_weighted,
    load_model,
    moments,
    save_model,
    save_peer,
)

R, K = 2, 5


def _body(young: float = 1e4) -> Body:
    mesh = beam((2, 1, 1), (1.0, 0.3, 0.2))
    fixed = np.flatnonzero(mesh.vertices[:, 0] <= 0.0)
    return make_body(mesh, MaterialSpec("stvk", young, 0.3, 900.0), fixed)


def _network(body: Body, rank: int) -> HoDNet:
    torch.manual_seed(rank)
    return HoDNet(Shape(body.n_dofs, rank, (4,), (3,), K)).double().eval()


def _peers(body: Body) -> list[Peer]:
    u = np.random.default_rng(0).standard_normal((60, body.n_dofs))
    K_rest = body.stiffness(np.zeros(body.n_dofs))
    return [
        Peer("masspca", K, fit_weighted(moments(u), body.mass, K, "mass"), {"seconds": 1.5}),
        Peer("stiffpca", K, fit_weighted(moments(u), K_rest, K, "stiffness"), {"seed": 3}),
        Peer("modal", K, fit_modal(body, K), {"seconds": 2, "command": "hodsim peers"}),
        Peer("quadratic", 3, fit_quadratic(u, 3), {"seconds": 0.5}),
        Peer("hod", 4, _network(body, 4), {"seconds": 60.0}),
        Peer("hybrid", 2, _network(body, 2), {"seconds": 70.0}),
    ]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    body = _body()
    u = np.random.default_rng(0).standard_normal((30, body.n_dofs))
    W = fit_quadratic(u, R).basis[:, R:]
    card = {"origin": origin_of(body), "seconds": 9, "rivals_seconds": {"pca": 0.5}}
    save_model(tmp_path / "model", Model(_network(body, R), fit_pca(u, K).basis, W, card))
    for peer in _peers(body):
        save_peer(tmp_path / "model", origin_of(body), peer)
    return tmp_path / "model"


def test_round_trip(folder: Path) -> None:
    model = load_model(folder)
    assert sorted(model.peers) == [
        "hod-4", "hybrid-2", "masspca", "modal", "quadratic-3", "stiffpca"
    ]  # fmt: skip
    rng = np.random.default_rng(1)
    for peer in _peers(_body()):
        for rank in peer.ranks:
            before, after = peer.subspace(rank), model.subspace(peer.kind, rank)
            assert (after.kind, after.rank) == (peer.kind, rank)
            q, u = rng.standard_normal((3, rank)), rng.standard_normal((3, len(after.basis)))
            np.testing.assert_allclose(after.decode(q), before.decode(q), rtol=0, atol=2e-5)
            scale = np.abs(before.encode(u)).max()
            np.testing.assert_allclose(after.encode(u), before.encode(u), atol=1e-4 * scale)
            assert model.reach(peer.kind, rank) is None
        told = model.peers[peer.name].facts
        assert peer.facts.items() <= told.items()
    for kind in ("masspca", "quadratic"):
        V = model.subspace(kind, 3).basis[:, :3]
        np.testing.assert_allclose(V.T @ V, np.eye(3), atol=1e-13)  # mended to double precision


def test_what_a_model_offers(folder: Path) -> None:
    model = load_model(folder)
    assert model.labels() == (
        "hod-2", "hod-4",
        *(f"pca-{r}" for r in range(1, K + 1)),
        "quadratic-2", "quadratic-3",
        *(f"{kind}-{r}" for kind in ("masspca", "stiffpca", "modal") for r in range(1, K + 1)),
        "hybrid-2",
    )  # fmt: skip
    for label in model.labels():
        kind, rank = label.split("-")
        assert model.subspace(kind, int(rank)).rank == int(rank)
    assert model.subspace("masspca").rank == model.subspace("hybrid").rank == R
    for kind, rank, message in (
        ("masspca", K + 1, f"expected 1 to {K} for masspca, given {K + 1}"),
        ("modal", 0, f"expected 1 to {K} for modal, given 0"),
        ("hod", 3, "expected 2 or 4, the rank of this hod model, given 3; `hodsim peers` fits"),
        ("autoencoder", None, r"\(hod, pca, .*hybrid\), given 'autoencoder'; fit it with .*-2`"),
        ("autoencoder", 7, "hodsim peers --peers autoencoder-7`"),
    ):
        with pytest.raises(InputError, match=message) as caught:
            model.subspace(kind, rank)
        assert "\n" not in str(caught.value)


def test_seconds(folder: Path) -> None:
    model = load_model(folder)
    for kind, rank, wanted in (
        ("hod", None, 9.0), ("hod", 2, 9.0), ("hod", 4, 60.0), ("pca", 3, 0.5), ("masspca", 2, 1.5),
        ("modal", 5, 2.0), ("quadratic", 3, 0.5), ("hybrid", 2, 70.0), ("quadratic", 2, None),
        ("stiffpca", 1, None), ("autoencoder", 2, None), ("full", None, None), ("hod", 5, None),
    ):  # fmt: skip
        assert model.training_seconds(kind, rank) == wanted


def test_peers_are_read_when_asked_for(folder: Path) -> None:
    """A broken one is no trouble to who does not want it."""
    place = folder / "peers"
    (place / "masspca.safetensors").write_bytes(b"junk")
    (place / "hod-4" / "weights.safetensors").write_bytes(b"junk")
    model = load_model(folder)
    for kind, rank in (("hod", 2), ("quadratic", 3), ("modal", 4), ("pca", 3)):
        assert model.subspace(kind, rank).rank == rank
    for name, ask in (
        ("masspca.safetensors", lambda: model.subspace("masspca", 2)),
        ("hod-4", lambda: model.subspace("hod", 4)),
        ("masspca.safetensors", model.labels),
    ):
        with pytest.raises(InputError) as caught:
            ask()
        assert str(place / name) in str(caught.value)
        assert "\n" not in str(caught.value)


def test_what_is_no_peer_is_not_offered(folder: Path) -> None:
    place = folder / "peers"
    (place / "autoencoder-3").mkdir()  # a fit that is not done
    (place / "autoencoder-3" / "checkpoint.safetensors").write_bytes(b"")
    (place / "notes.safetensors").write_bytes(b"")
    shutil.copytree(place / "hod-4", place / "hod-x")
    assert len(load_model(folder).labels()) == 25
    shutil.rmtree(place)
    assert load_model(folder).labels() == (
        "hod-2", *(f"pca-{r}" for r in range(1, K + 1)), "quadratic-2"
    )  # fmt: skip


def _facts(name: str, **changes: object) -> Callable[[Path], None]:
    """Change what a file says of itself; None takes a fact away."""

    def write(place: Path) -> None:
        path = place / f"{name}.safetensors"
        with safetensors.safe_open(path, "np") as file:
            told = json.loads(file.metadata()["hodsim"]) | changes
        told = {k: v for k, v in told.items() if v is not None}
        arrays = safetensors.numpy.load_file(path)
        safetensors.numpy.save_file(arrays, path, {"hodsim": json.dumps(told)})

    return write


def _arrays(name: str, **changes: np.ndarray | None) -> Callable[[Path], None]:
    def write(place: Path) -> None:
        path = place / f"{name}.safetensors"
        with safetensors.safe_open(path, "np") as file:
            told = file.metadata()
        arrays = {**safetensors.numpy.load_file(path), **changes}
        arrays = {k: v for k, v in arrays.items() if v is not None}
        safetensors.numpy.save_file(arrays, path, told)

    return write


def _card(place: Path, **changes: object) -> None:
    path = place / "hod-4" / "model.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


N = _body().n_dofs
ONES = np.ones((N, K), dtype=np.float32)


@pytest.mark.parametrize(
    ("name", "damage", "message"),
    [
        ("masspca", _facts("masspca", origin="other"), "one of another; fit it again"),
        ("masspca", _facts("masspca", format=9), "expected the facts of format 1"),
        ("masspca", _facts("masspca", rank=None), "rank"),
        ("masspca", _facts("masspca", rank=4), r"shape \(33, 4\)"),
        ("masspca", _facts("masspca", kind="modal"), "expected masspca, given modal-5"),
        ("masspca", _arrays("masspca", dual=None), "dual"),
        ("masspca", _arrays("masspca", basis=np.full_like(ONES, np.nan)), "finite"),
        ("masspca", _arrays("masspca", basis=ONES[1:]), "shape"),
        ("masspca", _arrays("masspca", basis=ONES), "of unit size"),
        ("quadratic-3", _facts("quadratic-3", rank=2), "expected quadratic-3, given quadratic-2"),
        ("quadratic-3", _arrays("quadratic-3", basis=ONES), "shape"),
        ("modal", lambda p: (p / "modal.safetensors").write_bytes(b"x" * 90), "cannot use them"),
        ("hod-4", lambda p: _card(p, origin={}), "one of another; fit it again"),
        ("hod-4", lambda p: _card(p, kind="hybrid"), "expected hod-4 .* given hybrid-4"),
        ("hod-4", lambda p: _card(p, weights="0"), "cannot read this model"),
    ],
)
def test_damaged_peers_are_refused(
    folder: Path, name: str, damage: Callable[[Path], object], message: str
) -> None:
    damage(folder / "peers")
    with pytest.raises(InputError, match=message) as caught:
        load_model(folder).peers[name].subspace(1)
    assert str(folder / "peers" / name) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_body_of_its_own(folder: Path) -> None:
    """Peers of a stiffer body, moved here."""
    for peer in _peers(_body(2e4))[3:5]:
        save_peer(folder, origin_of(_body(2e4)), peer)
    model = load_model(folder)
    for kind, rank in (("quadratic", 3), ("hod", 4)):
        with pytest.raises(InputError, match="expected a subspace of the model's body"):
            model.subspace(kind, rank)
