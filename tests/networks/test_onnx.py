"""Decoders as ONNX graphs: what onnxruntime makes of them, and what is told of them."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from homes import make_home
from small import SCENE, Run

from hodsim import InputError, load_model
from hodsim.fem import body_of
from hodsim.networks import ACTIVATIONS, HoDNet, Shape, rounding_units, save_onnx
from hodsim.networks.onnx_file import _Graph
from hodsim.scene import read_scene

onnx = pytest.importorskip("onnx")
runtime = pytest.importorskip("onnxruntime")
every_dtype = pytest.mark.parametrize("dtype", ["float32", "float64"])


def network(activation: str = "silu", widths: tuple[int, ...] = (9, 7)) -> HoDNet:
    torch.manual_seed(3)
    net = HoDNet(Shape(24, 3, widths, (4,), 5, activation)).double().requires_grad_(False)
    for parameter in net.decoder.hidden.parameters():
        parameter.mul_(2.0)  # well into the bends of the activations
    return net


def answers(path: Path, q: np.ndarray) -> np.ndarray:
    session = runtime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    (given,) = session.get_inputs()
    assert (given.name, given.shape[1:]) == ("latent", [q.shape[1]])
    return session.run(["displacement"], {"latent": q})[0]


@every_dtype
@pytest.mark.parametrize("widths", [(9, 7), (5,)])
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_the_runtime_computes_the_decoder(
    tmp_path: Path, activation: str, widths: tuple[int, ...], dtype: str
) -> None:
    net, path = network(activation, widths), tmp_path / "d.onnx"
    off = save_onnx(path, net.decoder, net.shape, {}, dtype)
    assert off < 8.0
    q = (4.0 * np.random.default_rng(1).standard_normal((50, 3))).astype(dtype)
    q[7] = 0.0
    u = answers(path, q)
    assert u.dtype == dtype
    assert u.shape == (50, 24)
    assert not u[7].any()  # rest, exactly
    wanted = net.decoder(torch.from_numpy(q.astype(np.float64))).numpy()
    # Sums of some ten numbers of size 1, a few layers deep.
    assert np.abs(u - wanted).max() <= 40.0 * np.finfo(dtype).eps * np.abs(wanted).max()
    assert answers(path, q[:1]).shape == (1, 24)  # any batch


@every_dtype
def test_all_vertices_of_a_mesh(tmp_path: Path, dtype: str) -> None:
    net, path = network(), tmp_path / "d.onnx"
    rows = np.full(11, -1)
    rows[[0, 2, 3, 5, 6, 7, 9, 10]] = np.arange(8)
    save_onnx(path, net.decoder, net.shape, {}, dtype, rows)
    q = np.random.default_rng(2).standard_normal((4, 3)).astype(dtype)
    u = answers(path, q)
    assert u.shape == (4, 11, 3)
    assert not u[:, rows < 0].any()
    wanted = net.decoder(torch.from_numpy(q.astype(np.float64))).numpy().reshape(4, 8, 3)
    np.testing.assert_allclose(u[:, rows >= 0], wanted, rtol=0, atol=1e3 * np.finfo(dtype).eps)


def test_a_rounding_unit_is_one(tmp_path: Path) -> None:
    """Off by 1e-3 of the largest part shows as that many units; float32 is 5e8 of float64's."""
    net = network()
    q = np.random.default_rng(5).standard_normal((20, 3)).astype(np.float32).astype(float)
    u = net.decoder(torch.from_numpy(q)).numpy()
    assert rounding_units(net.decoder, q, u, "float64") == 0.0
    off = u + 1e-3 * np.abs(u).max()
    found = rounding_units(net.decoder, q, off, "float64") * np.finfo(np.float64).eps
    assert 1e-4 < found <= 1e-3  # parts are larger than their sum
    ratio = rounding_units(net.decoder, q, off, "float32") / (found / np.finfo(np.float64).eps)
    assert ratio == pytest.approx(2.0**-29)


def test_a_runtime_that_computes_something_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    net, path = network(), tmp_path / "d.onnx"
    path.write_bytes(b"before")

    def wrong(self: _Graph, name: str, y: str) -> str:
        return self.node("Tanh", y)

    monkeypatch.setattr(_Graph, "activation", wrong)
    with pytest.raises(InputError, match="expected onnxruntime to compute what the decoder does"):
        save_onnx(path, net.decoder, net.shape, {})
    assert path.read_bytes() == b"before"
    assert [p.name for p in tmp_path.iterdir()] == ["d.onnx"]


def test_what_is_told_of_it(tmp_path: Path) -> None:
    net, path = network(), tmp_path / "d.onnx"
    save_onnx(path, net.decoder, net.shape, {"hodsim.latent.unit": "1", "b": "ä"})
    model = onnx.load(path)
    assert {p.key: p.value for p in model.metadata_props} == {"hodsim.latent.unit": "1", "b": "ä"}
    assert model.producer_name == "hodsim"
    assert [o.version for o in model.opset_import] == [17]


def test_the_network_stays_as_it_was(tmp_path: Path) -> None:
    net = network().float()
    save_onnx(tmp_path / "d.onnx", net.decoder, net.shape, {})
    assert {p.dtype for p in net.parameters()} == {torch.float32}


@pytest.mark.parametrize("package", ["onnx", "onnxruntime"])
def test_without_the_packages(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, package: str
) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    net = network()
    with pytest.raises(InputError, match=r"install them by `pip install 'hodsim\[onnx\]'`"):
        save_onnx(tmp_path / "d.onnx", net.decoder, net.shape, {})
    with pytest.raises(InputError, match="dtype: expected float32 or float64, given 'int8'"):
        save_onnx(tmp_path / "d.onnx", net.decoder, net.shape, {}, "int8")


# -------------------------------------------------------------------------------- the command
def exported(run: Run, *arguments: Any) -> str:
    code, out, err = run("export", *arguments)
    assert (code, err) == (0, "")
    return out


def test_the_command_writes_a_models_decoder(run: Run, tmp_path: Path) -> None:
    scene = make_home(tmp_path)
    body, model = body_of(scene), load_model(tmp_path / "model")
    path, report = tmp_path / "d.onnx", tmp_path / "r.json"
    out = exported(
        run, tmp_path / "model", "--onnx", path, "--dtype", "float64", "--json", report,
        "--scene", scene.path,
    )  # fmt: skip
    assert "hod-2 in float64: onnxruntime is within" in out
    told = {p.key: p.value for p in onnx.load(path).metadata_props}
    assert told == json.loads(report.read_text())["metadata"]
    assert told["hodsim.mesh.sha256"] == body.mesh.digest
    assert told["hodsim.latent.dimension"] == "2"
    assert told["hodsim.displacement.unit"] == "m"
    assert json.loads(told["hodsim.material"])["law"] == "neo-hookean"
    assert told["hodsim.weights.sha256"] == model.card["weights"]
    q = np.array([[0.3, -0.2]])
    wanted = body.expand(model.subspace("hod").decode(q))
    np.testing.assert_allclose(answers(path, q), wanted, atol=1e-14)
    exported(run, tmp_path / "model", "--onnx", path)
    assert answers(path, q.astype(np.float32)).shape == (1, body.n_dofs)


def test_what_the_command_refuses(run: Run, tmp_path: Path) -> None:
    make_home(tmp_path)
    other = tmp_path / "other.toml"
    other.write_text(SCENE.replace("5e4", "6e4"))
    assert read_scene(other).material.young == 6e4
    model, path = tmp_path / "model", tmp_path / "d.onnx"
    for arguments, told in (
        ((model,), "expected a file to write"),
        ((model, "--onnx", path, "--out", tmp_path / "m.pvd"), "given both"),
        ((model, "--onnx", path, "--surface"), "are of a motion, given a model"),
        ((model, "--onnx", path, "--subspace", "pca-2"), "expected a network"),
        ((model, "--onnx", path, "--subspace", "full"), "expected a network"),
        ((model, "--onnx", path, "--subspace", "hod-3"), "rank: expected 2"),
        ((model, "--onnx", path, "--scene", other), "one trained for this body"),
        ((model, "--onnx", tmp_path / "d.pb"), "a name ending in .onnx"),
        ((model, "--onnx", path, "--dtype", "half"), "float32 or float64"),
        ((tmp_path, "--onnx", path), "a model's folder"),
    ):
        code, out, err = run("export", *arguments)
        assert (code, out) == (2, ""), arguments
        assert told in err, err
        assert err.count("\n") == 1
    assert not path.exists()
