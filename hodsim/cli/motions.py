"""Motions that a command fits to: those of a model's training, or new ones like them."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from hodsim.cli import output
from hodsim.cli.options import open_scene
from hodsim.errors import InputError

if TYPE_CHECKING:
    from hodsim.fem import Body
    from hodsim.scene import Scene
    from hodsim.snapshots import Snapshots
    from hodsim.subspaces import Model


def scenes_of(model: Model, folder: Path) -> list[Scene]:
    """The shipped scenes that a model's card names."""
    names = model.card.get("scenes")
    scenes = []
    try:
        scenes = [open_scene(str(name)) for name in names] if isinstance(names, list) else []
    except InputError:
        scenes = []
    if not scenes:
        raise InputError(
            f"scenes: expected those that {folder} was trained on, given none, and its card names "
            "no shipped ones; name their files"
        )
    return scenes


def seed_of(model: Model) -> int:
    """The seed that a model's card names."""
    options = model.card.get("options")
    seed = options.get("seed", 0) if isinstance(options, dict) else 0
    return seed if isinstance(seed, int) and seed >= 0 else 0


@contextmanager
def motions(
    scenes: Sequence[Scene],
    body: Body,
    folder: Path | None,
    trajectories: int,
    seed: int,
    workers: int,
    report: output.Report,
) -> Iterator[tuple[Snapshots, Snapshots]]:
    """Poses to fit to and held out: the folder's, or newly made ones."""
    from hodsim.sampling import make_snapshots
    from hodsim.snapshots import Store, origin_of
    from hodsim.training import held_out_of

    def told(done: int, total: int) -> None:
        report("motions", done, total)

    def split(poses: Snapshots) -> tuple[Snapshots, Snapshots]:
        seen, unseen = poses.split(held_out_of(poses.names))
        # Too few motions to spare any are measured on their own poses, as in training.
        return (seen, unseen) if len(unseen.u) and len(seen.u) else (poses, poses)

    with tempfile.TemporaryDirectory() as temporary:
        store = Store(folder or temporary)
        store.check(origin_of(body))
        if not store.names():
            make_snapshots(scenes, trajectories, seed, store, workers, told)
        yield split(store.read())
