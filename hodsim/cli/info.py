"""`hodsim info`: versions, solver, a scene or a model in a few lines."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hodsim.cli import output
from hodsim.cli.options import JsonOption, check_file, open_scene
from hodsim.errors import InputError
from hodsim.files import data_dir

if TYPE_CHECKING:
    from hodsim.scene import Scene


def info(
    scene: Annotated[str | None, typer.Argument(help="Scene to describe.")] = None,
    model: Annotated[
        Path | None,
        typer.Option("--model", metavar="DIR", help="Model to describe. [default: the shipped]"),
    ] = None,
    page: Annotated[
        bool,
        typer.Option(
            "--page",
            help="Write --model's card as a page, README.md in its folder, with body and loads of "
            "the scenes that it names, or of SCENE.",
        ),
    ] = False,
    licence: Annotated[
        str | None,
        typer.Option("--licence", help="What the page says. [default: as the page before it]"),
    ] = None,
    json: JsonOption = None,
) -> None:
    """Show versions, the sparse solver in use, and a model's card or a scene's summary."""
    check_file(json)
    if (page and model is None) or (licence is not None and not page):
        raise InputError(
            "info: expected --licence with --page, and --page with --model, given one without the "
            "other; add it"
        )
    if page:
        assert model is not None
        print(f"wrote {_page(model, scene, licence)}")
        return
    told: dict[str, Any] = {"versions": output.versions(), "solver": _solver()}
    if scene is not None:
        told["scene"] = _scene(open_scene(scene))
    if model is not None or scene is None:
        told["model"] = _model(model)
    if json is not None:
        output.write_json(json, told)
    for key, value in told.items():
        _show(key, value)


def _page(folder: Path, scene: str | None, licence: str | None) -> Path:
    """Write the page of a model from what is at hand of its scenes, and say where."""
    from hodsim.cli.motions import scenes_of
    from hodsim.subspaces import load_model
    from hodsim.training import write_page

    scenes = [] if scene is None else [open_scene(scene)]
    if scene is None:
        try:
            scenes = scenes_of(load_model(folder), folder)
        except InputError:
            scenes = []  # Its scenes are not among the shipped ones: the card alone must do.
    return write_page(folder, scenes, licence)


def _show(key: str, value: Any, indent: int = 0) -> None:
    """Nested tables as indented lines; long lists by their length."""
    space = "  " * indent
    if isinstance(value, dict):
        print(f"{space}{key}:")
        for name, inner in value.items():
            _show(name, inner, indent + 1)
        return
    if isinstance(value, list) and len(str(value)) > 200:
        value = f"({len(value)} entries)"
    print(f"{space}{key}: {'-' if value is None else value}")


def _solver() -> str:
    from hodsim.fem import pardiso_available

    if pardiso_available():
        return "pardiso"
    return "superlu (pip install 'hodsim[pardiso]' for a faster one)"


def _scene(scene: Scene) -> dict[str, Any]:
    from dataclasses import asdict

    from hodsim.fem import body_of, tip_vertices

    body = body_of(scene)
    mesh = body.mesh
    return {
        "name": scene.name,
        "file": str(scene.path),
        "vertices": mesh.n_vertices,
        "tets": mesh.n_tets,
        "free degrees of freedom": body.n_dofs,
        "tip vertices": len(tip_vertices(body)),
        "volume [m^3]": float(mesh.volumes.sum()),
        "mass [kg]": float(mesh.volumes.sum() * scene.material.density),
        "material": asdict(scene.material),
        "damping": asdict(scene.damping),
        "loads": [load.kind for load in scene.loads],
        "obstacles": [obstacle.shape.kind for obstacle in scene.obstacles],
        "random loads": [load.kind for load in scene.sampling],
        "time": asdict(scene.time),
        "model": None if scene.model is None else str(scene.model),
    }


def _model(folder: Path | None) -> dict[str, Any] | None:
    from hodsim.cubature import load_cubatures
    from hodsim.subspaces import load_model

    if folder is None:
        try:
            folder = data_dir("trained_models") / "beam"
        except InputError:
            return None
    trained = load_model(folder)
    cubatures = {
        name: f"{len(c.tets)} of {c.n_tets} tets, held-out error "
        f"{output.percent(c.held_out_error)}, of forces {output.percent(c.force_error)}"
        for name, c in load_cubatures(folder).items()
    }
    ranges = {
        f"{kind}-{len(cover.low)}": f"within {output.percent(cover.radii[-1])} of the largest "
        f"coordinates from one of {len(cover.centres)} poses"
        for kind, cover in trained.covers.items()
    }
    return {
        "folder": str(folder),
        **trained.card,
        "cubature": cubatures,
        "training range": ranges or None,
    }
