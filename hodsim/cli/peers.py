"""`hodsim peers`: fit the other subspaces of a trained model, to the poses of its training."""

from __future__ import annotations

import shlex
from dataclasses import fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table

from hodsim.cli import output
from hodsim.cli.motions import motions, scenes_of, seed_of
from hodsim.cli.options import (
    JsonOption,
    ModelOption,
    check_file,
    check_folder,
    model_folder,
    open_scene,
)
from hodsim.cli.peer_fits import PeerFits
from hodsim.errors import InputError
from hodsim.files import alone, data_dir

if TYPE_CHECKING:
    from hodsim.dynamics import Spec
    from hodsim.subspaces import Model
    from hodsim.training import FitOptions, Poses

_LINEAR = "evenpca,masspca,stiffpca,modal"
_MANIFOLDS = (4, 6, 8)  # ranks, and the model's own
# What `--quick` puts in the place of the options' own defaults.
_QUICK = {"trajectories": 4, "epochs": 60}


def peers(
    scenes: Annotated[
        list[str] | None,
        typer.Argument(help="Scenes of the model's body. [default: those it was trained on]"),
    ] = None,
    model: ModelOption = None,
    snapshots: Annotated[
        Path | None,
        typer.Option(
            "--snapshots",
            metavar="DIR",
            help="Folder of the motions that the model was trained on; made and kept there if it "
            "has none. [default: made, and not kept]",
        ),
    ] = None,
    wanted: Annotated[
        str | None,
        typer.Option(
            "--peers",
            help="evenpca, masspca, stiffpca and modal (all ranks, or one: modal-12), manifolds: "
            "quadratic-4, evenquadratic-4, and networks: hod-4, autoencoder-6, hybrid-6. Even ones "
            "weigh the poses as the networks do. [default: linear ones, and manifolds of ranks "
            "4, 6, 8 and the model's]",
        ),
    ] = None,
    linear: Annotated[
        int | None,
        typer.Option(
            "--linear", min=1, help="PCA coordinates of a hybrid. [default: half its rank]"
        ),
    ] = None,
    epochs: Annotated[
        int | None,
        typer.Option("--epochs", min=1, help="Passes over the poses. [default: the model's]"),
    ] = None,
    trajectories: Annotated[
        int | None,
        typer.Option(
            "--trajectories", min=1, help="Motions to make of each scene. [default: the model's]"
        ),
    ] = None,
    workers: Annotated[
        int, typer.Option("--workers", min=1, help="Processes that make motions.")
    ] = 2,
    seed: Annotated[
        int | None,
        typer.Option(
            "--seed",
            min=0,
            help="Of weights and cubatures; motions are the model's. [default: its]",
        ),
    ] = None,
    again: Annotated[
        bool, typer.Option("--again", help="Fit anew those that are there, too.")
    ] = False,
    quick: Annotated[
        bool, typer.Option("--quick", help="Few motions, few epochs: rough peers in a minute.")
    ] = False,
    json: JsonOption = None,
) -> None:
    """Fit the rivals of a trained model, and a cubature for each, and store them beside it.

    Those that are there are kept, and each is stored as it is done: a stopped run, called again,
    goes on where it was. Networks are fitted as the model itself was.
    """
    check_file(json)
    from hodsim.dynamics import parse_specs
    from hodsim.fem import body_of
    from hodsim.subspaces import PEERS, load_model
    from hodsim.training import Poses

    opened = [open_scene(name) for name in scenes or []]
    if model is None:
        model = model_folder(opened[0], None) if opened else data_dir("trained_models") / "beam"
    check_folder(model)
    trained = load_model(model)
    opened = opened or scenes_of(trained, model)
    body = body_of(opened[0])
    trained.check(body)
    wanted = _default(trained) if wanted is None else wanted
    asked = [_checked(spec, trained) for spec in parse_specs(wanted)]
    if not asked:
        raise InputError(
            f"peers: expected names such as {_default(trained)}, given none; name some"
        )
    options = _options_of(trained)
    options = replace(options, epochs=epochs or (_QUICK["epochs"] if quick else options.epochs))
    own = seed_of(trained)
    options = replace(options, seed=own if seed is None else seed)
    if trajectories is None:
        told = trained.card.get("trajectories_of_each_scene")
        trajectories = _QUICK["trajectories"] if quick else told if isinstance(told, int) else None
    command = ["hodsim", "peers", *(scenes or []), "--model", str(model), "--peers", wanted]
    command += [] if linear is None else ["--linear", str(linear)]
    command += ["--epochs", str(options.epochs), "--seed", str(options.seed)]
    console = output.console()
    with (
        alone(model),
        output.progress() as report,
        motions(opened, body, snapshots, trajectories, own, workers, report) as parts,
    ):
        poses = Poses(*parts, options.evenness)
        fits = PeerFits(model, body, poses, options, shlex.join(command), again, quick, report)
        names: list[tuple[str, int]] = []
        for kind, rank in asked:
            names += [n for n in fits.fit(kind, rank, linear) if n not in names]
        rows = [fits.measure(kind, rank) for kind, rank in names]
        notes = [*_other_poses(trained, poses), *fits.notes]
    for note in dict.fromkeys(notes):
        console.print(note, soft_wrap=True)
    console.print(_table(rows))
    console.print(f"wrote {model / PEERS}", soft_wrap=True)
    if json is not None:
        whole = output.report_of("peers", opened, [model], [])
        del whole["runs"]
        output.write_json(json, output.finite(whole | {"peers": rows, "notes": notes}))
        console.print(f"wrote {json}", soft_wrap=True)


def _default(model: Model) -> str:
    """Those that are fitted in a moment; a model has PCA and a quadratic manifold of its own."""
    own = model.network.shape.rank
    ranks = sorted({*_MANIFOLDS, own})
    plain = [f"quadratic-{rank}" for rank in ranks if rank != own]
    return ",".join([_LINEAR, *plain, *(f"evenquadratic-{rank}" for rank in ranks)])


def _checked(spec: Spec, model: Model) -> tuple[str, int | None]:
    """Kind and rank of what `--peers` names, which must not be what training makes itself."""
    from hodsim.subspaces import NESTED

    own = model.network.shape.rank
    ranked = spec.kind not in NESTED
    if spec.kind in ("full", "pca"):
        raise InputError(f"peers: expected others than full and pca, given {spec.label}; leave out")
    if spec.kind in ("hod", "quadratic") and spec.rank in (None, own):
        raise InputError(
            f"peers: expected others than the model's own {spec.kind}-{own}, given {spec.label}; "
            "name another rank"
        )
    return spec.kind, own if ranked and spec.rank is None else spec.rank


def _options_of(model: Model) -> FitOptions:
    """How the model's own network was fitted, as far as its card tells."""
    from hodsim.training import FitOptions

    told = model.card.get("options")
    told = told.get("fit") if isinstance(told, dict) else None
    names = {f.name for f in fields(FitOptions)} - {"design", "linear", "init"}
    given = {k: v for k, v in told.items() if k in names} if isinstance(told, dict) else {}
    shape = model.network.shape
    sizes = {k: getattr(shape, k) for k in ("decoder", "encoder", "projected", "activation")}
    return FitOptions(**given | sizes)


def _other_poses(model: Model, poses: Poses) -> list[str]:
    """What to say where the model was trained on other poses than these."""
    from hodsim.subspaces import same_poses

    told = model.card.get("poses")
    if not isinstance(told, dict) or same_poses(told, poses.facts):
        return []
    given, trained_on = len(poses.seen.u), told.get("trained_on")
    other = f"{given}" if given != trained_on else "as many others"
    return [f"the model was trained on {trained_on} poses, the peers on {other}: not the same data"]


def _table(rows: list[dict[str, Any]]) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column("\nsubspace")
    for name in ("error\nheld out", "\ntets", "cubature\nerror", "\nseconds"):
        table.add_column(name, justify="right", no_wrap=True)
    for row in rows:
        seconds = row["seconds"]
        table.add_row(
            row["label"],
            output.percent(row["held_out_error"]),
            str(row["tets"]),
            output.percent(row["cubature_error"]),
            "-" if seconds is None else f"{seconds:.1f}",
        )
    return table
