"""Figs. 4 and 5: Newton-Krylov finetuning beside other optimisers, all at one measured budget.

    python apps/finetune_newton_krylov.py [--network NAME] [--data WHAT] [--out DIR] [--quick]

Adam trains a network for some epochs; from that checkpoint each optimiser goes on with the same
budget, counted in gradient-equivalents (the measured time of one forward and backward pass of a
batch; losses and curvature products are charged at their measured costs, an optimiser's own work
by the clock). Each first sweeps its learning rates or dampings on a part of the budget, and trains
with the best one for each seed. Writes DIR/NETWORK-DATA-curves.png (Fig. 4), -steps.png (Fig. 5)
and .json; runs are kept in DIR, and the same command goes on where a stopped one was.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

from hodsim.cli.options import check_file
from hodsim.cli.output import console, one_thread, progress, versions, write_json
from hodsim.cli.scripts import OneLineParser
from hodsim.errors import InputError
from hodsim.files import file_name
from hodsim.learning import read_images
from hodsim.learning.finetune import (
    METHODS,
    NETWORKS,
    Plan,
    Result,
    Start,
    Store,
    Study,
    methods_of,
    problem_of,
    shortened,
    study,
)
from hodsim.viewer import Training, steps_plot, training_plot

STRONG = ("newton-krylov", "newton-krylov-gn")  # drawn in black
QUICK = {
    "images": 600,
    "width": 0.2,
    "epochs": 20,
    "budget": 300.0,
    "share": 0.5,
    "seeds": 2,
    "settings": 2,
    "points": 6,
    "optimizers": "newton-krylov,newton-krylov-gn,adam,sgd",
}
FULL = {
    "images": 5000,
    "width": 1.0,
    "epochs": 10,
    "budget": 2000.0,
    "share": 0.25,
    "seeds": 3,
    "settings": 8,
    "points": 20,
    "optimizers": ",".join(METHODS),
}


def parser() -> OneLineParser:
    assert __doc__ is not None
    out = OneLineParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    out.add_argument(
        "--network",
        default="autoencoder",
        choices=NETWORKS,
        metavar="NAME",
        help=", ".join(NETWORKS),
    )
    out.add_argument(
        "--data", default="digits", metavar="WHAT", help="digits, mnist, cifar10, svhn or a folder"
    )
    out.add_argument(
        "--root", default="data", metavar="DIR", help="where mnist, cifar10, svhn lie (data)"
    )
    out.add_argument("--note", default="", help="what must be said beside figures of these data")
    out.add_argument("--images", type=int, metavar="N", help="training images, at most (5000)")
    out.add_argument("--width", type=float, help="of hidden layers, times the published (1)")
    out.add_argument("--batch", type=int, default=128, help="images of a gradient (128)")
    out.add_argument("--epochs", type=int, help="of Adam before the checkpoint (10)")
    out.add_argument("--budget", type=float, help="gradient-equivalents of each run (2000)")
    out.add_argument("--share", type=float, help="of it, for a sweep's runs (0.25)")
    out.add_argument("--settings", type=int, help="of each sweep, at most (8)")
    out.add_argument("--points", type=int, help="of a curve (20)")
    out.add_argument("--seeds", type=int, help="runs with the best setting (3)")
    out.add_argument("--seed", type=int, default=0, help="the first seed (0)")
    out.add_argument("--optimizers", metavar="LIST", help=", ".join(METHODS))
    out.add_argument("--out", type=Path, default=Path("finetune"), metavar="DIR", help="(finetune)")
    out.add_argument("--json", type=Path, metavar="FILE", help="write the numbers here too")
    out.add_argument("--quick", action="store_true", help="a small study, under 50 s")
    return out


def carry_out(options: argparse.Namespace) -> Study:
    chosen = QUICK if options.quick else FULL
    for name, value in chosen.items():
        if getattr(options, name) is None:
            wide = options.network in ("autoencoder", "vgg11")
            setattr(options, name, value if name != "width" or wide else 1.0)
    plan = Plan(
        methods=tuple(options.optimizers.split(",")),
        budget=options.budget,
        seeds=options.seeds,
        share=options.share,
        settings=options.settings,
        points=options.points,
        start=Start(options.epochs, batch=options.batch, seed=options.seed),
    )
    methods_of(list(plan.methods))  # before the data are read
    images = read_images(options.data, options.root, options.note)
    images = shortened(images, options.images, max(1, 2 * options.images // 5))
    problem = problem_of(options.network, images, options.width)
    with progress() as report:
        return study(
            problem,
            plan,
            Store(options.out),
            lambda what, done, total: report(what, round(done), round(total)),
        )


def named(done: Study) -> str:
    return file_name(f"{done.problem.name}-{done.problem.images.name}").lower()


def caption(done: Study) -> str:
    images, plan = done.problem.images, done.plan
    note = f" ({images.note})" if images.note else ""
    return (
        f"{done.problem.name} on {len(images.train_x):,} images of {images.name}{note}, "
        f"batch {plan.start.batch}, after {plan.start.epochs} epochs of Adam; budget "
        f"{plan.budget:g} gradients of {1e3 * done.costs.gradient:.3g} ms; means and ranges of "
        f"{plan.seeds} seeds"
    )


def draw(done: Study, curves: Path, steps: Path) -> list[Path]:
    """The pictures; the second only where some optimiser steps by curvature."""
    drawn = {
        METHODS[r.method].title: Training(
            [columns(run.to_dict()["curve"]) for run in r.runs], r.method in STRONG
        )
        for r in done.results
        if r.runs
    }
    training_plot(curves, drawn, done.problem.error, caption(done))
    decided = {
        METHODS[r.method].title: tables
        for r in done.results
        if (tables := [run.steps for run in r.runs if run.steps])
    }
    if not decided:
        return [curves]
    steps_plot(steps, decided, caption(done))
    return [curves, steps]


def columns(rows: list[dict[str, Any]]) -> dict[str, list[Any]]:
    return {name: [row[name] for row in rows] for name in rows[0]}


def show(done: Study) -> None:
    from rich.table import Table

    screen, costs = console(), done.costs
    screen.print(caption(done))
    screen.print(
        f"costs in gradients: loss {costs.value / costs.gradient:.2f}, Hessian product "
        f"{costs.hessian / costs.gradient:.2f}, Gauss-Newton product "
        f"{costs.gauss_newton / costs.gradient:.2f}"
    )
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column("\noptimiser", no_wrap=True)
    for name in ("training\nloss", "spread", "held-out\nloss", "error\n[%]", "held-out\n[%]"):
        table.add_column(name, justify="right", no_wrap=True)
    for name in ("\nsteps", "CPU\n[s]"):
        table.add_column(name, justify="right", no_wrap=True)
    start = first_point(done)
    if start is not None:
        told = (figure(start[0]), "", figure(start[1]), percent(start[2]), percent(start[3]))
        table.add_row("checkpoint", *told)
    for r in done.results:
        table.add_row(short(r), *cells(r))
    screen.print(table)
    for r in done.results:
        lost = sum(bool(run.diverged) for run in r.sweep)
        note = f", {lost} diverged" if lost else ""
        screen.print(f"{short(r)}: {setting(r)} of {len(r.sweep)} settings{note}")
    if any(r.edge for r in done.results):
        screen.print("* at the edge of its sweep: a better one may lie outside")


def short(r: Result) -> str:
    """A title that leaves room for numbers."""
    return METHODS[r.method].title.replace(", Hessian", " (H)").replace(", Gauss-Newton", " (GN)")


def first_point(done: Study) -> tuple[float, float, float, float] | None:
    """Means over seeds at the checkpoints: losses, then errors."""
    runs = next((r.runs for r in done.results if r.runs), ())
    names = ("loss", "held_out_loss", "error", "held_out_error")
    means = [sum(getattr(run.curve[0], name) for run in runs) / len(runs) for name in names if runs]
    return (means[0], means[1], means[2], means[3]) if means else None


def cells(r: Result) -> list[str]:
    loss = r.mean("loss")
    if loss is None:
        return ["diverged"]
    out = [figure(loss[0]), f"{loss[1]:.1g}"]
    for what, form in (
        ("held_out_loss", figure),
        ("error", percent),
        ("held_out_error", percent),
        ("step", "{:.0f}".format),
        ("seconds", "{:.3g}".format),
    ):
        found = r.mean(what)
        out.append("-" if found is None else form(found[0]))
    return out


def figure(value: float) -> str:
    return f"{value:.4g}"


def percent(value: float) -> str:
    return f"{100 * value:.2f}"


def setting(r: Result) -> str:
    if r.best is None:
        return "-"
    told = ", ".join(
        f"{k} {v:g}" if isinstance(v, int | float) else f"{k} {v}" for k, v in r.best.items()
    )
    return told + (" *" if r.edge else "")


def main() -> None:
    parsed = parser()
    options = parsed.parse_args()
    try:
        check_file(options.json)
        one_thread()
        done = carry_out(options)
        report = {"command": "finetune_newton_krylov", "versions": versions(), **done.to_dict()}
        stem = named(done)
        files = [options.out / f"{stem}.json"]
        files += [] if options.json is None else [options.json]
        for path in files:
            write_json(path, report)
        files += draw(done, options.out / f"{stem}-curves.png", options.out / f"{stem}-steps.png")
    except (InputError, OSError) as told:
        parsed.error(str(told))
    except KeyboardInterrupt:
        print(f"stopped; the same command goes on with the runs in {options.out}", file=sys.stderr)
        sys.exit(130)
    show(done)
    print("wrote " + ", ".join(map(str, files)))


if __name__ == "__main__":
    main()
