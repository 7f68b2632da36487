"""`hodsim train`: snapshots of random loads, then a HoD-Net and its linear rivals."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from hodsim.cli import output
from hodsim.cli.options import JsonOption, check_file, check_folder, open_scene


def train(
    scenes: Annotated[
        list[str], typer.Argument(help="Scenes with [[sampling]] loads, all of one body.")
    ],
    out: Annotated[Path, typer.Option("--out", metavar="DIR", help="Folder for the model.")],
    trajectories: Annotated[
        int, typer.Option("--trajectories", min=1, help="Motions to draw of each scene.")
    ] = 120,
    rank: Annotated[int, typer.Option("--rank", min=1, help="Latent coordinates.")] = 6,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Seed of loads and weights.")] = 0,
    workers: Annotated[int, typer.Option("--workers", min=1, help="Processes for motions.")] = 2,
    snapshots: Annotated[
        Path | None,
        typer.Option(
            "--snapshots",
            metavar="DIR",
            help="Folder of the motions; kept, and gone on with. [default: DIR of --out/snapshots]",
        ),
    ] = None,
    epochs: Annotated[
        int | None, typer.Option("--epochs", min=1, help="Passes over poses.")
    ] = None,
    init: Annotated[str, typer.Option("--init", help="First weights: pca or random.")] = "pca",
    quick: Annotated[
        bool, typer.Option("--quick", help="A small, rough model in under a minute.")
    ] = False,
    json: JsonOption = None,
) -> None:
    """Train a HoD-Net on random motions of scenes; a stopped run goes on where it was."""
    check_folder(out)
    check_file(json)
    from hodsim.training import TrainOptions
    from hodsim.training import train as run

    opened = [open_scene(name) for name in scenes]
    options = TrainOptions(
        trajectories=trajectories,
        rank=rank,
        seed=seed,
        workers=workers,
        snapshots=snapshots or out / "snapshots",
        epochs=epochs,
        init=init,
        quick=quick,
    )
    with output.progress() as report:
        card = run(opened, out, options, report)
    console = output.console()
    console.print(f"wrote {out}", soft_wrap=True)
    if json is not None:
        output.write_json(json, output.report_of("train", opened, [out], []) | {"card": card})
        console.print(f"wrote {json}", soft_wrap=True)
