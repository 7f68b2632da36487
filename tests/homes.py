"""A folder with a small scene and a model for it, on disk as commands and workers find them."""

from __future__ import annotations

from pathlib import Path

from small import SCENE

from hodsim.dynamics import FullSpace, simulate
from hodsim.fem import Loads, body_of
from hodsim.networks import HoDNet, Shape
from hodsim.scene import Scene, read_scene
from hodsim.snapshots import origin_of
from hodsim.subspaces import Model, fit_pca, fit_quadratic, save_model


def make_home(folder: Path) -> Scene:
    """Write `small.toml` and `model` (of rank 2, PCA up to 4) into a folder; gives the scene."""
    path = folder / "small.toml"
    path.write_text(SCENE)
    scene = read_scene(path)
    body = body_of(scene)
    u = simulate(FullSpace(body, Loads(body, scene.loads), scene.time.step), 40).z
    pca, quadratic = fit_pca(u, 4), fit_quadratic(u, 2)
    network = HoDNet(Shape(body.n_dofs, 2, (5,), (5,), 6)).double()
    card = {"origin": origin_of(body), "made_by": "tests"}
    save_model(folder / "model", Model(network, pca.basis, quadratic.basis[:, 2:], card))
    return scene


def variant(scene: Scene, name: str, push: float) -> Scene:
    """The scene of another name, its force along y another."""
    folder = scene.path.parent
    text = SCENE.replace('"small"', f'"{name}"').replace("[0, 4, 9]", f"[0, {push}, 9]")
    path = folder / f"{name.replace('/', '_')}-{push}.toml"
    path.write_text(text)
    return read_scene(path)
