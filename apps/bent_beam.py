"""Fig. 8: a bent beam in full space, PCA and HoD-Net, and the error at its tip against time.

    python apps/bent_beam.py [SCENE] [--out FILE] [--json FILE] [--quick]

Plays a load that training never saw (heldout/bend-1 unless told otherwise), draws the bodies at the
moment when the tip is farthest from rest, and below them the tip's error over all steps. Needs no
display. Prints a table, writes bent_beam.png into the current folder. Takes ten seconds.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from hodsim.cli.film import shot_of
from hodsim.cli.options import check_file, model_folder, open_scene
from hodsim.cli.output import error_curves, one_thread, report_of, runs_table, write_json
from hodsim.cli.scripts import OneLineParser
from hodsim.comparison import Play, play
from hodsim.cubature import load_cubatures
from hodsim.dynamics import parse_specs
from hodsim.errors import InputError
from hodsim.files import atomic
from hodsim.subspaces import load_model
from hodsim.viewer import Curve, Sheet, body_title, check_drawing
from hodsim.viewer.curves import COLOURS

SHOWN = ("full", "pca-6", "hod-6")
PLOTTED = ("pca-6", "pca-12", "pca-20", "hod-6")
QUICK = 60  # steps: past the load's release and the largest bending
BELOW = 330  # pixels of the picture for the curves
LEAST = 1e-5  # no smaller error is drawn: at rest it is 0, which a log axis cannot show
STYLES = {  # colour, dashes, width
    "pca-6": (COLOURS[0], "--", 2.2),
    "pca-12": (COLOURS[3], "-.", 2.0),
    "pca-20": (COLOURS[1], ":", 2.4),
    "hod-6": ("black", "-", 2.6),
}


def motions(name: str, quick: bool) -> tuple[Play, Path]:
    """The motions, and the folder of the model that made them."""
    scene = open_scene(name)
    folder = model_folder(scene, None)
    specs = parse_specs(PLOTTED)
    steps = min(QUICK, scene.time.steps) if quick else None
    model, cubatures = load_model(folder), load_cubatures(folder)
    return play(scene, model, specs, cubatures=cubatures, steps=steps), folder


def tip_distances(p: Play, frame: int) -> dict[str, float]:
    """How far [m] the tip's vertices are from where full space has them at a frame, on average."""
    at = {run.label: p.positions(run.label, [frame])[0, p.tip] for run in p.runs}
    return {label: float(np.linalg.norm(x - at["full"], axis=1).mean()) for label, x in at.items()}


def length(metres: float) -> str:
    """A length in the unit that reads best."""
    return f"{1e3 * metres:.1f} mm" if metres < 0.01 else f"{100 * metres:.0f} cm"


def draw(path: Path, p: Play, frame: int) -> None:
    from PIL import Image

    off = tip_distances(p, frame)
    moved = length(float(p.tip_travel()[frame]))
    notes = [f"{p.runs[0].dofs:,} coordinates, tip moved {moved}"]
    notes += [f"6 coordinates, tip {length(off[label])} off" for label in SHOWN[1:]]
    shot = shot_of(p, SHOWN, [frame], notes=notes)
    with Sheet(shot, below=BELOW) as sheet:
        place = [
            92 / sheet.width,
            52 / sheet.height,
            1284 / sheet.width,
            (BELOW - 72) / sheet.height,
        ]
        plot(sheet.figure.add_axes(place), error_curves(p), float(shot.times[0]))
        pixels = sheet.draw(0)
    with atomic(path) as temporary:
        Image.fromarray(pixels).save(temporary, optimize=True)


def plot(axes: Any, curves: dict[str, Curve], moment: float) -> None:
    """Tip error against time, each line named at its end."""
    from matplotlib.ticker import FuncFormatter

    last = max(curve.times[-1] for curve in curves.values())
    for label, curve in curves.items():
        colour, dashes, width = STYLES[label]
        shown = 100.0 * np.maximum(curve.error, LEAST)
        axes.plot(
            curve.times,
            shown,
            color=colour,
            linestyle=dashes,
            linewidth=width,
            label=body_title(label),
        )
    axes.axvline(moment, color="#808080", linewidth=1.0)
    axes.annotate(
        " bodies above", (moment, 1.0), xycoords=("data", "axes fraction"), va="top", fontsize=10,
        color="#505050", xytext=(2, -4), textcoords="offset points",
    )  # fmt: skip
    axes.set(yscale="log", xlim=(0.0, last), ylim=(0.01, 200.0))
    axes.set_xlabel("time [s]", fontsize=11)
    axes.set_ylabel("tip error\n[% of RMS tip motion]", fontsize=11)
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.grid(visible=True, which="major", color="#dddddd", linewidth=0.6)
    axes.legend(
        loc="center left", bbox_to_anchor=(1.01, 0.5), frameon=False, fontsize=12, handlelength=3
    )


def main() -> None:
    from rich.console import Console

    assert __doc__ is not None
    parser = OneLineParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("scene", nargs="?", default="heldout/bend-1", help="scene to play")
    parser.add_argument(
        "--out", type=Path, default=Path("bent_beam.png"), metavar="FILE", help="picture to write"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the numbers too")
    parser.add_argument("--quick", action="store_true", help=f"{QUICK} steps at most")
    options = parser.parse_args()
    if options.out.suffix.lower() != ".png":
        parser.error(f"{options.out}: expected a name ending in .png; choose one")
    try:
        check_file(options.out)
        check_file(options.json)
        check_drawing()
        one_thread()
        p, folder = motions(options.scene, options.quick)
        frame = p.peak()
        draw(options.out, p, frame)
        if options.json is not None:
            report = report_of("bent_beam", [p.scene], [folder], p.runs)
            report |= {"frame": frame, "time": frame * p.scene.time.step}
            report["tip_distance"] = tip_distances(p, frame)
            curves = error_curves(p)
            report["curves"] = {
                label: {"times": c.times.tolist(), "error": c.error.tolist()}
                for label, c in curves.items()
            }
            write_json(options.json, report)
    except (InputError, OSError) as told:
        parser.error(str(told))
    Console().print(runs_table(p.runs))
    print(f"wrote {options.out}" + (f" and {options.json}" if options.json else ""))


if __name__ == "__main__":
    main()
