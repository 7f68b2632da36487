"""Train the shipped beam model again, with the options that its card tells.

    python apps/train_beam.py OUT [SNAPSHOTS]

writes the model's folder OUT; SNAPSHOTS (OUT/snapshots unless given) keeps the training motions. A
stopped run, called again, goes on where it was. `hodsim train` is the same with other options.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from hodsim.files import data_dir
from hodsim.scene import read_scene
from hodsim.training import FitOptions, TrainOptions, train

SCENES = ("bend", "twist", "swing")


def options_of(card: Path) -> TrainOptions:
    """The options of a model's card; those of `TrainOptions` where there is no card yet."""
    if not card.is_file():
        return TrainOptions()
    told: dict[str, Any] = json.loads(card.read_text())["options"]
    return TrainOptions(**{**told, "fit": FitOptions(**told["fit"])})


def show(stage: str, done: int, total: int, row: dict[str, Any]) -> None:
    error = row.get("held_out_error")
    if stage == "snapshots" or error is not None:
        print(stage, f"{done}/{total}", "" if error is None else f"held-out error {error:.4f}")


def main() -> None:
    out, *rest = sys.argv[1:] or sys.exit(__doc__)
    scenes = [read_scene(data_dir("scenes") / f"{name}.toml") for name in SCENES]
    card = Path(__file__).parents[1] / "trained_models" / "beam" / "model.json"
    command = f"python apps/train_beam.py {out}"
    train(scenes, out, options_of(card), rest[0] if rest else None, show, command)


if __name__ == "__main__":
    main()
