"""From scenes to a model's folder: snapshots, fit, rivals, peers, card, cubatures, range, page."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import asdict, dataclass, field, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch

from hodsim.cubature import fit_cubatures, subspaces_of, usable_cubatures
from hodsim.fem import body_of
from hodsim.files import alone
from hodsim.networks import HoDNet
from hodsim.sampling import jobs_of, make_snapshots
from hodsim.scene import Scene
from hodsim.snapshots import Snapshots, Store, origin_of
from hodsim.subspaces import (
    Linear,
    Model,
    fit_pca,
    fit_quadratic,
    load_model,
    save_covers,
    save_model,
)
from hodsim.training.errors import relative_error
from hodsim.training.fit import fit
from hodsim.training.options import FitOptions
from hodsim.training.page import facts_of, write_page
from hodsim.training.peers import Poses, fit_linear_peers, reconstruction_error
from hodsim.training.reach import cover_poses
from hodsim.training.split import held_out_of
from hodsim.training.team import Team, joined

_COMPONENTS = 20
_FEW = ("pca", "quadratic", "hod")


@dataclass(frozen=True)
class TrainOptions:
    """`trajectories` of each scene, drawn from `seed`, over `workers` processes; then `fit`."""

    trajectories: int = 240
    seed: int = 2
    workers: int = 2
    fit: FitOptions = field(default_factory=FitOptions)


def train(
    scenes: Sequence[Scene],
    out: str | Path,
    options: TrainOptions,
    snapshots: str | Path | None = None,
    progress: Callable[[str, int, int, dict[str, Any]], None] | None = None,
    command: str = "",
    device: str = "cpu",
    few: bool = False,
) -> Model:
    """Train one model for all the scenes and write its folder `out`.

    Snapshots go to the folder `snapshots` (`out`/snapshots unless given) and are kept. A stopped
    run goes on where it was. `progress(stage, done, total, row)` is told of snapshots, epochs and
    cubatures. Processes that torchrun started fit together, on `device` "cpu" or "cuda"; the first
    does all the rest, and the files must be where all can read them. With `few`, cubatures are
    fitted for the network, and PCA and the quadratic manifold of its rank, alone.

    Raises
    ------
    InputError
        The scenes are of different bodies, or have nothing to sample; there is no such device; or
        another run is writing in one of the folders.
    ConvergenceError
        The loss is no longer finite.
    """
    out = Path(out)
    store = Store(snapshots or out / "snapshots")

    def snapshot(done: int, total: int) -> None:
        if progress is not None:
            progress("snapshots", done, total, {})

    with joined(device) as team, alone(out) if team.leads else nullcontext():
        failed: list[str] = []
        if team.leads:
            failed = make_snapshots(
                scenes, options.trajectories, options.seed, store, options.workers, snapshot
            )
        team.wait()
        return _fitted(scenes, out, options, store, failed, progress, command, team, few)


def _fitted(
    scenes: Sequence[Scene],
    out: Path,
    options: TrainOptions,
    store: Store,
    failed: list[str],
    progress: Callable[[str, int, int, dict[str, Any]], None] | None,
    command: str,
    team: Team,
    few: bool,
) -> Model:
    def epoch(row: dict[str, Any]) -> None:
        if progress is not None:
            progress(row["stage"], row["epoch"], row["epochs"], row)

    jobs = jobs_of(scenes, options.trajectories, options.seed)
    # Whole trajectories are held out: poses of one motion are too alike to test each other. A run
    # too small to spare any is measured on its own poses, and the card says that nothing was kept.
    aside = held_out_of([job.name for job in jobs])
    poses = store.read([job.name for job in jobs])
    seen, unseen = poses.split(aside)
    measured = unseen if aside else seen
    checkpoint = out / "checkpoint.safetensors"
    network, history = fit(seen, options.fit, measured, checkpoint, epoch, team)
    if not team.leads:
        team.wait()
        return load_model(out)
    rank = options.fit.rank
    started = time.perf_counter()
    pca = fit_pca(seen.u, max(rank, min(_COMPONENTS, options.fit.projected)), least=rank)
    fitted = time.perf_counter()
    quadratic = fit_quadratic(seen.u, rank, pca.basis[:, :rank])
    rivals = {"pca": fitted - started, "quadratic": time.perf_counter() - started}
    body = body_of(scenes[0])
    refused = fit_linear_peers(
        out, body, Poses(seen, measured, options.fit.evenness), pca.rank, options.seed, command
    )
    card = {
        "origin": origin_of(body),
        "scenes": [scene.name for scene in scenes],
        "trajectories_of_each_scene": options.trajectories,
        "poses": {
            "trained_on": len(seen.u),
            "held_out": len(unseen.u),
            "sha256": seen.digest,
        },
        "stopped_early": failed,
        "options": asdict(options),
        "command": command,
        "seconds": history[-1]["seconds"] if history else 0.0,
        "rivals_seconds": {kind: round(s, 1) for kind, s in rivals.items()},
        "peers_left_out": refused,
        "reconstruction_error": _errors(network, seen, measured),
        "pca_reconstruction_error": {
            str(r): reconstruction_error(Linear(pca.basis[:, :r]), measured)
            for r in range(rank, pca.rank + 1)
        },
        "history": _thin(history),
        **facts_of(scenes),
        "versions": {"hodsim": version("hodsim"), "torch": torch.__version__.split("+")[0]},
    }
    W = quadratic.basis[:, rank:]
    model = Model(network, pca.basis, W, card)
    save_model(out, model)

    def cubature(name: str, done: int, total: int) -> None:
        if progress is not None:
            progress(f"cubature {name}", done, total, {})

    # For the model as it is stored, in float32. The checkpoint stays until all is there, so that a
    # run stopped here comes back at once.
    stored = load_model(out)
    fit_cubatures(
        out,
        body,
        stored,
        [(kind, rank) for kind in _FEW] if few else subspaces_of(stored),
        seen.u,
        measured.u,
        seed=options.seed,
        command=command,
        kept=usable_cubatures(out, body, stored),
        progress=cubature,
    )
    covers = cover_poses(stored, seen.u, measured.u)
    save_covers(out, covers)
    checkpoint.unlink(missing_ok=True)
    write_page(out)
    team.wait()
    return replace(model, covers=covers, folder=out)


def _errors(network: HoDNet, seen: Snapshots, measured: Snapshots) -> dict[str, Any]:
    """Relative RMS errors, trajectories weighing alike: on poses trained on, and held out, in all
    and of each scene.
    """
    network = network.float()
    present = {_scene(measured.names[k]) for k in np.unique(measured.trajectory)}
    by_scene = {}
    for name in sorted(present):
        _, part = measured.split([n for n in measured.names if _scene(n) == name])
        by_scene[name] = relative_error(network, part)
    told = {
        "trained_on": relative_error(network, seen),
        "held_out": relative_error(network, measured),
        "held_out_by_scene": by_scene,
    }
    network.double()
    return told


def _scene(trajectory: str) -> str:
    """The scene that a trajectory's name tells: `bend` of `bend-0012`."""
    return trajectory.rsplit("-", 1)[0]


def _thin(history: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The rows that measured held-out error."""
    return [row for row in history if "held_out_error" in row]
