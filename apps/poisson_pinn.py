"""Fig. 7: the Poisson problem of Eq. 13, k = 1..8, solved by one network whose Laplacian is lanes.

    python apps/poisson_pinn.py [--problem eq13|poisson10|plate] [--out DIR] [--quick]

Gauss-Newton in the space of residuals (or Adam, then L-BFGS or Adam again), for each seed; and
the same by torch autograd in equal CPU time, unless --no-rival. Writes DIR/PROBLEM-METHOD-maps.png
(truth, prediction and difference, of the first seed), -errors.png (error against time) and .json.
Runs are kept in DIR; the same command goes on where a stopped one was, to the same bits.
"""

from __future__ import annotations

import argparse
import statistics
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from hodsim.cli.options import check_file, check_folder
from hodsim.cli.output import Report, console, one_thread, progress, versions, write_json
from hodsim.cli.scripts import OneLineParser
from hodsim.errors import InputError
from hodsim.learning.pinn import EXAMPLES, METHODS, Problem, Trained, example, plan_of, train
from hodsim.viewer import Errors, Maps, errors_plot, maps_plot

LANES, AUTOGRAD = "lanes", "autograd"
GRID = 81  # points along an axis of a map


def parser() -> OneLineParser:
    assert __doc__ is not None
    out = OneLineParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    out.add_argument("--problem", default="eq13", choices=EXAMPLES, help="(eq13)")
    out.add_argument("--method", default="gauss-newton", choices=METHODS, help="(gauss-newton)")
    out.add_argument("--steps", type=int, metavar="N", help="of that method, in place of its own")
    out.add_argument("--seeds", type=int, default=1, help="runs (1)")
    out.add_argument("--seed", type=int, default=0, help="the first seed (0)")
    out.add_argument("--no-rival", action="store_true", help="leave out torch's autograd")
    out.add_argument("--out", type=Path, default=Path("pinn"), metavar="DIR", help="(pinn)")
    out.add_argument("--json", type=Path, metavar="FILE", help="write the numbers here too")
    out.add_argument("--quick", action="store_true", help="few steps, under 50 s")
    return out


def carry_out(
    options: argparse.Namespace, problem: Problem, report: Report
) -> dict[str, list[Trained]]:
    """Runs by lanes and by autograd, one for each seed."""
    if options.seeds < 1 or options.seed < 0:
        raise InputError("seeds and seed: expected at least 1 and 0")
    done: dict[str, list[Trained]] = {LANES: []}
    for seed in range(options.seed, options.seed + options.seeds):
        plan = plan_of(options.problem, options.method, seed, options.quick)
        if options.steps is not None:
            *before, last = plan.stages
            plan = replace(plan, stages=(*before, replace(last, steps=options.steps)))
        plans = [plan]
        while plans:
            plan = plans.pop()
            stem = f"{options.problem}-{options.method}-{plan.derivatives}-seed-{seed}"

            def tell(method: str, made: int, of: int, word: str, stem: str = stem) -> None:
                report(f"{stem}: {method}", made, of, word)

            made = train(problem, plan, options.out / "runs" / f"{stem}.safetensors", tell)
            done.setdefault(plan.derivatives, []).append(made)
            if plan.derivatives == LANES and not options.no_rival:
                seconds = max(made.curve[-1].seconds, 1e-3)
                plans.append(replace(plan, derivatives=AUTOGRAD, seconds=seconds))
    return done


def draw(
    options: argparse.Namespace, problem: Problem, done: dict[str, list[Trained]]
) -> list[Path]:
    stem = f"{options.problem}-{options.method}"
    maps, errors = options.out / f"{stem}-maps.png", options.out / f"{stem}-errors.png"
    first = done[LANES][0]
    told = f"{problem.name}, {first.curve[-1].seconds:.3g} s of CPU time, seed {first.plan.seed}"
    if problem.domain.d > 2:
        told += "; all other positions at the middle"
    maps_plot(maps, maps_of(problem, first), title=told)
    curves = {
        name: [
            Errors(
                np.array([point.seconds for point in run.curve]),
                np.array([point.errors for point in run.curve]),
                name == LANES,
            )
            for run in runs
        ]
        for name, runs in done.items()
    }
    errors_plot(errors, curves, problem.names, f"{problem.name}: a line for each seed")
    return [maps, errors]


def maps_of(problem: Problem, done: Trained) -> dict[str, Maps]:
    """Truth and prediction over the first two axes, others at the middle."""
    assert problem.truth is not None
    domain = problem.domain
    along = torch.linspace(0.0, 1.0, GRID, dtype=torch.float64)
    middle = 0.5 * (torch.tensor(domain.lower) + torch.tensor(domain.upper)).double()
    x = middle.repeat(GRID * GRID, 1)
    for axis, part in enumerate(torch.meshgrid(along, along, indexing="ij")):
        low, high = domain.lower[axis], domain.upper[axis]
        x[:, axis] = low + (high - low) * part.flatten()
    with torch.no_grad():
        truth, found = problem.truth(x), done.network(x)
    shape = (GRID, GRID)
    return {
        name: Maps(truth[:, k].reshape(shape).numpy(), found[:, k].reshape(shape).numpy(), error)
        for k, (name, error) in enumerate(zip(problem.names, done.curve[-1].errors, strict=True))
    }


def spread(values: Sequence[float]) -> str:
    """Mean and standard deviation of a sample."""
    told = f"{statistics.fmean(values):.2e}"
    return told + (f" ± {statistics.stdev(values):.1e}" if len(values) > 1 else "")


def show(problem: Problem, done: dict[str, list[Trained]]) -> None:
    from rich.table import Table

    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column("relative L2 error", no_wrap=True)
    for name in done:
        table.add_column(name, justify="right", no_wrap=True)
    ends = {name: [run.curve[-1] for run in runs] for name, runs in done.items()}
    for k, name in enumerate(problem.names):
        table.add_row(name, *(spread([e.errors[k] for e in some]) for some in ends.values()))
    table.add_row("CPU time [s]", *(spread([e.seconds for e in some]) for some in ends.values()))
    table.add_row("steps", *(f"{max(e.step for e in some)}" for some in ends.values()))
    console().print(table)
    for name, runs in done.items():
        for run in runs:
            told = [run.stopped] if run.stopped else []
            told += [f"{run.idle} steps moved nothing"] if run.idle else []
            if told:
                print(f"{name}, seed {run.plan.seed}: {'; '.join(told)}")


def main() -> None:
    parsed = parser()
    options = parsed.parse_args()
    try:
        check_file(options.json)
        check_folder(options.out)
        one_thread()
        problem = example(options.problem)
        with progress() as report:
            done = carry_out(options, problem, report)
        told = {name: [run.to_dict() for run in runs] for name, runs in done.items()}
        numbers = {
            "command": "poisson_pinn",
            "problem": problem.name,
            "components": problem.names,
            "versions": versions(),
            "runs": told,
        }
        files = [options.out / f"{options.problem}-{options.method}.json"]
        files += [] if options.json is None else [options.json]
        for path in files:
            write_json(path, numbers)
        files += draw(options, problem, done)
    except (InputError, OSError) as told_error:
        parsed.error(str(told_error))
    except KeyboardInterrupt:
        print(f"stopped; the same command goes on with the runs in {options.out}", file=sys.stderr)
        sys.exit(130)
    show(problem, done)
    print("wrote " + ", ".join(map(str, files)))
    if any("finite" in run.stopped for runs in done.values() for run in runs):
        sys.exit(1)


if __name__ == "__main__":
    main()
