"""A training step whose loss has derivatives of the network in it: hodsim beside torch and jax.

    python benchmarks/training_step.py [--quick] [--json FILE] [--help]

Contractive autoencoders (Jacobian, and Hessian diagonal), Poisson's equation and a biharmonic one.
A step is the loss and its gradient by all parameters. One thread, CPU time, contenders in turn.
Before they are timed, losses and gradients are compared in float64 on a small batch. Peak memory is
that of a process of its own.
"""

from __future__ import annotations

import argparse
import importlib.util
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

NAMES: Final = (
    *("cae/400", "cae/200", "order2/400", "order2/200"),
    *("pinn/5", "pinn/8", "poisson10", "plate"),
)
AGREEMENT: Final = 1e-9  # of the largest entry, in float64
CHECKED: Final = 2  # points of the batch on which answers are compared
HOPELESS: Final = 8.0  # a rival so many times slower than ours is not timed again


def parser() -> argparse.ArgumentParser:
    """The command line. Lists are separated by commas."""
    out = Parser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    out.add_argument("--quick", action="store_true", help="small batches, few rounds, under 50 s")
    out.add_argument("--cases", type=listed(NAMES), help=", ".join(NAMES))
    out.add_argument("--batch", type=count, help="points at once, in place of each case's own")
    out.add_argument("--rounds", type=count, help="most rounds a row (default 9)")
    out.add_argument(
        "--seconds", type=count, default=90, help="CPU time of a row's rounds, about (default 90)"
    )
    out.add_argument("--seed", type=count, default=1, help="of weights and points")
    out.add_argument("--no-memory", action="store_true", help="leave out peak_mb")
    out.add_argument("--no-jax", action="store_true", help="leave out jax")
    out.add_argument("--compile", action="store_true", help="torch.compile too, where it applies")
    out.add_argument("--json", type=file, metavar="FILE", help="write the rows here, as they come")
    return out


def main(argv: Sequence[str] | None = None) -> int:
    args = parser().parse_args(argv)
    settle()
    return _measure(args)


@dataclass(frozen=True)
class Settings:
    """What a row is measured with."""

    rounds: int
    seconds: float
    seed: int
    scales: Scales | None
    jax: bool
    compiled: bool


def row(
    name: str, batch: int, dtype: str, s: Settings, tell: Callable[[str], None]
) -> dict[str, Any]:
    """Measure one case.

    Where ours differs from the first rival in float64 the row is an error; another rival that does,
    or that cannot, is left out and named in the notes.
    """
    import torch
    from training_cases import CASES, COMPILED, OURS, RIVALS, Task, flat, make

    kind = CASES[name].kind
    labels = [*RIVALS[kind]]
    if s.compiled and kind == "laplacian":
        labels += COMPILED
    if s.jax:
        import training_jax

        labels += training_jax.RIVALS[kind]
    tell("comparing in float64")
    small = Task(name, CHECKED, torch.float64, s.seed)
    truth = flat(make(labels[0], small)())
    notes: list[str] = []
    differ = {OURS: _difference(flat(make(OURS, small)()), truth)}
    for label in labels[1:]:
        tell(f"comparing {label}")
        try:
            differ[label] = _difference(flat(make(label, small)()), truth)
        except (RuntimeError, NotImplementedError, TypeError) as error:
            notes.append(f"{label}: cannot ({str(error).strip().splitlines()[0][:120]})")
    rivals = [labels[0], *(r for r in labels[1:] if differ.get(r, 1.0) <= AGREEMENT)]
    notes += [
        f"{label}: WRONG by {gap:.1e} of the largest entry in float64, left out"
        for label, gap in differ.items()
        if label not in (OURS, *rivals)
    ]
    out: dict[str, Any] = {
        "case": name,
        "batch": batch,
        "dtype": dtype,
        "parameters": len(truth) - 1,
        "difference_float64": differ,
        "notes": notes,
    }
    if not differ[OURS] <= AGREEMENT:
        return out | {"ms": None, "error": f"differs from {labels[0]} by {differ[OURS]:.1e}"}
    task = Task(name, batch, getattr(torch, dtype), s.seed)
    runs = {OURS: make(OURS, task)}
    rough = {OURS: rough_ms(runs[OURS])}
    for label in rivals:
        tell(f"warming up {label}")
        run = make(label, task)
        rough[label] = rough_ms(run)
        # The paper's rival is always timed.
        if rough[label] <= HOPELESS * rough[OURS] or label == labels[0]:
            runs[label] = run
        else:
            notes.append(f"{label}: {rough[label]:.0f} ms, timed once")
    tell("timing")
    ms, rounds = in_turn(runs, rough, s.rounds, s.seconds)
    ms = {label: ms.get(label, rough[label]) for label in (OURS, *rivals)}
    del runs, task
    peak_mb: dict[str, float | None] = {}
    torch_best = _quickest(ms, [r for r in rivals if not r.startswith("jax")])
    jax_best = _quickest(ms, [r for r in rivals if r.startswith("jax")])
    if s.scales is not None:
        for label in (OURS, labels[0], torch_best, jax_best):
            if label is not None and label not in peak_mb:
                tell(f"weighing {label}")
                peak_mb[label] = s.scales.alone(_weigh, name, batch, dtype, s.seed, label)
    return out | {
        "ms": ms[OURS],
        "peers": {label: ms[label] for label in rivals},
        "first": labels[0],
        "torch": torch_best,
        "jax": jax_best,
        "vs_first": ms[labels[0]] / ms[OURS],
        "vs_torch": ms[torch_best] / ms[OURS] if torch_best else None,
        "vs_jax": ms[jax_best] / ms[OURS] if jax_best else None,
        "peak_mb": peak_mb,
        "rounds": rounds,
    }


def _weigh(*asked: Any) -> None:
    from training_cases import weigh

    weigh(*asked)


def _quickest(ms: dict[str, float], labels: Sequence[str]) -> str | None:
    return min(labels, key=lambda label: ms[label], default=None)


def _difference(got: Tensor, wanted: Tensor) -> float:
    """The largest difference, of the largest entry."""
    return float((got - wanted).abs().max() / wanted.abs().max())


def header_lines(head: dict[str, Any]) -> Iterable[str]:
    """What the figures depend on."""
    import report

    yield from list(report.header_lines(head))[:-1]
    yield "CPU time of one step [ms], medians; ratios are rival / ours (above 1 we are faster)"


def table(rows: list[dict[str, Any]]) -> Table:
    """A line for each case."""
    from report import number
    from rich.table import Table
    from training_cases import OURS

    out = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    out.add_column("\ncase", no_wrap=True)
    heads = ("\nbatch", "\ntype", "ours\nms", "first\nms", "torch\nms", "jax\nms")
    for name in (*heads, "vs\nfirst", "vs\ntorch", "vs\njax"):
        out.add_column(name, justify="right", no_wrap=True)
    out.add_column("peak MB ours,\nfirst, torch, jax", no_wrap=True)
    out.add_column("first; quickest of torch; of jax")
    for r in rows:
        lead = (r["case"], str(r["batch"]), r["dtype"])
        if r["ms"] is None:
            out.add_row(*lead, "error")
            continue
        labels = [r["first"], r["torch"], r["jax"]]
        times = [number(r["peers"][label]) if label else "-" for label in labels]
        ratios = [r["vs_first"], r["vs_torch"], r["vs_jax"]]
        peaks = [r["peak_mb"].get(label) for label in (OURS, *labels)]
        out.add_row(
            *lead,
            number(r["ms"]),
            *times,
            *("-" if ratio is None else f"{ratio:.2f}" for ratio in ratios),
            " ".join("-" if mb is None else f"{mb:.0f}" for mb in peaks),
            "; ".join(label or "-" for label in labels),
        )
    return out


def _measure(args: argparse.Namespace) -> int:
    import report
    import torch
    from memory import Scales
    from training_cases import QUICK, ROWS

    torch.set_num_threads(1)
    screen = report.console()
    chosen = [r for r in (QUICK if args.quick else ROWS) if not args.cases or r[0] in args.cases]
    if args.cases:  # those that --quick leaves out
        have = {r[0] for r in chosen}
        chosen += [r for r in ROWS if r[0] in args.cases and r[0] not in have]
    if args.batch:
        chosen = list(dict.fromkeys((name, args.batch, dtype) for name, _, dtype in chosen))
    jax = not args.no_jax and importlib.util.find_spec("jax") is not None
    settings = Settings(
        rounds=args.rounds or (3 if args.quick else 9),
        seconds=6 if args.quick else args.seconds,
        seed=args.seed,
        scales=None if args.no_memory or args.quick else Scales(()),
        jax=jax and not args.quick,
        compiled=args.compile,
    )
    head = machine() | {"seed": args.seed, "rounds": settings.rounds}
    head["versions"] = {k: head["versions"][k] for k in ("python", "hodsim", "torch", "jax")}
    for line in header_lines(head):
        screen.print(line, soft_wrap=True, markup=False)
    rows: list[dict[str, Any]] = []
    stopped = False
    with report.bars() as bars:
        bar = bars.add_task("", total=len(chosen))
        try:
            for name, batch, dtype in chosen:
                where = f"{name} {batch} {dtype}"

                def tell(what: str, where: str = where) -> None:
                    bars.update(bar, description=f"{where}: {what}")

                rows.append(row(name, batch, dtype, settings, tell))
                bars.advance(bar)
                if args.json:
                    report.write(args.json, head, rows, [])
        except KeyboardInterrupt:
            stopped = True
    screen.print(table(rows))
    for r in rows:
        for told in (*([r["error"]] if "error" in r else []), *r["notes"]):
            screen.print(
                f"{r['case']} {r['batch']} {r['dtype']}: {told}", soft_wrap=True, markup=False
            )
    if stopped:
        screen.print(f"stopped after {len(rows)} of {len(chosen)} rows")
        return 130
    return 1 if any("error" in r for r in rows) else 0


if __name__ == "__main__":
    sys.exit(main())
