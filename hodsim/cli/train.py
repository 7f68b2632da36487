"""`hodsim train`: snapshots of random loads, then a HoD-Net and its linear rivals."""

from __future__ import annotations

import shlex
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import typer

from hodsim.cli import output
from hodsim.cli.options import (
    QUICK_TRAINING,
    JsonOption,
    check_file,
    check_folder,
    open_scene,
)
from hodsim.errors import InputError


def train(
    scenes: Annotated[
        list[str], typer.Argument(help="Scenes with [[sampling]] loads, all of one body.")
    ],
    out: Annotated[Path, typer.Option("--out", metavar="DIR", help="Folder for the model.")],
    trajectories: Annotated[
        int | None, typer.Option("--trajectories", min=1, help="Motions to draw of each scene.")
    ] = None,
    rank: Annotated[int | None, typer.Option("--rank", min=1, help="Latent coordinates.")] = None,
    seed: Annotated[
        int | None, typer.Option("--seed", min=0, help="Seed of loads and of weights.")
    ] = None,
    workers: Annotated[
        int | None, typer.Option("--workers", min=1, help="Processes that make motions.")
    ] = None,
    snapshots: Annotated[
        Path | None,
        typer.Option(
            "--snapshots",
            metavar="DIR",
            help="Folder of the motions, which are kept and gone on with. "
            "[default: snapshots in --out]",
        ),
    ] = None,
    epochs: Annotated[
        int | None, typer.Option("--epochs", min=1, help="Passes over the poses.")
    ] = None,
    init: Annotated[
        str | None, typer.Option("--init", help="First weights: pca or random.")
    ] = None,
    decoder: Annotated[
        str | None,
        typer.Option("--decoder", help="Widths of the decoder's hidden layers, such as 160,160."),
    ] = None,
    device: Annotated[
        str,
        typer.Option("--device", help="Where to fit: cpu, or cuda (under torchrun, a GPU each)."),
    ] = "cpu",
    quick: Annotated[
        bool,
        typer.Option("--quick", help="Few motions, few epochs: a rough model in a minute or two."),
    ] = False,
    json: JsonOption = None,
) -> None:
    """Train a HoD-Net on random motions of scenes.

    A stopped run, called again, goes on where it was. Options left out are those of the shipped
    model. Several processes fit one model together when torchrun starts them:
    torchrun --nproc-per-node 2 -m hodsim.cli train SCENES --out DIR.
    """
    check_folder(out)
    check_file(json)
    opened = [open_scene(name) for name in scenes]
    from hodsim.training import TrainOptions, leads
    from hodsim.training import train as run

    given = _given(trajectories=trajectories, epochs=epochs)
    asked = (QUICK_TRAINING if quick else {}) | given
    options = TrainOptions()
    fit = replace(
        options.fit,
        **_given(
            rank=rank,
            seed=seed,
            init=init,
            epochs=asked.get("epochs"),
            batch=asked.get("batch"),
            decoder=None if decoder is None else _widths(decoder),
        ),
    )
    options = replace(
        options,
        fit=fit,
        **_given(trajectories=asked.get("trajectories"), seed=seed, workers=workers),
    )
    written = _given(
        trajectories=options.trajectories, rank=fit.rank, seed=seed, init=fit.init, decoder=decoder
    )
    command = ["hodsim", "train", *scenes, "--out", str(out)]
    for name, value in (written | {"epochs": fit.epochs}).items():
        command += [f"--{name}", str(value)]
    command += ["--quick"] if quick else []
    with output.progress() as report:

        def told(stage: str, done: int, total: int, row: dict[str, Any]) -> None:
            error = row.get("held_out_error")
            report(stage, done, total, "" if error is None else f"error {output.percent(error)}")

        model = run(opened, out, options, snapshots, told, shlex.join(command), device, few=quick)
    if not leads():
        return
    console = output.console()
    errors = model.card["reconstruction_error"]
    console.print(
        f"reconstruction error {output.percent(errors['trained_on'])} on the motions trained on, "
        + (
            f"{output.percent(errors['held_out'])} on those held out"
            if model.card["poses"]["held_out"]
            else "too few to hold any out"
        ),
        soft_wrap=True,
    )
    for name in model.card["stopped_early"]:
        line = f"motion {name} stopped early: its poses until then were used"
        console.print(line, soft_wrap=True, markup=False)
    for kind, why in model.card["peers_left_out"].items():
        console.print(f"left out {kind}: {why}", soft_wrap=True)
    console.print(f"wrote {out}", soft_wrap=True)
    if json is not None:
        whole = output.report_of("train", opened, [out], [])
        del whole["runs"]
        output.write_json(json, output.finite(whole | {"card": model.card}))
        console.print(f"wrote {json}", soft_wrap=True)


def _widths(text: str) -> tuple[int, ...]:
    """(160, 160) of "160,160"."""
    parts = text.split(",")
    if not all(part.strip().isdecimal() and int(part) for part in parts):
        raise InputError(
            "--decoder: expected widths of at least 1 with commas between them, such as 160,160, "
            f"given {text!r}"
        )
    return tuple(int(part) for part in parts)


def _given(**values: Any) -> dict[str, Any]:
    """Those that are not None."""
    return {name: value for name, value in values.items() if value is not None}
