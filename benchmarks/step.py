"""The compiled reduced step: against full space, the readable step, jax, and counted operations.

    python benchmarks/step.py [--quick] [--json FILE] [--help]

benchmarks/README.md tells what is measured and how.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from typing import Any, Final

from command import Parser, count, file, listed
from timing import machine, settle, version

MESHES: Final = (514, 5022, 20934)
CASES: Final = (*(f"mesh/{n}" for n in MESHES), "latent", "cubature", "dtype", "batch", "jax")
QUICK: Final = (CASES[0], *CASES[3:])


def _seed(text: str) -> int:
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"expected a whole number of at least 0; given {text!r}")
    return int(text)


def parser() -> argparse.ArgumentParser:
    """The command line. Lists are separated by commas."""
    out = Parser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    out.add_argument("--quick", action="store_true", help="514 vertices, few steps, under 50 s")
    out.add_argument("--cases", type=listed(CASES), help=f"mesh, {', '.join(CASES)}")
    out.add_argument("--steps", type=count, help="steps of the scene (default 160, all)")
    out.add_argument("--seed", type=_seed, default=0, help="of poses that cubatures are fitted to")
    out.add_argument("--json", type=file, metavar="FILE", help="write the rows here, as they come")
    return out


def main(argv: Sequence[str] | None = None) -> int:
    args = parser().parse_args(argv)
    settle()
    try:
        return _measure(args)
    except KeyboardInterrupt:  # before there was anything to keep
        return 130


def _measure(args: argparse.Namespace) -> int:
    import report
    import step_report
    import torch
    from step_cases import Bench, check
    from step_world import World

    from hodsim.errors import InputError

    torch.set_num_threads(1)
    screen = report.console()
    world = World(args.seed)
    try:
        check(world)
    except InputError as error:
        print(f"step.py: {error}", file=sys.stderr)
        return 2
    most = world.scene.time.steps
    steps = min(args.steps or (24 if args.quick else most), most)
    cases = args.cases or (QUICK if args.quick else CASES)
    head: dict[str, Any] = machine() | {"seed": args.seed, "steps": steps, "cases": cases}
    head["versions"] |= {name: version(name) for name in ("warp-lang", "scipy", "pypardiso")}
    head["versions"].pop("tensorflow", None)
    for line in step_report.header_lines(head):
        screen.print(line, soft_wrap=True, markup=False)
    stopped = False
    done = 0
    with report.bars(counted=False) as bars:
        task = bars.add_task("", total=None)

        def tell(what: str) -> None:
            bars.update(task, description=f"{cases[done]}: {what}")

        bench = Bench(world, steps, args.quick, tell)
        try:
            for case in cases:
                bench.run(case)
                done += 1
                if args.json:
                    report.write(args.json, head, bench.rows, [])
        except KeyboardInterrupt:
            stopped = True
    head["remarks"] = bench.remarks
    head["h100_estimate"] = bench.h100()
    screen.print(step_report.table(bench.rows))
    head["aims"] = list(step_report.aims(bench.rows))
    if args.json:
        report.write(args.json, head, bench.rows, [])
    for line in (*bench.remarks, *head["aims"], *head["h100_estimate"]):
        screen.print(line, soft_wrap=True, markup=False)
    if stopped:
        screen.print(f"stopped after {done} of {len(cases)} cases, {len(bench.rows)} rows")
        return 130
    return 1 if any("ERROR" in line for line in bench.remarks) else 0


if __name__ == "__main__":
    sys.exit(main())
