"""Fig. 6 and Table 1: contractive autoencoders of first and second order, on images.

    python apps/contractive_autoencoder.py [--data LIST] [--root DIR] [--out DIR] [--quick]

For each set of images, autoencoders are trained with no penalty, with the Jacobian's norm (CAE),
with that and the squared Hessian diagonals (HoD CAE), and with a stochastic estimate of the Hessian
instead (Rifai et al. 2011a), as many epochs each. Weights of penalties are chosen on a validation
part: by the cross entropy of a classifier on an encoder trained for some epochs. Then each method
is trained for every seed, and measured on the test part: contractive ratio against radius, and
error of a classifier whose first layers are the encoder, left as it is or finetuned. Writes
DIR/ratio.png (Fig. 6), DIR/table.txt (Table 1), DIR/SET-images.png and DIR/report.json; what is
trained is kept in DIR, and the same command goes on where a stopped one was, at the last epoch.

Sets: digits (of an installed package), digits-rot, mnist, mnist-rot, cifar-bw, svhn-bw. "-rot" are
turned by random angles and "-bw" made grey here, both by --seed.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from rich.markup import escape
from rich.table import Table

from hodsim.cli.options import check_file, check_folder
from hodsim.cli.output import console, one_thread, progress, versions, write_json
from hodsim.cli.scripts import OneLineParser
from hodsim.errors import InputError
from hodsim.files import atomic
from hodsim.learning import Images, Parts, grey, parted, read_images, rotated, spread
from hodsim.learning.contractive import (
    METHODS,
    Classifier,
    Job,
    Measures,
    Noise,
    Plan,
    Result,
    Shape,
    Store,
    Study,
    methods_of,
    study,
)
from hodsim.viewer import Contraction, images_plot, ratio_plot

SETS: dict[str, tuple[str, Callable[[Images, int], Images]]] = {
    "digits": ("digits", lambda images, _: images),
    "digits-rot": ("digits", rotated),
    "mnist": ("mnist", lambda images, _: images),
    "mnist-rot": ("mnist", rotated),
    "cifar-bw": ("cifar10", lambda images, _: grey(images)),
    "svhn-bw": ("svhn", lambda images, _: grey(images)),
}
SHOWN = 10  # images of a row
QUICK: dict[str, Any] = {
    "images": 400,
    "validation": 100,
    "test": 300,
    "hidden": "24,24,24",
    "feature": 40,
    "epochs": 8,
    "sweep_epochs": 3,
    "seeds": 2,
    "alphas": "1e-5,1e-4",
    "betas": "1e-3,1e-2",
    "shown": 100,
    "directions": 4,
}
FULL: dict[str, Any] = {
    "images": 5000,
    "validation": 1000,
    "test": 10_000,
    "hidden": "128,128,128",
    "feature": 400,
    "epochs": 10,
    "sweep_epochs": 4,
    "seeds": 3,
    "alphas": "1e-6,1e-5,1e-4,1e-3",
    "betas": "1e-4,1e-3,1e-2,1e-1",
    "shown": 500,
    "directions": 16,
}


def parser() -> OneLineParser:
    assert __doc__ is not None
    out = OneLineParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    out.add_argument("--data", default="digits", metavar="LIST", help=f"{', '.join(SETS)} (digits)")
    out.add_argument(
        "--root", default="data", metavar="DIR", help="where mnist, cifar10, svhn lie (data)"
    )
    out.add_argument(
        "--note",
        action="append",
        default=[],
        metavar="SET=TEXT",
        help="what must be said beside figures of a set; may be given for each",
    )
    out.add_argument("--methods", default=",".join(METHODS), metavar="LIST", help="(all four)")
    out.add_argument("--images", type=int, metavar="N", help="training images (5000)")
    out.add_argument("--validation", type=int, metavar="N", help="images to choose by (1000)")
    out.add_argument("--test", type=int, metavar="N", help="test images, at most (10000)")
    out.add_argument("--hidden", metavar="LIST", help="the encoder's hidden widths (128,128,128)")
    out.add_argument("--feature", type=int, metavar="N", help="numbers of a feature (400)")
    out.add_argument("--activation", default="elu", help="of the encoder and the decoder (elu)")
    out.add_argument("--epochs", type=int, help="of every method (10)")
    out.add_argument("--sweep-epochs", type=int, metavar="N", help="of trying a weight (4)")
    out.add_argument("--batch", type=int, default=16, help="images of a step (16)")
    out.add_argument("--rate", type=float, default=1e-3, help="Adam's first rate (0.001)")
    out.add_argument("--alphas", metavar="LIST", help="weights to try of the Jacobian's norm")
    out.add_argument(
        "--betas",
        metavar="LIST",
        help="to try of the Hessian's diagonals; the rival's are these over the number of pixels",
    )
    out.add_argument("--noise", type=float, default=0.1, help="of the stochastic penalty (0.1)")
    out.add_argument("--draws", type=int, default=1, help="of its noise, for each image (1)")
    out.add_argument(
        "--choose", default="finetuned", choices=("finetuned", "frozen"), help="weights for which"
    )
    out.add_argument("--seeds", type=int, help="trainings of each method (3)")
    out.add_argument("--seed", type=int, default=0, help="the first seed (0)")
    out.add_argument("--shown", type=int, metavar="N", help="test images of a ratio (500)")
    out.add_argument("--directions", type=int, metavar="N", help="around each (16)")
    out.add_argument("--out", type=Path, default=Path("contractive"), metavar="DIR")
    out.add_argument("--json", type=Path, metavar="FILE", help="write the numbers here too")
    out.add_argument("--quick", action="store_true", help="a small study, under 50 s")
    return out


def numbers(name: str, told: str, kind: type[int] | type[float]) -> tuple[Any, ...]:
    try:
        return tuple(kind(part) for part in told.split(","))
    except ValueError as error:
        raise InputError(f"{name}: expected numbers with commas between, got {told!r}") from error


def plan_of(options: argparse.Namespace) -> Plan:
    job = Job(
        "vanilla",
        seed=options.seed,
        epochs=options.epochs,
        batch=options.batch,
        rate=options.rate,
        shape=Shape(numbers("hidden", options.hidden, int), options.feature, options.activation),
        noise=Noise(options.noise, options.draws),
    )
    return Plan(
        methods=tuple(options.methods.split(",")),
        alphas=numbers("alphas", options.alphas, float),
        betas=numbers("betas", options.betas, float),
        tuned=options.choose == "finetuned",
        sweep_epochs=options.sweep_epochs,
        seeds=options.seeds,
        job=job,
        measures=Measures(Classifier(), images=options.shown, directions=options.directions),
    )


def notes_of(told: Sequence[str], sets: Sequence[str]) -> dict[str, str]:
    notes = dict(note.partition("=")[::2] for note in told)
    for name in notes:
        if name not in sets:
            raise InputError(f"note: expected SET=TEXT with one of {', '.join(sets)}, got {name!r}")
    return notes


def parts_of(name: str, options: argparse.Namespace, note: str) -> Parts:
    what, made = SETS[name]
    images = read_images(what, options.root)
    images = replace(images, note=", ".join(filter(None, (note, images.note))))
    images = made(images, options.seed)
    train, validation = options.images, options.validation
    there = len(images.train_x)
    if there < train + validation and options.fitted:  # defaults fit themselves to small sets
        validation = there * validation // (train + validation)
        train = there - validation
    return parted(images, train, validation, options.test)


def carry_out(options: argparse.Namespace) -> dict[str, Study]:
    options.fitted = options.images is None and options.validation is None
    for name, value in (QUICK if options.quick else FULL).items():
        if getattr(options, name) is None:
            setattr(options, name, value)
    sets = options.data.split(",")
    for name in sets:
        if name not in SETS or sets.count(name) > 1:
            raise InputError(f"data: expected some of {', '.join(SETS)}, each once, got {name!r}")
    plan, notes = plan_of(options), notes_of(options.note, sets)
    every = {name: parts_of(name, options, notes.get(name, "")) for name in sets}
    check_folder(options.out)
    with progress() as report:
        return {
            name: study(
                parts,
                plan,
                Store(options.out),
                lambda what, done, total, name=name: report(f"{name}: {what}", done, total),
            )
            for name, parts in every.items()
        }


def caption(done: Study) -> str:
    images = done.parts.images
    note = f" ({images.note})" if images.note else ""
    return f"{len(images.train_x):,} images of {images.name}{note}"


def settings(done: Study, spread: str = "ranges") -> str:
    plan, shape = done.plan, done.plan.job.shape
    return (
        f"encoder's layers {'-'.join(map(str, (*shape.hidden, shape.feature)))}, "
        f"{shape.activation}, {plan.job.epochs} epochs, batch {plan.job.batch}; means and "
        f"{spread} of {plan.seeds} seeds"
    )


def draw(studies: dict[str, Study], out: Path) -> list[Path]:
    files = []
    panels = {name: {METHODS[r.method].title: c for r in done.results if (c := contraction(r))}
              for name, done in studies.items()}  # fmt: skip
    panels = {name: methods for name, methods in panels.items() if methods}
    if panels:
        files.append(out / "ratio.png")
        told = "\n".join([*map(caption, studies.values()), settings(next(iter(studies.values())))])
        ratio_plot(files[0], panels, told)
    for name, done in studies.items():
        rows = pictures(done, out)
        if len(rows) > 1:
            files.append(out / f"{name}-images.png")
            images_plot(files[-1], rows, f"{caption(done)}; first seed")
    return files


def contraction(r: Result) -> Contraction | None:
    ratios = [run.ratio for run in r.runs if run.ratio is not None]
    if not ratios:
        return None
    return Contraction(
        np.array(ratios[0].radii),
        np.array([ratio.ratio for ratio in ratios]),
        np.array([ratio.relative for ratio in ratios]),
        r.method == "hod",
    )


def pictures(done: Study, out: Path) -> dict[str, list[np.ndarray]]:
    """Test images, and what the encoders of the first seed make of them."""
    x = spread(done.parts.images.test_x, SHOWN)  # files may be sorted by class
    rows = {"test image": [image.mean(0).numpy() for image in x]}
    for r in done.results:
        network = Store(out).network(done.parts, r.runs[0]) if r.runs else None
        if network is not None:
            made = network(x).reshape(x.shape)
            rows[METHODS[r.method].title] = [image.mean(0).numpy() for image in made]
    return rows


ROWS: dict[str, tuple[float, Callable[[Any], float]]] = {
    "test error, tuned [%]": (100.0, lambda run: run.finetuned.test_error),
    "frozen [%]": (100.0, lambda run: run.frozen.test_error),
    "reconstruction [1e-3]": (1e3, lambda run: run.reconstruction),
    "ratio, first [1e-3]": (1e3, lambda run: run.ratio.ratio[0]),
    "last [1e-3]": (1e3, lambda run: run.ratio.ratio[-1]),
    "relative, first [%]": (100.0, lambda run: run.ratio.relative[0]),
    "last [%]": (100.0, lambda run: run.ratio.relative[-1]),
    "CPU time [s]": (1.0, lambda run: run.seconds),
}


def tables(studies: dict[str, Study]) -> list[Any]:
    """For each set what it is, a table, a column for each method, and what that does not say."""
    out: list[Any] = []
    for done in studies.values():
        table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
        table.add_column("", no_wrap=True)
        for r in done.results:
            table.add_column(METHODS[r.method].title, justify="right", no_wrap=True)
        weights = [r.runs[0].job if r.runs else {} for r in done.results]
        table.add_row("alpha", *(weight(job.get("alpha")) for job in weights))
        table.add_row("beta", *(weight(job.get("beta")) for job in weights))
        for name, (scale, what) in ROWS.items():
            table.add_row(escape(name), *(figure(r, scale, what) for r in done.results))
        test = f"{len(done.parts.images.test_x):,} test images"
        out += [f"{caption(done)}, {test}; {settings(done, 'deviations')}", table]
        out += [line for r in done.results for line in said(r)]
    return out


def weight(value: float | None) -> str:
    return f"{value:.3g}" if value else "-"


def figure(r: Result, scale: float, what: Callable[[Any], float]) -> str:
    found = r.mean(what)
    if found is None:
        return "diverged"
    mean, spread = scale * found[0], scale * found[1]
    digits = 2 if abs(mean) < 10.0 else 1
    return f"{mean:.{digits}f} ± {spread:.{digits}f}"


def said(r: Result) -> list[str]:
    """What a row of a table does not say."""
    title = METHODS[r.method].title
    out = [f"{title}, seed {run.job['seed']}: {run.diverged}" for run in r.runs if run.diverged]
    out += [
        f"{title}, alpha {s.alpha:g}, beta {s.beta:g}: {s.diverged}" for s in r.sweep if s.diverged
    ]
    if r.edge:
        out.append(f"{title}: a weight at the edge of those tried, a better one may lie outside")
    return out


def written(studies: dict[str, Study], path: Path) -> None:
    from rich.console import Console

    with atomic(path) as temporary, temporary.open("w", encoding="utf-8") as file:
        screen = Console(file=file, width=120, highlight=False)
        for shown in tables(studies):
            screen.print(shown)


def main() -> None:
    parsed = parser()
    options = parsed.parse_args()
    try:
        methods_of(options.methods.split(","))
        check_file(options.json)
        one_thread()
        studies = carry_out(options)
        report = {
            "command": "contractive_autoencoder",
            "versions": versions(),
            "studies": {name: done.to_dict() for name, done in studies.items()},
        }
        files = [options.out / "report.json", *([] if options.json is None else [options.json])]
        for path in files:
            write_json(path, report)
        written(studies, options.out / "table.txt")
        files += [options.out / "table.txt", *draw(studies, options.out)]
    except (InputError, OSError) as told:
        parsed.error(str(told))
    except KeyboardInterrupt:
        print(f"stopped; the same command goes on from what is in {options.out}", file=sys.stderr)
        sys.exit(130)
    screen = console()
    for shown in tables(studies):
        screen.print(shown)
    print("wrote " + ", ".join(map(str, files)))


if __name__ == "__main__":
    main()
