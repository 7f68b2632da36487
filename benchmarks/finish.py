"""The middle of a HoD-Net's fit: what Adam, L-BFGS and Newton-Krylov make of it in equal time.

    python benchmarks/finish.py [--quick] [--snapshots DIR] [--epochs 220] [--seconds 92]
                                [--json FILE]

Adam fits the beam's network inside its narrow layers for some epochs of its cosine; from that
checkpoint each optimiser goes on for the same CPU time, on the same loss of all poses. Adam's own
rest of the cosine is there besides, with the time that it takes. Errors are relative, of motions
held out. Motions that DIR lacks are made first (hours of full space for --motions 240).
"""

from __future__ import annotations

import argparse
import copy
import json
import math
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.torch
import torch
from command import Parser, count, file
from rich.console import Console
from rich.progress import Progress
from rich.table import Table
from timing import machine, settle
from torch import Tensor, nn

from hodsim import read_scene
from hodsim.errors import InputError
from hodsim.files import atomic, data_dir
from hodsim.networks import HoDNet, Shape
from hodsim.optimizers import Batch, NewtonKrylov
from hodsim.sampling import jobs_of, make_snapshots
from hodsim.snapshots import Snapshots, Store
from hodsim.training import FitOptions, held_out_of, pose_weights
from hodsim.training.errors import relative_error
from hodsim.training.fit import fit

SCENES = ("bend", "twist", "swing")
CHUNK = 8192  # poses of a pass
LOOKS = 4  # at the held-out error, on the way
WIDE, BENT = 65_536, 8_192  # poses of Newton's gradient and of its curvature products


@dataclass(frozen=True)
class Row:
    """Where an optimiser was after some CPU time; errors in per cent."""

    optimizer: str
    seconds: float
    trained_on: float
    held_out: float
    steps: int


class Inner(nn.Module):
    """What stage "inner" trains: poses p in the outer layers' coordinates to themselves."""

    def __init__(self, network: HoDNet) -> None:
        super().__init__()
        self.encoder, self.decoder = network.encoder, network.decoder

    def forward(self, p: Tensor) -> Tensor:
        return self.decoder.features(self.encoder.latent(p))


def loss(found: Tensor, wanted: tuple[Tensor, Tensor]) -> Tensor:
    """Mean over poses of weighted squared errors; `wanted`: the poses, and their weights."""
    p, w = wanted
    return ((found - p).square().sum(1) * w).mean()


class Checkpoint:
    """A network in the middle of its fit, and the poses it is fitted to."""

    def __init__(self, network: HoDNet, seen: Snapshots, unseen: Snapshots, evenness: float):
        self.network, self.unseen = network, unseen
        E = network.encoder.project.weight.detach().numpy()
        V = network.decoder.out.weight.detach().numpy()
        w = pose_weights(seen, evenness)
        # |u - V z|^2 = |V (p - z)|^2 and the part of u that V cannot reach; V's columns are
        # orthogonal and of one length.
        p, length2 = seen.u @ E.T, (V[:, 0] ** 2).sum()
        self.x = torch.from_numpy(p.astype(np.float32))
        self.w = torch.from_numpy((len(w) * w * length2).astype(np.float32))
        squares, reached = ((a.astype(np.float64) ** 2).sum(1) for a in (seen.u, p))
        self.rest = float(w @ (squares - length2 * reached))

    def begun(self) -> tuple[HoDNet, Inner, list[nn.Parameter]]:
        """A copy to train, without its outer layers."""
        network = copy.deepcopy(self.network)
        for weight in (network.encoder.project.weight, network.decoder.out.weight):
            weight.requires_grad_(False)
        return network, Inner(network), [p for p in network.parameters() if p.requires_grad]

    def parts(self) -> list[tuple[Tensor, tuple[Tensor, Tensor]]]:
        """All poses, some at a time, with what `loss` wants."""
        some = zip(self.x.split(CHUNK), self.w.split(CHUNK), strict=True)
        return [(x, (x, w)) for x, w in some]

    def errors(self, network: HoDNet) -> tuple[float, float]:
        """Relative errors on the poses trained on, and held out."""
        inner = Inner(network)
        with torch.no_grad():
            total = sum(float(loss(inner(x), y)) * len(x) for x, y in self.parts()) / len(self.x)
        return math.sqrt(total + self.rest), relative_error(network, self.unseen)


Step = Callable[[], object]
Share = Callable[[], float]  # of the time that is used up


def adam(at: Checkpoint, inner: Inner, params: list[nn.Parameter], share: Share) -> Step:
    """A new cosine from 1e-3 over the time there is, batch 512."""
    optimizer = torch.optim.Adam(params, 1e-3)
    draw = torch.Generator().manual_seed(3)

    def step() -> None:
        optimizer.param_groups[0]["lr"] = 1e-3 * 0.5 * (1.0 + math.cos(math.pi * min(1.0, share())))
        rows = torch.randint(len(at.x), (512,), generator=draw)
        optimizer.zero_grad()
        loss(inner(at.x[rows]), (at.x[rows], at.w[rows])).backward()
        optimizer.step()

    return step


def lbfgs(at: Checkpoint, inner: Inner, params: list[nn.Parameter], share: Share) -> Step:
    """All poses, 50 pairs, a strong Wolfe search."""
    del share
    optimizer = torch.optim.LBFGS(
        params, 1.0, max_iter=10, history_size=50, line_search_fn="strong_wolfe"
    )

    def closure() -> Tensor:
        optimizer.zero_grad()
        total = torch.zeros(())
        for x, y in at.parts():
            part = loss(inner(x), y) * (len(x) / len(at.x))
            part.backward()
            total += part.detach()
        return total

    return lambda: optimizer.step(closure)


def newton(at: Checkpoint, inner: Inner, params: list[nn.Parameter], share: Share) -> Step:
    """Gauss-Newton: the gradient of 65,536 poses, products of 8,192 of them, drawn anew."""
    del share
    optimizer = NewtonKrylov(
        params, "gauss-newton", damping=0.03, adapt=True, taylor=0.9, tolerance=0.1
    )
    draw = torch.Generator().manual_seed(3)

    def batch(rows: Tensor) -> Batch:
        return Batch(inner, loss, at.x[rows], (at.x[rows], at.w[rows]))

    def step() -> None:
        rows = torch.randperm(len(at.x), generator=draw)[:WIDE]
        optimizer.step(batch(rows), batch(rows[: min(BENT, max(1, len(rows) // 8))]))

    return step


OPTIMIZERS = {"Adam, a new cosine": adam, "L-BFGS": lbfgs, "Newton-Krylov": newton}


def finished(name: str, at: Checkpoint, seconds: float) -> list[Row]:
    """An optimiser's way from the checkpoint, in CPU time of its own steps."""
    network, inner, params = at.begun()
    used, steps, rows = 0.0, 0, []
    step = OPTIMIZERS[name](at, inner, params, lambda: used / seconds)
    while used < seconds:
        began = time.process_time()
        step()
        used += time.process_time() - began
        steps += 1
        if used >= seconds * (len(rows) + 1) / LOOKS:
            rows.append(row(name, used, at, network, steps))
    return rows


def row(name: str, seconds: float, at: Checkpoint, network: HoDNet, steps: int) -> Row:
    trained, held = at.errors(network)
    return Row(name, round(seconds, 1), 100.0 * trained, 100.0 * held, steps)


class _StopError(Exception):
    """Far enough."""


def middle(
    seen: Snapshots, unseen: Snapshots, options: FitOptions, epochs: int, progress: Progress
) -> tuple[Checkpoint, list[Row]]:
    """The fit's network after so many epochs or somewhat fewer, and what the fit then comes to."""
    task = progress.add_task("Adam", total=options.epochs)
    until = epochs

    def report(told: dict[str, Any]) -> None:
        if told["stage"] != "inner" or told["epoch"] > until:
            raise _StopError
        progress.update(task, completed=told["epoch"])

    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder) / "checkpoint.safetensors"
        networks, seconds = [], 0.0
        for until in (epochs, options.epochs):  # noqa: B007  (report reads it)
            began = time.process_time()
            with suppress(_StopError):
                fit(seen, options, unseen, place, report)
            networks.append(_network(place, options))
            seconds = time.process_time() - began
    at = Checkpoint(networks[0], seen, unseen, options.evenness)
    rest = row("Adam, the fit's own rest", seconds, at, networks[1], 0)
    return at, [row("checkpoint", 0.0, at, networks[0], 0), rest]


def _network(checkpoint: Path, options: FitOptions) -> HoDNet:
    """The network of a fit's checkpoint."""
    held = safetensors.torch.load_file(checkpoint)
    weights = {k[7:]: t for k, t in held.items() if k.startswith("weight.")}
    projected, n = weights["encoder.project.weight"].shape
    sizes = options.decoder, options.encoder, projected, options.activation
    network = HoDNet(Shape(n, options.rank, *sizes))
    network.load_state_dict(weights)
    return network


def show(rows: list[Row]) -> None:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column("optimiser", no_wrap=True)
    for name in ("CPU [s]", "steps", "trained on [%]", "held out [%]"):
        table.add_column(name, justify="right", no_wrap=True)
    for r in rows:
        errors = f"{r.trained_on:.4f}", f"{r.held_out:.4f}"
        table.add_row(r.optimizer, f"{r.seconds:.1f}", f"{r.steps or '-'}", *errors)
    Console().print(table)


def parser() -> argparse.ArgumentParser:
    out = Parser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    out.add_argument("--quick", action="store_true", help="few motions, short, under 50 s")
    out.add_argument("--snapshots", type=Path, metavar="DIR", help="of the beam's motions")
    out.add_argument("--motions", type=count, default=240, help="of each scene (240)")
    out.add_argument("--epochs", type=count, default=220, help="of Adam before (220)")
    out.add_argument("--seconds", type=count, default=92, help="for each optimiser (92)")
    out.add_argument("--workers", type=count, default=2, help="that make motions (2)")
    out.add_argument("--json", type=file, metavar="FILE", help="write the rows here too")
    return out


def measure(args: argparse.Namespace, folder: Path) -> list[Row]:
    scenes = [read_scene(data_dir("scenes") / f"{name}.toml") for name in SCENES]
    options, motions = FitOptions(), args.motions
    if args.quick:
        scenes, motions = scenes[:1], 6
        options = replace(options, epochs=60, batch=64)
    with Progress(transient=True) as progress:
        task = progress.add_task("motions", total=None)
        store, seed = Store(folder), options.seed
        make_snapshots(
            scenes, motions, seed, store, args.workers,
            lambda done, of: progress.update(task, completed=done, total=of),
        )  # fmt: skip
        names = [job.name for job in jobs_of(scenes, motions, seed)]
        aside = held_out_of(names) or names[-1:]
        seen, unseen = store.read(names).split(aside)
        epochs, seconds = (30, 2.0) if args.quick else (args.epochs, args.seconds)
        at, rows = middle(seen, unseen, options, epochs, progress)
        task = progress.add_task("optimisers", total=len(OPTIMIZERS))
        for name in OPTIMIZERS:
            rows += finished(name, at, seconds)
            progress.advance(task)
    return rows


def main(argv: Sequence[str] | None = None) -> int:
    parsed = parser()
    args = parsed.parse_args(argv)
    if args.snapshots is None and not args.quick:
        parsed.error("expected --snapshots DIR, where motions are or are made, or --quick")
    settle()
    with tempfile.TemporaryDirectory() as folder:
        try:
            rows = measure(args, args.snapshots or Path(folder))
        except (InputError, OSError) as error:
            parsed.error(str(error))
        except KeyboardInterrupt:
            print("stopped", file=sys.stderr)
            return 130
    show(rows)
    if args.json is not None:
        told = {"rows": [asdict(r) for r in rows], "machine": machine()}
        with atomic(args.json) as path:
            path.write_text(json.dumps(told, indent=1) + "\n")
        print(f"wrote {args.json}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
