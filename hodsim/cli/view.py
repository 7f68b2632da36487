"""`hodsim view`: a body to pull at, in a window or in a browser."""

from __future__ import annotations

import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hodsim.cli import output
from hodsim.cli.options import JsonOption, ModelOption, SolverOption, check_file, find_scene
from hodsim.errors import InputError
from hodsim.files import data_dir

if TYPE_CHECKING:
    from hodsim.session import Session

SHIPPED = ("beam", "bend", "twist", "swing", "ball")
_QUICK, _PICTURE = 5.0, 3.0  # seconds


def view(
    scene: Annotated[
        str, typer.Argument(help="Scene file, or a shipped scene such as beam or bend.")
    ] = SHIPPED[0],
    subspaces: Annotated[
        str | None,
        typer.Option(
            "--subspaces",
            metavar="LIST",
            help="One to three bodies side by side, such as full,pca-6,hod-6. "
            "[default: full, and pca and hod of the model's rank]",
        ),
    ] = None,
    model: ModelOption = None,
    web: Annotated[bool, typer.Option("--web", help="In a browser; needs hodsim[web].")] = False,
    host: Annotated[
        str, typer.Option("--host", help="Address to serve the page at. Who reaches it can steer.")
    ] = "127.0.0.1",
    port: Annotated[
        int, typer.Option("--port", min=0, max=65535, help="Its port; 0 for any that is free.")
    ] = 8080,
    folder: Annotated[
        Path, typer.Option("--folder", metavar="DIR", help="Where recordings are saved.")
    ] = Path(),
    picture: Annotated[
        Path | None,
        typer.Option(
            "--picture",
            metavar="FILE",
            help="Open no window: simulate for --seconds and save what it would show, .png.",
        ),
    ] = None,
    seconds: Annotated[
        float | None,
        typer.Option(
            "--seconds",
            metavar="S",
            min=0.0,
            help=f"Close after this wall time. [default: never; {_PICTURE:g} for --picture]",
        ),
    ] = None,
    quick: Annotated[bool, typer.Option("--quick", help=f"Close after {_QUICK:g} s.")] = False,
    solver: SolverOption = "auto",
    json: JsonOption = None,
) -> None:
    """Pull at a body with the mouse, in full space and in subspaces side by side.

    "save recording" writes what was done as a load history, which `hodsim simulate --inputs` plays
    again to the last bit.
    """
    if picture is not None:
        if picture.suffix.lower() != ".png":
            raise InputError(f"{picture}: expected a name that ends in .png; choose another")
        if web:
            raise InputError("view: --picture is of the window, given --web; leave one out")
        check_file(picture)
    check_file(folder / "recording")
    check_file(json)
    from hodsim.dynamics import parse_specs
    from hodsim.session import Session
    from hodsim.viewer.live import browser, probe
    from hodsim.viewer.live.presenter import Presenter
    from hodsim.viewer.live.window import run_window

    labels = None
    if subspaces is not None:
        labels = tuple(spec.label for spec in parse_specs(subspaces))
        if not 1 <= len(labels) <= 3:
            raise InputError(f"subspaces: expected one to three, given {len(labels)}; name fewer")
    if web:
        browser.check_browser(host, port)
    else:
        probe.check_window(headless=picture is not None)
    output.one_thread()
    chosen = find_scene(scene)
    shipped = {name: data_dir("scenes") / f"{name}.toml" for name in SHIPPED}
    known = {path.resolve(): name for name, path in shipped.items()}
    name = known.get(chosen.resolve(), scene)
    end = seconds if seconds is not None else _QUICK if quick else None
    with Session({name: chosen, **shipped}, model, labels, solver) as session:
        presenter, began = Presenter(session, folder), time.monotonic()
        if web:
            stop = threading.Event()
            if end is not None:
                timer = threading.Timer(end, stop.set)
                timer.daemon = True
                timer.start()
            browser.serve(presenter, host=host, port=port, stop=stop)
        elif picture is None:
            run_window(presenter, seconds=end)
        else:
            end = _PICTURE if end is None else end
            wanted = session.chosen
            while len(session.lanes) < len(wanted):
                _check(session, wanted)
                time.sleep(0.02)
                session.poll()
            run_window(presenter, headless=True, seconds=end, save=picture)
        _check(session)
        if json is not None:
            output.write_json(json, _report(session, time.monotonic() - began))
            print(f"wrote {json}")


def _check(session: Session, wanted: tuple[str, ...] = ()) -> None:
    """Raise `InputError` where the simulation has died, or lost a body that was wanted."""
    if session.ended or not set(wanted) <= set(session.chosen):
        raise InputError(f"view: {session.status().note}")


def _report(session: Session, seconds: float) -> dict[str, Any]:
    """How the simulation stood at the end."""
    scene, status = session.scene, session.status()
    whole = output.report_of("view", [scene], [], [])
    del whole["runs"]
    bodies = {
        label: {
            "steps": lane.step,
            "lag": lane.lag,
            "steps_per_second": lane.steps_per_second,
            "tets": session.lanes[label].tets,
        }
        for label, lane in status.lanes.items()
    }
    return output.finite(
        whole | {"seconds": seconds, "time": status.t, "clock": status.clock, "bodies": bodies}
    )
