"""Derivatives of networks: hodsim against torch, jax and TensorFlow, and the bare matrix products.

    python benchmarks/derivatives.py [--quick] [--json FILE] [--help]

benchmarks/README.md tells what is measured and how.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from typing import Any, Final

from cases import CASES, DTYPES, QUANTITIES, asked_by_default
from command import Parser, count, file, listed
from field import PEERS, missing
from timing import machine, settle

BATCHES: Final = (1, 64)
DEFAULT_CASES: Final = tuple(name for name in CASES if not name.startswith("tiny"))
QUICK_CASES: Final = ("40-400/200", "decoder/silu")
QUICK_QUANTITIES: Final = ("jacobian", "hessian", "third", "lanes")
QUICK_PEERS: Final = ("func", "jax")


def _counts(text: str) -> tuple[int, ...]:
    return tuple(dict.fromkeys(count(word) for word in text.split(",")))


def parser() -> argparse.ArgumentParser:
    """The command line. Lists are separated by commas."""
    out = Parser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    out.add_argument("--quick", action="store_true", help="a small subset in under 50 s")
    out.add_argument("--cases", type=listed(tuple(CASES)), help=", ".join(CASES))
    out.add_argument("--quantities", type=listed(tuple(QUANTITIES)), help=", ".join(QUANTITIES))
    out.add_argument("--dtypes", type=listed(DTYPES), help=", ".join(DTYPES))
    out.add_argument("--batches", type=_counts, help="points at once (default 1,64)")
    out.add_argument("--peers", type=_peers, help=f"{', '.join(PEERS)}, or none (default all)")
    out.add_argument("--rounds", type=count, help="most rounds a row (default 15)")
    out.add_argument(
        "--seconds", type=count, default=60, help="CPU time of a row's rounds, about (default 60)"
    )
    out.add_argument("--seed", type=int, default=0, help="of weights, points and directions")
    out.add_argument("--no-memory", action="store_true", help="leave out peak_mb")
    out.add_argument("--cost", action="store_true", help="also the cost against order and inputs")
    out.add_argument("--json", type=file, metavar="FILE", help="write the rows here, as they come")
    return out


def _peers(text: str) -> tuple[str, ...]:
    return () if text == "none" else listed(tuple(PEERS))(text)


def main(argv: Sequence[str] | None = None) -> int:
    args = parser().parse_args(argv)
    settle()
    return _measure(args)


def _measure(args: argparse.Namespace) -> int:
    import report
    import torch
    from cases import problem
    from costs import cost_rows
    from memory import Scales
    from rows import Bench, Settings, selected

    torch.set_num_threads(1)
    screen = report.console()
    peers = args.peers if args.peers is not None else QUICK_PEERS if args.quick else tuple(PEERS)
    absent = missing(peers)
    peers = tuple(peer for peer in peers if peer not in absent)
    rounds = args.rounds or (5 if args.quick else 15)
    wanted = [
        (case, quantity, dtype, batch)
        for case, quantity, dtype, batch in selected(
            args.cases or (QUICK_CASES if args.quick else DEFAULT_CASES),
            args.quantities or (QUICK_QUANTITIES if args.quick else tuple(QUANTITIES)),
            args.dtypes or (("float64",) if args.quick else DTYPES),
            args.batches or ((1,) if args.quick else BATCHES),
        )
        if args.quantities or asked_by_default(CASES[case], quantity, args.quick)
    ]
    head = machine() | {"seed": args.seed, "rounds": rounds, "peers": peers, "absent": absent}
    for line in report.header_lines(head):
        screen.print(line, soft_wrap=True, markup=False)
    if absent:
        screen.print(f"not installed, left out: {', '.join(absent)}")
    rows: list[dict[str, Any]] = []
    cost: list[dict[str, Any]] = []
    stopped = False
    with report.bars() as bars:
        task = bars.add_task("", total=len(wanted) + bool(args.cost))
        name = ""

        def tell(what: str) -> None:
            bars.update(task, description=f"{name}: {what}")

        scales = None if args.no_memory else Scales(peers)
        weighed = ("ours",) if args.quick else ("ours", *peers, "floor")
        bench = Bench(Settings(peers, rounds, args.seconds, args.seed, scales, weighed), tell)
        try:
            for case, quantity, dtype, batch in wanted:
                name = f"{case} {quantity} {dtype} x {batch}"
                tell("making the problem")
                rows.append(bench.row(problem(CASES[case], quantity, dtype, batch, args.seed)))
                bars.advance(task)
                if args.json:
                    report.write(args.json, head, rows, cost)
            if args.cost:
                name = "cost"
                cost = cost_rows(args.seed, rounds, tell)
        except KeyboardInterrupt:
            stopped = True
    if args.json:
        report.write(args.json, head, rows, cost)
    screen.print(report.table(rows))
    for line in report.remarks(rows):
        screen.print(line, soft_wrap=True, markup=False)
    if stopped:
        screen.print(f"stopped after {len(rows)} of {len(wanted)} rows")
        return 130
    return 1 if any("error" in row for row in rows) else 0


if __name__ == "__main__":
    sys.exit(main())
