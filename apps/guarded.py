"""What going back to full space buys where a subspace is out of its depth.

    python apps/guarded.py [SCENE ...] [--subspace NAME] [--limit X] [--json FILE] [--quick]

Plays scenes in full space, in a subspace, and in that subspace with a guard (`hodsim simulate
--guard`), and tells the tip's position errors and how many steps the guard took in full space.
Loads of another kind than training's (other/other-1 to other-5) unless scenes are named; takes a
minute. Needs no display.
"""

from __future__ import annotations

import argparse
import statistics
from pathlib import Path
from typing import Any

from hodsim.cli.options import check_file, model_folder, open_scene
from hodsim.cli.output import console, one_thread, progress, report_of, write_json
from hodsim.cli.scripts import OneLineParser
from hodsim.comparison import relative_rms
from hodsim.cubature import load_schemes
from hodsim.dynamics import Guarded, parse_spec, setup_of, simulate
from hodsim.errors import ConvergenceError, InputError
from hodsim.fem import Loads, body_of, dofs_of, tip_vertices
from hodsim.subspaces import load_model

SCENES = tuple(f"other/other-{k}" for k in range(1, 6))
QUICK = 60  # steps of one scene: there and back


def measure(name: str, label: str, limit: float, steps: int | None) -> dict[str, Any]:
    """Errors of one scene, as shares of the full-space motion's size, and steps and times."""
    scene = open_scene(name)
    folder = model_folder(scene, None)
    model, cubatures, body = load_model(folder), load_schemes(folder), body_of(scene)
    spec = parse_spec(label)
    if spec.kind == "full":
        raise InputError("subspace: expected one such as hod-6, given full")
    full, reduced = (setup_of(scene, body, s, model, cubatures) for s in (parse_spec("full"), spec))
    reach = model.reach(spec.kind, spec.rank)
    guard = Guarded(reduced, full, body, Loads(body, scene.loads), reach, limit)
    tip = dofs_of(body.free_vertices, tip_vertices(body))
    count = steps or scene.time.steps
    truth = simulate(full.integrator, count)
    alone = simulate(reduced.integrator, count, basis=reduced.basis, on_failure="stop")
    kept = simulate(guard, count)
    wanted = truth.displacements(tip)
    return {
        "scene": name,
        "steps": count,
        "error": relative_rms(alone.displacements(tip), wanted) if alone.converged else None,
        "guarded_error": relative_rms(kept.displacements(tip), wanted),
        "full_steps": sum(map(bool, guard.whys)),
        "why": guard.reasons,
        "full_step_ms": statistics.median(truth.step_ms),
        "step_ms": statistics.median(alone.step_ms),
        "guarded_mean_step_ms": statistics.fmean(kept.step_ms),
    }


def show(rows: list[dict[str, Any]], label: str) -> None:
    from rich.table import Table

    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column("\nscene", no_wrap=True)
    heads = (f"{label}\n[%]", "guarded\n[%]", "steps\nin full", "full\n[ms]", f"{label}\n[ms]")
    for name in (*heads, "guarded,\nmean [ms]"):
        table.add_column(name, justify="right", no_wrap=True)
    for row in rows:
        error = row["error"]
        table.add_row(
            row["scene"],
            "stopped" if error is None else f"{100.0 * error:.2f}",
            f"{100.0 * row['guarded_error']:.2f}",
            f"{row['full_steps']} of {row['steps']}",
            *(f"{row[k]:.3g}" for k in ("full_step_ms", "step_ms", "guarded_mean_step_ms")),
        )
    console().print(table)


def main() -> None:
    assert __doc__ is not None
    parser = OneLineParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("scenes", nargs="*", metavar="SCENE", help=f"({' '.join(SCENES)})")
    parser.add_argument("--subspace", default="hod-6", metavar="NAME", help="(hod-6)")
    parser.add_argument("--limit", type=float, default=1.0, metavar="X", help="see --guard (1)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the numbers here too")
    parser.add_argument("--quick", action="store_true", help=f"{QUICK} steps of one scene")
    options = parser.parse_args()
    names = tuple(options.scenes) or SCENES[: 1 if options.quick else None]
    try:
        check_file(options.json)
        one_thread()
        rows = []
        with progress() as report:
            for k, name in enumerate(names):
                report("scenes", k, len(names))
                steps = QUICK if options.quick else None
                rows.append(measure(name, options.subspace, options.limit, steps))
            report("scenes", len(names), len(names))
        show(rows, options.subspace)
        if options.json is not None:
            scenes = [open_scene(name) for name in names]
            told = report_of("guarded", scenes, [model_folder(scenes[0], None)], [])
            del told["runs"]
            write_json(options.json, {**told, "limit": options.limit, "rows": rows})
    except (InputError, ConvergenceError) as error:
        parser.error(str(error))


if __name__ == "__main__":
    main()
