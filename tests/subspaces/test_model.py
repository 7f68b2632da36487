"""A model's folder: what comes back, whose body it is for, and what is refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.numpy
import torch

from hodsim import InputError, beam
from hodsim.fem import Body, make_body
from hodsim.networks import HoDNet, Shape
from hodsim.scene import Damping, MaterialSpec
from hodsim.snapshots import origin_of
from hodsim.subspaces import Model, fit_pca, fit_quadratic, load_model, save_model

R, K = 2, 5
RIVALS = "rivals.safetensors"


def _body(**changes: Any) -> Body:
    given = {
        "size": (1.0, 0.3, 0.2),
        "law": "stvk",
        "young": 1e4,
        "density": 900.0,
        "clamped": 0.0,
        "mass": "lumped",
        "damping": 1.0,
        **changes,
    }
    mesh = beam((2, 1, 1), given["size"])
    fixed = np.flatnonzero(mesh.vertices[:, 0] <= given["clamped"])
    material = MaterialSpec(given["law"], given["young"], 0.3, given["density"])
    return make_body(mesh, material, fixed, given["mass"], Damping(given["damping"]))


def _model(body: Body) -> Model:
    torch.manual_seed(0)
    u = np.random.default_rng(0).standard_normal((30, body.n_dofs))
    network = HoDNet(Shape(body.n_dofs, R, (4,), (3,), K)).double().eval()
    W = fit_quadratic(u, R).basis[:, R:]
    return Model(network, fit_pca(u, K).basis, W, {"origin": origin_of(body), "seed": 4})


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    save_model(tmp_path / "model", _model(_body()))
    return tmp_path / "model"


def test_round_trip(folder: Path) -> None:
    model, again = _model(_body()), load_model(folder)
    again.check(_body())
    assert again.card["seed"] == 4
    q = np.random.default_rng(1).standard_normal((3, R))
    for kind in ("hod", "pca", "quadratic"):
        before, after = model.subspace(kind), again.subspace(kind)
        assert (after.kind, after.rank) == (kind, R)
        # The bases are stored in float32, the network as it was in float32 or better.
        np.testing.assert_allclose(after.decode(q), before.decode(q), rtol=0, atol=1e-5)
    V = again.subspace("pca", K).basis
    np.testing.assert_allclose(V.T @ V, np.eye(K), atol=1e-14)  # mended to double precision
    assert sorted(p.name for p in folder.iterdir()) == [
        "model.json",
        RIVALS,
        "weights.safetensors",
    ]


def test_ranks_and_kinds(folder: Path) -> None:
    model = load_model(folder)
    for r in range(1, K + 1):
        assert model.subspace("pca", r).rank == r
    assert model.subspace("pca").rank == model.subspace("hod", R).rank == R
    for r in (0, -1, K + 1):
        with pytest.raises(InputError, match=f"expected 1 to {K} for pca, given {r}"):
            model.subspace("pca", r)
    for kind in ("hod", "quadratic"):
        for r in (0, R + 1):
            with pytest.raises(InputError, match=f"expected {R}, .* {kind} model, given {r}"):
                model.subspace(kind, r)
    with pytest.raises(InputError, match="given 'modal'"):
        model.subspace("modal")


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"size": (1.0, 0.3, 0.21)}, "mesh"),
        ({"law": "neo-hookean"}, "material"),
        ({"young": 1.1e4}, "material"),
        ({"density": 901.0}, "material"),
        ({"clamped": -1.0}, "free_vertices"),
        ({"mass": "consistent"}, "mass"),
        ({"damping": 0.5}, "damping"),
    ],
)
def test_a_model_for_another_body_is_refused(changes: dict[str, Any], named: str) -> None:
    model = _model(_body())
    model.check(_body())
    with pytest.raises(InputError, match=rf"\(different {named}\); train one"):
        model.check(_body(**changes))


def _arrays(**changes: np.ndarray | None) -> Callable[[Path], None]:
    def write(folder: Path) -> None:
        arrays = {**safetensors.numpy.load_file(folder / RIVALS), **changes}
        arrays = {k: v for k, v in arrays.items() if v is not None}
        safetensors.numpy.save_file(arrays, folder / RIVALS)

    return write


def _no_origin(folder: Path) -> None:
    card = json.loads((folder / "model.json").read_text())
    del card["origin"]
    (folder / "model.json").write_text(json.dumps(card))


N = _body().n_dofs
BASES = {"components": np.eye(N, K), "quadratic": np.ones((N, 3))}


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda f: (f / RIVALS).unlink(), "cannot read the linear bases"),
        (lambda f: (f / RIVALS).write_bytes(b"garbage" * 50), "cannot read the linear bases"),
        (
            lambda f: (f / RIVALS).write_bytes((f / RIVALS).read_bytes()[:-100]),
            "cannot read the linear bases",
        ),
        (_arrays(quadratic=None), "quadratic"),
        (_arrays(components=BASES["components"][1:]), f"finite bases of {N} rows"),
        (_arrays(components=BASES["components"][:, 0]), f"finite bases of {N} rows"),
        (_arrays(components=BASES["components"][:, :1].copy()), f"finite bases of {N} rows"),
        (_arrays(quadratic=np.ones((N, 4))), f"finite bases of {N} rows"),
        (_arrays(quadratic=np.full((N, 3), np.nan)), f"finite bases of {N} rows"),
        (_arrays(components=np.full((N, K), np.inf)), f"finite bases of {N} rows"),
        (lambda f: (f / "model.json").unlink(), "found no model.json"),
        (_no_origin, "a card with the body's origin"),
    ],
)
def test_damaged_models_are_refused(
    folder: Path, damage: Callable[[Path], object], message: str
) -> None:
    damage(folder)
    with pytest.raises(InputError, match=message) as caught:
        load_model(folder)
    assert str(folder) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_the_card_is_written_last(folder: Path, tmp_path: Path) -> None:
    """A folder with a card is whole: one whose save was stopped before has none."""
    model = _model(_body())
    broken = Model(model.network, model.components, model.quadratic, {"origin": object()})
    with pytest.raises(TypeError):
        save_model(tmp_path / "new", broken)
    with pytest.raises(InputError, match=r"found no model\.json"):
        load_model(tmp_path / "new")
