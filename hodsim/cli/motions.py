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
from hodsim.files import data_dir

if TYPE_CHECKING:
    from hodsim.fem import Body
    from hodsim.scene import Scene
    from hodsim.snapshots import Snapshots
    from hodsim.subspaces import Model


def scenes_of(model: Model, folder: Path) -> list[Scene]:
    """The shipped scenes of the model's body that its card names: "bend", or "torus/bend"."""
    from hodsim.fem import body_of
    from hodsim.snapshots import origin_of

    names = model.card.get("scenes")
    names = [str(name) for name in names] if isinstance(names, list) else []
    for place in ("", *sorted(f"{p.name}/" for p in data_dir("scenes").iterdir() if p.is_dir())):
        try:
            scenes = [open_scene(place + name) for name in names]
        except InputError:
            continue
        if scenes and origin_of(body_of(scenes[0])) == model.card["origin"]:
            return scenes
    raise InputError(
        f"scenes: expected those that {folder} was trained on, given none, and its card names "
        "no shipped ones; name their files"
    )


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
