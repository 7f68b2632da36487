"""Hessian of a loss times a vector of parameters: hodsim beside double backpropagation.

    python benchmarks/curvature.py [--quick] [--json FILE] [--help]

Four networks, float32, one thread, CPU time, contenders in turn. Before they are timed, all answers
are compared in float64, on a small batch, with double backpropagation's. Peak memory is that of a
process of its own.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from command import Parser, count, file, listed
from timing import in_turn, machine, rough_ms, settle

if TYPE_CHECKING:
    from memory import Scales
    from rich.table import Table
    from torch import Tensor

NETWORKS: Final = ("autoencoder", "lenet5", "vgg11/quarter", "vgg11/full", "resnet20")
QUICK: Final = ("autoencoder", "lenet5", "vgg11/quarter", "resnet20")
AGREEMENT: Final = 1e-10  # of the largest entry, in float64
CHECKED: Final = 4  # images in the batch on which answers are compared


def parser() -> argparse.ArgumentParser:
    """The command line. Lists are separated by commas."""
    out = Parser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    out.add_argument("--quick", action="store_true", help="batch 32, few rounds, under 50 s")
    out.add_argument("--cases", type=listed(NETWORKS), help=", ".join(NETWORKS))
    out.add_argument("--batch", type=count, help="images at once (default 128)")
    out.add_argument("--rounds", type=count, help="most rounds a row (default 9)")
    out.add_argument(
        "--seconds", type=count, default=90, help="CPU time of a row's rounds, about (default 90)"
    )
    out.add_argument("--seed", type=count, default=1, help="of weights, images and directions")
    out.add_argument("--no-memory", action="store_true", help="leave out peak_mb")
    out.add_argument("--json", type=file, metavar="FILE", help="write the rows here, as they come")
    return out


def main(argv: Sequence[str] | None = None) -> int:
    args = parser().parse_args(argv)
    settle()
    return _measure(args)


@dataclass(frozen=True)
class Settings:
    """What a row is measured with."""

    batch: int
    rounds: int
    seconds: float
    seed: int
    scales: Scales | None


def row(name: str, s: Settings, tell: Callable[[str], None]) -> dict[str, Any]:
    """Measure one network.

    Truth is double backpropagation in float64: where ours differs from it the row is an error, and
    a rival that does, or that cannot, is left out and named in the notes.
    """
    import torch
    from curvature_cases import (
        ALL,
        ALONE,
        DOUBLE,
        GRADIENT,
        HELD,
        OURS,
        OURS_HELD,
        Task,
        flat,
        weigh,
    )

    tell("comparing in float64")
    small = Task(name, CHECKED, torch.float64, s.seed)
    truth = flat(ALL[DOUBLE](small)())
    notes: list[str] = []
    ours = (OURS, OURS_HELD)
    differ = {label: _difference(flat(ALL[label](small)()), truth) for label in ours}
    for label, make in (ALONE | HELD).items():
        try:
            differ[label] = _difference(flat(make(small)()), truth)
        except (RuntimeError, NotImplementedError) as error:
            notes.append(f"{label}: cannot ({str(error).strip().splitlines()[0][:120]})")
    rivals = [label for label in differ if differ[label] <= AGREEMENT and label not in ours]
    notes += [
        f"{label}: WRONG by {differ[label]:.1e} of the largest entry in float64, left out"
        for label in differ
        if label not in (*ours, *rivals)
    ]
    out: dict[str, Any] = {
        "network": name,
        "batch": s.batch,
        "dtype": "float32",
        "parameters": len(truth),
        "difference_float64": differ,
        "notes": notes,
    }
    for label in ours:
        if not differ[label] <= AGREEMENT:
            told = f"{label}: differs from {DOUBLE} by {differ[label]:.1e}"
            return out | {"ms": None, "error": told}
    tell("warming up")
    task = Task(name, s.batch, torch.float32, s.seed)
    runs = {label: ALL[label](task) for label in (*ours, GRADIENT, *rivals)}
    rough = {label: rough_ms(run) for label, run in runs.items()}
    tell("timing")
    ms, rounds = in_turn(runs, rough, s.rounds, s.seconds)
    best = min((label for label in rivals if label in ALONE), key=lambda label: ms[label])
    held = min((label for label in rivals if label in HELD), key=lambda label: ms[label])
    del runs, task
    peak_mb: dict[str, float | None] = {}
    if s.scales is not None:
        for label in (*ours, GRADIENT, *rivals):
            tell(f"weighing {label}")
            peak_mb[label] = s.scales.alone(weigh, name, s.batch, s.seed, label)
    return out | {
        "ms": ms[OURS],
        "kept_ms": ms[OURS_HELD],
        "gradient_ms": ms[GRADIENT],
        "peers": {label: ms[label] for label in rivals},
        "best": best,
        "best_kept": held,
        "vs_best": ms[best] / ms[OURS],
        "vs_best_kept": ms[held] / ms[OURS_HELD],
        "peak_mb": peak_mb,
        "rounds": rounds,
    }


def _difference(got: Tensor, wanted: Tensor) -> float:
    """The largest difference, of the largest entry."""
    return float((got - wanted).abs().max() / wanted.abs().max())


def header_lines(head: dict[str, Any]) -> Iterable[str]:
    """What the figures depend on."""
    import report

    yield from list(report.header_lines(head))[:-1]
    yield (
        "CPU time of one product [ms], medians; ratios are rival / ours (above 1 we are faster). "
        "kept: further products on the same batch, ours by linearise, a rival keeping its graph"
    )


def table(rows: list[dict[str, Any]]) -> Table:
    """A line for each network."""
    from curvature_cases import GRADIENT, OURS, OURS_HELD
    from report import number
    from rich.table import Table

    out = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    out.add_column("\nnetwork", no_wrap=True)
    heads = ("\nparameters", "\nbatch", "gradient\nms", "ours\nms", "rival\nms", "vs\nrival")
    for name in (*heads, "kept:\nours", "kept:\nrival", "vs\nkept"):
        out.add_column(name, justify="right", no_wrap=True)
    out.add_column("peak MB ours, rival,\nkept ours, rival, gradient", no_wrap=True)
    out.add_column("\nrival; kept")
    for r in rows:
        first = (r["network"], f"{r['parameters']:,}", str(r["batch"]))
        if r["ms"] is None:
            out.add_row(*first, "error")
            continue
        labels = (OURS, r["best"], OURS_HELD, r["best_kept"], GRADIENT)
        weighed = (r["peak_mb"].get(label) for label in labels)
        out.add_row(
            *first,
            *(number(r["gradient_ms"]), number(r["ms"])),
            *(number(r["peers"][r["best"]]), f"{r['vs_best']:.2f}"),
            number(r["kept_ms"]),
            *(number(r["peers"][r["best_kept"]]), f"{r['vs_best_kept']:.2f}"),
            " ".join("-" if mb is None else f"{mb:.0f}" for mb in weighed),
            f"{r['best']}; {r['best_kept']}",
        )
    return out


def _measure(args: argparse.Namespace) -> int:
    import report
    import torch
    from memory import Scales

    torch.set_num_threads(1)
    screen = report.console()
    cases = args.cases or (QUICK if args.quick else NETWORKS)
    settings = Settings(
        batch=args.batch or (32 if args.quick else 128),
        rounds=args.rounds or (3 if args.quick else 9),
        seconds=args.seconds,
        seed=args.seed,
        scales=None if args.no_memory else Scales(()),
    )
    head = machine() | {"seed": args.seed, "rounds": settings.rounds, "batch": settings.batch}
    head["versions"] = {k: head["versions"][k] for k in ("python", "hodsim", "torch")}
    for line in header_lines(head):
        screen.print(line, soft_wrap=True, markup=False)
    rows: list[dict[str, Any]] = []
    stopped = False
    with report.bars() as bars:
        task = bars.add_task("", total=len(cases))
        try:
            for name in cases:
                rows.append(
                    row(
                        name,
                        settings,
                        lambda what, name=name: bars.update(task, description=f"{name}: {what}"),
                    )
                )
                bars.advance(task)
                if args.json:
                    report.write(args.json, head, rows, [])
        except KeyboardInterrupt:
            stopped = True
    screen.print(table(rows))
    for r in rows:
        for told in (*([r["error"]] if "error" in r else []), *r["notes"]):
            screen.print(f"{r['network']}: {told}", soft_wrap=True, markup=False)
    if stopped:
        screen.print(f"stopped after {len(rows)} of {len(cases)} rows")
        return 130
    return 1 if any("error" in r for r in rows) else 0


if __name__ == "__main__":
    sys.exit(main())
