"""Options that several commands share, and what they name: scenes, models, places to write."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hodsim.errors import InputError
from hodsim.files import data_dir, place_of

if TYPE_CHECKING:
    from hodsim.scene import Scene
    from hodsim.subspaces import Model

ModelOption = Annotated[
    Path | None,
    typer.Option(
        "--model", metavar="DIR", help="Folder of a trained model, in place of the scene's own."
    ),
]
JsonOption = Annotated[
    Path | None, typer.Option("--json", metavar="FILE", help="Write the report as JSON, too.")
]
SolverOption = Annotated[
    str, typer.Option("--solver", help="Sparse solver of full space: auto, pardiso or superlu.")
]
InputsOption = Annotated[
    Path | None,
    typer.Option(
        "--inputs", metavar="FILE", help="Play again what `hodsim view` recorded, to the last bit."
    ),
]
FormulationOption = Annotated[
    str,
    typer.Option("--formulation", help="Reduced equations: incremental or lagrangian (with D^3)."),
]

# What `--quick` puts in the place of training's own defaults: so few poses make an epoch of few
# steps, unless batches are small.
QUICK_TRAINING = {"trajectories": 12, "epochs": 150, "batch": 64}

ReferenceOption = Annotated[
    bool,
    typer.Option(
        "--reference", help="The readable integrator over all tets, not the compiled step."
    ),
]


def open_scene(name: str) -> Scene:
    """The scene of a file, or a shipped one by its name: "bend", "heldout/twist-2"."""
    from hodsim.scene import read_scene

    return read_scene(find_scene(name))


def find_scene(name: str) -> Path:
    """The file that a scene's name means."""
    path = Path(name)
    if not path.exists() and not path.suffix:
        shipped = data_dir("scenes") / f"{name}.toml"
        if shipped.is_file():
            path = shipped
    return path


def model_opener(folder: Path | None) -> Callable[[Scene], Model]:
    """A function that gives the model for a scene: `folder`'s, or the scene's; each read once."""
    from hodsim.subspaces import load_model

    opened: dict[Path, Model] = {}

    def of(scene: Scene) -> Model:
        place = model_folder(scene, folder)
        if place not in opened:
            opened[place] = load_model(place)
        return opened[place]

    return of


def model_folder(scene: Scene, folder: Path | None) -> Path:
    """Where the model for a scene lies. Raises `InputError` where neither says so."""
    place = folder or scene.model
    if place is None:
        raise InputError(
            f"scene {scene.name}: expected the folder of a trained model, given none; add "
            "[subspace] model to the scene, or use --model"
        )
    return Path(os.path.normpath(place))


def check_file(path: Path | None) -> None:
    """Refuse, before any work is done, a file that could not be written in the end."""
    if path is not None:
        check_folder(place_of(path).parent)


def check_folder(folder: Path) -> None:
    """Refuse, before any work is done, a folder that could not be made or written to."""
    place = Path(os.path.abspath(folder))  # noqa: PTH100  (resolve() would fail on a broken link)
    while not place.exists() and place != place.parent:
        place = place.parent
    if not place.is_dir():
        raise InputError(
            f"{folder}: expected a folder, but {place} is a file; choose another place"
        )
    if not os.access(place, os.W_OK):
        raise InputError(f"{folder}: no permission to write in {place}; choose another place")
