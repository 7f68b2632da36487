"""The command line, `hodsim demo | simulate | train | cubature | peers | compare` and more.

Every command imports the rooms it needs when it runs, so that `hodsim --help` is quick. What goes
wrong on purpose is one line on stderr: exit code 2 for input that cannot be used, 3 for a solver
that did not converge, 130 after Ctrl-C.
"""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Sequence
from typing import Annotated, NoReturn

import typer

from hodsim.cli import (
    compare,
    cubature,
    demo,
    export,
    film,
    info,
    init,
    peers,
    run,
    simulate,
    train,
    view,
)
from hodsim.errors import ConvergenceError, InputError

# typer's own class for "this command line makes no sense", or click's in older versions of typer.
_UsageError: type[Exception] = next(
    c for c in typer.BadParameter.__mro__ if c.__base__ is Exception
)

app = typer.Typer(
    name="hodsim",
    help="Reduced-order finite elements in the latent space of a network. Units are SI.",
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    add_completion=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command("demo")(demo.demo)
app.command("init")(init.init)
app.command("run")(run.run)
app.command("simulate")(simulate.simulate)
app.command("train")(train.train)
app.command("cubature")(cubature.cubature)
app.command("peers")(peers.peers)
app.command("compare")(compare.compare)
app.command("film")(film.film)
app.command("export")(export.export)
app.command("view")(view.view)
app.command("info")(info.info)


def _show_version(asked: bool) -> None:
    if asked:
        from hodsim import __version__

        typer.echo(__version__)
        raise typer.Exit


@app.callback()
def _common(
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_show_version, is_eager=True, help="Print the version and stop."
        ),
    ] = False,
) -> None:
    pass


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run one command and leave the process with its exit code."""
    # One thread unless told otherwise, before numpy loads its BLAS: on small dense blocks more
    # threads cost time, and step times must compare.
    for library in ("OMP", "MKL", "OPENBLAS"):
        os.environ.setdefault(f"{library}_NUM_THREADS", "1")
    arguments = list(sys.argv[1:] if arguments is None else arguments) or ["--help"]
    try:
        code = app(args=arguments, prog_name="hodsim", standalone_mode=False)
        sys.stdout.flush()
    except (KeyboardInterrupt, typer.Abort):
        _leave("stopped", 130)
    except InputError as error:
        _leave(error, 2)
    except ConvergenceError as error:
        _leave(error, 3)
    except _UsageError as error:
        told = getattr(error, "format_message", error.__str__)()
        _leave(f"{told} See --help.", 2)
    except BrokenPipeError:
        # Whoever read us has gone: say no more, not even when the interpreter flushes at its end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except OSError as error:
        if error.filename is None:
            if error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO):
                raise
            # A stream: what is left in it could not be written either.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        _leave(f"{error.filename or 'output'}: cannot be read or written ({error.strerror})", 2)
    if code == 130:  # newer versions of typer turn Ctrl-C into this
        _leave("stopped", 130)
    sys.exit(code if isinstance(code, int) else 0)


def _leave(message: object, code: int) -> NoReturn:
    print("hodsim:", " ".join(str(message).split()), file=sys.stderr)
    sys.exit(code)
