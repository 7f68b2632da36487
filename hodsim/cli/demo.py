"""`hodsim demo`: one held-out load of each kind, in full space and in three subspaces."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hodsim.cli import output
from hodsim.cli.options import (
    JsonOption,
    ModelOption,
    ReferenceOption,
    check_file,
    check_folder,
    model_folder,
)
from hodsim.files import data_dir

if TYPE_CHECKING:
    from hodsim.comparison import Play
    from hodsim.viewer import Row

SCENES = ("bend-1", "twist-1", "swing-1")
_QUICK_STEPS = 60  # past the load's peak and its release, in a third of the time
_FRAMES = 40


def demo(
    out: Annotated[
        Path, typer.Option("--out", metavar="DIR", help="Folder for the report and the pictures.")
    ] = Path("hodsim-demo"),
    model: ModelOption = None,
    quick: Annotated[
        bool, typer.Option("--quick", help=f"{_QUICK_STEPS} steps a scene and no film.")
    ] = False,
    reference: ReferenceOption = False,
    json: JsonOption = None,
    no_video: Annotated[bool, typer.Option("--no-video", help="Make no film.")] = False,
) -> None:
    """Bend, twist and swing a beam in full space, PCA and HoD-Net, side by side.

    Plays one held-out load of each kind and writes report.json, error.png, side_by_side.png and
    motion.gif into the folder.
    """
    check_folder(out)
    check_file(json)
    from hodsim.comparison import play
    from hodsim.cubature import load_cubatures
    from hodsim.dynamics import Spec
    from hodsim.scene import read_scene
    from hodsim.subspaces import load_model
    from hodsim.viewer import animation, error_plot, side_by_side

    output.one_thread()
    scenes = [read_scene(data_dir("scenes") / "heldout" / f"{name}.toml") for name in SCENES]
    folder = model_folder(scenes[0], model)
    trained = load_model(folder)
    r = trained.network.shape.rank
    wanted = (("pca", r), ("pca", 2 * r), ("hod", r))
    specs = [Spec(kind, rank, reference=reference) for kind, rank in wanted]
    cubatures = {} if reference else load_cubatures(folder)
    steps = min(_QUICK_STEPS, scenes[0].time.steps) if quick else None
    with output.progress() as report:
        plays = [
            play(
                scene,
                trained,
                specs,
                cubatures=cubatures,
                steps=steps,
                progress=output.prefixed(report, scene.name),
            )
            for scene in scenes
        ]
        runs = [run for p in plays for run in p.runs]
        written = [out / "error.png", out / "side_by_side.png"]
        report("pictures", 0, 2)
        error_plot(written[0], {p.scene.name: output.error_curves(p, _title) for p in plays})
        report("pictures", 1, 2)
        side_by_side(written[1], [_row(p, [p.peak()]) for p in plays], [0] * len(plays))
        if not (quick or no_video):
            written.append(out / "motion.gif")
            last = min(len(p.trajectories["full"].times) for p in plays) - 1
            frames = [round(k * last / _FRAMES) for k in range(_FRAMES + 1)]
            animation(
                written[-1],
                [_row(p, frames) for p in plays],
                fps=round(_FRAMES / (last * scenes[0].time.step)),
                progress=lambda k, n: report("film", k, n),
            )
        written.append(out / "report.json")
        whole = output.report_of("demo", scenes, [folder], runs)
        output.write_json(written[-1], whole)
        if json is not None:
            output.write_json(json, whole)
            written.append(json)
    console = output.console()
    console.print(output.runs_table(runs))
    if told := output.missing_cubatures(runs):
        console.print(told, soft_wrap=True)
    console.print(
        f"\nErrors: RMS over {runs[0].steps} steps and the vertices of the free end face, against "
        "the RMS of full space."
    )
    console.print("wrote " + ", ".join(str(path) for path in written), soft_wrap=True)


def _row(p: Play, frames: list[int]) -> Row:
    """The motion of every run of a scene at some frames."""
    from hodsim.viewer import Panel, Row

    return Row(
        p.scene.name,
        p.mesh.surface,
        p.trajectories["full"].times[frames],
        tuple(Panel(_title(run.label), p.positions(run.label, frames)) for run in p.runs),
    )


def _title(label: str) -> str:
    from hodsim.viewer import body_title

    return body_title(label.removesuffix(" reference"))
