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
    from hodsim.snapshots import Snapshots, Store
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
    trajectories: int | None,
    seed: int,
    workers: int,
    report: output.Report,
    default: int = 240,
) -> Iterator[tuple[Snapshots, Snapshots]]:
    """Poses to fit to and held out: `trajectories` of each scene, as training takes them.

    Without that number as many as the folder has, or `default` if it has none. Those that it lacks
    are made, for good in a folder and not kept without one. Raises
    `InputError` for a folder that holds motions of other scenes, or others than `seed` draws.
    """
    from hodsim.sampling import jobs_of, make_snapshots
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
        there = _most(store, scenes)
        wanted = trajectories or there or default
        make_snapshots(scenes, wanted, seed, store, workers, told)
        # In the order of training's own, whose sums differ in rounding in another.
        yield split(store.read([job.name for job in jobs_of(scenes, wanted, seed)]))


def _most(store: Store, scenes: Sequence[Scene]) -> int:
    """How many motions of a scene the store has, those counted that one is missing before."""
    known, most = {scene.name for scene in scenes}, 0
    for name in store.names():
        scene, _, index = name.rpartition("-")
        if scene not in known or not index.isdecimal():
            raise InputError(
                f"{store.folder}: expected motions of {', '.join(sorted(known))}, found {name}; "
                "name its scene too, or use another folder"
            )
        most = max(most, int(index) + 1)
    return most
